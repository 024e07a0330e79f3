"""Does a worker's memory stay small and flat while its tables grow?

    .venv/bin/python -m benches.bench_memory [--seconds 600] [--rows 100000] [--rate 50] [--check]

Distinct prompts of 1 kB through the whole pipeline over 8 partitions: each leaves a row of about 1 kB in ``answers``
and one in ``requests``. First the tables are filled with ``rows`` prompts as fast as it goes, then prompts come at an
even rate for ``seconds``. RSS is sampled every five seconds; flat means that it does not drift upwards in that time.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benches.bench_pipeline import create, prompt, rss_mb, running
from streams.engine.cluster import Cluster
from streams.local.kafka import EmbeddedKafka
from topics.catalog import PROMPTS, RESULTS, Names

LIMIT_MB = 220
DRIFT_MB = 8.0  # above what the allocator's noise does
WAITING = 4_000  # prompts


@dataclass
class Load:
    """Prompts in, answers counted, RSS of the process sampled."""

    names: Names
    pid: int
    producer: AIOKafkaProducer
    consumer: AIOKafkaConsumer
    published: int = 0
    answered: int = 0
    samples: list[tuple[float, int]] = field(default_factory=list)

    async def publish(self, upto: int) -> None:
        """Publish as many in all, never more than can wait."""
        for number in range(self.published, min(upto, self.answered + WAITING)):
            identity, value = prompt(number)
            await self.producer.send(self.names.topic(PROMPTS), value, key=identity.encode())
            self.published = number + 1
        self.answered += sum(len(batch) for batch in (await self.consumer.getmany(timeout_ms=100)).values())
        if not self.samples or time.monotonic() - self.samples[-1][0] > 5:
            self.samples.append((time.monotonic(), rss_mb(self.pid)))

    async def until_answered(self, count: int) -> None:
        """As fast as it goes."""
        while self.answered < count:
            await self.publish(count)

    async def steady(self, rate: float, seconds: float) -> None:
        """Evenly."""
        start, before = time.monotonic(), self.published
        while (elapsed := time.monotonic() - start) < seconds:
            await self.publish(before + int(rate * elapsed))


async def loaded(brokers: str, names: Names, pid: int, asked: argparse.Namespace) -> tuple[Load, int]:
    """The load when it is over, and how many of its samples were taken while the tables were filled."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, max_batch_size=262_144)
    consumer = AIOKafkaConsumer(names.topic(RESULTS), bootstrap_servers=brokers, auto_offset_reset="earliest")
    async with producer, consumer:
        load = Load(names, pid, producer, consumer)
        await load.until_answered(asked.rows)
        filled = len(load.samples)
        await load.steady(asked.rate, asked.seconds)
    return load, filled


def drift_mb(samples: list[tuple[float, int]]) -> float:
    """How much RSS grew, by a straight line through its samples."""
    if len(samples) < 3:
        return 0.0
    slope, _ = statistics.linear_regression([at for at, _ in samples], [mb for _, mb in samples])
    return slope * (samples[-1][0] - samples[0][0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--check", action="store_true", help="exit 1 when over budget")
    asked = parser.parse_args()
    directory, names = Path(tempfile.mkdtemp(prefix="bench-memory-")), Names()
    with EmbeddedKafka(directory / "kafka") as broker:
        brokers = broker.bootstrap_servers
        asyncio.run(create(Cluster(brokers), names))
        command = [sys.executable, "-m", "streams", "worker", "-b", brokers, "--http-port", "0"]
        state = ["--state-dir", str(directory / "state")]
        with running([*command, *state], directory / "worker.log", Path(__file__).parent.parent) as process:
            load, filled = asyncio.run(loaded(brokers, names, process.pid, asked))
    start, steady = load.samples[0][0], load.samples[filled:]
    peak, drift = max(mb for _, mb in load.samples), drift_mb(steady)
    print(" ".join(f"{at - start:.0f}s:{mb}" for at, mb in load.samples[:: max(1, len(load.samples) // 30)]))
    print(f"{load.answered} prompts, {filled} samples while filling; then {len(steady)} in {asked.seconds:.0f} s")
    print(f"RSS peak {peak} MB, drift {drift:+.1f} MB")
    kept = peak <= LIMIT_MB and drift <= DRIFT_MB
    print(f"at most {LIMIT_MB} MB, drift at most {DRIFT_MB:g} MB in that time: {'ok' if kept else 'OVER'}")
    return 0 if kept or not asked.check else 1


if __name__ == "__main__":
    sys.exit(main())
