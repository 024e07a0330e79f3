"""With a stage unplugged, nothing is lost: what it would have handled waits before it."""

import asyncio

import pytest

from streams.pipeline import Parts, compose
from streams.stage import Stage
from streams.testing import Pipeline
from topics.catalog import ADMITTED, PROMPTS, RESULTS

STAGES = ("dedup", "retrieve", "assemble", "infer", "refine", "deliver")


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


@pytest.mark.parametrize("name", STAGES)
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
