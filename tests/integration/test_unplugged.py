"""Is every part of the running pipeline connected? Each is unplugged once, and what must change then does."""

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


async def probe(line: Line) -> Seen:
    """What came of a good request and of bytes that are none."""
    answers, letters = await line.all(RESULTS), await line.all(DEAD_LETTERS)
    answered = {GOOD if seen.key == GOOD.encode() else BAD for seen in answers}
    return answered, {BAD for _ in letters}, await line.waiting()


async def outcome(broker: Any, directory: Path, without: str, expected: Seen) -> object:
    line = Line(broker.bootstrap_servers)
    await line.prepare()
    worker = RunningWorker(line, directory, without=without, apps=APPS.get(without, ("core", "infer", "park"))).start()
    try:
        worker.ready()
        await line.publish(request(GOOD), b"{ no request")
        return await eventually(lambda: probe(line), expected)
    finally:
        worker.kill()


@pytest.mark.parametrize("part", UNPLUGGED)
@in_loop
async def test_pipeline_without_one_part_leaves_its_records_waiting(broker: Any, tmp_path: Path, part: str) -> None:
    """Records wait before the missing part, nothing that lies behind it happens, and nothing is lost."""
    assert UNPLUGGED[part] == await outcome(broker, tmp_path, part, UNPLUGGED[part])


@in_loop
async def test_complete_pipeline_passes_the_same_probe(broker: Any, tmp_path: Path) -> None:
    assert WHOLE == await outcome(broker, tmp_path, "", WHOLE)


@in_loop
async def test_part_plugged_in_again_finishes_what_waited(broker: Any, tmp_path: Path) -> None:
    line, part, dynamic = Line(broker.bootstrap_servers), "assemble", {"worker.static_membership": "false"}
    await line.prepare()
    short = RunningWorker(line, tmp_path, without=part, settings=dynamic).start()
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
    assert {stage.name for stage in pipeline.stages(Settings())} == set(UNPLUGGED)
