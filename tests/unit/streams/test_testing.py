import asyncio
import doctest
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import testing
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.decisions import parking
from streams.decisions.breaker import BreakerPolicy, Closed, Open, Probe
from streams.decisions.limits import AdmissionPolicy
from streams.decisions.retry import RetryPolicy
from streams.engine.ticks import VALUE
from streams.pipeline import compose
from streams.ports import Call, Found, Query
from streams.stage import Output, Outputs, Record, Scope, Stage, Table
from streams.stages import breaker, park
from streams.testing import HandClock, Pipeline
from tests.support.breakers import POLICY, SERVICE, order, told
from tests.support.loops import in_loop
from topics import calls, wire
from topics.answer import Answer
from topics.catalog import (
    ADMITTED,
    ASSEMBLED,
    BREAKER_TICKS,
    BREAKERS,
    CALLS,
    CATALOG,
    DEAD_LETTERS,
    DEDUPED,
    DOCUMENTS,
    FAILED,
    INFERRED,
    PROMPTS,
    RESULTS,
    RETRIEVED,
    TICKS,
)
from topics.errors import ConfigurationError, TransportError
from topics.messages import Reply, Retrieved
from topics.provider_errors import WorkerError

START_MS = HandClock().now_ms()
Slow = Callable[[float], EchoProvider]


def prompt(request_id: str = "a-1", **fields: Any) -> dict[str, Any]:
    return {"id": request_id, "prompt": f"hello {request_id}", **fields}


def settled(pipeline: Pipeline, *values: Any) -> Pipeline:
    async def scenario() -> Pipeline:
        for value in values:
            await pipeline.submit(value)
        await pipeline.settle()
        return pipeline

    return asyncio.run(scenario())


def slow(delay_s: float, **knobs: Any) -> tuple[EchoProvider, HandClock]:
    clock = HandClock()
    return EchoProvider(EchoPolicy(delay_s=delay_s, **knobs), sleep=clock.sleep), clock


def statuses(pipeline: Pipeline) -> dict[str, str]:
    return {answer.id: answer.status for answer in pipeline.answers()}


def only(handle: Any, *, slots: int = 0, table: str | None = None, clock: bool = False) -> Pipeline:
    stage = Stage("one", "core", (PROMPTS,), (ADMITTED,), handle, slots=slots, table=table, reads_clock=clock)
    return Pipeline(wired=lambda parts: (stage,))


def test_prompt_submitted_is_answered_completed() -> None:
    (answer,) = settled(Pipeline(), prompt()).answers()

    assert ("a-1", "completed", "echo: hello a-1") == (answer.id, answer.status, answer.text)


@pytest.mark.parametrize("value", [b'{"id":"a-1","prompt":"hello a-1"}', '{"id":"a-1","prompt":"hello a-1"}', prompt()])
def test_prompt_in_each_form_is_written_as_bytes(value: Any) -> None:
    pipeline = settled(Pipeline(), value)

    assert [b'{"id":"a-1","prompt":"hello a-1"}'] == [record.value for record in pipeline.records(PROMPTS)]


def test_tombstone_submitted_is_answered_and_buried() -> None:
    pipeline = settled(Pipeline(), None)

    assert (["rejected"], [None]) == (
        list(statuses(pipeline).values()),
        [record.value for record in pipeline.records(DEAD_LETTERS)],
    )


def test_key_and_headers_submitted_reach_the_answer() -> None:
    pipeline, trace = Pipeline(), ("traceparent", b"00-1-2-01")

    async def scenario() -> Record:
        await pipeline.submit(prompt(), key=b"mine", headers=(trace, ("other", b"x")))
        await pipeline.settle()
        return pipeline.records(RESULTS)[0]

    record = asyncio.run(scenario())
    assert (b"a-1", trace, b"mine", None) == (
        record.key,
        ("traceparent", record.header("traceparent")),
        record.header("prompts.original-key"),
        record.header("other"),
    )


def test_record_of_each_hop_names_its_cause() -> None:
    pipeline = settled(Pipeline(partitions=1), prompt())

    causes = [pipeline.records(topic)[0].header("prompts.cause") for topic in (ADMITTED, DEDUPED, INFERRED, RESULTS)]
    assert [b"prompts/0/0", b"admitted/0/0", b"assembled.normal/0/0", b"refined/0/0"] == causes


def test_admission_given_is_the_one_in_use() -> None:
    pipeline = settled(Pipeline(admission=AdmissionPolicy(plain_text=True)), "just words")

    assert ["echo: just words"] == [answer.text for answer in pipeline.answers()]


