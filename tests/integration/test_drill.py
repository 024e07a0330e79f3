"""The drills as people run them, the control that must be red, and what a drill leaves behind: nothing."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.drill import run
from tests.chaos import seeds
from tests.support.far_faults import distant
from tests.support.stock_hands import StockHands
from tests.support.tree import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.chaos]

WITHIN_S = 180.0  # on a loaded machine; alone it is a minute


def drilled(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`streams drill …` with a home of its own, so that what it leaves behind is seen."""
    (directory / "tmp").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(directory / "tmp"), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "streams", "drill", *arguments, "-o", "json"]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )


def running_below(directory: Path) -> list[str]:
    """Processes that have this directory in their command."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in command:
            found.append(command)
    return found


def test_crash_drill_is_green_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """F1, I1, I2, I3, I5: as a user runs it."""
    ran = drilled(tmp_path, "crash", "--seconds", "12")
    figures = json.loads(ran.stdout)

    assert (0, "green", 0) == (ran.returncode, figures["verdict"], figures["lost"]), ran.stderr
    assert figures["requests"] == figures["answers"] > 300
    assert figures["repeats"] <= figures["repeats_allowed"]
    assert [] == list((tmp_path / "tmp").iterdir())
    assert [] == running_below(tmp_path)


def test_twins_drill_pays_for_two_calls_at_most(tmp_path: Path) -> None:
    """F1, B25, I5: a thousand equal prompts, the calling worker killed."""
    ran = drilled(tmp_path, "twins")
    figures = json.loads(ran.stdout)

    assert (0, "green") == (ran.returncode, figures["verdict"]), ran.stderr
    assert figures["answers"] >= 900
    assert 1 <= figures["calls"] <= 2


def test_interrupted_drill_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    command = [sys.executable, "-m", "streams", "drill", "rebalance"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "workers are ready" not in process.stderr.readline():
            assert process.poll() is None
        process.terminate()
        process.stderr.read()
        code = process.wait(60)

    assert 130 == code
    assert [] == list((tmp_path / "tmp").iterdir())
    assert [] == running_below(tmp_path)


def test_stock_agent_under_the_same_drill_is_red_and_loses_prompts(tmp_path: Path) -> None:
    """The control: a driver that cannot fail proves nothing. Red each time; whether a kill loses any is a matter of
    where it falls, so there are a few rounds."""
    drill, lost = seeds.stock_drill(busy_s=20.0), 0
    for seed in range(1, 6):
        (directory := tmp_path / str(seed)).mkdir()
        with distant(directory) as broker:
            outcome = asyncio.run(run.hold(drill, broker, directory, lambda _: None, seed=seed, starter=StockHands))
        assert not outcome.green
        lost += outcome.requests - outcome.answers
        if lost:
            break

    assert lost


def test_rebalance_drill_is_green_within_two_minutes(tmp_path: Path) -> None:
    """F4, F5, I1, I2, I5: a spare worker comes and goes, another one sleeps past its session."""
    began = time.monotonic()
    ran = drilled(tmp_path, "rebalance", "--seconds", "10")

    assert (0, "green") == (ran.returncode, json.loads(ran.stdout)["verdict"]), ran.stderr
    assert time.monotonic() - began < WITHIN_S * 2 / 3
