"""Old and new workers side by side, restarts under load, and requests that outlive what is kept of them."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.clock import HandClock
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.decisions.limits import AdmissionPolicy
from streams.decisions.retention import keep_ms
from streams.pipeline import Nowhere, Parts, compose
from streams.ports import Call
from streams.stage import Stage
from streams.testing import Pipeline
from tests.support.brokers import Broker
from tests.support.builders import reply
from tests.support.loops import in_loop
from tests.support.newer_worker import NEWS, newer
from tests.support.running import Line, RunningWorker, request, running
from topics.catalog import (
    ADMITTED,
    ASSEMBLED,
    DEAD_LETTERS,
    DEDUPED,
    FAILED,
    INFERRED,
    PARKED,
    REFINED,
    RESULTS,
    RETRIEVED,
    Names,
)
from topics.provider_errors import ProviderRateLimited, ProviderRefused

LANE = ASSEMBLED["normal"]
PASSED = (ADMITTED, DEDUPED, RETRIEVED, LANE)


class Provider:
    """Asks each request to come back in half a minute, once; then answers, or refuses what asks for it."""

    name = "echo"

    def __init__(self, waits: float | None = 30.0) -> None:
        self.waits, self.known = waits, set[str]()

    async def complete(self, call: Call) -> Any:
        if self.waits is not None and call.id not in self.known:
            self.known.add(call.id)
            raise ProviderRateLimited("echo", retry_after_s=self.waits)
        if "refuse" in str(call.messages):
            raise ProviderRefused("echo", status=422)
        return reply()


def upgraded(parts: Parts) -> Sequence[Stage]:
    """Today's stages behind a door of tomorrow; the prompts themselves are gone when somebody asks."""
    return newer(compose(replace(parts, originals=Nowhere())))


async def passed(prompt: str) -> Pipeline:
    pipeline = Pipeline(Provider(), wired=upgraded)
    await pipeline.submit({"id": "a-1", "prompt": prompt, "metadata": {"a": 1}})
    await pipeline.settle()
    return pipeline


def messages(pipeline: Pipeline, topic: str) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in pipeline.records(topic)]


def news(message: dict[str, Any]) -> dict[str, Any]:
    """What of a message is not of today."""
    return {
        "field": message.get("tomorrow"),
        "work": (message.get("work") or {}).get("tone"),
        "origin": message["origin"].get("rack"),
    }


@pytest.mark.parametrize("topic", [*PASSED, PARKED[1], INFERRED, REFINED])
@in_loop
async def test_fields_of_a_newer_worker_pass_every_stage_and_parking(topic: str) -> None:
    """F20: an old worker hands on what it does not know, at any depth."""
    found = messages(await passed("hello"), topic)

    assert found
    assert [NEWS] * len(found) == [news(message) for message in found]


@pytest.mark.parametrize("topic", [PARKED[1], FAILED])
@in_loop
async def test_fields_of_a_newer_worker_pass_into_a_failure(topic: str) -> None:
    """F20."""
    found = messages(await passed("refuse"), topic)

    assert [NEWS] == [news(message) for message in found]


@in_loop
async def test_dead_letter_made_of_the_request_has_the_words_of_a_newer_worker() -> None:
    """F20: where the prompt is gone, the request is buried as it was understood, the unknown part included."""
    [letter] = messages(await passed("refuse"), DEAD_LETTERS)

    assert {"id": "a-1", "metadata": {"a": 1}, "tone": NEWS["work"]} == {
        name: letter.get(name) for name in ("id", "metadata", "tone")
    }


@in_loop
async def test_request_answered_through_an_old_worker_is_answered_once() -> None:
    assert [("a-1", "completed")] == [(one.id, one.status) for one in (await passed("hello")).answers()]


# What outlives the retention

KEPT_S = keep_ms(100_000) / 1000  # of a retention of 100 s


def slow(calls: int = 1, keep_s: float = KEPT_S) -> Pipeline:
    """A pipeline whose provider takes an hour."""
    clock = HandClock()
    provider = EchoProvider(EchoPolicy(delay_s=3600), sleep=clock.sleep)
    return Pipeline(provider, clock=clock, admission=AdmissionPolicy(keep_s=keep_s), calls=calls)