def test_slow_calls_cost_no_real_time() -> None:
    provider, clock = slow(3600.0)

    (answer,) = settled(Pipeline(provider, clock=clock), prompt()).answers()

    assert ({"infer": 3600.0}, START_MS + 3_600_000) == (answer.work_s, clock.now_ms())


def test_slow_calls_run_at_once() -> None:
    provider, clock = slow(10.0)

    settled(Pipeline(provider, clock=clock), *(prompt(f"a-{n}") for n in range(20)))

    assert START_MS + 10_000 == clock.now_ms()


def test_calls_beyond_the_slots_wait_for_one() -> None:
    provider, clock = slow(10.0)

    settled(Pipeline(provider, clock=clock, calls=2), *(prompt(f"a-{n}") for n in range(6)))

    assert START_MS + 30_000 == clock.now_ms()


@pytest.mark.parametrize(("timeout_s", "status"), [(9.9, "expired"), (10.1, "completed")])
def test_deadline_by_the_hand_clock_decides_the_answer(timeout_s: float, status: str) -> None:
    provider, clock = slow(10.0)

    pipeline = settled(Pipeline(provider, clock=clock), prompt(timeout_s=timeout_s))

    assert {"a-1": status} == statuses(pipeline)


def test_five_expired_and_five_valid_requests_get_ten_answers() -> None:
    """B70."""
    provider, clock = slow(10.0)
    late = (prompt(f"late-{n}", timeout_s=5) for n in range(5))

    pipeline = settled(Pipeline(provider, clock=clock), *late, *(prompt(f"good-{n}") for n in range(5)))

    found = sorted(answer.status for answer in pipeline.answers())
    assert (["completed"] * 5 + ["expired"] * 5, []) == (found, pipeline.records(DEAD_LETTERS))


def test_clock_wound_less_than_a_call_leaves_it_running() -> None:
    provider, clock = slow(10.0)
    pipeline = Pipeline(provider, clock=clock)

    async def scenario() -> tuple[int, int]:
        await pipeline.submit(prompt())
        await pipeline.advance(9.0)
        early = len(pipeline.answers())
        await pipeline.advance(1.0)
        return early, len(pipeline.answers())

    assert (0, 1) == asyncio.run(scenario())


def test_clock_wound_passes_each_time_that_is_due() -> None:
    pipeline = Pipeline()

    async def scenario() -> int:
        await pipeline.advance(2.5)
        return pipeline.clock.now_ms()

    assert START_MS + 2500 == asyncio.run(scenario())


def test_provider_that_waits_for_something_real_is_waited_for() -> None:
    class Real:
        name = "real"

        async def complete(self, call: Call) -> Reply:
            await asyncio.sleep(0.01)  # why: a wait that no hand clock knows
            return Reply(text="real", model="m", provider="real")

    pipeline = settled(Pipeline(Real()), prompt(timeout_s=1))

    assert {"a-1": "completed"} == statuses(pipeline)


class Mute:
    name = "mute"

    async def complete(self, call: Call) -> Reply:
        await asyncio.Event().wait()
        raise WorkerError("mute", "timeout", retryable=True)


def test_provider_that_never_answers_ends_at_the_limit() -> None:
    pipeline = Pipeline(Mute())

    async def scenario() -> None:
        await pipeline.submit(prompt())
        await pipeline.settle(limit_s=0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())


def test_redelivered_prompt_is_answered_with_the_same_bytes() -> None:
    """B59."""
    provider, clock = slow(0.0, nonce=True)
    pipeline = settled(Pipeline(provider, clock=clock, partitions=1), prompt())

    pipeline.redeliver(PROMPTS, 0, 0)
    settled(pipeline)

    first, again = pipeline.records(RESULTS)
    assert (first.value, 1) == (again.value, provider.calls)


def test_redelivery_from_an_offset_leaves_out_earlier_ones() -> None:
    pipeline = settled(Pipeline(partitions=1), *(prompt(f"a-{n}") for n in range(4)))

    pipeline.redeliver(PROMPTS, 0, 3)
    settled(pipeline)

    assert ["a-0", "a-1", "a-2", "a-3", "a-3"] == [answer.id for answer in pipeline.answers()]


def test_redelivery_never_skips_what_is_unread() -> None:
    pipeline = settled(Pipeline(partitions=1), prompt("a-0"))
    asyncio.run(pipeline.submit(prompt("a-1")))

    pipeline.redeliver(PROMPTS, 0, 99)
    settled(pipeline)

    assert ["a-0", "a-1"] == [answer.id for answer in pipeline.answers()]


