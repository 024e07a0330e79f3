"""Rolling restart: does anybody notice when all workers are restarted one by one under load?

    .venv/bin/python -m tests.chaos.rolling [--workers 3] [--rate 40] [--rounds 1]

Static membership, SIGTERM, started again at once. Bars: nothing lost, no call repeated; requests on partitions of the
other workers wait at most 1.5 s; P99 of those on the restarted one's at most three times that of the quiet time before.
Exit 1 when a bar is missed.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from streams.local.kafka import EmbeddedKafka
from tests.support import steady
from tests.support.running import Line, RunningWorker
from tests.support.steady import Outcome, during, part

QUIET_S, BETWEEN_S = 12.0, 8.0
PAUSE_S, TIMES = 1.5, 3.0


@dataclass(frozen=True)
class Restart:
    """One restart: whose partitions, from when to when."""

    slot: int
    partitions: frozenset[int]
    down_s: float
    ready_s: float


@dataclass(frozen=True)
class Seen:
    """A restart as the requests saw it: the quiet time's P99, that of the restarted worker's, the others' worst."""

    restart: Restart
    before_s: float
    own_s: float
    others_s: float

    @property
    def line(self) -> str:
        gone = self.restart.ready_s - self.restart.down_s
        return (
            f"worker {self.restart.slot} away {gone:.1f} s: its partitions P99 {self.own_s:.2f} s"
            f" ({self.own_s / max(self.before_s, 0.001):.1f} × {self.before_s:.2f} s),"
            f" others' worst {self.others_s:.2f} s"
        )

    @property
    def good(self) -> bool:
        return self.others_s <= PAUSE_S and self.own_s <= TIMES * self.before_s


def looked_at(outcome: Outcome, restart: Restart, quiet: tuple[float, float]) -> Seen:
    """A request is the restarted worker's where one of its partitions is."""
    near = during(outcome.told, restart.down_s - 1, restart.ready_s + BETWEEN_S)
    own = [one for one in outcome.told if one.partitions & restart.partitions]
    others = [one.took_s for one in near if not one.partitions & restart.partitions]
    own_near = [one for one in near if one.partitions & restart.partitions]
    return Seen(restart, part(during(own, *quiet), 0.99), part(own_near, 0.99), max(others, default=0.0))


async def restarted(worker: RunningWorker, slot: int) -> Restart:
    """Its successor waits for its place, it is asked to end, and the other one is ready."""
    partitions = steady.owned(worker)
    down_s, code = await asyncio.to_thread(worker.replaced)
    if code != 0:
        raise RuntimeError(f"worker {slot} ended with {code}")
    await asyncio.to_thread(worker.ready)
    return Restart(slot, partitions, down_s, time.time())


async def rolled(
    line: Line, workers: list[RunningWorker], rate: float, rounds: int
) -> tuple[steady.Load, list[Restart], tuple[float, float]]:
    """All workers one by one, ``rounds`` times; the quiet time comes first."""
    restarts: list[Restart] = []
    async with steady.fed(line, rate) as load:
        await asyncio.sleep(QUIET_S / 2)  # why: the first records warm everything up
        quiet_s = time.time()
        await asyncio.sleep(QUIET_S)  # why: the quiet time that is compared with
        quiet = (quiet_s, time.time())
        for _ in range(rounds):
            for slot, worker in enumerate(workers):
                restarts.append(await restarted(worker, slot))
                print(f"  restarted worker {slot}", flush=True)
                await asyncio.sleep(BETWEEN_S)  # why: load between two restarts
    return load, restarts, quiet


def play(line: Line, directory: Path, asked: argparse.Namespace) -> tuple[Outcome, list[Seen]]:
    with steady.at_work(line, directory, asked.workers, nonce=True, delay_s=asked.delay) as workers:
        load, restarts, quiet = asyncio.run(rolled(line, workers, asked.rate, asked.rounds))
        outcome = asyncio.run(steady.outcome(line, load, steady.calls_of(directory)))
    return outcome, [looked_at(outcome, restart, quiet) for restart in restarts]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.2, help="seconds of a call")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="rolling-"))
    print(f"logs in {directory}", flush=True)
    with EmbeddedKafka(directory / "kafka") as broker:
        outcome, seen = play(Line(broker.bootstrap_servers, partitions=8), directory, asked)
    print("\n".join([*outcome.lines(), *(one.line for one in seen)]))
    good = outcome.clean and all(one.good for one in seen)
    print("GREEN" if good else "RED")
    return 0 if good else 1


if __name__ == "__main__":
    os.environ.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    sys.exit(main())