async def ends(pipeline: Pipeline) -> dict[str, tuple[str, float]]:
    """Id → its status, and the second of its answer."""
    began_ms = pipeline.clock.now_ms()
    await pipeline.settle()
    told = zip(pipeline.answers(), pipeline.records(RESULTS), strict=True)
    return {one.id: (one.status, (record.timestamp_ms - began_ms) // 1000) for one, record in told}


@pytest.mark.parametrize(("timeout_s", "end_s"), [(None, 50), (20, 20), (80, 50)])
@in_loop
async def test_call_that_outlasts_what_is_kept_is_cut_and_its_request_expires(timeout_s, end_s: int) -> None:
    """B71: half of so short a retention before the prompt may go."""
    pipeline = slow()
    await pipeline.submit({"id": "a", "prompt": "hello"} | ({} if timeout_s is None else {"timeout_s": timeout_s}))

    assert {"a": ("expired", end_s)} == await ends(pipeline)


@in_loop
async def test_request_that_waits_before_the_call_for_too_long_expires_without_one() -> None:
    pipeline = slow(calls=1)
    for number in range(6):
        await pipeline.submit({"id": f"a-{number}", "prompt": f"hello {number}"})
    found = await ends(pipeline)

    assert {("expired", 50)} == set(found.values())
    assert (6, []) == (len(found), pipeline.records(DEAD_LETTERS))


@in_loop
async def test_request_that_would_be_tried_again_too_late_is_given_up_at_once() -> None:
    """B47: the provider asks for more time than there is; the prompt is there for its dead letter."""
    pipeline = Pipeline(Provider(10_000.0), admission=AdmissionPolicy(keep_s=KEPT_S))
    prompt = await pipeline.submit({"id": "a", "prompt": "hello"})
    found = await ends(pipeline)

    assert {"a": ("failed", 0)} == found
    assert [prompt.value] == [letter.value for letter in pipeline.records(DEAD_LETTERS)]


@in_loop
async def test_twin_of_an_expired_owner_has_its_own_end() -> None:
    """It came later, so its prompt is kept longer."""
    pipeline = slow(calls=8)
    await pipeline.submit({"id": "first", "prompt": "hello"})
    await pipeline.advance(20)
    await pipeline.submit({"id": "second", "prompt": "hello"})

    assert {"first": ("expired", 30), "second": ("expired", 50)} == await ends(pipeline)


# With a broker


def asked(id: str) -> bytes:
    return request(id, f"words of {id}")


def from_tomorrow(line: Line, directory: Path) -> RunningWorker:
    main = ("tests.support.newer_worker",)
    return RunningWorker(line, directory, apps=("core",), main=main, settings={"worker.slot": 1})


@pytest.mark.broker
@pytest.mark.chaos
def test_upgrade_with_records_in_flight_loses_no_field_and_no_request(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    """F20: a newer worker takes over from an old one under load; what it adds passes the old one's calls."""
    line = Line(broker.bootstrap_servers, names)
    before, after = [f"a-{number}" for number in range(40)], [f"b-{number}" for number in range(40)]
    with running(line, tmp_path / "old", delay_s=0.05) as old:
        asyncio.run(line.publish(*map(asked, before)))
        rising = from_tomorrow(line, tmp_path / "new").start()
        try:
            asyncio.run(line.publish(*map(asked, after[:20])))
            rising.ready()
            asyncio.run(line.publish(*map(asked, after[20:])))
            results = asyncio.run(line.results([*before, *after], within_s=60))
            calls = (old.calls.started, len(old.calls.identities))
            inferred = [json.loads(seen.value) for seen in asyncio.run(line.all(INFERRED))]
        finally:
            rising.kill()

    marked = [message for message in inferred if "tomorrow" in message]
    assert (80, 80, (80, 80)) == (len(results), len({seen.key for seen in results}), calls)
    assert [NEWS] * len(marked) == [news(message) for message in marked] != []
