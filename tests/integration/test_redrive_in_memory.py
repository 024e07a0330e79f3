"""The way of a request through death and back, in memory: lineage end to end, and what changes without each part."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from streams.client import redrive
from streams.client.redrive import Done
from streams.decisions import edits
from streams.decisions import redrive as decide
from streams.decisions.burial import told
from streams.pipeline import Nowhere, compose
from streams.stage import Headers
from streams.testing import Pipeline
from tests.support.letters import a_run, note, planned, redriven
from tests.support.memory_door import MemoryDoor
from topics import wire
from topics.catalog import ADMITTED, DEAD_LETTERS, DEDUPED, LETTERS, PROMPTS, RESULTS
from topics.errors import PromptTooLong
from topics.messages import Admitted

ASKED = {"id": "a-1", "prompt": "hello", "metadata": {"row": 7}}
LATER_MS = 2_000_000_000_000


def down(pipeline: Pipeline, times: int) -> None:
    """The next requests fail for good, whatever retries there are."""
    pipeline.fail("assemble", PromptTooLong("default", 9, 1), times)


async def buried(pipeline: Pipeline, *requests: Any) -> MemoryDoor:
    """Each of the requests has its dead letter."""
    down(pipeline, len(requests))
    for number, request in enumerate(requests):
        await pipeline.submit(request, key=b"k%d" % number, headers=(("traceparent", b"00-1"),))
    await pipeline.settle()
    return MemoryDoor(pipeline)


async def again(door: MemoryDoor, name: str = "r-1", **asked: Any) -> Done:
    """One run of redriving, and all that comes of it."""
    done = await redriven(door, a_run(name), door.pipeline.clock.now_ms(), **asked)
    await door.pipeline.settle()
    return done


def lineages(pipeline: Pipeline, topic: str = DEAD_LETTERS) -> list[str]:
    return sorted(told(record.headers)["lineage"] for record in pipeline.records(topic))


def statuses(pipeline: Pipeline) -> list[tuple[str, str]]:
    return [(answer.id, answer.status) for answer in pipeline.answers()]


def test_redriven_request_is_answered_under_its_id() -> None:
    """B78: the request that died is answered; its first answer stands beside."""
    pipeline = Pipeline()

    async def story() -> None:
        await again(await buried(pipeline, ASKED))

    asyncio.run(story())
    assert [("a-1", "failed"), ("a-1", "completed")] == statuses(pipeline)
    assert {"row": 7} == pipeline.answers()[1].metadata


def test_redriven_request_is_known_by_its_lineage_on_every_hop() -> None:
    pipeline = Pipeline()

    async def story() -> None:
        await again(await buried(pipeline, ASKED))

    asyncio.run(story())
    for topic in (ADMITTED, DEDUPED, RESULTS):
        assert [None, b"1"] == [record.header("prompts.lineage") for record in pipeline.records(topic)]
    assert [0, 1] == [wire.decode(record.value, Admitted).lineage for record in pipeline.records(ADMITTED)]


def test_redriven_request_keeps_its_trace() -> None:
    pipeline = Pipeline()

    async def story() -> None:
        await again(await buried(pipeline, ASKED))

    asyncio.run(story())
    assert [b"00-1"] * 2 == [record.header("traceparent") for record in pipeline.records(RESULTS)]


def test_redriven_request_that_fails_again_is_back_with_its_lineage() -> None:
    """B80."""
    pipeline = Pipeline()

    async def story() -> None:
        door = await buried(pipeline, ASKED)
        for number in range(3):
            down(pipeline, 1)
            await again(door, f"r-{number}")

    asyncio.run(story())
    assert ["0", "1", "2", "3"] == lineages(pipeline)


def test_redriven_request_that_came_back_too_often_is_held() -> None:
    """B80."""
    pipeline = Pipeline()

    async def story() -> list[Done]:
        door = await buried(pipeline, ASKED)
        down(pipeline, 2)
        return [await again(door, f"r-{number}", max_lineage=2, force=number == 3) for number in range(4)]

    runs = asyncio.run(story())
    assert [Done(1), Done(1), Done(0)] == runs[:3]
    assert "completed" == pipeline.answers()[-1].status


def test_redriven_request_costs_a_call_of_its_own() -> None:
    """What failed is remembered for those who asked then, and for nobody after."""
    pipeline = Pipeline()

    async def story() -> None:
        await again(await buried(pipeline, ASKED))

    asyncio.run(story())
    assert (1, "provider") == (pipeline.answers()[1].attempts, pipeline.answers()[1].source)


def test_redrive_repeated_by_a_plain_producer_is_the_same_request() -> None:
    """F21: should a prompt be there twice after all, it is one request with one answer."""
    pipeline = Pipeline()

    async def story() -> None:
        await again(await buried(pipeline, ASKED))
        copy = pipeline.records(PROMPTS)[-1]
        await pipeline.submit(copy.value, copy.key, copy.headers)
        await pipeline.settle()

    asyncio.run(story())
    _, first, second = [record.value for record in pipeline.records(RESULTS)]
    assert first == second


def test_undecodable_bytes_are_answered_after_a_change_under_the_id_that_they_had() -> None:
    pipeline = Pipeline()

    async def story() -> None:
        await pipeline.submit(b"{ no request")
        await pipeline.settle()
        await again(MemoryDoor(pipeline), edits=(edits.parse('prompt="hi"'),))

    asyncio.run(story())
    first, second = pipeline.answers()
    assert (first.id, "rejected", "completed") == (second.id, first.status, second.status)


def test_changed_request_runs_with_its_change() -> None:
    pipeline = Pipeline()

    async def story() -> None:
        await again(await buried(pipeline, ASKED), edits=(edits.parse('prompt="hello again"'),))

    asyncio.run(story())
    assert "echo: hello again" == pipeline.answers()[1].text


def test_redriven_request_with_a_timeout_of_its_own_has_it_from_now_on() -> None:
    """B78."""
    pipeline = Pipeline()

    async def story() -> None:
        door = await buried(pipeline, {**ASKED, "timeout_s": 60})
        await pipeline.advance(3600)
        await again(door)

    asyncio.run(story())
    assert "completed" == pipeline.answers()[-1].status


def test_live_requests_beside_a_redrive_are_answered_as_ever() -> None:
    """F21."""
    pipeline = Pipeline()

    async def live(number: int) -> None:
        await pipeline.submit({"id": f"live-{number}", "prompt": f"live {number}"})
        await pipeline.settle()

    async def story() -> None:
        door = await buried(pipeline, *({"id": f"a-{number}", "prompt": f"p {number}"} for number in range(20)))
        await asyncio.gather(again(door), *(live(number) for number in range(20)))

    asyncio.run(story())
    completed = [answer.id for answer in pipeline.answers() if answer.status == "completed"]
    assert sorted([*(f"a-{n}" for n in range(20)), *(f"live-{n}" for n in range(20))]) == sorted(completed)


def test_discarded_request_is_not_run() -> None:
    pipeline = Pipeline()

    async def story() -> Done:
        door = await buried(pipeline, ASKED)
        found = await planned(door, judge=decide.discard)
        await redrive.discard(door, found.steps, a_run())
        return await again(door)

    assert (Done(0), [("a-1", "failed")]) == (asyncio.run(story()), statuses(pipeline))


# -- unplugged: what must change without each part


@dataclass(frozen=True)
class Deafened(MemoryDoor):
    """A door that leaves some headers out of what is sent."""

    without: frozenset[str] = frozenset()

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Any:
        return await super().send(topic, key, value, tuple(pair for pair in headers if pair[0] not in self.without))


THREE = frozenset({"prompts.lineage", "prompts.request-id", "prompts.dead-letter"})


def whole(pipeline: Pipeline) -> MemoryDoor:
    return MemoryDoor(pipeline)


def without_claim(pipeline: Pipeline) -> MemoryDoor:
    return Deafened(pipeline, without=THREE)


def blind(parts: Any) -> Any:
    """A door that cannot read dead letters back, in a pipeline that still buries."""
    stages = compose(replace(parts, originals=Nowhere()))
    return [stage if stage.name != "bury" else kept for stage, kept in zip(stages, compose(parts), strict=True)]


@pytest.mark.parametrize(
    ("wired", "door", "status"),
    [(compose, whole, "completed"), (blind, whole, "rejected"), (compose, without_claim, "failed")],
)
def test_part_unplugged_changes_what_becomes_of_a_redriven_request(
    wired: Any, door: Callable[[Pipeline], MemoryDoor], status: str
) -> None:
    """Without the dead letter read back the claim is refused; without the claim it is the request that failed."""
    pipeline = Pipeline(wired=wired)

    async def story() -> None:
        await buried(pipeline, ASKED)
        await again(door(pipeline))

    asyncio.run(story())
    assert status == pipeline.answers()[-1].status


def test_notes_unplugged_let_a_second_run_send_everything_again() -> None:
    """That nothing is sent twice is the work of the topic of notes."""
    pipeline = Pipeline()

    async def story() -> tuple[Done, Done]:
        door = await buried(pipeline, ASKED)
        await again(door)
        with_notes = await again(door, "r-2")
        for partition in pipeline.log.topics[LETTERS]:
            partition.clear()
        return with_notes, await again(door, "r-3")

    assert (Done(0), Done(1)) == asyncio.run(story())


def test_claim_of_a_killed_run_is_over_after_its_time() -> None:
    pipeline = Pipeline()

    async def story() -> Done:
        door = await buried(pipeline, ASKED)
        [letter] = pipeline.records(DEAD_LETTERS)
        pipeline.write(LETTERS, wire.encode(note(letter=letter.at, run="r-0")), letter.at.encode())
        await pipeline.advance(61)
        return await again(door)

    assert Done(1) == asyncio.run(story())
