"""How long does the embedded broker take to the first acknowledged record, and how much memory has it then?

``python benches/bench_embedded_kafka.py [--rounds 5] [--check]``; budgets hold on an idle machine.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.local import runtime
from streams.local.kafka import EmbeddedKafka

FIRST_PRODUCE_S, RSS_MB = 1.5, 220


async def first_produce(servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic("bench", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait("bench", b"first")


def one_round() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bench-kafka-") as folder:
        began = time.monotonic()
        broker = EmbeddedKafka(Path(folder), prepared=runtime.ensure(print)).start()
        ready = time.monotonic()
        asyncio.run(first_produce(broker.bootstrap_servers))
        produced, rss = time.monotonic(), broker.rss_mb
        broker.stop()
        return {
            "ready s": ready - began,
            "first produce s": produced - began,
            "stop s": time.monotonic() - produced,
            "RSS MB": rss,
        }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--check", action="store_true", help="exit 1 when over budget")
    chosen = arguments.parse_args()
    runtime.ensure(print)  # the first run's preparation is no part of a later start
    rounds = [one_round() for _ in range(chosen.rounds)]
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    for name in middle:
        values = sorted(one[name] for one in rounds)
        print(f"{name:16} median {middle[name]:7.2f}   min {values[0]:7.2f}   max {values[-1]:7.2f}   n {len(values)}")
    over = middle["first produce s"] > FIRST_PRODUCE_S or middle["RSS MB"] > RSS_MB
    print(f"budget: first produce {FIRST_PRODUCE_S} s, RSS {RSS_MB} MB: {'EXCEEDED' if over else 'held'}")
    return int(over and chosen.check)


if __name__ == "__main__":
    sys.exit(main())
