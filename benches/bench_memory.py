"""Does a worker's memory stay small and flat while its tables grow?

    .venv/bin/python -m benches.bench_memory [--seconds 600] [--rows 100000] [--check]

Distinct prompts of 1 kB through the whole pipeline over 8 partitions: each leaves a row of about 1 kB in ``answers``
and one in ``requests``. RSS is sampled every five seconds; flat means that the second half does not drift upwards.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benches.bench_pipeline import create, prompt, rss_mb, running
from streams.engine.cluster import Cluster
from streams.local.kafka import EmbeddedKafka
from topics.catalog import PROMPTS, RESULTS, Names

LIMIT_MB = 220
DRIFT_MB = 8.0  # over the second half: above what the allocator's noise does in a minute


async def load(brokers: str, names: Names, rows: int, seconds: float, pid: int) -> tuple[list[tuple[float, int]], int]:
    """Publish evenly over the time, and sample; returns the samples and how many prompts were answered."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, max_batch_size=262_144)
    consumer = AIOKafkaConsumer(names.topic(RESULTS), bootstrap_servers=brokers, auto_offset_reset="earliest")
    await producer.start()
    await consumer.start()
    samples, answered, published, start = [], 0, 0, time.monotonic()
    try:
        while answered < rows:
            due = min(rows, int(rows * (time.monotonic() - start) / seconds), answered + 4_000)
            for number in range(published, due):
                identity, value = prompt(number)
                await producer.send(names.topic(PROMPTS), value, key=identity.encode())
            published = max(published, due)
            answered += sum(len(batch) for batch in (await consumer.getmany(timeout_ms=100)).values())
            if not samples or time.monotonic() - start - samples[-1][0] > 5:
                samples.append((time.monotonic() - start, rss_mb(pid)))
    finally:
        await producer.stop()
        await consumer.stop()
    return samples, answered


def drift_mb(samples: list[tuple[float, int]]) -> float:
    """How much RSS grew over the second half, by a straight line through its samples."""
    half = samples[len(samples) // 2 :]
    if len(half) < 3:
        return 0.0
    slope, _ = statistics.linear_regression([at for at, _ in half], [mb for _, mb in half])
    return slope * (half[-1][0] - half[0][0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--check", action="store_true", help="exit 1 when over budget")
    asked = parser.parse_args()
    directory, names = Path(tempfile.mkdtemp(prefix="bench-memory-")), Names()
    with EmbeddedKafka(directory / "kafka") as broker:
        brokers = broker.bootstrap_servers
        asyncio.run(create(Cluster(brokers), names))
        command = [sys.executable, "-m", "streams", "worker", "-b", brokers, "--http-port", "0"]
        state = ["--state-dir", str(directory / "state")]
        with running([*command, *state], directory / "worker.log", Path(__file__).parent.parent) as process:
            samples, answered = asyncio.run(load(brokers, names, asked.rows, asked.seconds, process.pid))
    peak, drift = max(mb for _, mb in samples), drift_mb(samples)
    print(" ".join(f"{at:.0f}s:{mb}" for at, mb in samples[:: max(1, len(samples) // 20)]))
    print(
        f"{answered} prompts, {2 * answered} rows in {samples[-1][0]:.0f} s: RSS peak {peak} MB, drift {drift:+.1f} MB"
    )
    kept = peak <= LIMIT_MB and drift <= DRIFT_MB
    print(f"at most {LIMIT_MB} MB, drift at most {DRIFT_MB:g} MB over the second half: {'ok' if kept else 'OVER'}")
    return 0 if kept or not asked.check else 1


if __name__ == "__main__":
    sys.exit(main())
