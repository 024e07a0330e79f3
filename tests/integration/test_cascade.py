"""Providers that fail, in the whole pipeline in memory: who is asked instead, who waits, and who is never buried."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from streams.adapters.clock import START_MS, HandClock
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.decisions.cascade import Candidate
from streams.decisions.retry import RetryPolicy
from streams.ports import Call
from streams.testing import Pipeline
from topics import wire
from topics.answer import Answer
from topics.catalog import BREAKERS, DEAD_LETTERS, FAILED, INFERRED, PARKED, RESULTS
from topics.messages import Failed, Inferred, Reply
from topics.provider_errors import ContextTooLong, ProviderRateLimited, ProviderUnavailable, WorkerError

Fate = Callable[[Call, int], WorkerError | None]
ROUTES = {"default": (Candidate("small", "s"), Candidate("large", "l"))}
AWAY = ProviderUnavailable("small", status=503)


class Failing(EchoProvider):
    """Half a second a call; fails as ``fate`` says for a call and the seconds since the start."""

    def __init__(self, clock: HandClock, name: str, fate: Fate = lambda call, second: None) -> None:
        super().__init__(EchoPolicy(delay_s=0.5, nonce=True), sleep=clock.sleep)
        self._clock, self._name, self._fate, self._start_ms = clock, name, fate, clock.now_ms()
        self.asked = 0

    @property
    def name(self) -> str:
        return self._name

    async def complete(self, call: Call) -> Reply:
        self.asked += 1
        error = self._fate(call, (self._clock.now_ms() - self._start_ms) // 1000)
        if error is not None:
            raise error
        return (await super().complete(call)).model_copy(update={"provider": self._name})


def made(fate: Fate, **parts: Any) -> tuple[Pipeline, Failing, Failing]:
    """A pipeline of a small provider that fails, and a large one that does not."""
    clock = HandClock()
    small, large = Failing(clock, "small", fate), Failing(clock, "large")
    return Pipeline(small, clock=clock, providers={"large": large}, **parts), small, large


def told(pipeline: Pipeline, story: Callable[[], Awaitable[None]]) -> Mapping[str, Answer]:
    asyncio.run(story())  # type: ignore[arg-type]  # a coroutine function
    return {answer.id: answer for answer in pipeline.answers()}


def answered_ms(pipeline: Pipeline, id: str) -> int:
    return min(seen.timestamp_ms for seen in pipeline.records(RESULTS) if seen.key == id.encode()) - START_MS


def outage(until_s: int) -> Fate:
    return lambda call, second: AWAY if second < until_s else None


def test_candidate_whose_breaker_opens_is_passed_over_for_the_next() -> None:
    """B41: nobody waits for the one that is away."""
    pipeline, small, large = made(outage(10**9), routes=ROUTES)

    async def story() -> None:
        for number in range(30):
            await pipeline.submit({"id": f"r-{number}", "prompt": f"hello {number}"})
            await pipeline.advance(0.2)
        await pipeline.settle()

    answers = told(pipeline, story)

    assert {"completed"} == {answer.status for answer in answers.values()}
    assert 30 == large.asked > small.asked


def test_prompt_too_long_for_one_model_is_answered_by_a_larger_one() -> None:
    pipeline, _, _ = made(lambda call, second: ContextTooLong("small"), routes=ROUTES)

    async def story() -> None:
        await pipeline.submit({"id": "long", "prompt": "x" * 99})
        await pipeline.settle()

    answer = told(pipeline, story)["long"]

    assert ("completed", "large", 2) == (answer.status, answer.provider, answer.attempts)
    assert [] == pipeline.records(BREAKERS)


def test_outage_of_the_only_provider_buries_nothing() -> None:
    """I9, B41, B44: two minutes without an answer; all that came meanwhile is answered soon after."""
    pipeline, small, _ = made(outage(120))

    async def story() -> None:
        for number in range(100):
            await pipeline.submit({"id": f"r-{number}", "prompt": f"hello {number}"})
            await pipeline.advance(1)
        await pipeline.settle()

    answers = told(pipeline, story)

    assert (100, {"completed"}) == (len(answers), {answer.status for answer in answers.values()})
    assert [] == pipeline.records(DEAD_LETTERS)
    assert small.asked < 200


def test_attempts_of_all_answers_are_the_calls_that_were_made() -> None:
    """I5: with copies of everything, and workers that come and go."""
    pipeline, small, _ = made(outage(40))

    async def story() -> None:
        for number in range(12):
            await pipeline.submit({"id": f"r-{number}", "prompt": f"hello {number}"})
        for _ in range(8):
            await pipeline.advance(7.3)
            await pipeline.move(again=9)
        await pipeline.settle()

    told(pipeline, story)

    ends = {seen.value for seen in pipeline.records(INFERRED)}
    counted = sum(wire.decode(value, Inferred).reply.attempts for value in ends)
    assert counted <= small.asked <= counted + 12 * 8


def test_request_that_waits_for_its_provider_holds_up_no_other() -> None:
    """B49."""
    pipeline, _, _ = made(
        lambda call, second: (
            ProviderRateLimited("small", retry_after_s=60) if call.model == "busy" and second < 60 else None
        )
    )

    async def story() -> None:
        await pipeline.submit({"id": "waits", "prompt": "hello", "model": "busy"}, key=b"k")
        await pipeline.submit({"id": "flows", "prompt": "world"}, key=b"k")
        await pipeline.settle()

    answers = told(pipeline, story)

    assert ["completed", "completed"] == [answers["waits"].status, answers["flows"].status]
    assert (True, True) == (answered_ms(pipeline, "flows") < 2000, answered_ms(pipeline, "waits") >= 60_000)


@pytest.mark.parametrize("wait_s", [3, 40], ids=["in process", "parked"])
def test_worker_lost_during_a_wait_neither_forgets_nor_repeats_it(wait_s: float) -> None:
    """B50."""
    pipeline, small, _ = made(
        lambda call, second: ProviderRateLimited("small", retry_after_s=wait_s) if second < wait_s else None
    )

    async def story() -> None:
        await pipeline.submit({"id": "a", "prompt": "hello"})
        for _ in range(3):
            await pipeline.advance(0.8)
            await pipeline.move(again=5)
        await pipeline.settle()

    answer = told(pipeline, story)["a"]

    assert ("completed", 2, 2) == (answer.status, answer.attempts, small.asked)
    assert wait_s * 1000 <= answered_ms(pipeline, "a") < wait_s * 1000 + 6000


def test_owner_without_time_for_another_try_leaves_it_to_its_twin() -> None:
    """B12, B48: and its own answer stands, however often its record comes again."""
    pipeline, _, _ = made(lambda call, second: ProviderRateLimited("small", retry_after_s=60) if second < 60 else None)

    async def story() -> None:
        await pipeline.submit({"id": "hasty", "prompt": "hello", "timeout_s": 30})
        await pipeline.submit({"id": "patient", "prompt": "hello"})
        await pipeline.settle()
        await pipeline.move(again=99)
        await pipeline.settle()

    answers = told(pipeline, story)

    assert ("failed", "completed") == (answers["hasty"].status, answers["patient"].status)
    assert 1 == len({seen.value for seen in pipeline.records(RESULTS) if seen.key == b"hasty"})
    assert {"deadline"} == {wire.decode(seen.value, Failed).reason for seen in pipeline.records(FAILED)}


def test_exhausted_request_is_buried_with_its_cause() -> None:
    """B51, B75."""
    pipeline, small, _ = made(outage(10**9), retry=RetryPolicy(attempts=2, base_s=0.2))

    async def story() -> None:
        await pipeline.submit({"id": "a", "prompt": "hello"})
        await pipeline.settle()

    answer = told(pipeline, story)["a"]
    [letter] = pipeline.records(DEAD_LETTERS)

    assert ("failed", "stage_failure", 2, 2) == (
        answer.status,
        answer.error and answer.error.kind,
        answer.attempts,
        small.asked,
    )
    assert (b"provider_unavailable", b"exhausted") == (
        letter.header("prompts.error.cause"),
        letter.header("prompts.error.reason"),
    )


def test_deadline_in_an_outage_is_answered_expired() -> None:
    """B41: it waits for its provider as long as it may."""
    pipeline, _, _ = made(outage(10**9))

    async def story() -> None:
        for number in range(8):
            await pipeline.submit({"id": f"r-{number}", "prompt": f"hello {number}", "timeout_s": 300})
        await pipeline.settle()

    answers = told(pipeline, story)

    assert {"expired"} <= {answer.status for answer in answers.values()}
    assert 8 == len(answers)
    assert {seen.partition for tier in PARKED for seen in pipeline.records(tier)} <= {0, 1}
