"""The yardstick: as many hops as the pipeline has, with nothing but aiokafka: read, write on, commit in order.

python -m benches.plain_chain BROKERS TOPIC TOPIC …
"""

import asyncio
import itertools
import signal
import sys
import time

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


async def chain(brokers: str, topics: list[str]) -> None:
    """Copy each topic to the next one until SIGTERM; offsets are committed only below what is acknowledged."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    onward = dict(itertools.pairwise(topics))
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", enable_idempotence=True, max_batch_size=262_144)
    consumer = AIOKafkaConsumer(
        *topics[:-1],
        bootstrap_servers=brokers,
        group_id=f"plain-{topics[0]}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=64 * 1024,
    )
    await producer.start()
    await consumer.start()
    print("ready", flush=True)
    waiting, done, last = [], {}, time.monotonic()
    while not stop.is_set():
        batches = await consumer.getmany(timeout_ms=100, max_records=100)
        sent, reached = [], {}
        for tp, records in batches.items():
            sent += [await producer.send(onward[tp.topic], record.value, key=record.key) for record in records]
            reached[tp] = records[-1].offset + 1
        if sent:
            waiting.append((sent, reached))
        while waiting and (len(waiting) > 50 or all(future.done() for future in waiting[0][0])):
            sent, reached = waiting.pop(0)
            await asyncio.gather(*sent)
            done |= reached
        if done and time.monotonic() - last > 1:
            await consumer.commit(done)
            done, last = {}, time.monotonic()
    await consumer.stop()
    await producer.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(chain(sys.argv[1], sys.argv[2:]))
