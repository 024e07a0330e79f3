"""What a handler is given with its record."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import errors as kafka

from streams.adapters.clock import HandClock
from streams.decisions.stall import StallPolicy
from streams.engine.calls import Calls
from streams.engine.delivery import Delivery, Parcel, Settled
from streams.engine.exit import Fatal
from streams.engine.lease import Lease
from streams.engine.scope import RecordScope
from streams.engine.tables import NoRows
from tests.support.aio import in_virtual_time, turns
from tests.support.builders import NOW_MS, record
from tests.support.fake_kafka import HeldProducer
from topics.errors import OrchestratorError, TopicRefused
from topics.provider_errors import WorkerError

SESSION_S = 10.0
KEY = b"k"


class Writes:
    """The rows of one record: writes wait to be taken to the changelog."""

    def __init__(self) -> None:
        self.noted: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self.noted.append((key, value))

    def derived(self, build: Callable[[Any], Any]) -> Any:
        return ("made of", build(self.noted))

    def taken(self, settled: Settled) -> list[Parcel]:
        noted, self.noted = self.noted, []
        return [Parcel("log", key, value, settled, partition=3, landed=lambda *_: None) for key, value in noted]


@dataclass
class Bench:
    """Scopes over one worker's calls, lease and delivery; the producer answers by hand."""

    clock: HandClock | None = None
    now_s: float = 100.0
    producer: HeldProducer = field(default_factory=HeldProducer)
    calls: Calls = field(default_factory=Calls)
    rows: Writes = field(default_factory=Writes)
    fatals: list[Fatal] = field(default_factory=list)
    points: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.delivery = Delivery("core", lambda: self.producer, self.fatals.append, StallPolicy())
        self.lease = Lease(SESSION_S, lambda: self.now_s)

    def scope(self, rows: Any = None, partition: int = 3) -> RecordScope:
        given = record(b"v", partition=partition)
        rows = self.rows if rows is None else rows
        return RecordScope(given, rows, self.clock, self.calls, self.delivery, self.lease, self.points.append)

    async def settling(self, *values: bytes) -> "asyncio.Task[None]":
        """A handler that has written these values, and waits for them."""
        for value in values:
            self.rows.put(KEY, value)
        task = asyncio.get_running_loop().create_task(self.scope().settled())
        await turns()
        return task

    async def acknowledge(self, *numbers: int) -> None:
        for number in numbers:
            self.producer.sent[number].acknowledge()
        await turns()

    async def refuse(self, number: int, error: Exception) -> None:
        self.producer.sent[number].refuse(error)
        await turns()


def fails_with(error: Exception) -> Callable[[], Any]:
    async def call() -> Any:
        raise error

    return call


# -- the clock


@in_virtual_time
async def test_now_without_a_clock_is_the_records_append_time() -> None:
    assert NOW_MS == Bench().scope().now_ms


@in_virtual_time
async def test_now_with_a_clock_is_asked_anew_each_time() -> None:
    clock = HandClock(NOW_MS + 5)
    scope = Bench(clock).scope()
    before = scope.now_ms
    clock.wind_to(NOW_MS + 255)

    assert (NOW_MS + 5, NOW_MS + 255) == (before, scope.now_ms)


# -- settled


@in_virtual_time
async def test_table_of_a_scope_is_the_rows_of_its_record() -> None:
    bench = Bench()

    rows: Any = bench.rows

    assert rows is bench.scope().table


@in_virtual_time
async def test_derived_of_a_scope_is_that_of_its_rows() -> None:
    bench = Bench()
    bench.rows.put(KEY, b"v")

    assert ("made of", 1) == bench.scope().derived(len)  # type: ignore[arg-type,comparison-overlap]  # any builder


@in_virtual_time
async def test_settled_unacknowledged_write_keeps_waiting() -> None:
    bench = Bench()
    settling = await bench.settling(b"row")
    waits = not settling.done()
    await bench.acknowledge(0)

    assert (True, True) == (waits, settling.done())


@in_virtual_time
async def test_settled_returns_only_after_the_last_of_its_writes() -> None:
    bench = Bench()
    settling = await bench.settling(b"1", b"2", b"3")
    done = []
    for number in (2, 0, 1):
        await bench.acknowledge(number)
        done.append(settling.done())

    assert [False, False, True] == done


@in_virtual_time
async def test_settled_sends_writes_in_the_order_they_were_made() -> None:
    bench = Bench()
    settling = await bench.settling(b"1", b"2", b"3")
    await bench.acknowledge(0, 1, 2)
    await settling

    assert [b"1", b"2", b"3"] == bench.producer.values


@pytest.mark.parametrize("rows", [Writes(), NoRows()])
@in_virtual_time
async def test_settled_without_writes_returns_at_once(rows: Any) -> None:
    bench = Bench()
    await bench.scope(rows).settled()

    assert ([], []) == (bench.producer.sent, bench.points)