def test_fault_injected_is_answered_and_buried() -> None:
    """B61."""
    pipeline = Pipeline(partitions=1)
    pipeline.fail("dedup", KeyError("secret"))

    settled(pipeline, prompt("a-0"), prompt("a-1"))

    (letter,) = pipeline.records(DEAD_LETTERS)
    assert {"a-0": "failed", "a-1": "completed"} == statuses(pipeline)
    assert orjson.dumps(prompt("a-0")) == letter.value


def test_fault_injected_several_times_hits_so_many_records() -> None:
    pipeline = Pipeline(partitions=1)
    pipeline.fail("refine", KeyError("x"), times=2)

    settled(pipeline, *(prompt(f"a-{n}") for n in range(3)))

    assert {"a-0": "failed", "a-1": "failed", "a-2": "completed"} == statuses(pipeline)


def test_fault_for_one_topic_leaves_the_others_alone() -> None:
    pipeline = Pipeline(partitions=1)
    pipeline.fail("deliver", KeyError("x"), topic=FAILED)

    settled(pipeline, prompt("a-0"), b"{broken")

    assert ({"a-0": "completed"}, 2) == (statuses(pipeline), len(pipeline.records(DEAD_LETTERS)))


def test_fault_in_bury_ends_in_a_dead_letter_of_the_failure() -> None:
    pipeline = Pipeline(partitions=1)
    pipeline.fail("bury", KeyError("x"))

    settled(pipeline, b"{broken")

    (letter,), (failed,) = pipeline.records(DEAD_LETTERS), pipeline.records(FAILED)
    assert (failed.value, b"bury") == (letter.value, letter.header("prompts.error.stage"))


def test_fault_of_transport_in_a_stage_that_awaits_is_tried_again() -> None:
    """B58."""
    pipeline = Pipeline()
    pipeline.fail("infer", TransportError("reading", "no broker"))

    assert {"a-1": "completed"} == statuses(settled(pipeline, prompt()))


def test_fault_of_transport_that_stays_ends_at_the_limit() -> None:
    pipeline = Pipeline()
    pipeline.fail("infer", TransportError("reading", "no broker"), times=10**9)

    async def scenario() -> None:
        await pipeline.submit(prompt())
        await pipeline.settle(limit_s=0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())
    assert {} == statuses(pipeline)


@pytest.mark.parametrize("named", ["oracle", ""])
def test_fault_in_a_stage_that_is_not_there_is_refused(named: str) -> None:
    with pytest.raises(ConfigurationError, match="admit, dedup"):
        Pipeline().fail(named, KeyError("x"))


@pytest.mark.parametrize("asked", [lambda p: p.records("oracle"), lambda p: p.redeliver("oracle", 0, 0)])
def test_topic_that_is_not_there_is_refused(asked: Callable[[Pipeline], object]) -> None:
    with pytest.raises(ConfigurationError, match="dead-letters"):
        asked(Pipeline())


def test_output_above_its_topics_limit_is_given_up() -> None:
    def handle(record: Record, scope: Scope) -> Outputs:
        return (Output(ADMITTED, b"", b"x" * (CATALOG[ADMITTED].max_bytes + 1), "big"),)

    pipeline = settled(only(handle), prompt())

    assert b'"kind":"too_large"' in (pipeline.records(FAILED)[0].value or b"")


def test_output_at_its_topics_limit_is_written() -> None:
    def handle(record: Record, scope: Scope) -> Outputs:
        return (Output(ADMITTED, b"", b"x" * CATALOG[ADMITTED].max_bytes, "big"),)

    assert 1 == len(settled(only(handle), prompt()).records(ADMITTED))


@pytest.mark.parametrize(("clock", "now_ms"), [(False, START_MS), (True, START_MS + 5000)])
def test_time_of_a_stage_is_the_records_unless_it_reads_the_clock(clock: bool, now_ms: int) -> None:
    seen = list[int]()

    def handle(record: Record, scope: Scope) -> Outputs:
        seen.append(scope.now_ms)
        return ()

    pipeline = only(handle, clock=clock)

    async def scenario() -> None:
        await pipeline.submit(prompt())
        pipeline.clock.wind_to(START_MS + 5000)
        await pipeline.settle()

    asyncio.run(scenario())
    assert [now_ms] == seen


def test_rows_of_two_partitions_do_not_meet() -> None:
    def handle(record: Record, scope: Scope) -> Outputs:
        scope.table.put(b"k", (scope.table.get(b"k") or b"") + b"x")
        return ()

    pipeline = settled(only(handle, table="rows"), *[prompt()] * 3)

    assert {("core", "rows", 0): {b"k": b"xx"}, ("core", "rows", 1): {b"k": b"x"}} == dict(pipeline.tables)


