"""Is every part of the running pipeline connected? Each is unplugged once, and what must change then does."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streams import pipeline
from streams.settings import Settings
from tests.support.loops import in_loop
from tests.support.running import Line, RunningWorker, eventually, request
from topics.catalog import DEAD_LETTERS, RESULTS

pytestmark = pytest.mark.broker

GOOD, BAD = "answered", "refused"
BOTH = {GOOD, BAD}
AT_ONCE = 3
APPS = {"infer": ("core", "park"), "bury": ("core", "infer")}  # roles that are left when an app has no stage any more

# What is answered, what is buried, and before whom records wait for ever when a part is unplugged.
Seen = tuple[set[str], set[str], dict[str, int]]
WHOLE: Seen = (BOTH, {BAD}, {})
UNPLUGGED: dict[str, Seen] = {
    "admit": (set(), set(), {"core:prompts": 2}),
    "dedup": ({BAD}, {BAD}, {"core:admitted": 1}),
    "retrieve": ({BAD}, {BAD}, {"core:deduped": 1}),
    "assemble": ({BAD}, {BAD}, {"core:retrieved": 1}),
    "infer": ({BAD}, {BAD}, {"infer:assembled.normal": 1}),
    "refine": ({BAD}, {BAD}, {"core:inferred": 1}),
    "deliver": (set(), {BAD}, {"core:refined": 1, "core:failed": 1}),
    "bury": (BOTH, set(), {"bury:failed": 1}),
}
UNASKED = {"breaker", "park"}  # two requests do not need them; what needs them is in `test_unplugged_parts`


async def probe(line: Line) -> Seen:
    """What came of a good request and of bytes that are none."""
    answers, letters = await line.all(RESULTS), await line.all(DEAD_LETTERS)
    answered = {GOOD if seen.key == GOOD.encode() else BAD for seen in answers}
    return answered, {BAD for _ in letters}, await line.waiting()


def main_without(part: str) -> tuple[str, ...]:
    return ("tests.support.unplugged_worker", part) if part else ("streams",)


async def outcome(brokers: str, directory: Path, part: str, turn: asyncio.Semaphore) -> object:
    """What the probe sees of a worker without that part; of a whole one where it is none."""
    expected = UNPLUGGED.get(part, WHOLE)
    line = Line(brokers)
    worker = RunningWorker(line, directory, main=main_without(part), apps=APPS.get(part, ("core", "infer", "park")))
    async with turn:
        await line.prepare()
        worker.start()
        try:
            await asyncio.to_thread(worker.ready)
            await line.publish(request(GOOD), b"{ no request")
            return await eventually(lambda: probe(line), expected)
        finally:
            worker.kill()


@pytest.fixture(scope="module")
def outcomes(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Part → what the probe saw without it; some workers at a time, each over topics of its own."""

    async def all_of_them() -> list[object]:
        turn, servers = asyncio.Semaphore(AT_ONCE), broker.bootstrap_servers
        home = tmp_path_factory.mktemp("unplugged")
        return await asyncio.gather(*(outcome(servers, home / (part or "whole"), part, turn) for part in parts))

    parts = [*UNPLUGGED, ""]
    return dict(zip(parts, asyncio.run(all_of_them()), strict=True))


@pytest.mark.parametrize("part", UNPLUGGED)
def test_pipeline_without_one_part_leaves_its_records_waiting(outcomes: dict[str, object], part: str) -> None:
    """Records wait before the missing part, nothing that lies behind it happens, and nothing is lost."""
    assert UNPLUGGED[part] == outcomes[part]


def test_complete_pipeline_passes_the_same_probe(outcomes: dict[str, object]) -> None:
    assert WHOLE == outcomes[""]


@pytest.mark.parametrize("static", ["true", "false"])
@in_loop
async def test_part_plugged_in_again_finishes_what_waited(broker: Any, tmp_path: Path, static: str) -> None:
    """A static member that subscribes to more than before is another member, else it would get its old assignment."""
    line, part, dynamic = Line(broker.bootstrap_servers), "assemble", {"worker.static_membership": static}
    await line.prepare()
    short = RunningWorker(line, tmp_path, main=main_without(part), settings=dynamic).start()
    short.ready()
    await line.publish(request(GOOD), b"{ no request")
    assert UNPLUGGED[part] == await eventually(lambda: probe(line), UNPLUGGED[part])
    short.stop()

    whole = RunningWorker(line, tmp_path, settings=dynamic).start()
    try:
        whole.ready()
        assert WHOLE == await eventually(lambda: probe(line), WHOLE)
    finally:
        whole.kill()


def test_every_stage_of_the_pipeline_has_a_row_here() -> None:
    """A part without a row does not land."""
    assert {stage.name for stage in pipeline.stages(Settings())} == {*UNPLUGGED, *UNASKED}