@in_virtual_time
async def test_settled_again_sends_only_what_was_written_since() -> None:
    bench = Bench()
    scope = bench.scope()
    for number, value in enumerate((b"1", b"2")):
        bench.rows.put(KEY, value)
        settling = asyncio.ensure_future(scope.settled())
        await turns()
        await bench.acknowledge(number)
        await settling

    assert [b"1", b"2"] == bench.producer.values


@pytest.mark.parametrize(
    ("refusal", "ours"),
    [(kafka.MessageSizeTooLargeError(), TopicRefused), (kafka.TopicAuthorizationFailedError(), TopicRefused)],
)
@in_virtual_time
async def test_settled_write_refused_raises_the_refusal(refusal: Exception, ours: type[OrchestratorError]) -> None:
    bench = Bench()
    settling = await bench.settling(b"row")
    await bench.refuse(0, refusal)

    with pytest.raises(ours):
        await settling


@in_virtual_time
async def test_settled_with_one_of_two_writes_refused_waits_for_both() -> None:
    bench = Bench()
    settling = await bench.settling(b"1", b"2")
    await bench.refuse(0, kafka.MessageSizeTooLargeError())
    waits = not settling.done()
    await bench.acknowledge(1)

    assert (True, TopicRefused) == (waits, type(settling.exception()))


@in_virtual_time
async def test_settled_names_its_points_in_order() -> None:
    bench = Bench()
    settling = await bench.settling(b"row")
    before = list(bench.points)
    await bench.acknowledge(0)
    await settling

    assert (["row-written", "row-sent"], ["row-acknowledged"]) == (before, bench.points[2:])


@in_virtual_time
async def test_settled_with_a_write_refused_never_says_acknowledged() -> None:
    bench = Bench()
    settling = await bench.settling(b"row")
    await bench.refuse(0, kafka.MessageSizeTooLargeError())
    await asyncio.wait([settling])

    assert (["row-written", "row-sent"], TopicRefused) == (bench.points, type(settling.exception()))


# -- races of settled


@in_virtual_time
async def test_settled_after_the_process_slept_sends_nothing_until_renewed() -> None:
    bench = Bench()
    bench.now_s += SESSION_S
    settling = await bench.settling(b"row")
    held_back = list(bench.producer.values)
    bench.lease.renewed(bench.now_s)
    await turns()
    await bench.acknowledge(0)
    await settling

    assert ([], [b"row"]) == (held_back, bench.producer.values)


@in_virtual_time
async def test_settled_of_a_record_given_up_while_held_back_sends_nothing() -> None:
    bench = Bench()
    bench.now_s += SESSION_S
    settling = await bench.settling(b"row")
    settling.cancel()
    await asyncio.wait([settling])
    bench.lease.renewed(bench.now_s)
    await turns()

    assert (True, []) == (settling.cancelled(), bench.producer.values)


@in_virtual_time
async def test_settled_cancelled_while_waiting_leaves_late_acknowledgement_harmless() -> None:
    complaints = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    bench = Bench()
    settling = await bench.settling(b"1", b"2")
    settling.cancel()
    await asyncio.wait([settling])
    await bench.acknowledge(0, 1)

    assert (True, [], 0) == (settling.cancelled(), complaints, len(bench.delivery))


@in_virtual_time
async def test_settled_with_every_write_refused_complains_nowhere_else() -> None:
    complaints = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    bench = Bench()
    settling = await bench.settling(b"1", b"2")
    for number in (0, 1):
        await bench.refuse(number, kafka.MessageSizeTooLargeError())
    raised = type(settling.exception())
    bench.producer.sent.clear()
    del settling
    gc.collect()

    assert (TopicRefused, []) == (raised, complaints)


@in_virtual_time
async def test_settled_cancelled_and_then_refused_complains_nowhere() -> None:
    complaints = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    bench = Bench()
    settling = await bench.settling(b"row")
    settling.cancel()
    await asyncio.wait([settling])
    await bench.refuse(0, kafka.MessageSizeTooLargeError())
    bench.producer.sent.clear()
    del settling
    gc.collect()

    assert [] == complaints


@in_virtual_time
async def test_settled_cancelled_in_the_middle_of_a_send_frees_the_changelog() -> None:
    bench = Bench()
    bench.producer.room.clear()
    first = await bench.settling(b"1")
    second = await bench.settling(b"2")
    first.cancel()
    bench.producer.room.set()
    await asyncio.wait([first])
    await turns()
    await bench.acknowledge(0)
    await second

    assert [b"2"] == bench.producer.values


# -- shared