def test_rows_of_a_stage_without_a_table_are_refused() -> None:
    def handle(record: Record, scope: Scope) -> Outputs:
        scope.table.delete(b"k")
        return ()

    pipeline = settled(only(handle), prompt())

    assert b'"exception_class":"ConfigurationError"' in (pipeline.records(FAILED)[0].value or b"")


def test_calls_of_one_key_at_once_are_one_call() -> None:
    calls, clock = list[int](), HandClock()

    async def handle(record: Record, scope: Scope) -> Outputs:
        async def call() -> bytes:
            calls.append(record.offset)
            await clock.sleep(5)  # why: the thing itself, by the hand clock
            return b"shared"

        value = await scope.shared(b"k", call)
        await scope.settled()
        return (Output(ADMITTED, record.key, value, "called"),)

    stage = Stage("one", "core", (PROMPTS,), (ADMITTED,), handle, slots=8)
    pipeline = settled(Pipeline(clock=clock, wired=lambda parts: (stage,)), *[prompt()] * 4)

    assert ([b"shared"] * 4, 1) == ([record.value for record in pipeline.records(ADMITTED)], len(calls))


def test_error_of_a_shared_call_reaches_every_one() -> None:
    async def handle(record: Record, scope: Scope) -> Outputs:
        async def call() -> Awaitable[bytes]:
            raise KeyError("x")

        await scope.shared(b"k", call)
        return ()

    pipeline = settled(only(handle, slots=8), *[prompt()] * 3)

    assert (3, {}) == (len(pipeline.records(FAILED)), pipeline.store.calls)


def test_answers_of_a_pipeline_are_answers() -> None:
    pipeline = settled(Pipeline(), prompt("a-0"), b"{broken")

    assert [True, True] == [isinstance(answer, Answer) for answer in pipeline.answers()]


@pytest.mark.parametrize("topic", CATALOG)
def test_record_written_to_any_topic_is_kept_there(topic: str) -> None:
    pipeline = Pipeline(partitions=1)

    record = pipeline.write(topic, {"a": 1}, key=b"k", headers=(("h", b"1"),))

    assert ([record], b'{"a":1}', b"k") == (pipeline.records(topic), record.value, record.key)


def test_pipeline_that_never_answers_ends_its_advance_at_the_limit() -> None:
    pipeline = Pipeline(Mute())

    async def scenario() -> None:
        await pipeline.submit(prompt())
        await pipeline.advance(1.0, limit_s=0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())


def document(text: str, **fields: Any) -> dict[str, Any]:
    return {"id": "d-1", "text": text, **fields}


def test_document_written_is_found_by_who_asks_from_then_on() -> None:
    pipeline = Pipeline()
    pipeline.write(DOCUMENTS, document("hello from afar"), key=b"d-1")

    settled(pipeline, prompt(retrieve={"k": 2}))

    assert "hello from afar" in (pipeline.answers()[0].text or "")


@pytest.mark.parametrize("value", [None, b"{broken"])
def test_document_that_was_deleted_is_found_no_more(value: bytes | None) -> None:
    pipeline = Pipeline()
    pipeline.write(DOCUMENTS, document("hello from afar"), key=b"d-1")
    pipeline.write(DOCUMENTS, value, key=b"d-1")

    settled(pipeline, prompt(retrieve={"k": 2}))

    assert [()] == [wire.decode(record.value, Retrieved).passages for record in pipeline.records(RETRIEVED)]


def test_retriever_that_cannot_be_filled_is_asked_as_it_is() -> None:
    class Fixed:
        async def find(self, query: Query) -> Found:
            return Found(({"id": "x", "text": "as ever"},), "fixed")

    pipeline = Pipeline(retriever=Fixed())
    pipeline.write(DOCUMENTS, document("hello from afar"), key=b"d-1")

    settled(pipeline, prompt(retrieve={"k": 2}))

    assert ["fixed"] == [wire.decode(record.value, Retrieved).snapshot for record in pipeline.records(RETRIEVED)]


@pytest.mark.parametrize("awaits", [True, False])
def test_stage_with_slots_may_answer_at_once_or_later(awaits: bool) -> None:
    async def later(record: Record) -> Outputs:
        return (Output(ADMITTED, record.key, b"x", "said"),)

    def handle(record: Record, scope: Scope) -> Any:
        return later(record) if awaits else (Output(ADMITTED, record.key, b"x", "said"),)

    assert 1 == len(settled(only(handle, slots=2), prompt()).records(ADMITTED))


