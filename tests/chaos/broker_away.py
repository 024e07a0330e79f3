"""Broker away: do workers come back by themselves when the only broker was frozen or dead for a while?

    .venv/bin/python -m tests.chaos.broker_away [--seconds 40] [--how pause|kill] [--workers 2] [--rate 20]

Prompts are published meanwhile by a client that is as patient. Bars: nothing lost, no call repeated, every worker is
the process that it was, and answers flow within 60 s of the broker's return. Exit 1 when a bar is missed.
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
from tests.support.steady import Outcome

AROUND_S, BACK_S = 10.0, 60.0


@dataclass(frozen=True)
class Away:
    """From when to when nobody answered, epoch seconds."""

    gone_s: float
    back_s: float


async def taken(broker: EmbeddedKafka, how: str, seconds: float) -> Away:
    """Takes the broker away and brings it back."""
    gone_s = time.time()
    broker.pause() if how == "pause" else await asyncio.to_thread(broker.kill)
    await asyncio.sleep(seconds)  # why: the length of the outage
    broker.unpause() if how == "pause" else await asyncio.to_thread(broker.start)
    return Away(gone_s, time.time())


async def suffered(line: Line, broker: EmbeddedKafka, asked: argparse.Namespace) -> tuple[steady.Load, Away]:
    async with steady.fed(line, asked.rate) as load:
        await asyncio.sleep(AROUND_S)  # why: load before the outage
        away = await taken(broker, asked.how, asked.seconds)
        print(f"  away for {away.back_s - away.gone_s:.1f} s", flush=True)
        await asyncio.sleep(AROUND_S * 2)  # why: load after it
    return load, away


def play(broker: EmbeddedKafka, directory: Path, asked: argparse.Namespace) -> tuple[Outcome, Away, list[bool]]:
    line = Line(broker.bootstrap_servers, partitions=8)
    with steady.at_work(line, directory, asked.workers, nonce=True, delay_s=0.5) as workers:
        load, away = asyncio.run(suffered(line, broker, asked))
        outcome = asyncio.run(steady.outcome(line, load, steady.calls_of(directory), within_s=180))
        alive = [worker.alive for worker in workers]
        _stopped(workers)
    return outcome, away, alive


def _stopped(workers: list[RunningWorker]) -> None:
    for worker in workers:
        if worker.alive:
            worker.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--how", choices=("pause", "kill"), default="pause")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=20.0)
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="broker-away-"))
    print(f"{asked.how} for {asked.seconds:.0f} s, logs in {directory}", flush=True)
    with EmbeddedKafka(directory / "kafka") as broker:
        outcome, away, alive = play(broker, directory, asked)
    back = steady.first_after(outcome.told, away.back_s)
    said = "none" if back is None else f"{back:.1f} s"
    print(
        "\n".join(
            [*outcome.lines(), f"first answer after the return: {said}  workers that needed help: {alive.count(False)}"]
        )
    )
    good = outcome.clean and all(alive) and back is not None and back <= BACK_S
    print("GREEN" if good else "RED")
    return 0 if good else 1


if __name__ == "__main__":
    os.environ.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    sys.exit(main())
