"""What happens to one record between its hand-over and its acknowledgement."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import loop as loop_module
from streams.ports import Observation
from streams.stage import Output, Record, Scope
from tests.support.builders import NOW_MS
from tests.support.fake_faust import NAMES, Bench, event, passes_on, settle
from tests.support.loops import in_loop, until
from topics.catalog import ADMITTED, CATALOG, EXPENDABLE, FAILED, INFERRED, REFINED, TICKS
from topics.errors import ConfigurationError, OrchestratorError, RecordTooLarge, TopicRefused, TransportError

LIMIT = CATALOG[INFERRED].max_bytes
TOO_LARGE = RecordTooLarge(NAMES.topic(INFERRED), LIMIT, 0)
REFUSED = TopicRefused(NAMES.topic(INFERRED), "gone")


def outputs(*values: bytes, key: bytes | None = b"k", **fields: Any) -> Any:
    """A handler that gives these values."""
    return lambda record, scope: [Output(INFERRED, key, value, "made", **fields) for value in values]


def raises(error: BaseException) -> Any:
    def handle(record: Record, scope: Scope) -> list[Output]:
        raise error

    return handle


def awaited(handle: Any) -> Any:
    """The same handler for a stage that awaits."""

    async def later(record: Record, scope: Scope) -> list[Output]:
        await asyncio.sleep(0)  # why: a stage that awaits must really await once
        return list(handle(record, scope))

    return later


def writes(*rows: tuple[bytes, bytes]) -> Any:
    def handle(record: Record, scope: Scope) -> list[Output]:
        for key, value in rows:
            scope.table.put(key, value)
        return [Output(INFERRED, b"k", b"v", "made")]

    return handle


def waits_for(gate: asyncio.Event) -> Any:
    async def handle(record: Record, scope: Scope) -> list[Output]:
        await gate.wait()
        return []

    return handle


async def handled(bench: Bench, *offsets: int) -> list[Any]:
    tickets = [await bench.handle(offset) for offset in offsets or (0,)]
    await settle(60)
    return tickets


def failed_message(bench: Bench) -> dict[str, Any]:
    [parcel] = bench.delivery.parcels
    message: dict[str, Any] = json.loads(parcel.value or b"")
    return message


# -- done
@in_loop
async def test_handle_acknowledged_output_is_acked() -> None:
    bench = Bench()
    await handled(bench)

    assert ([0], [NAMES.topic(INFERRED)]) == (bench.consumer.acked, bench.delivery.topics)


@in_loop
async def test_handle_unacknowledged_output_is_not_acked() -> None:
    bench = Bench(auto=False)
    await handled(bench)
    before = list(bench.consumer.acked)
    bench.delivery.answer()

    assert ([], [0]) == (before, bench.consumer.acked)


@in_loop
async def test_handle_one_of_two_outputs_unacknowledged_is_not_acked() -> None:
    bench = Bench(outputs(b"1", b"2"), auto=False)
    await handled(bench)
    first, second = bench.delivery.parcels
    first.settled(None)
    before = list(bench.consumer.acked)
    second.settled(None)

    assert ([], [0]) == (before, bench.consumer.acked)


@in_loop
async def test_handle_unacknowledged_table_write_is_not_acked() -> None:
    bench = Bench(writes((b"a", b"1")), auto=False)
    await handled(bench)
    row, output = bench.delivery.parcels
    output.settled(None)
    before = list(bench.consumer.acked)
    row.settled(None)

    assert ([], [0]) == (before, bench.consumer.acked)


@in_loop
async def test_handle_record_without_outputs_is_acked_at_once() -> None:
    bench = Bench(outputs())
    await bench.handle()

    assert [0] == bench.consumer.acked


@in_loop
async def test_handle_later_record_done_first_waits_for_the_earlier() -> None:
    bench = Bench(auto=False)
    await handled(bench, 0, 1)
    first, second = bench.delivery.parcels
    second.settled(None)
    before = list(bench.consumer.acked)
    first.settled(None)

    assert ([], [0, 1]) == (before, bench.consumer.acked)


@given(st.permutations(range(6)))
def test_handle_any_order_of_answers_acks_in_offset_order(order: list[int]) -> None:
    async def played() -> Bench:
        bench = Bench(auto=False)
        await handled(bench, *range(6))
        for number in order:
            bench.delivery.parcels[number].settled(None)
        return bench

    assert list(range(6)) == asyncio.run(played()).consumer.acked


@in_loop
async def test_handle_table_writes_go_out_before_the_outputs() -> None:
    bench = Bench(writes((b"a", b"1"), (b"b", b"2")), auto=False)
    await handled(bench)

    assert ["changelog", "changelog", NAMES.topic(INFERRED)] == bench.delivery.topics
    assert [[b"a", b"b"]] == [[parcel.key for parcel in batch] for batch in bench.delivery.in_order]


@in_loop
async def test_handle_output_keeps_key_partition_and_headers() -> None:
    bench = Bench(outputs(b"v", key=b"x", partition=5, headers=(("own", b"1"),)), auto=False)
    await handled(bench)
    [parcel] = bench.delivery.parcels

    assert (b"x", b"v", 5) == (parcel.key, parcel.value, parcel.partition)
    assert ("own", b"1") in (parcel.headers or [])


@in_loop
async def test_handle_output_carries_stage_decision_and_cause() -> None:
    bench = Bench(outputs(b"v"), auto=False)
    await handled(bench, 7)
    evidence = dict(bench.delivery.parcels[0].headers or [])

    assert {"prompts.stage": b"probe", "prompts.decision": b"made", "prompts.cause": b"admitted/0/7"} == evidence


@in_loop
async def test_handle_failpoints_are_reached_in_order_of_delivery() -> None:
    bench = Bench(writes((b"a", b"1")))
    await handled(bench)

    assert ["row-written", "row-sent", "outputs-sent", "outputs-acknowledged"] == bench.points


@in_loop
async def test_handle_done_record_is_observed_with_its_figures() -> None:
    bench = Bench(outputs(b"1", b"2"))
    await handled(bench, 4)
    [seen] = bench.seen

    assert ("probe", "handled", ADMITTED, 0, 4, 2, None) == (
        seen.stage,
        seen.action,
        seen.topic,
        seen.partition,
        seen.offset,
        seen.outputs,
        seen.kind,
    )
    assert min(seen.wait_s, seen.work_s) >= 0


@in_loop
async def test_handle_unfinished_record_is_not_observed() -> None:
    bench = Bench(auto=False)
    await handled(bench)

    assert [] == bench.seen


@in_loop
async def test_handle_done_record_frees_its_shared_call() -> None:
    async def call() -> str:
        return "x"

    async def handle(record: Record, scope: Scope) -> list[Output]:
        await scope.shared(b"key", call)
        return []

    bench = Bench(handle, slots=1)
    await handled(bench)

    assert {} == bench.calls.running


# -- failures
KINDS: list[BaseException] = [
    ValueError("secret words"),
    KeyError("x"),
    ConfigurationError("a", 1, "b"),
    AssertionError(),
    StopIteration(),
    RecursionError(),
    asyncio.CancelledError(),
    TimeoutError(),
]


@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
@in_loop
async def test_handle_any_error_becomes_a_record_on_failed(error: BaseException) -> None:
    bench = Bench(raises(error))
    await handled(bench)

    assert ([NAMES.topic(FAILED)], [0]) == (bench.delivery.topics, bench.consumer.acked)


@in_loop
async def test_handle_raising_handler_sends_refusal_then_acks() -> None:
    bench = Bench(raises(ValueError("secret words")), auto=False)
    await handled(bench)
    before, refusal = list(bench.consumer.acked), failed_message(bench)
    bench.delivery.answer()

    assert ([], [0]) == (before, bench.consumer.acked)
    assert ("probe", "failed", "ValueError") == (refusal["stage"], refusal["outcome"], refusal["failure"]["kind"])


@in_loop
async def test_handle_refusal_holds_no_words_of_the_exception() -> None:
    bench = Bench(raises(ValueError("secret words")), auto=False)
    await handled(bench)

    assert b"secret" not in (bench.delivery.parcels[0].value or b"")


@in_loop
async def test_handle_refusal_bears_its_decision_and_cause() -> None:
    bench = Bench(raises(ValueError()), auto=False)
    await handled(bench, 9)
    evidence = dict(bench.delivery.parcels[0].headers or [])

    assert (b"failed", b"admitted/0/9") == (evidence["prompts.decision"], evidence["prompts.cause"])


@in_loop
async def test_handle_failure_that_cannot_be_handled_is_a_dead_letter_with_kafka_names() -> None:
    bench = Bench(raises(ValueError()), auto=False)
    bench.intake = bench.feed(FAILED)
    await handled(bench)
    evidence = dict(bench.delivery.parcels[0].headers or [])

    assert (NAMES.topic(FAILED), NAMES.group("core").encode()) == (
        evidence["prompts.error.original-topic"].decode(),
        evidence["prompts.error.group"],
    )


@in_loop
async def test_handle_refusal_is_timed_by_the_record() -> None:
    bench = Bench(raises(ValueError()), auto=False)
    await handled(bench)

    assert NOW_MS == failed_message(bench)["failed_ms"]


@in_loop
async def test_handle_failed_record_is_observed_by_its_kind() -> None:
    bench = Bench(raises(REFUSED))
    await handled(bench)

    assert [("failed", "topic_refused")] == [(seen.action, seen.kind) for seen in bench.seen]


@in_loop
async def test_handle_after_a_failure_the_next_record_goes_on() -> None:
    def handle(record: Record, scope: Scope) -> list[Output]:
        return raises(ValueError())(record, scope) if record.offset == 0 else passes_on(record, scope)

    bench = Bench(handle)
    await handled(bench, 0, 1)

    assert ([NAMES.topic(FAILED), NAMES.topic(INFERRED)], [0, 1]) == (bench.delivery.topics, bench.consumer.acked)


@in_loop
async def test_handle_generator_that_fails_midway_sends_only_the_refusal() -> None:
    def handle(record: Record, scope: Scope) -> Iterator[Output]:
        yield Output(INFERRED, b"k", b"v", "made")
        raise ValueError

    bench = Bench(handle)
    await handled(bench)

    assert [NAMES.topic(FAILED)] == bench.delivery.topics


@pytest.mark.parametrize("handle", [lambda record, scope: None, lambda record, scope: [Output("no", b"", b"", "x")]])
@in_loop
async def test_handle_impossible_outputs_become_refusal(handle: Any) -> None:
    bench = Bench(handle)
    await handled(bench)

    assert ([NAMES.topic(FAILED)], [0]) == (bench.delivery.topics, bench.consumer.acked)


@in_loop
async def test_handle_table_write_before_a_failure_is_still_sent() -> None:
    def handle(record: Record, scope: Scope) -> list[Output]:
        scope.table.put(b"a", b"1")
        raise ValueError

    bench = Bench(handle)
    await handled(bench)

    assert ["changelog", NAMES.topic(FAILED)] == bench.delivery.topics


# -- size
@in_loop
async def test_handle_output_above_limit_becomes_refusal() -> None:
    bench = Bench(outputs(b"small", b"x" * LIMIT), auto=False)
    await handled(bench)

    assert [NAMES.topic(FAILED)] == bench.delivery.topics
    assert ("too_large", "too-large") == (
        failed_message(bench)["failure"]["kind"],
        failed_message(bench)["disposition"],
    )


@pytest.mark.parametrize(("over", "topic"), [(0, INFERRED), (1, FAILED)])
@in_loop
async def test_handle_output_counts_key_and_value_against_the_limit(over: int, topic: str) -> None:
    bench = Bench(outputs(b"x" * (LIMIT - 1 + over)))
    await handled(bench)

    assert [NAMES.topic(topic)] == bench.delivery.topics


@pytest.mark.parametrize(("key", "value"), [(None, b"v"), (b"k", None), (None, None)])
@in_loop
async def test_handle_output_without_key_or_value_is_sent(key: bytes | None, value: bytes | None) -> None:
    bench = Bench(lambda record, scope: [Output(REFINED, key, value, "made")])
    await handled(bench)

    assert [(key, value)] == [(parcel.key, parcel.value) for parcel in bench.delivery.parcels]


@pytest.mark.parametrize("slots", [0, 1])
@in_loop
async def test_handle_output_the_broker_finds_too_large_is_refused_late(slots: int) -> None:
    bench = Bench(awaited(outputs(b"v")) if slots else outputs(b"v"), slots=slots, auto=False)
    await handled(bench)
    bench.delivery.answer(TOO_LARGE)
    await settle()
    late, before = list(bench.delivery.topics), list(bench.consumer.acked)
    bench.delivery.answer()

    assert ([NAMES.topic(FAILED)], [], [0]) == (late, before, bench.consumer.acked)
    assert ["too_large"] == [seen.kind for seen in bench.seen]


@in_loop
async def test_handle_refusal_the_broker_finds_too_large_stops_the_stage() -> None:
    bench = Bench(auto=False)
    await handled(bench)
    for _ in range(3):
        bench.delivery.answer(TOO_LARGE)
        await settle()

    assert ([], []) == (bench.delivery.topics, bench.consumer.acked)
    assert bench.loop.refused is not None


# -- a topic that refuses
@in_loop
async def test_handle_refusing_topic_stops_the_stage_without_ack() -> None:
    bench = Bench(auto=False)
    await handled(bench)
    bench.delivery.answer(REFUSED)

    assert (REFUSED, []) == (bench.loop.refused, bench.consumer.acked)
    assert [Observation("probe", "stopped", ADMITTED, 0, 0, kind="topic_refused")] == bench.seen


@in_loop
async def test_handle_refusing_topic_frees_the_slot_but_gives_no_room() -> None:
    bench = Bench(auto=False)
    await handled(bench)
    bench.delivery.answer(REFUSED)

    assert (0, False) == (bench.loop.in_work, bench.intake._has_room(0))


@in_loop
async def test_handle_records_behind_a_refused_one_are_never_acked() -> None:
    bench = Bench(auto=False)
    await handled(bench, 0, 1)
    first, second = bench.delivery.parcels
    first.settled(REFUSED)
    second.settled(None)

    assert [] == bench.consumer.acked


@in_loop
async def test_handle_first_of_two_errors_decides() -> None:
    bench = Bench(outputs(b"1", b"2"), auto=False)
    await handled(bench)
    first, second = bench.delivery.parcels
    first.settled(REFUSED)
    second.settled(TOO_LARGE)

    assert REFUSED == bench.loop.refused


@in_loop
async def test_handle_other_error_of_delivery_stops_the_stage_too() -> None:
    bench = Bench(auto=False)
    await handled(bench)
    bench.delivery.answer(OrchestratorError("odd"))

    assert "error" == (bench.loop.refused and bench.loop.refused.reason)


@in_loop
async def test_handle_refused_table_write_of_an_awaiting_stage_stops_it_without_ack() -> None:
    async def handle(record: Record, scope: Scope) -> list[Output]:
        scope.table.put(b"a", b"1")
        await scope.settled()
        return [Output(INFERRED, b"k", b"v", "never made")]

    bench = Bench(handle, slots=1, auto=False)
    await handled(bench)
    bench.delivery.answer(REFUSED)
    await settle()

    assert (REFUSED, [], [], 0) == (bench.loop.refused, bench.consumer.acked, bench.delivery.topics, bench.loop.in_work)
    assert ["stopped"] == [seen.action for seen in bench.seen]


@in_loop
async def test_handle_too_large_table_write_of_an_awaiting_stage_is_refused() -> None:
    async def handle(record: Record, scope: Scope) -> list[Output]:
        scope.table.put(b"a", b"1")
        await scope.settled()
        return []

    bench = Bench(handle, slots=1, auto=False)
    await handled(bench)
    bench.delivery.answer(TOO_LARGE)
    await settle()
    late = list(bench.delivery.topics)
    bench.delivery.answer()

    assert ([NAMES.topic(FAILED)], [0]) == (late, bench.consumer.acked)


# -- stages that await
@in_loop
async def test_handle_awaiting_stage_returns_before_its_handler() -> None:
    gate = asyncio.Event()
    bench = Bench(waits_for(gate), slots=2)
    await bench.handle(0)
    running = (len(bench.loop.tasks), list(bench.consumer.acked))
    gate.set()
    await settle()

    assert ((1, []), ({}, [0])) == (running, (bench.loop.tasks, bench.consumer.acked))


@pytest.mark.parametrize(("slots", "taken", "free"), [(2, 1, True), (2, 2, False), (0, 50, True)])
@in_loop
async def test_slot_is_free_below_the_bound_only(slots: int, taken: int, free: bool) -> None:
    bench = Bench(slots=slots)
    bench.loop.in_work = taken

    assert free == bench.loop.has_slot()


@in_loop
async def test_handle_awaiting_stage_that_raises_is_refused() -> None:
    bench = Bench(awaited(raises(ValueError())), slots=1)
    await handled(bench)

    assert ([NAMES.topic(FAILED)], [0], 0) == (bench.delivery.topics, bench.consumer.acked, bench.loop.in_work)


@in_loop
async def test_handle_cancellation_from_inside_a_handler_is_refused() -> None:
    bench = Bench(awaited(raises(asyncio.CancelledError())), slots=1)
    await handled(bench)

    assert ([NAMES.topic(FAILED)], [0]) == (bench.delivery.topics, bench.consumer.acked)


@in_loop
async def test_handle_transport_error_is_tried_again_without_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "RETRY_PAUSE_S", 0.0)
    tries = 0

    async def handle(record: Record, scope: Scope) -> list[Output]:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise TransportError("reading", "away")
        return passes_on(record, scope)

    bench = Bench(handle, slots=1)
    await handled(bench)

    assert (4, [NAMES.topic(INFERRED)], [0]) == (tries, bench.delivery.topics, bench.consumer.acked)


@in_loop
async def test_handle_transport_error_of_an_inline_stage_is_refused() -> None:
    bench = Bench(raises(TransportError("reading", "away")))
    await handled(bench)

    assert [NAMES.topic(FAILED)] == bench.delivery.topics


# -- the lease
@in_loop
async def test_handle_after_the_lease_sends_only_once_renewed() -> None:
    bench = Bench()
    bench.now = 100.0
    handling = asyncio.ensure_future(bench.handle())
    await settle()
    held = list(bench.delivery.topics)
    bench.lease.renewed(100.0)
    await handling

    assert ([], [NAMES.topic(INFERRED)]) == (held, bench.delivery.topics)


@in_loop
async def test_handle_record_forgotten_while_the_lease_is_over_is_not_sent() -> None:
    bench = Bench()
    bench.now = 100.0
    handling = asyncio.ensure_future(bench.handle())
    await settle()
    await bench.loop.drain(5.0, patient=False)
    await handling

    assert ([], [], 0) == (bench.delivery.topics, bench.consumer.acked, bench.loop.in_work)


# -- drain
@in_loop
async def test_drain_idle_loop_forgets_nothing() -> None:
    assert 0 == await Bench().loop.drain(5.0, patient=False)


@in_loop
async def test_drain_lets_work_finish_within_its_grace() -> None:
    gate = asyncio.Event()
    bench = Bench(waits_for(gate), slots=1)
    await bench.handle()
    draining = asyncio.ensure_future(bench.loop.drain(20.0, patient=False))
    await settle()
    gate.set()

    assert (0, [0]) == (await draining, bench.consumer.acked)


@in_loop
async def test_drain_cancels_and_forgets_what_outlasts_its_grace() -> None:
    bench = Bench(waits_for(asyncio.Event()), slots=2)
    tickets = [await bench.handle(offset) for offset in (0, 1)]
    forgotten = await bench.loop.drain(0.01, patient=True)
    await settle()

    assert (2, [True, True]) == (forgotten, [ticket.dead for ticket in tickets])
    assert ({}, 0, []) == (bench.loop.tasks, bench.loop.in_work, bench.consumer.acked)


@in_loop
async def test_drain_forgets_outputs_that_are_never_acknowledged() -> None:
    bench = Bench(auto=False)
    await handled(bench)
    forgotten = await bench.loop.drain(0.01, patient=False)
    bench.delivery.answer()

    assert (1, []) == (forgotten, bench.consumer.acked)


@in_loop
async def test_drain_late_answer_of_a_forgotten_record_still_frees_its_slot() -> None:
    bench = Bench(auto=False)
    await handled(bench)
    await bench.loop.drain(0.01, patient=False)
    before = bench.loop.in_work
    bench.delivery.answer()

    assert (1, 0) == (before, bench.loop.in_work)


def calling(gate: asyncio.Event, results: list[str]) -> Any:
    async def call() -> str:
        await gate.wait()
        results.append("paid")
        return "answer"

    async def handle(record: Record, scope: Scope) -> list[Output]:
        answer = await scope.shared(b"key", call)
        return [Output(INFERRED, b"k", answer.encode(), "made")]

    return handle


@in_loop
async def test_drain_of_a_rebalance_lets_callers_go_at_once_and_keeps_the_call() -> None:
    bench = Bench(calling(asyncio.Event(), []), slots=1)
    await bench.handle()
    await settle()
    forgotten = await asyncio.wait_for(bench.loop.drain(30.0, patient=False), 5)

    assert (1, False) == (forgotten, bench.calls.running[b"key"].task.done())
    await bench.calls.stop()


@in_loop
async def test_drain_of_a_rebalance_redelivered_record_attaches_to_its_call() -> None:
    gate, results = asyncio.Event(), list[str]()
    bench = Bench(calling(gate, results), slots=1)
    await bench.handle()
    await settle()
    await bench.loop.drain(30.0, patient=False)
    await bench.handle()
    gate.set()
    await until(lambda: bool(bench.consumer.acked))

    assert (["paid"], [b"answer"]) == (results, [parcel.value for parcel in bench.delivery.parcels])


@in_loop
async def test_drain_of_a_stop_waits_for_callers() -> None:
    gate = asyncio.Event()
    bench = Bench(calling(gate, []), slots=1)
    await bench.handle()
    await settle()
    draining = asyncio.ensure_future(bench.loop.drain(30.0, patient=True))
    await settle()
    gate.set()

    assert (0, [0]) == (await asyncio.wait_for(draining, 5), bench.consumer.acked)


@pytest.mark.parametrize("why", ["refused", "lease over"])
@in_loop
async def test_drain_waits_for_nothing_that_cannot_come(why: str) -> None:
    bench = Bench(auto=False)
    await handled(bench)
    if why == "refused":
        bench.loop.refused = REFUSED
    else:
        bench.now = 100.0

    assert 1 == await asyncio.wait_for(bench.loop.drain(30.0, patient=True), 5)


@in_loop
async def test_drain_covers_every_intake_of_the_stage() -> None:
    bench = Bench(auto=False)
    other = bench.feed("assembled.low")
    await bench.handle(0)
    taken = event(0, topic=other.physical)
    await bench.loop.handle(other, taken, other._opened(taken))

    assert 2 == await bench.loop.drain(0.01, patient=False)


@in_loop
async def test_drain_wakes_a_waiting_stop_of_faust() -> None:
    bench = Bench(auto=False)
    await handled(bench)
    waiting = bench.consumer._waiting_for_ack = asyncio.get_running_loop().create_future()
    await bench.loop.drain(0.01, patient=False)

    assert (True, set()) == (waiting.done(), bench.consumer._unacked_messages)


# -- slots are shared
@in_loop
async def test_slots_are_shared_by_all_topics_of_a_stage() -> None:
    bench = Bench(waits_for(asyncio.Event()), slots=1)
    other = bench.feed("assembled.low")
    await bench.handle()

    assert (False, False) == (bench.intake._has_room(0), other._has_room(0))
    await bench.loop.drain(0.0, patient=False)


@in_loop
async def test_done_record_wakes_every_intake_of_the_stage() -> None:
    bench = Bench(outputs())
    other = bench.feed("assembled.low")
    await bench.handle()

    assert other._room.is_set()


# -- a stage with slots that need not wait
@in_loop
async def test_handle_outputs_at_once_of_a_stage_with_slots_need_no_task() -> None:
    bench = Bench(outputs(b"v"), slots=2)
    await bench.handle()
    tasks = len(bench.loop.tasks)
    await settle(60)

    assert (0, [NAMES.topic(INFERRED)], [0]) == (tasks, bench.delivery.topics, bench.consumer.acked)


@in_loop
async def test_handle_error_at_once_of_a_stage_with_slots_is_refused() -> None:
    bench = Bench(raises(KeyError("x")), slots=2)
    await handled(bench)

    assert ([NAMES.topic(FAILED)], [0]) == (bench.delivery.topics, bench.consumer.acked)


@in_loop
async def test_handle_awaitable_of_a_plain_handler_gets_a_task() -> None:
    later = awaited(outputs(b"v"))
    bench = Bench(lambda record, scope: later(record, scope), slots=2)
    await bench.handle()
    tasks = len(bench.loop.tasks)
    await settle(60)

    assert (1, [0]) == (tasks, bench.consumer.acked)


@in_loop
async def test_task_cancelled_before_its_first_step_leaves_nothing_behind() -> None:
    bench = Bench(awaited(outputs(b"v")), slots=2)
    await bench.handle()
    for task in bench.loop.tasks:
        task.cancel()
    await settle(60)

    assert ([], {}, 0) == (bench.consumer.acked, bench.loop.tasks, bench.loop.in_work)


@pytest.mark.parametrize(("topic", "action"), [(TICKS, "ticked"), (ADMITTED, "handled")])
@in_loop
async def test_observed_record_tells_work_from_the_passing_of_time(topic: str, action: str) -> None:
    bench = Bench(outputs())
    bench.intake.topic = topic
    await bench.handle()

    assert [action] == [seen.action for seen in bench.seen]


@pytest.mark.parametrize("topic", sorted(EXPENDABLE))
@in_loop
async def test_record_that_is_nobodys_work_and_raises_is_told_and_passed(topic: str) -> None:
    """No prompt stands behind it, so that nobody waits for an answer."""
    bench = Bench(raises(KeyError("x")))
    bench.intake.topic = topic
    await handled(bench)

    assert ([0], [], [("failed", "KeyError")]) == (
        bench.consumer.acked,
        bench.delivery.topics,
        [(seen.action, seen.kind) for seen in bench.seen],
    )
