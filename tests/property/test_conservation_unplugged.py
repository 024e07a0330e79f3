"""Each stage has its task: with any one unplugged, a named outcome of the same run is another one."""

import asyncio
from collections.abc import Callable

import pytest

from streams.pipeline import Parts, compose
from streams.stage import Stage
from streams.testing import Pipeline
from topics.catalog import ADMITTED, ASSEMBLED, DEAD_LETTERS, DEDUPED, INFERRED, PROMPTS, REFINED, RESULTS, RETRIEVED

Outcome = Callable[[Pipeline], object]


def written(topic: str) -> Outcome:
    return lambda pipeline: len(pipeline.records(topic))


def statuses(pipeline: Pipeline) -> list[str]:
    return sorted(answer.status for answer in pipeline.answers())


PARTS: dict[str, tuple[Outcome, object, object]] = {
    "admit": (statuses, ["completed", "completed", "rejected", "rejected"], []),
    "dedup": (written(DEDUPED), 2, 0),
    "retrieve": (written(RETRIEVED), 2, 0),
    "assemble": (written(ASSEMBLED["low"]), 1, 0),
    "infer": (written(INFERRED), 2, 0),
    "refine": (written(REFINED), 2, 0),
    "deliver": (statuses, ["completed", "completed", "rejected", "rejected"], ["rejected"]),
    "bury": (written(DEAD_LETTERS), 1, 0),
}


def ran(without: str | None = None) -> Pipeline:
    def wired(parts: Parts) -> tuple[Stage, ...]:
        return tuple(stage for stage in compose(parts) if stage.name != without)

    pipeline = Pipeline(wired=wired)

    async def scenario() -> None:
        await pipeline.submit({"id": "a", "prompt": "hello"})
        await pipeline.submit({"id": "b", "prompt": "hello", "priority": "low"})
        await pipeline.submit({"id": "c", "unknown": 1})
        await pipeline.submit(b"{broken")
        await pipeline.settle()

    asyncio.run(scenario())
    return pipeline


@pytest.mark.parametrize("name", PARTS)
def test_stage_unplugged_changes_its_named_outcome(name: str) -> None:
    outcome, whole, without = PARTS[name]

    assert (whole, without) == (outcome(ran()), outcome(ran(name)))


def test_every_stage_of_the_pipeline_has_a_row() -> None:
    assert list(PARTS) == [stage.name for stage in ran().stages]


@pytest.mark.parametrize("name", sorted(set(PARTS) - {"admit", "bury"}))
def test_stage_unplugged_leaves_requests_waiting_and_not_lost(name: str) -> None:
    """B62."""
    pipeline = ran(name)

    assert (4, 2, 0) == (
        len(pipeline.records(PROMPTS)),
        len(pipeline.records(ADMITTED)),
        sum(answer.status == "completed" for answer in pipeline.answers()),
    )


def test_whole_run_answers_every_prompt_once() -> None:
    pipeline = ran()

    assert len(pipeline.records(PROMPTS)) == len(pipeline.records(RESULTS))