# -- ticks


def ticked(handle: Any, *, seconds: float, every_s: float | None = None, rows: Any = None, slots: int = 0) -> Pipeline:
    """A pipeline of one stage that reads ticks, after so many seconds in steps of ``every_s``."""
    stage = Stage("one", "core", (TICKS,), (ADMITTED,), handle, table="rows", slots=slots)
    pipeline = Pipeline(wired=lambda parts: (stage,))
    pipeline.tables.update({("core", "rows", number): dict(rows or {}) for number in range(2)})

    async def scenario() -> None:
        left_s = seconds
        while left_s > 0:
            await pipeline.advance(min(left_s, every_s or left_s))
            left_s -= every_s or left_s

    asyncio.run(scenario())
    return pipeline


def says_when(record: Record, scope: Scope) -> Outputs:
    return (Output(ADMITTED, None, b"%d" % (scope.now_ms - START_MS), "ticked", record.partition),)


def expires(record: Record, scope: Scope) -> Outputs:
    """Rows are due times; a tick takes what is due, and at most one row."""
    due = [key for key, value in scope.table.items() if int(value) <= scope.now_ms - START_MS][:1]
    for key in due:
        scope.table.delete(key)
    return [Output(ADMITTED, key, b"%d" % (scope.now_ms - START_MS), "expired", record.partition) for key in due]


def said(pipeline: Pipeline, partition: int = 0) -> list[int]:
    return [int(record.value or b"") for record in pipeline.records(ADMITTED) if record.partition == partition]


@pytest.mark.parametrize(("seconds", "ticks"), [(0.999, 0), (1.0, 1), (10.0, 10), (59.5, 59), (60.0, 60)])
def test_second_that_passes_is_a_tick_on_every_partition(seconds: float, ticks: int) -> None:
    pipeline = ticked(says_when, seconds=seconds)

    whole = [1000 * (number + 1) for number in range(ticks)]
    assert (whole, whole) == (said(pipeline, 0), said(pipeline, 1))


@pytest.mark.parametrize("every_s", [0.25, 0.75, 7.0])
def test_second_that_passes_in_pieces_is_one_tick(every_s: float) -> None:
    assert [1000, 2000, 3000] == said(ticked(says_when, seconds=3.0, every_s=every_s))


def test_tick_in_memory_looks_like_the_engines() -> None:
    [record] = ticked(says_when, seconds=1.0).log.topics[TICKS][1]

    assert (None, VALUE, 1, START_MS + 1000) == (record.key, record.value, record.partition, record.timestamp_ms)


def test_ticks_that_no_stage_reads_are_not_written() -> None:
    pipeline = only(lambda record, scope: ())

    asyncio.run(pipeline.advance(100.0))

    assert [] == pipeline.records(TICKS)


def test_ticks_that_always_come_to_something_are_all_written() -> None:
    assert 300 == len(said(ticked(says_when, seconds=300.0)))


def test_ticks_of_a_stage_that_awaits_are_all_written() -> None:
    async def handle(record: Record, scope: Scope) -> Outputs:
        return ()

    assert 200 == len(ticked(handle, seconds=100.0, slots=1).records(TICKS))


def test_idle_week_costs_two_ticks() -> None:
    pipeline = ticked(expires, seconds=7 * 86_400.0)

    assert ([], 2) == (said(pipeline), len(pipeline.records(TICKS)))


def test_rows_due_in_an_idle_week_expire_at_their_second() -> None:
    due = {b"a": b"86400000", b"b": b"86400001", b"c": b"500000000", b"d": b"604800001"}

    pipeline = ticked(expires, seconds=7 * 86_400.0, rows=due)

    assert [86_400_000, 86_401_000, 500_000_000] == said(pipeline)


@given(
    st.lists(st.integers(1, 300_000), max_size=6),
    st.floats(1.0, 300.0).map(lambda seconds: round(seconds, 3)),
    st.sampled_from([1.0, 20.0, 59.0]),
)
def test_time_leapt_over_gives_what_every_second_gives(due: list[int], seconds: float, every_s: float) -> None:
    rows = {b"%d" % number: b"%d" % due_ms for number, due_ms in enumerate(due)}

    leapt, walked = (ticked(expires, seconds=seconds, every_s=step, rows=rows) for step in (None, every_s))

    assert (said(walked), said(walked, 1)) == (said(leapt), said(leapt, 1))


