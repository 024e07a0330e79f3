"""Seeded faults: is every prompt answered once and paid for once, whatever three faults a seed draws?

    .venv/bin/python -m tests.chaos.seeds [--seeds 4] [--first 1] [--busy-s 45] [--long] [--only kill,stop] [--stock]

A seed is a pipeline of its own: broker, provider, two workers, a steady load, three faults while it is busy. One line a
seed; at the end how often each fault was played, what came to pass, and a summary. ``--beside`` plays so many seeds at
once. ``--stock`` runs a stock Faust agent under the same driver: it must be red, or the driver proves nothing. Exit 1
when a bar is missed. F16 needs no root here: a worker's clock is set wrong inside it.
"""

import argparse
import asyncio
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from streams.drill import outcome, run, site
from streams.drill.crew import DrillFailed
from streams.drill.drills import Drill, request
from streams.drill.faults import FAULTS
from streams.drill.outcome import Outcome
from streams.drill.plan import draw
from tests.support.far_faults import FAR, distant
from tests.support.stock_hands import StockHands
from tests.support.tree import ROOT

KNOWN = {**FAULTS, **FAR}
DRAWN = tuple(sorted(set(KNOWN) - {"kill-caller"}))  # that one belongs to the drill of twins
CONTROL = ("kill", "kill", "kill")
SHORT = Drill("seed", "three faults", (), calls_s=1.0, long_s=6.0, rate=20.0, busy_s=45.0, hold_s=8.0, drain_s=180.0)
LONG = replace(SHORT, calls_s=8.0, long_s=20.0, rate=15.0, busy_s=120.0, hold_s=12.0)


class StockDrill(Drill):
    """What a stock agent is asked: it sleeps by the length of the words, one in four for five seconds."""

    def asked(self, number: int) -> bytes:
        return request(f"drill-{number}", f"{number} " + "x" * (20_000 if number % 4 == 3 else 1000))


def stock_drill(busy_s: float) -> Drill:
    """Kills under load, and half a minute for what is left."""
    return StockDrill("control", "workers are killed while they call", CONTROL, rate=15.0, busy_s=busy_s, drain_s=30.0)


def drill_of(seed: int, asked: argparse.Namespace) -> Drill:
    """The drill of a seed: a profile, and what it draws."""
    profile = LONG if asked.long else SHORT
    busy_s = asked.busy_s or profile.busy_s
    if asked.stock:
        return stock_drill(busy_s)
    names = asked.only.split(",") if asked.only else DRAWN
    faults = tuple(planned.fault for planned in draw(seed, names, busy_s))
    return replace(profile, faults=faults, busy_s=busy_s)


def played(seed: int, asked: argparse.Namespace, directory: Path) -> Outcome:
    """One seed on a broker of its own. A run that could not be held counts as red."""
    drill, began = drill_of(seed, asked), time.monotonic()

    def say(line: str) -> None:
        if asked.verbose:
            print(f"  {time.monotonic() - began:6.1f} s  {line}", flush=True)

    with distant(directory) as broker:
        starter = StockHands if asked.stock else site.hands
        try:
            return asyncio.run(run.hold(drill, broker, directory, say, seed=seed, known=KNOWN, starter=starter))
        except (DrillFailed, AssertionError) as failed:
            return Outcome(drill.faults, 1, wrong={"failed": (str(failed),)}, seed=seed)


def alone(asked: argparse.Namespace, seed: int) -> tuple[Outcome, Path]:
    """One seed in a directory of its own; that is kept where it is red."""
    directory = Path(tempfile.mkdtemp(prefix=f"seed-{seed}-"))
    found = played(seed, asked, directory)
    if found.green or asked.stock:
        shutil.rmtree(directory, ignore_errors=True)
    return found, directory


def every(asked: argparse.Namespace) -> Iterator[Outcome]:
    seeds = range(asked.first, asked.first + asked.seeds)
    with ProcessPoolExecutor(asked.beside, multiprocessing.get_context("spawn")) as pool:
        for found, directory in pool.map(partial(alone, asked), seeds):
            print(found.line(), flush=True)
            if directory.exists():
                print(f"  kept in {directory}", flush=True)
            yield found


def closing(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What stands under the lines of the seeds."""
    yield "faults played:"
    yield from outcome.coverage(outcomes, {name: KNOWN[name].number for name in DRAWN})
    if reached := outcome.reach(outcomes):
        yield "came to pass: " + ", ".join(f"{word} {count}" for word, count in sorted(reached.items()))
    yield outcome.summary(outcomes)


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.seeds", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--beside", type=int, default=1, help="so many seeds at once; their lines come in order")
    parser.add_argument("--busy-s", type=float, default=None)
    parser.add_argument("--long", action="store_true", help="calls of 8 s, one of 20 of 20 s, 120 s busy")
    parser.add_argument("--only", help="draw from these faults only")
    parser.add_argument("--stock", action="store_true", help="a stock Faust agent instead, under kills")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    asked = arguments(given)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    outcomes = list(every(asked))
    if not asked.stock:
        print("\n".join(closing(outcomes)), flush=True)
    green = all(found.green for found in outcomes)
    if asked.stock:
        lost = sum(found.requests - found.answers for found in outcomes)
        print(f"the control lost {lost}, as it must" if lost else "THE CONTROL LOST NOTHING: the driver proves nothing")
        return 0 if lost and not green else 1
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
