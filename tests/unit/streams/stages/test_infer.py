import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from streams.decisions import cascade, parking, rows, steps, thinning
from streams.decisions.blame import Outcome
from streams.decisions.breaker import Closed, Open, Probe, Verdict
from streams.decisions.cascade import Candidate, CascadePolicy
from streams.decisions.course import Keys, Progress
from streams.decisions.flood_guard import GuardPolicy
from streams.decisions.retry import RetryPolicy
from streams.decisions.thinning import KeepPolicy
from streams.ports import Call, Provider
from streams.stage import Output, Record, Stage
from streams.stages import infer
from tests.support.builders import KEY, NOW_MS, assembled, inferred, record, reply, ticket
from tests.support.scopes import FakeScope, handled, run, turns, until
from topics import wire
from topics.catalog import ASSEMBLED, FAILED, INFERRED, PARKED
from topics.errors import DecodingError
from topics.messages import Assembled, Failed, Inferred, Reply, Try
from topics.messages import Open as Message
from topics.provider_errors import (
    ContextTooLong,
    ProviderDenied,
    ProviderMalformed,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    WorkerError,
)

NORMAL = ASSEMBLED["normal"]
QUICK = RetryPolicy.exponential(4, 0.5)


class Answering:
    """A provider that numbers its replies, and can be told what to do first."""

    def __init__(self, first: Callable[[Call], Awaitable[object]] | None = None, text: str = "reply") -> None:
        self.first, self.text, self.calls, self.name = first, text, list[Call](), "fake"

    async def complete(self, call: Call) -> Reply:
        self.calls.append(call)
        number = len(self.calls)
        if self.first is not None:
            await self.first(call)
        return Reply(text=f"{self.text} {number}", model=call.model, provider=self.name)


DENIED = WorkerError("fake", "auth", retryable=False)
AWAY = ProviderUnavailable("fake", status=503)


def failing(*errors: WorkerError | None, name: str = "fake") -> Answering:
    """Fails as told, one call after the other; the last word stands for all that follow."""
    script = list(errors)

    async def first(call: Call) -> None:
        error = script.pop(0) if len(script) > 1 else script[0]
        if error is not None:
            raise error

    provider = Answering(first)
    provider.name = name
    return provider


def served(provider: Provider, scope: FakeScope, retry: RetryPolicy = QUICK, **given: Any) -> Stage:
    """The stage on the scope's clock, its waits without chance."""
    return infer.stage(provider, policy=CascadePolicy(retry), sleep=scope.sleep, **given)


def decoded(output: Output) -> Inferred:
    return wire.decode(output.value, Inferred)


def given_up(output: Output) -> Failed:
    return wire.decode(output.value, Failed)


def lane(message: Message, offset: int = 7, topic: str = NORMAL, partition: int = 3) -> Record:
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


@pytest.mark.parametrize("provider", [Answering(), failing(DENIED)], ids=["inferred", "failed"])
def test_unknown_field_of_a_newer_version_travels_on(provider: Answering) -> None:
    (output,) = run(infer.stage(provider), lane(assembled(budget=3)))

    assert 3 == (wire.decode(output.value, Message).__pydantic_extra__ or {})["budget"]


def test_row_of_a_finished_call_holds_the_exact_bytes() -> None:
    scope = FakeScope()
    message = assembled()

    (output,) = run(infer.stage(Answering()), lane(message), scope)

    row = rows.Row(f"{NORMAL}/3/7", INFERRED, output.value or b"", NOW_MS)
    assert row == rows.unpack(scope.rows[Keys.of(message).answer])