@pytest.mark.parametrize("delay_s", [3.0, 30.0, 3000.0])
def test_ticks_pass_while_a_call_runs(delay_s: float) -> None:
    provider, clock = slow(delay_s)
    stage = Stage("one", "core", (TICKS,), (ADMITTED,), expires, table="rows")
    pipeline = Pipeline(provider, clock=clock, wired=lambda parts: (*compose(parts), stage))
    pipeline.tables["core", "rows", 0][b"k"] = b"1500"

    settled(pipeline, prompt())

    [tick] = [record for record in pipeline.records(ADMITTED) if record.key == b"k"]
    assert (START_MS + 2000, START_MS + round(delay_s * 1000)) == (tick.timestamp_ms, clock.now_ms())


def test_deadline_that_passes_during_a_call_is_noticed_before_the_next_tick() -> None:
    provider, clock = slow(10.0)
    stage = Stage("one", "core", (TICKS,), (DEDUPED,), lambda record, scope: ())
    pipeline = Pipeline(provider, clock=clock, wired=lambda parts: (*compose(parts), stage))

    settled(pipeline, prompt(timeout_s=5))

    assert [START_MS + 5000] == [record.timestamp_ms for record in pipeline.records(FAILED)]


def test_tick_after_the_clock_was_wound_by_hand_comes_late_and_once() -> None:
    stage = Stage("one", "core", (TICKS,), (ADMITTED,), says_when)
    pipeline = Pipeline(wired=lambda parts: (stage,))
    pipeline.clock.wind_to(START_MS + 5500)

    asyncio.run(pipeline.advance(1.2))

    assert [5500, 6500] == said(pipeline)


# -- moves


def moved(pipeline: Pipeline, *, wait_s: float = 1.0, partition: int | None = None, again: int = 0) -> Pipeline:
    """Four prompts, each to a partition in turn, and a move while they are being answered."""

    async def scenario() -> None:
        for number in range(4):
            await pipeline.submit(prompt(f"a-{number}", prompt=f"p-{number}"))
        await pipeline.advance(wait_s)
        await pipeline.move(partition, again)
        await pipeline.settle()

    asyncio.run(scenario())
    return pipeline


def test_call_that_ran_when_its_partition_moved_is_made_again() -> None:
    """I5."""
    provider, clock = slow(10.0, nonce=True)

    pipeline = moved(Pipeline(provider, clock=clock))

    assert ({f"a-{n}": "completed" for n in range(4)}, 8, 4) == (statuses(pipeline), provider.calls, count(pipeline))


def test_call_that_had_ended_when_its_partition_moved_is_not_repeated() -> None:
    provider, clock = slow(10.0, nonce=True)

    pipeline = moved(Pipeline(provider, clock=clock), wait_s=11.0)

    assert (4, 4) == (provider.calls, count(pipeline))


def test_move_of_one_partition_leaves_the_calls_of_the_other() -> None:
    provider, clock = slow(10.0, nonce=True)
    pipeline = Pipeline(provider, clock=clock)
    moved(pipeline, partition=1)

    there = sum(record.partition == 1 for topic in ASSEMBLED.values() for record in pipeline.records(topic))
    assert 4 + there == provider.calls
    assert 0 < there < 4


def count(pipeline: Pipeline) -> int:
    return len(pipeline.records(RESULTS))


@pytest.mark.parametrize("again", [1, 2, 99])
def test_records_finished_but_not_committed_come_again_with_equal_bytes(again: int) -> None:
    """B59."""
    provider, clock = slow(1.0, nonce=True)

    pipeline = moved(Pipeline(provider, clock=clock), wait_s=2.0, again=again)

    results = pipeline.records(RESULTS)
    assert (4, 4) == (provider.calls, len({record.value for record in results}))
    assert len(results) > 4


def test_records_behind_an_unfinished_one_come_again() -> None:
    """Offsets are committed in order."""
    seen, clock = list[int](), HandClock()

    async def handle(record: Record, scope: Scope) -> Outputs:
        seen.append(record.offset)
        await clock.sleep(10 if record.offset == 1 else 1)  # why: the thing itself, by the hand clock
        return ()

    stage = Stage("one", "core", (PROMPTS,), (ADMITTED,), handle, slots=8)
    moved(Pipeline(clock=clock, partitions=1, wired=lambda parts: (stage,)), wait_s=5.0)

    assert [0, 1, 2, 3, 1, 2, 3] == seen


def test_slots_of_calls_that_moved_are_free_again() -> None:
    provider, clock = slow(10.0)

    pipeline = moved(Pipeline(provider, clock=clock, calls=1))

    assert {f"a-{n}": "completed" for n in range(4)} == statuses(pipeline)


