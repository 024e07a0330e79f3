import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streams.decisions import rows
from streams.ports import Call
from streams.stage import Output
from streams.stages import infer
from tests.support.builders import KEY, NOW_MS, assembled, inferred, record, reply, ticket
from tests.support.scopes import FakeScope, handled, run, until
from topics import wire
from topics.catalog import ASSEMBLED, FAILED, INFERRED
from topics.errors import DeadlineExceeded, DecodingError, WorkerError
from topics.messages import Assembled, Failed, Inferred, Open, Reply

NORMAL = ASSEMBLED["normal"]


class Answering:
    """A provider that numbers its replies, and can be told what to do first."""

    name = "fake"

    def __init__(self, first: Callable[[Call], Awaitable[object]] | None = None, text: str = "reply") -> None:
        self.first, self.text, self.calls = first, text, list[Call]()

    async def complete(self, call: Call) -> Reply:
        self.calls.append(call)
        number = len(self.calls)
        if self.first is not None:
            await self.first(call)
        return Reply(text=f"{self.text} {number}", model=call.model, provider=self.name)


def failing(reason: str, *, retryable: bool) -> Answering:
    async def first(call: Call) -> None:
        raise WorkerError("fake", reason, retryable=retryable)

    return Answering(first)


def decoded(output: Output) -> Inferred:
    return wire.decode(output.value, Inferred)


def given_up(output: Output) -> Failed:
    return wire.decode(output.value, Failed)


def lane(message: Open, offset: int = 7, topic: str = NORMAL, partition: int = 3) -> infer.Record:
    return record(message, topic=topic, offset=offset, partition=partition)


def test_reply_of_the_provider_is_written() -> None:
    (output,) = run(infer.stage(Answering()), lane(assembled(), partition=6))

    assert (INFERRED, KEY, 6, "called") == (output.topic, output.key, output.partition, output.decision)
    assert "reply 1" == decoded(output).reply.text


def test_call_of_a_request_carries_what_was_assembled() -> None:
    provider = Answering()
    message = assembled(work={"messages": [{"role": "user", "content": "hi"}], "model": "m", "params": {"seed": 1}})

    run(infer.stage(provider), lane(message))

    assert [Call(message.identity, message.rendered, "m", {"seed": 1})] == provider.calls


def test_times_of_a_call_come_from_the_clock() -> None:
    scope = FakeScope(now_ms=NOW_MS)

    async def first(call: Call) -> None:
        scope.now_ms += 1250

    (output,) = run(infer.stage(Answering(first)), lane(assembled()), scope)

    assert (1.25, NOW_MS + 1250, 1) == (
        decoded(output).reply.work_s,
        decoded(output).reply.finished_ms,
        decoded(output).reply.attempts,
    )


def test_inferred_message_leaves_out_what_only_the_call_needed() -> None:
    (output,) = run(infer.stage(Answering()), lane(assembled()))

    assert {} == decoded(output).__pydantic_extra__


@pytest.mark.parametrize("provider", [Answering(), failing("auth", retryable=False)], ids=["inferred", "failed"])
def test_unknown_field_of_a_newer_version_travels_on(provider: Answering) -> None:
    (output,) = run(infer.stage(provider), lane(assembled(budget=3)))

    assert 3 == (wire.decode(output.value, Open).__pydantic_extra__ or {})["budget"]


def test_row_of_a_finished_call_holds_the_exact_bytes() -> None:
    scope = FakeScope()
    message = assembled()

    (output,) = run(infer.stage(Answering()), lane(message), scope)

    assert rows.Row(f"{NORMAL}/3/7", INFERRED, output.value or b"") == rows.unpack(scope.rows[infer.row_key(message)])