@pytest.mark.parametrize(
    ("one", "other"), [(("a", "b"), ("ab", "")), (("a", "1:b"), ("a1:", "b")), (("1:a", ""), ("1", ":a"))]
)
def test_row_keys_of_similar_names_differ(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = (assembled(dedup_key=key, epoch=epoch) for key, epoch in (one, other))

    assert Keys.of(first).answer != Keys.of(second).answer


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

    assert ([Keys.of(message).answer] * 2, [scope.rows] * 2) == (scope.table.puts, scope.settled_with)


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


def test_passed_deadline_leaves_only_the_row_of_its_request() -> None:
    scope, message = FakeScope(), assembled(deadline_ms=NOW_MS)

    run(served(Answering(), scope), lane(message, offset=9), scope)

    assert [Keys.of(message).hop(0)] == list(scope.rows)


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
    scope, stage = FakeScope(), infer.stage(failing(DENIED))

    (first,) = run(stage, lane(assembled(id="owner"), offset=7), scope)
    (second,) = run(stage, lane(assembled(id="twin", identity="ef" * 32), offset=8), scope)

    assert ("twin", given_up(first).failure) == (given_up(second).id, given_up(second).failure)
    assert given_up(first).failed_ms == given_up(second).failed_ms


def test_failure_of_the_same_request_in_another_record_is_the_exact_one() -> None:
    scope, stage = FakeScope(), infer.stage(failing(DENIED))

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


def test_deadline_during_a_call_expires_every_attached_record_alike() -> None:
    async def scenario() -> list[list[Output]]:
        scope, message = FakeScope(), assembled(deadline_ms=NOW_MS + 10)
        stage = infer.stage(Answering(lambda call: asyncio.Event().wait()))
        return await asyncio.gather(*(handled(stage, lane(message, offset), scope) for offset in (7, 8)))

    (first,), (second,) = asyncio.run(scenario())

    assert (first.value, "expired", 1) == (second.value, given_up(second).outcome, given_up(second).attempts)


def test_deadline_during_a_call_redelivered_gives_the_same_bytes() -> None:
    message, scope = lane(assembled(deadline_ms=NOW_MS + 10)), FakeScope()

    during = run(infer.stage(Answering(lambda call: asyncio.Event().wait())), message, scope)
    after = run(infer.stage(Answering()), message, FakeScope(scope.rows, NOW_MS + 99_000))

    assert during == after


def test_deadline_during_a_call_records_what_was_spent() -> None:
    """B72."""
    message = lane(assembled(deadline_ms=NOW_MS + 10))

    (output,) = run(infer.stage(Answering(lambda call: asyncio.Event().wait())), message)

    made = Try(provider="fake", model="default", kind="deadline_exceeded", at_ms=NOW_MS, work_s=0.01)
    assert (made,) == given_up(output).tries


@pytest.mark.parametrize("deadline_ms", [None, NOW_MS + 60_000])
def test_timeout_of_the_provider_itself_is_not_the_deadline(deadline_ms: int | None) -> None:
    async def first(call: Call) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        run(infer.stage(Answering(first)), lane(assembled(deadline_ms=deadline_ms)))


def test_call_that_no_further_one_can_mend_is_given_up_at_once() -> None:
    """B46."""
    provider = failing(WorkerError("fake", "auth", retryable=False))

    (output,) = run(infer.stage(provider), lane(assembled(text="secret")))

    failed = given_up(output)
    assert (FAILED, "given-up", "failed", 1) == (output.topic, output.decision, failed.outcome, len(provider.calls))
    assert ("permanent", "permanent", "worker_error", None, 1) == (
        failed.disposition,
        failed.reason,
        failed.failure.kind,
        failed.failure.cause,
        failed.attempts,
    )
    assert b"secret" not in failed.failure.message.encode()


def test_refused_call_carries_the_canonical_request() -> None:
    message = assembled(text="hello")

    (output,) = run(infer.stage(failing(DENIED)), lane(message))

    assert message.work == given_up(output).work


def test_refused_call_is_not_made_again_for_a_redelivery() -> None:
    scope, provider = FakeScope(), failing(DENIED)
    stage = infer.stage(provider)

    first = run(stage, lane(assembled()), scope)
    scope.now_ms += 5000
    again = run(stage, lane(assembled()), scope)

    assert (first, 1) == (again, len(provider.calls))


def test_reply_above_what_a_row_may_hold_is_given_up_as_too_large() -> None:
    provider = Answering(text="x" * rows.PAYLOAD_BYTES)

    (output,) = run(infer.stage(provider), lane(assembled()))

    failed = given_up(output)
    assert ("too-large", "too_large", 1) == (failed.disposition, failed.failure.kind, failed.attempts)


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
    earlier = rows.pack(rows.Row(f"{NORMAL}/3/1", INFERRED, value, NOW_MS))

    async def first(call: Call) -> None:
        scope.rows[Keys.of(message).answer] = earlier

    (output,) = run(infer.stage(Answering(first)), lane(message), scope)

    assert (value, "answered-before") == (output.value, output.decision)
    assert {Keys.of(message).answer: earlier} == scope.rows


def test_error_that_is_no_answer_of_the_provider_reaches_the_loop() -> None:
    async def first(call: Call) -> None:
        raise KeyError("defect")

    scope = FakeScope()

    with pytest.raises(KeyError):
        run(infer.stage(Answering(first)), lane(assembled()), scope)
    assert {} == scope.rows


def test_message_of_an_earlier_stage_is_refused() -> None:
    with pytest.raises(DecodingError, match="Assembled"):
        run(infer.stage(Answering()), lane(Message(**ticket())))


def test_stage_as_data_reads_every_lane_with_the_clock() -> None:
    stage = infer.stage(Answering(), slots=3)

    assert (tuple(ASSEMBLED.values()), (INFERRED, FAILED, *PARKED)) == (stage.reads, stage.writes)
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


# -- after a failed call


def parked(output: Output) -> Assembled:
    return wire.decode(output.value, Assembled)


def returned(output: Output, offset: int = 8) -> Record:
    """The copy as it comes back from its tier."""
    return record(output.value, topic=NORMAL, offset=offset, partition=output.partition or 0, headers=output.headers)


LIMITED = ProviderRateLimited("fake", retry_after_s=30.0)


def test_failed_call_is_made_again_after_a_wait() -> None:
    """B42, B44, B45: the ledger tells of both."""
    scope, provider, message = FakeScope(), failing(AWAY, None), assembled()

    (output,) = run(served(provider, scope), lane(message), scope)

    chance = cascade.roll(message.identity, 1)
    assert [pytest.approx(chance * 0.5, abs=0.001)] == scope.naps
    made = Try(provider="fake", model="default", kind="provider_unavailable", at_ms=NOW_MS)
    assert ((made,), 2, "reply 2") == (
        decoded(output).tries,
        decoded(output).reply.attempts,
        decoded(output).reply.text,
    )


def test_second_call_before_the_first_is_written_down_waits() -> None:
    async def scenario() -> tuple[int, int, list[Output]]:
        scope, provider = FakeScope(), failing(AWAY, None)
        scope.acknowledged.clear()
        task = asyncio.ensure_future(handled(served(provider, scope), lane(assembled()), scope))
        await until(lambda: scope.settled_with)
        await turns()
        early = len(provider.calls)
        scope.acknowledged.set()
        return early, len(scope.settled_with[0]), await task

    calls, rows_written, outputs = asyncio.run(scenario())

    assert (1, 1, "called") == (calls, rows_written, outputs[0].decision)


def test_way_to_an_outcome_is_forgotten_with_it() -> None:
    scope, message = FakeScope(), assembled()

    run(served(failing(AWAY, None), scope), lane(message), scope)

    assert [Keys.of(message).answer] == list(scope.rows)


def test_request_whose_calls_all_fail_is_given_up_with_the_cause() -> None:
    """B51."""
    scope, provider = FakeScope(), failing(AWAY)

    (output,) = run(served(provider, scope), lane(assembled()), scope)

    failed = given_up(output)
    assert (4, 4, "exhausted", "exhausted") == (len(provider.calls), failed.attempts, failed.disposition, failed.reason)
    assert ("stage_failure", "provider_unavailable") == (failed.failure.kind, failed.failure.cause)
    assert ["provider_unavailable"] * 4 == [made.kind for made in failed.tries]
    assert (NOW_MS, scope.now_ms) == (failed.first_failed_ms, failed.failed_ms)


def test_request_allowed_one_attempt_is_not_tried_again() -> None:
    """B45."""
    scope, provider = FakeScope(), failing(AWAY)

    run(served(provider, scope, RetryPolicy.exponential(1, 0.5)), lane(assembled()), scope)

    assert (1, []) == (len(provider.calls), scope.naps)


@pytest.mark.parametrize("lost", ["while it waits", "while it calls again"])
def test_crash_between_two_calls_keeps_the_count(lost: str) -> None:
    """B50: a new process, with the rows of the old one."""
    scope, provider = FakeScope(), failing(AWAY)
    policy = RetryPolicy.fixed(2, 4.0)

    async def crashing() -> None:
        async def hangs(seconds: float) -> None:
            await asyncio.Event().wait()

        sleep = hangs if lost == "while it waits" else scope.sleep
        gone = failing(AWAY, None)
        second = Answering(lambda call: asyncio.Event().wait() if gone.calls else gone.complete(call))
        stage = infer.stage(second, policy=CascadePolicy(policy), sleep=sleep)
        task = asyncio.ensure_future(handled(stage, lane(assembled()), scope))
        await until(lambda: scope.settled_with)
        await turns(20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(crashing())
    after = FakeScope(scope.rows, NOW_MS)

    (output,) = run(served(provider, after, policy), lane(assembled()), after)

    due_s = cascade.roll(assembled().identity, 1) * 4.0
    assert (1, 2) == (len(provider.calls), given_up(output).attempts)
    assert pytest.approx(due_s, abs=0.001) == sum(after.naps)


def test_long_wait_is_parked_in_the_tiers_that_make_it() -> None:
    """B47: not before the provider's time, and the copy tells what was."""
    scope = FakeScope()

    (output,) = run(served(failing(LIMITED), scope), lane(assembled(), partition=6), scope)

    assert (PARKED[1], KEY, 6, "parked") == (output.topic, output.key, output.partition, output.decision)
    copy = parked(output)
    assert (1, NOW_MS + 30_000, ["provider_rate_limited"]) == (
        copy.hop,
        copy.due_ms,
        [made.kind for made in copy.tries],
    )
    assert (parking.Forward(NORMAL, ()), b"rate-limited: fake:default") == (
        parking.next_stop(output.headers),
        dict(output.headers)[steps.WHY],
    )


def test_parked_record_redelivered_is_parked_again_without_a_call() -> None:
    scope, provider = FakeScope(), failing(LIMITED)
    stage = served(provider, scope)

    first = run(stage, lane(assembled()), scope)
    scope.now_ms += 99_000

    assert (first, 1) == (run(stage, lane(assembled()), scope), len(provider.calls))


def test_parked_request_goes_on_where_it_was_when_it_returns() -> None:
    scope, provider = FakeScope(), failing(LIMITED, AWAY, None)
    stage = served(provider, scope)

    (away,) = run(stage, lane(assembled()), scope)
    scope.now_ms += 30_000
    (output,) = run(stage, returned(away), scope)

    kinds = [made.kind for made in decoded(output).tries]
    assert (3, ["provider_rate_limited", "provider_unavailable"]) == (decoded(output).reply.attempts, kinds)
    assert [Keys.of(assembled()).answer] == list(scope.rows)


@pytest.mark.parametrize("left_ms", [1, 4999])
def test_remainder_of_a_parked_wait_is_waited_here(left_ms: int) -> None:
    scope = FakeScope()
    message = assembled().model_copy(update={"hop": 1, "due_ms": NOW_MS + left_ms})

    (output,) = run(served(Answering(), scope), lane(message), scope)

    assert ([left_ms / 1000], INFERRED) == (scope.naps, output.topic)


def test_parked_copy_that_returns_twice_costs_one_call() -> None:
    """B50."""
    scope, provider = FakeScope(), failing(LIMITED, LIMITED, None)
    stage = served(provider, scope)

    (away,) = run(stage, lane(assembled()), scope)
    scope.now_ms += 30_000
    (farther,) = run(stage, returned(away), scope)
    (again,) = run(stage, returned(away, offset=9), scope)

    assert (farther, 2, 2) == (again, parked(farther).hop, len(provider.calls))


def test_record_that_was_parked_is_answered_once_its_copy_is() -> None:
    scope, provider = FakeScope(), failing(LIMITED, None)
    stage = served(provider, scope)
    (away,) = run(stage, lane(assembled()), scope)
    scope.now_ms += 30_000
    (first,) = run(stage, returned(away), scope)

    (late,) = run(stage, lane(assembled()), scope)

    assert (first.value, "answered-before", 2) == (late.value, late.decision, len(provider.calls))


@pytest.mark.parametrize(
    ("retry", "deadline_s", "reason"),
    [(QUICK, 20, "deadline"), (RetryPolicy(budget_s=20), None, "budget"), (RetryPolicy(budget_s=20), 60, "budget")],
)
def test_try_that_would_come_too_late_is_not_waited_for(
    retry: RetryPolicy, deadline_s: int | None, reason: str
) -> None:
    """B48."""
    scope = FakeScope()
    message = assembled(deadline_ms=None if deadline_s is None else NOW_MS + deadline_s * 1000)

    (output,) = run(served(failing(LIMITED), scope, retry), lane(message), scope)

    failed = given_up(output)
    assert ("failed", reason, "exhausted", 1) == (failed.outcome, failed.reason, failed.disposition, failed.attempts)
    assert ([], "given-up") == (scope.naps, output.decision)


def test_request_that_ran_out_of_its_own_time_leaves_the_key_to_its_twin() -> None:
    """B12."""
    scope, provider = FakeScope(), failing(LIMITED, None)
    stage = served(provider, scope)
    hasty, twin = assembled(deadline_ms=NOW_MS + 20_000), assembled(id="twin", identity="ef" * 32)
    first = run(stage, lane(hasty), scope)
    scope.now_ms += 30_000

    (answered,) = run(stage, lane(twin, offset=8), scope)

    assert (INFERRED, "twin", ()) == (answered.topic, decoded(answered).id, decoded(answered).tries)
    assert (first, 2) == (run(stage, lane(hasty), scope), len(provider.calls))


def test_failure_had_before_tells_the_twin_of_its_tries() -> None:
    scope = FakeScope()
    stage = served(failing(AWAY), scope)

    (first,) = run(stage, lane(assembled(id="owner")), scope)
    (second,) = run(stage, lane(assembled(id="twin", identity="ef" * 32), offset=8), scope)

    assert (given_up(first).tries, "exhausted") == (given_up(second).tries, given_up(second).reason)


def test_two_records_of_one_failing_request_make_each_call_once() -> None:
    async def scenario() -> tuple[list[list[Output]], int]:
        scope, provider = FakeScope(), failing(AWAY, AWAY, None)
        stage = served(provider, scope)
        both = await asyncio.gather(*(handled(stage, lane(assembled(), offset), scope) for offset in (7, 8)))
        return both, len(provider.calls)

    ((first,), (second,)), calls = asyncio.run(scenario())

    assert (first.value, 3, 3) == (second.value, calls, decoded(second).reply.attempts)


def test_failure_that_another_record_has_parked_meanwhile_is_parked_like_it() -> None:
    """What both waited for is counted once."""
    scope, message = FakeScope(), assembled()
    other = Progress(tries=(Try(provider="fake", model="default", kind="x", at_ms=1),), parked=PARKED[3], due_ms=5)

    async def first(call: Call) -> None:
        scope.rows[Keys.of(message).hop(0)] = wire.encode(other)
        raise AWAY

    (output,) = run(served(Answering(first), scope), lane(message), scope)

    assert (PARKED[3], other.tries, 5) == (output.topic, parked(output).tries, parked(output).due_ms)


# -- over several providers


ROUTE = {"default": (Candidate("fake", "small"), Candidate("other", "large"))}


@pytest.mark.parametrize(
    ("error", "text", "naps"),
    [
        (ProviderRateLimited("fake", retry_after_s=3), "reply 1", 0),
        (ProviderDenied("fake"), "reply 1", 0),
        (ContextTooLong("fake"), "reply 1", 0),
        (AWAY, "reply 2", 1),
    ],
    ids=["limited", "denied", "too-long", "away"],
)
def test_failure_decides_whether_the_next_candidate_is_asked_at_once(error: WorkerError, text: str, naps: int) -> None:
    scope, provider, other = FakeScope(), failing(error, None), failing(None, name="other")
    stage = served(provider, scope, others={"other": other}, routes=ROUTE)

    (output,) = run(stage, lane(assembled()), scope)

    models = [call.model for call in (*provider.calls, *other.calls)]
    assert (text, naps) == (decoded(output).reply.text, len(scope.naps))
    assert (["small", "small"] if naps else ["small", "large"]) == models


@pytest.mark.parametrize("error", [LIMITED, ProviderDenied("fake")], ids=["limited", "denied"])
def test_what_one_request_found_closed_no_other_asks(error: WorkerError) -> None:
    scope, provider, other = FakeScope(), failing(error), failing(None, name="other")
    stage = served(provider, scope, others={"other": other}, routes=ROUTE)

    for number in range(3):
        run(stage, lane(assembled(dedup_key=f"c:{number}"), offset=number), scope)

    assert (1, 3) == (len(provider.calls), len(other.calls))


def test_wrong_request_is_given_up_by_the_first_who_says_so() -> None:
    scope, other = FakeScope(), failing(None, name="other")
    stage = served(failing(ProviderRefused("fake")), scope, others={"other": other}, routes=ROUTE)

    (output,) = run(stage, lane(assembled()), scope)

    assert ("provider_refused", "permanent", []) == (
        given_up(output).failure.kind,
        given_up(output).disposition,
        other.calls,
    )


# -- breakers


class Board:
    """Breakers as a test has them; ``news`` is what a wait for news brings."""

    def __init__(self, scope: FakeScope, **verdicts: Verdict) -> None:
        self.scope, self.verdicts, self.news = scope, verdicts, Closed(4)
        self.heard, self.asked = list[tuple[object, ...]](), list[str]()

    def verdict(self, service: str, now_ms: int) -> Verdict:
        return self.verdicts.get(service.partition(":")[0], Closed(3))

    async def ask(self, service: str, now_ms: int) -> None:
        self.asked.append(service)
        self.scope.now_ms += 100
        self.verdicts.clear()

    def told(self, service: str, epoch: int, outcome: Outcome, began_ms: int, now_ms: int, probe: bool) -> None:
        self.heard.append((service, epoch, outcome, began_ms, now_ms, probe))


def test_answered_call_is_told_with_its_times() -> None:
    scope = FakeScope()
    board = Board(scope)

    async def first(call: Call) -> None:
        scope.now_ms += 40

    run(served(Answering(first), scope, board=board), lane(assembled()), scope)

    assert [("fake:default", 3, "ok", NOW_MS, NOW_MS + 40, False)] == board.heard


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (AWAY, "failed"),
        (ProviderTimeout("fake"), "failed"),
        (ProviderMalformed("fake"), "failed"),
        (ProviderRateLimited("fake"), "limited"),
        (ProviderRefused("fake"), "ignored"),
        (KeyError("defect"), "ignored"),
    ],
)
def test_failed_call_is_told_by_whose_fault_it_was(error: Exception, outcome: str) -> None:
    """B28, B37."""
    scope = FakeScope()
    board = Board(scope)

    async def first(call: Call) -> None:
        raise error

    with suppress(KeyError):
        run(served(Answering(first), scope, RetryPolicy(1), board=board), lane(assembled()), scope)

    assert [outcome] == [told[2] for told in board.heard]