def test_derived_values_are_made_anew_after_a_move() -> None:
    made = list[int]()

    def counted(rows: Table) -> str:
        made.append(len(list(rows.items())))
        return "an index"

    def handle(record: Record, scope: Scope) -> Outputs:
        scope.table.put(record.key or b"", b"")
        scope.derived(counted)
        return ()

    pipeline = only(handle, table="rows")

    async def scenario() -> None:
        for key in (b"a", b"a", b"a"):
            await pipeline.submit(prompt(), key=key)
            await pipeline.settle()
        await pipeline.move()
        await pipeline.submit(prompt(), key=b"a")
        await pipeline.settle()

    asyncio.run(scenario())
    assert [1, 1] == made


def test_move_of_an_idle_pipeline_changes_nothing() -> None:
    pipeline = settled(Pipeline(), prompt())
    before = pipeline.records(RESULTS)

    asyncio.run(pipeline.move())
    settled(pipeline)

    assert before == pipeline.records(RESULTS)


def test_example_of_the_module_is_true() -> None:
    assert (0, 2) == tuple(doctest.testmod(testing))


# -- parked records


PARKED_FOR = (30.0, 5.0)


def lot(tiers: tuple[float, ...] = PARKED_FOR, key: bytes = b"k", value: bytes = b"{}") -> tuple[Any, ...]:
    """Arguments of ``write`` for a record that waits in these tiers."""
    topic, headers = parking.output(ASSEMBLED["low"], tiers, RetryPolicy().tiers_s)
    return topic, value, key, headers


def keeper(**parts: Any) -> Pipeline:
    """A pipeline in which nobody takes what comes back."""
    return Pipeline(wired=lambda given: (park.stage(),), partitions=1, **parts)


def back(pipeline: Pipeline) -> list[tuple[bytes | None, float]]:
    """The keys of what came back, and seconds after the start."""
    records = pipeline.records(ASSEMBLED["low"])
    return [(record.key, (record.timestamp_ms - START_MS) / 1000) for record in records]


@in_loop
async def test_settled_pipeline_winds_over_all_tiers_of_a_parked_record() -> None:
    pipeline = keeper()
    pipeline.write(*lot((30.0, 5.0, 5.0)))

    await pipeline.settle()

    assert [(b"k", 40.0)] == back(pipeline)


@pytest.mark.parametrize(("seconds", "there"), [(34.999, []), (35.0, [(b"k", 35.0)]), (600.0, [(b"k", 35.0)])])
def test_advanced_pipeline_gives_a_parked_record_back_at_its_time(seconds: float, there: list[Any]) -> None:
    async def advanced() -> list[Any]:
        pipeline = keeper()
        pipeline.write(*lot())
        await pipeline.advance(seconds)
        return back(pipeline)

    assert there == asyncio.run(advanced())


@in_loop
async def test_parked_records_of_one_tier_come_back_in_their_order() -> None:
    pipeline = keeper()
    for key in (b"a", b"b", b"c"):
        pipeline.write(*lot((5.0,), key))
        await pipeline.advance(1.0)

    await pipeline.settle()

    assert [(b"a", 5.0), (b"b", 6.0), (b"c", 7.0)] == back(pipeline)


@in_loop
async def test_parked_records_of_other_tiers_do_not_wait_for_one_another() -> None:
    pipeline = keeper()
    pipeline.write(*lot((600.0,), b"long"))
    pipeline.write(*lot((5.0,), b"short"))

    await pipeline.settle()

    assert [(b"short", 5.0), (b"long", 600.0)] == back(pipeline)


@in_loop
async def test_parked_record_waits_the_seconds_of_the_policy() -> None:
    pipeline = keeper(retry=RetryPolicy(tiers_s=(1.0, 2.0, 3.0, 4.0)))
    topic, headers = parking.output(ASSEMBLED["low"], (4.0, 2.0), (1.0, 2.0, 3.0, 4.0))
    pipeline.write(topic, b"{}", b"k", headers)

    await pipeline.settle()

    assert [(b"k", 6.0)] == back(pipeline)


@in_loop
async def test_parked_record_of_a_whole_pipeline_ticks_on_while_it_waits() -> None:
    pipeline = Pipeline(partitions=1)
    pipeline.write(*lot((5.0,)))

    await pipeline.settle()

    assert 5 == len(pipeline.records(TICKS))


