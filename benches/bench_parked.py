"""How late do parked requests come back when ten thousand wait, and what do the others notice of it?

    .venv/bin/python -m benches.bench_parked [--parked 10000] [--rate 500] [--idle-seconds 30] [--check]

One worker with all roles, eight partitions. First prompts at rest (20 a second) while nobody waits, then the same while
ten thousand requests wait in the third tier (two minutes); then as many are parked for half a minute, at a rate that
one worker can also answer, so that all of them wait at one time, come back at that rate, and are answered by `echo`.
Late is what passed between a record's append to its tier and its append to the lane, beyond the tier: both are the
broker's stamps. Worker, broker and load share the machine's cores.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benches.bench_pipeline import Chain, idle, prompt
from benches.one_worker import checked, one_worker
from streams.decisions import parking
from streams.decisions.retry import RetryPolicy
from streams.local.kafka import EmbeddedKafka
from tests.support.builders import assembled
from topics import wire
from topics.catalog import ASSEMBLED, Names

AT_MOST = {"late p99 ms": 1000.0, "idle p50, others parked": 1.2}
PARTITIONS = 8
LOW, TIERS_S = ASSEMBLED["low"], RetryPolicy().tiers_s
SHORT_S, LONG_S = TIERS_S[1], TIERS_S[2]
Stamps = dict[bytes, int]


async def park(brokers: str, names: Names, count: int, tier_s: float, rate: float) -> Stamps:
    """Parks so many requests, ``rate`` a second; key → when the broker appended it."""
    topic, headers = parking.output(LOW, (tier_s,), TIERS_S)
    physical, words = names.topic(topic), "please summarise this paragraph about logs and streams " * 16
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all", max_batch_size=262_144) as producer:
        waiting, start = {}, time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
            id = f"{tier_s:g}-{number}"
            value = wire.encode(assembled(request_id=id, lane="low", dedup_key=f"c:{id}", text=words))
            sent = await producer.send(physical, value, id.encode(), number % PARTITIONS, headers=list(headers))
            waiting[id.encode()] = sent
        return {key: (await sent).timestamp for key, sent in waiting.items()}


async def came(brokers: str, names: Names, keys: Stamps, within_s: float) -> Stamps:
    """Key → when it was appended to its lane again, once all of these are."""
    places = [TopicPartition(names.topic(LOW), number) for number in range(PARTITIONS)]
    found: Stamps = {}
    async with AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
        consumer.assign(places)
        end = time.monotonic() + within_s
        while not keys.keys() <= found.keys():
            if time.monotonic() > end:
                raise TimeoutError(f"{len(found)} of {len(keys)} are back after {within_s:.0f} s")
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                for record in batch:
                    found.setdefault(record.key, record.timestamp)
    return found


async def at_rest(brokers: str, chain: Chain, seconds: float) -> list[float]:
    """Milliseconds of single prompts."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    consumer = AIOKafkaConsumer(chain.last, bootstrap_servers=brokers, auto_offset_reset="latest")
    async with producer, consumer:
        return await idle(producer, consumer, chain, seconds, prompt)


async def answered(brokers: str, chain: Chain, keys: Stamps, within_s: float) -> int:
    """How many of these requests have an answer, as soon as all have one."""
    found: set[str] = set()
    async with AIOKafkaConsumer(chain.last, bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
        end = time.monotonic() + within_s
        while not {key.decode() for key in keys} <= found and time.monotonic() < end:
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found.update(orjson.loads(record.value)["id"] for record in batch)
    return len({key.decode() for key in keys} & found)


def percentiles(samples: Sequence[float]) -> tuple[float, float]:
    return statistics.median(samples), statistics.quantiles(samples, n=100)[98]


async def measured(brokers: str, names: Names, chain: Chain, asked: argparse.Namespace) -> dict[str, float]:
    alone = percentiles(await at_rest(brokers, chain, asked.idle_seconds))
    await park(brokers, names, asked.parked, LONG_S, 1e6)
    beside = percentiles(await at_rest(brokers, chain, asked.idle_seconds))
    went = await park(brokers, names, asked.parked, SHORT_S, asked.rate)
    back = await came(brokers, names, went, 120.0)
    late = [back[key] - stamp - SHORT_S * 1000 for key, stamp in went.items()]
    p50, p99 = percentiles(late)
    return {
        "early at most ms": max(0.0, -min(late)),
        "late p50 ms": p50,
        "late p99 ms": p99,
        "late max ms": max(late),
        "not answered": asked.parked - await answered(brokers, chain, went, 120.0),
        "idle p50 ms, nobody parked": alone[0],
        "idle p99 ms, nobody parked": alone[1],
        "idle p50, others parked": beside[0] / alone[0],
        "idle p99, others parked": beside[1] / alone[1],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parked", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--idle-seconds", type=float, default=30)
    parser.add_argument("--check", action="store_true", help="exit 1 when over budget")
    asked = parser.parse_args()
    directory, names = Path(tempfile.mkdtemp(prefix="bench-parked-")), Names()
    with EmbeddedKafka(directory / "kafka") as broker:
        brokers = broker.bootstrap_servers
        with one_worker(brokers, directory / "worker", names=names) as chain:
            got = asyncio.run(measured(brokers, names, chain, asked))
    over = checked(got, {}, {**AT_MOST, "early at most ms": 0.0, "not answered": 0.0})
    return 1 if over and asked.check else 0


if __name__ == "__main__":
    sys.exit(main())
