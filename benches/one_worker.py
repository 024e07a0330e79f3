"""How does a benchmark start one worker? Topics made, settings in a file of its own, ready; the broker is embedded."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benches.bench_pipeline import Chain, Figures, Make, create, full, running
from streams.engine.cluster import Cluster
from topics.catalog import PROMPTS, RESULTS, Names

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def one_worker(brokers: str, directory: Path, toml: str = "", names: Names | None = None) -> Iterator[Chain]:
    """A worker with these settings over topics that are made where they are not there yet."""
    known = names or Names()
    asyncio.run(create(Cluster(brokers), known))
    own = f'[names]\nnamespace = "{known.namespace}"\nprefix = "{known.prefix}"\n'
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "streams.toml").write_text(own + toml)
    command = [sys.executable, "-m", "tests.support.in_directory", str(directory), "worker", "-b", brokers]
    state = ["--http-port", "0", "--state-dir", str(directory / "state")]
    with running([*command, *state], directory / "worker.log", ROOT) as process:
        yield Chain(process, known.topic(PROMPTS), known.topic(RESULTS))


def at_full_load(brokers: str, chain: Chain, seconds: float, make: Make, ahead: int) -> Figures:
    """Rate, CPU and memory over ``seconds`` with so many prompts always on their way."""

    async def measured() -> tuple[float, float, int]:
        producer = AIOKafkaProducer(bootstrap_servers=brokers, max_batch_size=262_144)
        consumer = AIOKafkaConsumer(chain.last, bootstrap_servers=brokers, auto_offset_reset="earliest")
        async with producer, consumer:
            return await full(producer, consumer, chain, seconds, make, ahead)

    return Figures(*asyncio.run(measured()), 0.0, 0.0, 0)


def checked(got: dict[str, float], at_least: dict[str, float], at_most: dict[str, float]) -> list[str]:
    """Prints each figure beside its bound; returns the names of those beyond it."""
    over = []
    for name, value in got.items():
        floor = at_least.get(name)
        bound = at_most.get(name) if floor is None else floor
        if bound is None:
            print(f"{name:<28} {value:9.2f}")
            continue
        kept = value <= bound if floor is None else value >= bound
        over += [] if kept else [name]
        print(
            f"{name:<28} {value:9.2f}  at {'most' if floor is None else 'least'} {bound:g}  {'ok' if kept else 'OVER'}"
        )
    return over