@pytest.mark.parametrize(
    ("one", "other"), [(("a", "b"), ("ab", "")), (("a", "1:b"), ("a1:", "b")), (("1:a", ""), ("1", ":a"))]
)
def test_row_keys_of_similar_names_differ(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = (assembled(dedup_key=key, epoch=epoch) for key, epoch in (one, other))

    assert infer.row_key(first) != infer.row_key(second)


def test_output_before_the_row_is_acknowledged_waits() -> None:
    async def scenario() -> tuple[bool, int, bool]:
        scope = FakeScope()
        scope.acknowledged.clear()
        task = asyncio.ensure_future(handled(infer.stage(Answering()), lane(assembled()), scope))
        await until(lambda: scope.settled_with)
        early = task.done()
        scope.acknowledged.set()
        return early, len(scope.settled_with[0]), bool(await task)

    assert (False, 1, True) == asyncio.run(scenario())


def test_redelivered_record_of_a_finished_call_gives_equal_outputs() -> None:
    scope, provider = FakeScope(), Answering()
    stage = infer.stage(provider)

    first = run(stage, lane(assembled()), scope)
    again = run(stage, lane(assembled()), scope)

    assert (first, 1) == (again, len(provider.calls))


def test_other_record_of_a_finished_call_repeats_its_bytes() -> None:
    scope, provider = FakeScope(), Answering()
    stage = infer.stage(provider)

    (first,) = run(stage, lane(assembled()), scope)
    (other,) = run(stage, lane(assembled(), topic=ASSEMBLED["high"], offset=1), scope)

    assert (first.value, "answered-before", 1) == (other.value, other.decision, len(provider.calls))


def test_row_of_a_finished_call_is_written_again() -> None:
    scope, message = FakeScope(), assembled()
    stage = infer.stage(Answering())

    run(stage, lane(message), scope)
    run(stage, lane(message), scope)

    assert ([infer.row_key(message)] * 2, [scope.rows] * 2) == (scope.table.puts, scope.settled_with)


def test_finished_call_after_its_deadline_is_answered_from_the_row() -> None:
    """B68."""
    scope, provider = FakeScope(), Answering()
    message = assembled(deadline_ms=NOW_MS + 1)
    stage = infer.stage(provider)
    (first,) = run(stage, lane(message), scope)
    scope.now_ms = NOW_MS + 60_000

    (late,) = run(stage, lane(message), scope)

    assert first == late


@pytest.mark.parametrize(
    ("left_ms", "calls", "topic"), [(-1, 0, FAILED), (0, 0, FAILED), (1, 1, INFERRED), (60_000, 1, INFERRED)]
)
def test_deadline_around_now_decides_whether_a_call_is_made(left_ms: int, calls: int, topic: str) -> None:
    """B69."""
    provider = Answering()

    (output,) = run(infer.stage(provider), lane(assembled(deadline_ms=NOW_MS + left_ms)))

    assert (topic, calls) == (output.topic, len(provider.calls))


def test_request_without_a_deadline_never_expires() -> None:
    """B71."""
    (output,) = run(infer.stage(Answering()), lane(assembled(deadline_ms=None)), FakeScope(now_ms=NOW_MS * 9))

    assert INFERRED == output.topic


def test_passed_deadline_is_answered_expired_and_not_buried() -> None:
    (output,) = run(infer.stage(Answering()), lane(assembled(deadline_ms=NOW_MS)))

    failed = given_up(output)
    assert ("expired", None, "deadline_exceeded", 0) == (
        failed.outcome,
        failed.disposition,
        failed.failure.kind,
        failed.attempts,
    )
    assert "expired" == output.decision


def test_passed_deadline_leaves_only_its_mark() -> None:
    scope = FakeScope()

    run(infer.stage(Answering()), lane(assembled(deadline_ms=NOW_MS), offset=9), scope)

    assert [infer.marker_key(f"{NORMAL}/3/9")] == list(scope.rows)


def test_expired_record_redelivered_after_a_twin_answered_expires_again() -> None:
    """B12, and the law of state: the twin took over the epoch."""
    scope, stage = FakeScope(), infer.stage(Answering())
    owner, twin = assembled(deadline_ms=NOW_MS), assembled(id="twin", identity="ef" * 32)

    first = run(stage, lane(owner, offset=7), scope)
    run(stage, lane(twin, offset=8), scope)

    assert first == run(stage, lane(owner, offset=7), scope)


def test_reply_bought_before_answers_the_twin_that_took_over_in_its_own_name() -> None:
    """B14: one call, and each its own answer."""
    scope, provider = FakeScope(), Answering()
    stage = infer.stage(provider)
    twin = assembled(id="twin", identity="ef" * 32)

    (first,) = run(stage, lane(assembled(id="owner"), offset=7), scope)
    (second,) = run(stage, lane(twin, offset=8), scope)

    assert (None, "owner", 1) == (decoded(first).same_as, decoded(second).same_as, len(provider.calls))
    assert ("twin", decoded(first).reply) == (decoded(second).id, decoded(second).reply)


def test_failure_had_before_is_told_to_the_twin_in_its_own_name() -> None:
    scope, stage = FakeScope(), infer.stage(failing("auth", retryable=False))

    (first,) = run(stage, lane(assembled(id="owner"), offset=7), scope)
    (second,) = run(stage, lane(assembled(id="twin", identity="ef" * 32), offset=8), scope)

    assert ("twin", given_up(first).failure) == (given_up(second).id, given_up(second).failure)
    assert given_up(first).failed_ms == given_up(second).failed_ms


def test_failure_of_the_same_request_in_another_record_is_the_exact_one() -> None:
    scope, stage = FakeScope(), infer.stage(failing("auth", retryable=False))

    (first,) = run(stage, lane(assembled(), offset=7), scope)
    (second,) = run(stage, lane(assembled(), offset=8), scope)

    assert (first.value, "given-up", "answered-before") == (second.value, first.decision, second.decision)


def test_passed_deadline_asked_later_gives_the_same_bytes() -> None:
    message = lane(assembled(deadline_ms=NOW_MS))

    first = run(infer.stage(Answering()), message, FakeScope(now_ms=NOW_MS))
    later = run(infer.stage(Answering()), message, FakeScope(now_ms=NOW_MS + 99_000))

    assert first == later


def test_deadline_during_a_call_cancels_it() -> None:
    cancelled = list[str]()

    async def first(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(call.id)
            raise

    message = assembled(deadline_ms=NOW_MS + 20)
    (output,) = run(infer.stage(Answering(first)), lane(message))

    assert ([message.identity], "expired") == (cancelled, given_up(output).outcome)


def test_deadline_during_a_call_is_the_error_of_every_attached_record() -> None:
    async def first(call: Call) -> None:
        await asyncio.Event().wait()

    scope, message = FakeScope(), assembled(deadline_ms=NOW_MS + 10)
    run(infer.stage(Answering(first)), lane(message), scope)

    with pytest.raises(DeadlineExceeded, match="Deadline passed"):
        scope.calls[infer.row_key(message)].result()


def test_deadline_during_a_call_gives_the_bytes_of_a_passed_one() -> None:
    async def first(call: Call) -> None:
        await asyncio.Event().wait()

    message = lane(assembled(deadline_ms=NOW_MS + 10))

    during = run(infer.stage(Answering(first)), message)
    after = run(infer.stage(Answering()), message, FakeScope(now_ms=NOW_MS + 10))

    assert during == after


@pytest.mark.parametrize("deadline_ms", [None, NOW_MS + 60_000])
def test_timeout_of_the_provider_itself_is_not_the_deadline(deadline_ms: int | None) -> None:
    async def first(call: Call) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        run(infer.stage(Answering(first)), lane(assembled(deadline_ms=deadline_ms)))


@pytest.mark.parametrize(("retryable", "disposition"), [(True, "exhausted"), (False, "permanent")])
def test_refused_call_is_given_up_by_its_kind(retryable: bool, disposition: str) -> None:
    """B46."""
    (output,) = run(infer.stage(failing("rate_limited", retryable=retryable)), lane(assembled(text="secret")))

    failed = given_up(output)
    assert (FAILED, "given-up", "failed") == (output.topic, output.decision, failed.outcome)
    assert (disposition, "worker_error", retryable) == (
        failed.disposition,
        failed.failure.kind,
        failed.failure.retryable,
    )
    assert "secret" not in failed.failure.message


def test_refused_call_carries_the_canonical_request() -> None:
    message = assembled(text="hello")

    (output,) = run(infer.stage(failing("auth", retryable=False)), lane(message))

    assert message.work == given_up(output).work


def test_refused_call_is_not_made_again_for_a_redelivery() -> None:
    scope, provider = FakeScope(), failing("auth", retryable=False)
    stage = infer.stage(provider)

    first = run(stage, lane(assembled()), scope)
    scope.now_ms += 5000
    again = run(stage, lane(assembled()), scope)

    assert (first, 1) == (again, len(provider.calls))


def test_reply_above_what_a_row_may_hold_is_given_up_as_too_large() -> None:
    provider = Answering(text="x" * rows.PAYLOAD_BYTES)

    (output,) = run(infer.stage(provider), lane(assembled()))

    failed = given_up(output)
    assert ("too-large", "too_large") == (failed.disposition, failed.failure.kind)


def test_two_records_of_one_running_call_share_its_reply() -> None:
    async def scenario() -> tuple[list[Output], list[Output], int]:
        go = asyncio.Event()
        provider, scope = Answering(lambda call: go.wait()), FakeScope()
        stage = infer.stage(provider)
        one = asyncio.ensure_future(handled(stage, lane(assembled(), offset=7), scope))
        two = asyncio.ensure_future(handled(stage, lane(assembled(), offset=8), scope))
        await until(lambda: provider.calls)
        go.set()
        return await one, await two, len(provider.calls)

    (first,), (second,), calls = asyncio.run(scenario())

    assert (first.value, 1) == (second.value, calls)
    assert ("called", "answered-before") == (first.decision, second.decision)


def test_row_written_while_waiting_wins_over_the_own_reply() -> None:
    scope, message = FakeScope(), assembled()
    value = wire.encode(inferred(reply("earlier")))
    earlier = rows.pack(rows.Row(f"{NORMAL}/3/1", INFERRED, value))

    async def first(call: Call) -> None:
        scope.rows[infer.row_key(message)] = earlier

    (output,) = run(infer.stage(Answering(first)), lane(message), scope)

    assert (value, "answered-before") == (output.value, output.decision)
    assert {infer.row_key(message): earlier} == scope.rows


def test_error_that_is_no_answer_of_the_provider_reaches_the_loop() -> None:
    async def first(call: Call) -> None:
        raise KeyError("defect")

    scope = FakeScope()

    with pytest.raises(KeyError):
        run(infer.stage(Answering(first)), lane(assembled()), scope)
    assert {} == scope.rows


def test_message_of_an_earlier_stage_is_refused() -> None:
    with pytest.raises(DecodingError, match="Assembled"):
        run(infer.stage(Answering()), lane(Open(**ticket())))


def test_stage_as_data_reads_every_lane_with_the_clock() -> None:
    stage = infer.stage(Answering(), slots=3)

    assert (tuple(ASSEMBLED.values()), (INFERRED, FAILED)) == (stage.reads, stage.writes)
    assert ("infer", "infer", "answers", 3, True) == (
        stage.name,
        stage.app,
        stage.table,
        stage.slots,
        stage.reads_clock,
    )


def test_slots_of_the_stage_default_to_256() -> None:
    assert 256 == infer.stage(Answering()).slots


def test_assembled_message_from_builders_is_a_whole_one() -> None:
    assert assembled() == wire.decode(wire.encode(assembled()), Assembled)
