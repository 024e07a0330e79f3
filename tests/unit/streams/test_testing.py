import asyncio
import doctest
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from streams import testing
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.decisions.limits import AdmissionPolicy
from streams.pipeline import compose
from streams.ports import Call
from streams.stage import Output, Outputs, Record, Scope, Stage
from streams.testing import HandClock, Pipeline
from topics.answer import Answer
from topics.catalog import ADMITTED, CATALOG, DEAD_LETTERS, DEDUPED, FAILED, INFERRED, PROMPTS, RESULTS
from topics.errors import ConfigurationError, TransportError, WorkerError
from topics.messages import Reply

START_MS = HandClock().now_ms()
Slow = Callable[[float], EchoProvider]


def prompt(request_id: str = "a-1", **fields: Any) -> dict[str, Any]:
    return {"id": request_id, "prompt": "hello", **fields}


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

    assert ("a-1", "completed", "echo: hello") == (answer.id, answer.status, answer.text)


@pytest.mark.parametrize("value", [b'{"id":"a-1","prompt":"hello"}', '{"id":"a-1","prompt":"hello"}', prompt()])
def test_prompt_in_each_form_is_written_as_bytes(value: Any) -> None:
    pipeline = settled(Pipeline(), value)

    assert [b'{"id":"a-1","prompt":"hello"}'] == [record.value for record in pipeline.records(PROMPTS)]


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

    def narrow(parts: Any) -> tuple[Stage, ...]:
        return compose(type(parts)(parts.provider, parts.originals, parts.admission, 2, parts.within))

    settled(Pipeline(provider, clock=clock, wired=narrow), *(prompt(f"a-{n}") for n in range(6)))

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
        await pipeline.wind(9.0)
        early = len(pipeline.answers())
        await pipeline.wind(1.0)
        return early, len(pipeline.answers())

    assert (0, 1) == asyncio.run(scenario())


def test_clock_wound_passes_each_time_that_is_due() -> None:
    pipeline = Pipeline()

    async def scenario() -> int:
        await pipeline.wind(2.5)
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


def test_provider_that_never_answers_ends_at_the_limit() -> None:
    class Mute:
        name = "mute"

        async def complete(self, call: Call) -> Reply:
            await asyncio.Event().wait()
            raise WorkerError("mute", "timeout", retryable=True)

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

    assert (3, {}) == (len(pipeline.records(FAILED)), pipeline.calls)


def test_answers_of_a_pipeline_are_answers() -> None:
    pipeline = settled(Pipeline(), prompt("a-0"), b"{broken")

    assert [True, True] == [isinstance(answer, Answer) for answer in pipeline.answers()]


def test_example_of_the_module_is_true() -> None:
    assert (0, 2) == tuple(doctest.testmod(testing))