@in_loop
async def test_parked_record_delivered_again_comes_back_a_second_time_at_once() -> None:
    pipeline = keeper()
    pipeline.write(*lot((5.0,)))
    await pipeline.settle()

    pipeline.redeliver("parked.1", 0, 0)
    await pipeline.settle()

    assert [(b"k", 5.0), (b"k", 5.0)] == back(pipeline)


@in_loop
async def test_parked_record_without_a_way_back_becomes_a_failure() -> None:
    pipeline = keeper()
    pipeline.write("parked.1", b"{}", b"k")

    await pipeline.settle()

    assert [b"k"] == [record.key for record in pipeline.records(FAILED)]


@in_loop
async def test_pipeline_that_parks_nothing_is_settled_without_winding() -> None:
    pipeline = keeper()

    await pipeline.settle()

    assert START_MS == pipeline.clock.now_ms()


# -- breakers


def breaking(policy: BreakerPolicy = POLICY) -> tuple[Pipeline, Any]:
    """A pipeline of the stage `breaker` alone, and the board that `infer` is given."""
    given: list[Any] = []

    def wired(parts: Any) -> tuple[Stage, ...]:
        given.append(parts.board)
        return (breaker.stage(parts.breaker),)

    return Pipeline(breaker=policy, wired=wired), given[0]


def tells(pipeline: Pipeline, board: Any, *outcomes: str, epoch: int = 0, probe: bool = False) -> None:
    now_ms = pipeline.clock.now_ms()
    for outcome in outcomes:
        board.told(SERVICE, epoch, outcome, now_ms, now_ms, probe)


@in_loop
async def test_calls_that_fail_in_memory_open_the_breaker_by_the_stages_word() -> None:
    """B27."""
    pipeline, board = breaking()
    tells(pipeline, board, "failed", "failed", "failed")
    await pipeline.settle()

    assert [b'"open"' in (word.value or b"") for word in pipeline.records(BREAKERS)] == [True]
    assert Open(START_MS, START_MS + 1000) == board.verdict(SERVICE, START_MS)


@in_loop
async def test_breaker_in_memory_recovers_by_probes_on_the_hand_clock() -> None:
    """B29, B34."""
    pipeline, board = breaking()
    tells(pipeline, board, "failed", "failed", "failed")
    verdicts: list[Any] = []
    for _ in range(4):
        await pipeline.advance(1.0)
        board.verdict(SERVICE, pipeline.clock.now_ms())
        await pipeline.settle()
        verdicts.append(board.verdict(SERVICE, pipeline.clock.now_ms()))
        if isinstance(verdicts[-1], Probe):
            tells(pipeline, board, "ok", epoch=1, probe=True)

    assert [Probe(1), Probe(1), Closed(2), Closed(2)] == verdicts


@in_loop
async def test_order_written_in_memory_reaches_the_board() -> None:
    """B40."""
    pipeline, board = breaking()
    pipeline.write(CALLS, wire.encode(order("trip", 60.0)), SERVICE.encode())
    await pipeline.settle()

    assert Open(START_MS, START_MS + 60_000) == board.verdict(SERVICE, START_MS)


@in_loop
async def test_calls_folded_in_memory_alone_come_again_after_a_move() -> None:
    pipeline, board = breaking()
    tells(pipeline, board, "failed", "failed")
    await pipeline.settle()
    await pipeline.move()
    tells(pipeline, board, "failed")
    await pipeline.settle()

    assert [1] == [wire.decode(word.value, calls.Breaker).epoch for word in pipeline.records(BREAKERS)]


@in_loop
async def test_calls_that_a_tick_has_written_do_not_come_again() -> None:
    pipeline, _ = breaking()
    pipeline.write(CALLS, wire.encode(told("ff")), SERVICE.encode())
    await pipeline.advance(1.0)
    [before] = [reader.next for reader in pipeline._readers if reader.topic == CALLS and reader.next]
    await pipeline.move()

    assert [before] == [reader.next for reader in pipeline._readers if reader.topic == CALLS and reader.next]


@in_loop
async def test_each_clock_that_is_read_ticks_each_second() -> None:
    pipeline, _ = breaking()
    await pipeline.advance(3.0)

    assert (0, 6) == (len(pipeline.records(TICKS)), len(pipeline.records(BREAKER_TICKS)))


def test_board_of_the_user_is_left_alone() -> None:
    class Mine:
        """A board."""

    given: list[Any] = []

    def wired(parts: Any) -> tuple[Stage, ...]:
        given.append(parts.board)
        return ()

    Pipeline(board=Mine(), wired=wired)

    assert [Mine] == list(map(type, given))