def test_deadline_during_a_call_is_no_fault_of_the_provider() -> None:
    """B72."""
    scope = FakeScope()
    board = Board(scope)
    stage = served(Answering(lambda call: asyncio.Event().wait()), scope, board=board)

    run(stage, lane(assembled(deadline_ms=NOW_MS + 10)), scope)

    assert ["ignored"] == [told[2] for told in board.heard]


def test_cancelled_call_is_no_fault_of_the_provider() -> None:
    async def scenario() -> list[object]:
        scope = FakeScope()
        board, provider = Board(scope), Answering(lambda call: asyncio.Event().wait())
        task = asyncio.ensure_future(handled(served(provider, scope, board=board), lane(assembled()), scope))
        await until(lambda: provider.calls)
        scope.calls.popitem()[1].cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [told[2] for told in board.heard]

    assert ["ignored"] == asyncio.run(scenario())


def test_granted_probe_is_told_as_one() -> None:
    """B30."""
    scope = FakeScope()
    board = Board(scope, fake=Probe(9))

    run(served(Answering(), scope, board=board), lane(assembled()), scope)

    assert [("fake:default", 9, "ok", NOW_MS, NOW_MS, True)] == board.heard


def test_open_breaker_is_passed_over_for_the_next_candidate() -> None:
    """B41."""
    scope, provider, other = FakeScope(), failing(None), failing(None, name="other")
    board = Board(scope, fake=Open(NOW_MS - 5, NOW_MS + 60_000))

    run(served(provider, scope, board=board, others={"other": other}, routes=ROUTE), lane(assembled()), scope)

    assert (0, 1) == (len(provider.calls), len(other.calls))


