"""# Engine: originals

Responsibility: reads one record back by its coordinates: a prompt that is buried, a dead letter sent again.
Guarantees:
- returns the record at exactly these coordinates, or None when the log no longer has it:
  tests/integration/test_reader.py::test_original_below_log_start_is_none
- never waits longer than its bound:
  tests/unit/streams/engine/test_originals.py::test_fetch_without_answer_fails_after_bound
NOT Responsible For: whether the bytes are the right ones (their hash is checked by `bury`).
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Self

from aiokafka import TopicPartition

from streams.engine.cluster import Cluster
from streams.engine.connect import Opener, answering, consumer, partitions_of
from streams.engine.reader import WAIT_MS, as_record
from streams.ports import Coordinates
from streams.stage import Record
from topics.catalog import Names

POLL_MS = 200


class BrokerOriginals:
    """``ports.Originals`` over one shared consumer; ``wait_s`` bounds each fetch."""

    def __init__(self, cluster: Cluster, names: Names, wait_s: float = 10.0, *, via: Opener = consumer) -> None:
        self._via = via
        self._cluster, self._names, self._wait_s = cluster, names, wait_s
        self._open = AsyncExitStack()
        self._turn = asyncio.Lock()
        self._partitions: dict[str, tuple[int, ...]] = {}

    async def __aenter__(self) -> Self:
        client = self._via(self._cluster, max_poll_records=1, fetch_max_wait_ms=WAIT_MS, auto_offset_reset="none")
        self._consumer = await self._open.enter_async_context(client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def fetch(self, place: Coordinates) -> Record | None:
        """The record at ``place`` (its topic is the catalog's name), or None; ``TransportError`` after the bound."""
        tp = TopicPartition(self._names.topic(place.topic), place.partition)
        with answering(f"reading {place.at} back"):
            async with self._turn, asyncio.timeout(self._wait_s):
                message = await self._read(tp, place.offset)
        return None if message is None or message.offset != place.offset else as_record(message, place.topic)

    async def _read(self, tp: Any, offset: int) -> Any:
        if tp.partition not in await self._numbers(tp.topic):
            return None
        starts, ends = await self._consumer.beginning_offsets([tp]), await self._consumer.end_offsets([tp])
        if not starts[tp] <= offset < ends[tp]:
            return None
        self._consumer.assign([tp])
        self._consumer.seek(tp, offset)
        while not (batches := await self._consumer.getmany(tp, timeout_ms=POLL_MS, max_records=1)):
            if await self._consumer.position(tp) > offset:
                return None  # only markers or compacted records stand there
        return batches[tp][0]

    async def _numbers(self, topic: str) -> tuple[int, ...]:
        if topic not in self._partitions:
            self._partitions[topic] = await partitions_of(self._consumer._client, topic)
        return self._partitions[topic]