@in_virtual_time
async def test_shared_call_of_two_records_is_one() -> None:
    bench, begun = Bench(), list[int]()

    async def call() -> str:
        begun.append(1)
        return "reply"

    replies = await asyncio.gather(bench.scope().shared(KEY, call), bench.scope().shared(KEY, call))

    assert (["reply", "reply"], 1) == (list(replies), len(begun))


@in_virtual_time
async def test_shared_call_under_a_lease_that_is_over_is_not_begun() -> None:
    """F5: a process that slept past its session would buy again what the partition's new owner buys."""
    bench, begun = Bench(), list[int]()

    async def call() -> str:
        begun.append(1)
        return "reply"

    bench.now_s += SESSION_S
    scope = bench.scope()
    asking = asyncio.ensure_future(scope.shared(KEY, call))
    await turns()
    waits, calling = list(begun), scope.calling
    bench.lease.renewed(bench.now_s)

    assert ([], True, "reply") == (waits, calling, await asking)


@in_virtual_time
async def test_shared_call_belongs_to_the_records_partition() -> None:
    bench = Bench()
    asking = asyncio.ensure_future(bench.scope(partition=6).shared(KEY, asyncio.Event().wait))
    await turns()

    assert {6} == {call.partition for call in bench.calls.running.values()}
    asking.cancel()
    await bench.calls.stop()


@in_virtual_time
async def test_scope_says_that_it_is_calling_only_while_it_waits() -> None:
    bench, answer = Bench(), asyncio.Event()
    scope = bench.scope()
    asking = asyncio.ensure_future(scope.shared(KEY, answer.wait))
    before = scope.calling
    await turns()
    during = scope.calling
    answer.set()
    await asking

    assert (False, True, False) == (before, during, scope.calling)


@in_virtual_time
async def test_scope_of_a_failed_call_is_no_longer_calling() -> None:
    bench = Bench()
    scope = bench.scope()

    with pytest.raises(WorkerError):
        await scope.shared(KEY, fails_with(WorkerError("echo", "timeout", retryable=True)))
    assert (False, []) == (scope.calling, bench.points)


@in_virtual_time
async def test_scope_cancelled_in_a_call_is_no_longer_calling() -> None:
    bench = Bench()
    scope = bench.scope()
    asking = asyncio.ensure_future(scope.shared(KEY, asyncio.Event().wait))
    await turns()
    asking.cancel()
    await asyncio.wait([asking])

    assert (False, [KEY]) == (scope.calling, list(bench.calls.running))
    await bench.calls.stop()


@in_virtual_time
async def test_returned_call_is_a_point_of_its_own() -> None:
    bench = Bench()

    async def call() -> str:
        return "reply"

    await bench.scope().shared(KEY, call)

    assert ["call-returned"] == bench.points


# -- closed


@in_virtual_time
async def test_closed_scope_forgets_every_call_it_asked_for() -> None:
    bench = Bench()
    scope = bench.scope()
    for key in (b"1", b"2"):
        await scope.shared(key, turns)
    scope.close()

    assert {} == bench.calls.running


@in_virtual_time
async def test_closed_scope_forgets_its_failed_calls_too() -> None:
    bench = Bench()
    scope = bench.scope()
    with pytest.raises(WorkerError):
        await scope.shared(KEY, fails_with(WorkerError("echo", "timeout", retryable=True)))
    scope.close()

    assert {} == bench.calls.running


@in_virtual_time
async def test_closed_scope_leaves_the_calls_of_others() -> None:
    bench = Bench()
    asking = asyncio.ensure_future(bench.scope().shared(KEY, asyncio.Event().wait))
    await turns()
    bench.scope().close()

    assert [KEY] == list(bench.calls.running)
    asking.cancel()
    await bench.calls.stop()


@in_virtual_time
async def test_scope_that_is_not_closed_keeps_its_reply_for_a_redelivery() -> None:
    bench, begun = Bench(), list[int]()

    async def call() -> int:
        begun.append(1)
        return len(begun)

    await bench.scope().shared(KEY, call)

    assert (1, 1) == (await bench.scope().shared(KEY, call), len(begun))


# -- idle


@in_virtual_time
async def test_idle_record_may_be_let_go_while_it_waits() -> None:
    bench, word = Bench(), asyncio.get_running_loop().create_future()
    scope = bench.scope()
    waiting = asyncio.ensure_future(scope.idle(word))
    await turns()
    during = scope.calling
    word.set_result("news")

    assert ("news", True, False) == (await waiting, during, scope.calling)


@in_virtual_time
async def test_idle_record_cancelled_is_idle_no_longer() -> None:
    bench = Bench()
    scope = bench.scope()
    waiting = asyncio.ensure_future(scope.idle(asyncio.Event().wait()))
    await turns()
    waiting.cancel()
    await asyncio.wait([waiting])

    assert (False, {}) == (scope.calling, bench.calls.running)