def test_request_before_open_breakers_is_parked_until_the_soonest_recovery() -> None:
    """B29, B41: told since when it is open, not buried, and nobody called."""
    scope, provider = FakeScope(), failing(None)
    board = Board(scope, fake=Open(NOW_MS - 5000, NOW_MS + 120_000), other=Open(NOW_MS, NOW_MS + 30_000))

    (output,) = run(
        served(provider, scope, board=board, others={"other": provider}, routes=ROUTE), lane(assembled()), scope
    )

    because = dict(output.headers)[steps.WHY]
    assert (PARKED[1], [], NOW_MS + 30_000) == (output.topic, provider.calls, parked(output).due_ms)
    assert b"Circuit breaker open for other:large since 2026-01-31T12:00:00.000Z" == because


def test_breaker_that_may_close_soon_is_waited_for_here() -> None:
    scope = FakeScope()
    board = Board(scope, fake=Open(NOW_MS - 5000, NOW_MS + 2000))

    (output,) = run(served(Answering(), scope, board=board), lane(assembled()), scope)

    assert (INFERRED, ["fake:default"], []) == (output.topic, board.asked, scope.naps)


def test_silent_breaker_is_looked_at_again_when_it_may_have_changed() -> None:
    scope = FakeScope()
    board = Board(scope, fake=Open(NOW_MS - 5000, NOW_MS + 20))

    async def silent(service: str, now_ms: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            scope.now_ms += 20
            board.verdicts.clear()

    board.ask = silent  # type: ignore[method-assign]  # this board says nothing

    (output,) = run(served(Answering(), scope, board=board), lane(assembled()), scope)

    assert INFERRED == output.topic


def test_request_that_waits_for_a_breaker_to_its_deadline_expires() -> None:
    """B41."""
    scope, message = FakeScope(), assembled(deadline_ms=NOW_MS + 30_000)
    stage = served(Answering(), scope, board=Board(scope, fake=Open(NOW_MS, NOW_MS + 300_000)))

    (away,) = run(stage, lane(message), scope)
    scope.now_ms += 30_000
    (output,) = run(stage, returned(away), scope)

    assert ("expired", 0, None) == (given_up(output).outcome, given_up(output).attempts, given_up(output).disposition)


def test_copy_that_expired_is_expired_again_when_it_returns_twice() -> None:
    scope, message = FakeScope(), assembled(deadline_ms=NOW_MS + 40_000)
    stage = served(failing(LIMITED), scope)
    (away,) = run(stage, lane(message), scope)
    scope.now_ms += 99_000

    first = run(stage, returned(away), scope)
    again = run(stage, returned(away), scope)

    assert (first, "expired", 1) == (again, given_up(first[0]).outcome, given_up(first[0]).attempts)


# -- outages


GUARD = GuardPolicy(consecutive=2)


@pytest.mark.parametrize("error", [AWAY, ProviderDenied("fake")], ids=["exhausted", "denied"])
def test_outage_parks_what_would_be_buried(error: WorkerError) -> None:
    """I9."""
    scope = FakeScope()
    stage = served(failing(error), scope, RetryPolicy(1), guard=GUARD)

    outputs = [
        run(stage, lane(assembled(dedup_key=f"c:{number}", model=f"m-{number}"), offset=number), scope)[0]
        for number in range(3)
    ]

    assert [False, True, True] == [output.topic in PARKED for output in outputs]


@pytest.mark.parametrize(("left_s", "topic", "due_s"), [(600, PARKED[0], 5), (6, PARKED[0], 5), (4, FAILED, 4)])
def test_outage_parks_within_the_deadline(left_s: int, topic: str, due_s: int) -> None:
    scope = FakeScope()
    stage = served(failing(AWAY), scope, RetryPolicy(1), guard=GuardPolicy(consecutive=1))

    (output,) = run(stage, lane(assembled(deadline_ms=NOW_MS + left_s * 1000)), scope)

    came = NOW_MS + due_s * 1000
    assert (topic, came) == (output.topic, scope.now_ms if topic == FAILED else parked(output).due_ms)


def test_answer_ends_what_looked_like_an_outage() -> None:
    scope = FakeScope()
    stage = served(failing(AWAY, None, AWAY), scope, RetryPolicy(1), guard=GUARD)

    topics = [run(stage, lane(assembled(dedup_key=f"c:{n}"), offset=n), scope)[0].topic for n in range(3)]

    assert [FAILED, INFERRED, FAILED] == topics


@pytest.mark.parametrize(("minimum", "spared"), [(4, True), (5, False)])
def test_outage_is_seen_in_the_calls_before_a_request_has_made_all_its_tries(minimum: int, spared: bool) -> None:
    """I9: by the requests that are given up it would be seen too late for them."""
    scope, policy = FakeScope(), GuardPolicy(consecutive=100, window=8, minimum=minimum)
    stage = served(failing(AWAY), scope, RetryPolicy.exponential(4, 0.5), guard=policy)

    (output,) = run(stage, lane(assembled()), scope)

    assert spared == (output.topic in PARKED)


@pytest.mark.parametrize(("answered_ms", "spared"), [(NOW_MS - 1, True), (NOW_MS + 1, False)])
def test_slow_answer_to_a_call_of_before_does_not_hide_an_outage(answered_ms: int, spared: bool) -> None:
    """I9."""
    scope, policy = FakeScope(), GuardPolicy(consecutive=100, ratio=1, window=2, minimum=2)
    stage = served(failing(AWAY, None, AWAY), scope, RetryPolicy(1), guard=policy)

    for offset, scope.now_ms in enumerate((NOW_MS, answered_ms, NOW_MS + 9)):
        (output,) = run(stage, lane(assembled(dedup_key=f"c:{offset}"), offset=offset), scope)

    assert spared == (output.topic in PARKED)


def test_request_wrong_by_itself_is_buried_in_an_outage_too() -> None:
    scope = FakeScope()
    stage = served(failing(ProviderRefused("fake")), scope, guard=GuardPolicy(consecutive=1))

    (output,) = run(stage, lane(assembled()), scope)

    assert FAILED == output.topic


# -- rows that have had their time


HOUR_MS, WEEK_MS = 3_600_000, 604_800_000


def later(offset: int, age_ms: int, topic: str = NORMAL) -> Record:
    """Another request, so much after the first one; its partition thins rows for it."""
    message = assembled(dedup_key=f"later:{offset}", epoch=f"prompts/3/{offset}")
    return lane(message, offset, topic)._replace(timestamp_ms=NOW_MS + age_ms)


def stored(scope: FakeScope, message: Assembled) -> rows.Row | None:
    packed = scope.rows.get(Keys.of(message).answer)
    return None if packed is None else rows.unpack(packed)


def passed(stage: Stage, scope: FakeScope, *ages_ms: int) -> None:
    """Time goes by: a record at each of these times after the first."""
    for offset, age_ms in enumerate(ages_ms, start=100):
        scope.now_ms = NOW_MS + age_ms
        run(stage, later(offset, age_ms), scope)


@pytest.mark.parametrize(("age_ms", "word"), [(HOUR_MS - 1, INFERRED), (HOUR_MS, rows.GONE), (WEEK_MS - 1, rows.GONE)])
def test_answer_of_an_hour_ago_is_a_marker_once_a_record_comes(age_ms: int, word: str) -> None:
    """B148."""
    scope, stage = FakeScope(), infer.stage(Answering())
    run(stage, lane(assembled()), scope)

    passed(stage, scope, age_ms)

    row = stored(scope, assembled())
    assert (word, NOW_MS) == ((row.word, row.ms) if row else None)


def test_marker_is_gone_after_the_retention() -> None:
    scope, stage = FakeScope(), infer.stage(Answering())
    run(stage, lane(assembled()), scope)

    passed(stage, scope, HOUR_MS, WEEK_MS)

    assert stored(scope, assembled()) is None


@pytest.mark.parametrize("age_ms", [HOUR_MS, WEEK_MS - 1, WEEK_MS])
def test_way_of_a_request_that_left_is_known_for_the_retention(age_ms: int) -> None:
    """Parked, or with an end of its own: nobody else would ever take the row away."""
    scope = FakeScope()
    stage = served(failing(LIMITED, None), scope)
    run(stage, lane(assembled()), scope)

    passed(stage, scope, age_ms)

    assert (age_ms < WEEK_MS) is (Keys.of(assembled()).hop(0) in scope.rows)


def test_time_for_which_answers_are_kept_is_a_part_of_the_stage() -> None:
    scope, stage = FakeScope(), infer.stage(Answering(), keep=KeepPolicy(1000, 5000))
    run(stage, lane(assembled()), scope)

    words = []
    for age_ms in (999, 2000, 5000):
        passed(stage, scope, age_ms)
        row = stored(scope, assembled())
        words.append(row and row.word)

    assert [INFERRED, rows.GONE, None] == words


def marked(message: Assembled, scope: FakeScope, calls: int = 1) -> None:
    """The request was answered an hour ago."""
    row = rows.Row(f"{NORMAL}/3/7", rows.GONE, b"", NOW_MS - HOUR_MS, calls)
    scope.rows[Keys.of(message).answer] = rows.pack(row)


def test_request_of_which_only_a_marker_is_left_fails_without_a_call() -> None:
    """B148."""
    scope, provider = FakeScope(), Answering()
    marked(assembled(), scope, calls=2)

    (output,) = run(infer.stage(provider), lane(assembled(), partition=6), scope)

    assert (FAILED, KEY, 6, "answer-gone", []) == (
        output.topic,
        output.key,
        output.partition,
        output.decision,
        provider.calls,
    )
    failed = given_up(output)
    assert ("answer_gone", "permanent", 2, NOW_MS) == (
        failed.failure.kind,
        failed.disposition,
        failed.attempts,
        failed.failed_ms,
    )


@pytest.mark.parametrize("step_ms", [0, 1, HOUR_MS])
def test_record_of_a_marker_redelivered_gives_equal_outputs_and_writes_it_again(step_ms: int) -> None:
    scope, stage = FakeScope(), infer.stage(Answering())
    marked(assembled(), scope)
    before = dict(scope.rows)

    first = run(stage, lane(assembled()), scope)
    scope.now_ms += step_ms
    again = run(stage, lane(assembled()), scope)

    assert (first, before) == (again, scope.rows)
    assert [Keys.of(assembled()).answer] * 2 == scope.table.puts


def test_marker_stands_above_a_deadline_that_has_passed() -> None:
    """B68: it was paid for."""
    scope, message = FakeScope(), assembled(deadline_ms=NOW_MS - 1)
    marked(message, scope)

    (output,) = run(infer.stage(Answering()), lane(message), scope)

    assert ("failed", "answer_gone") == (given_up(output).outcome, given_up(output).failure.kind)


def test_twin_of_a_request_whose_answer_is_gone_calls_nobody_either() -> None:
    scope, provider = FakeScope(), Answering()
    marked(assembled(), scope)

    (output,) = run(infer.stage(provider), lane(assembled(id="twin", identity="ef" * 32)), scope)

    assert ("twin", "answer_gone", []) == (given_up(output).id, given_up(output).failure.kind, provider.calls)


def test_request_of_another_epoch_is_called_for() -> None:
    """A redrive is a request of its own."""
    scope, provider = FakeScope(), Answering()
    marked(assembled(), scope)

    (output,) = run(infer.stage(provider), lane(assembled(epoch="prompts/3/99")), scope)

    assert (INFERRED, 1) == (output.topic, len(provider.calls))


def test_marker_forgets_the_way_of_its_request() -> None:
    scope, stage = FakeScope(), served(failing(LIMITED, None), FakeScope())
    (away,) = run(stage, lane(assembled()), scope)
    marked(assembled(), scope)

    run(stage, returned(away), scope)

    assert [Keys.of(assembled()).answer] == list(scope.rows)


@pytest.mark.parametrize(
    ("script", "calls"), [((None,), 1), ((AWAY, None), 2), ((AWAY, AWAY, AWAY, None), 4), ((AWAY,), 4), ((DENIED,), 1)]
)
def test_marker_counts_the_calls_that_were_made(script: tuple[WorkerError | None, ...], calls: int) -> None:
    scope, provider = FakeScope(), failing(*script)
    stage = served(provider, scope)
    run(stage, lane(assembled()), scope)

    row = stored(scope, assembled())

    assert (calls, calls) == (len(provider.calls), row.calls if row else None)


@pytest.mark.parametrize(("now_ms", "ms"), [(NOW_MS + 9, NOW_MS + 9), (NOW_MS - HOUR_MS, NOW_MS)])
def test_row_is_no_older_than_its_record_however_wrong_the_clock_is(now_ms: int, ms: int) -> None:
    """F16."""
    scope = FakeScope(now_ms=now_ms)

    run(infer.stage(Answering()), lane(assembled()), scope)

    row = stored(scope, assembled())
    assert ms == (row.ms if row else None)


def test_row_that_was_used_again_is_young_again() -> None:
    """Its record was not acknowledged, and may come once more."""
    scope, stage = FakeScope(), infer.stage(Answering())
    first = run(stage, lane(assembled()), scope)
    scope.now_ms += 2 * HOUR_MS

    again = run(stage, lane(assembled()), scope)
    passed(stage, scope, 3 * HOUR_MS - 1)

    row = stored(scope, assembled())
    assert (first, INFERRED, NOW_MS + 2 * HOUR_MS) == (again, *((row.word, row.ms) if row else ()))


def test_record_left_by_a_dead_worker_is_answered_before_its_row_is_thinned() -> None:
    """Hours later, with a record of another lane in front of it."""
    scope, provider = FakeScope(), Answering()
    (first,) = run(infer.stage(provider), lane(assembled(), offset=7), scope)
    scope.made.clear()
    scope.now_ms = NOW_MS + 2 * HOUR_MS
    revived = infer.stage(provider)

    run(revived, later(1, 2 * HOUR_MS, ASSEMBLED["critical"]), scope)
    (again,) = run(revived, lane(assembled(), offset=7), scope)

    assert first == again


def test_rows_are_thinned_after_the_outcome_of_the_record_is_safe() -> None:
    """Who waits for an answer does not wait for that."""
    scope, stage, newer = FakeScope(), infer.stage(Answering()), later(8, HOUR_MS)
    run(stage, lane(assembled()), scope)
    run(stage, newer, scope)

    at_last = rows.unpack(scope.settled_with[-1][Keys.of(assembled()).answer])

    row = stored(scope, assembled())
    assert (INFERRED, rows.GONE) == (at_last.word, row.word if row else None)


def test_first_look_at_a_partition_begins_at_the_record_at_hand() -> None:
    """Else one that moves often would be looked at in front alone."""
    scope, begun = FakeScope(), list[bytes | None]()
    scope.table.items = lambda after=None: iter(begun.append(after) or ())  # type: ignore[method-assign, func-returns-value]  # it only notes

    run(infer.stage(Answering()), lane(assembled()), scope)

    assert [Keys.of(assembled()).answer, None] == begun


def test_record_of_the_same_second_reads_no_row_of_others() -> None:
    scope, stage = FakeScope(), infer.stage(Answering())
    run(stage, lane(assembled()), scope)
    marked(assembled(), scope)
    scope.table.items = None  # type: ignore[assignment]  # nobody asks

    (output,) = run(stage, later(8, thinning.EVERY_MS - 1), scope)

    assert INFERRED == output.topic
