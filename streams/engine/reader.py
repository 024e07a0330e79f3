"""# Engine: reader

Responsibility: reading a topic for people and checkers, without a group and without leaving a trace.
Guarantees:
- reads exactly from the start to the stop position, in order per partition:
  tests/integration/test_reader.py::test_tail_from_position_reads_exactly_to_end
- finding by key reads only the partition of that key:
  tests/integration/test_reader.py::test_find_by_key_reads_only_its_partition
- a missing topic is named, and not created by asking:
  tests/integration/test_reader.py::test_tail_of_missing_topic_names_it
NOT Responsible For: decoding values, printing; work of the stages.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from streams.decisions.offsets import AtEnd, AtOffset, AtTime, BeforeEnd, FromStart, Position, resolve
from streams.engine.cluster import Cluster
from streams.engine.connect import Opener, answering, consumer, partitions_of
from streams.stage import Record, headers_of
from topics.catalog import Names
from topics.errors import TransportError

POLL_MS, SILENT_S = 200, 30.0
WAIT_MS = 50  # a fetch that waits at the broker delays the stop of the consumer


def as_record(message: Any, topic: str) -> Record:
    """A record of Kafka's client, under the catalog's name."""
    where = (topic, message.partition, message.offset, message.timestamp)
    return Record(*where, message.key, message.value, headers_of(message.headers))


def partition_of(key: bytes, partitions: tuple[int, ...]) -> int:
    """The partition that Kafka's own clients choose for a key."""
    return int(DefaultPartitioner()(key, list(partitions), list(partitions)))


class Tail:
    """An async iterator of records; ends at ``stop`` (default: the end as it is when opened), never with ``follow``.

    ``topic`` is the catalog's name; with ``key`` only the partition of that key is read.
    """

    def __init__(
        self,
        cluster: Cluster,
        names: Names,
        topic: str,
        start: Position | None = None,
        stop: Position | None = None,
        *,
        follow: bool = False,
        key: bytes | None = None,
        via: Opener = consumer,
    ) -> None:
        self._via = via
        self._cluster, self._kafka_name, self._topic = cluster, names.topic(topic), topic
        self._start, self._stop, self._follow, self._key = start or FromStart(), stop or AtEnd(), follow, key
        self._open = AsyncExitStack()
        self.until: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            self._consumer = await opening.enter_async_context(self._via(self._cluster, fetch_max_wait_ms=WAIT_MS))
            with answering(f"opening {self._kafka_name}"):
                await self._seek()
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def __aiter__(self) -> AsyncIterator[Record]:
        while self._follow or self._unfinished():
            for batch in (await self._next()).values():
                for message in batch:
                    if self._follow or message.offset < self.until[message.partition]:
                        yield as_record(message, self._topic)

    async def _seek(self) -> None:
        numbers = await partitions_of(self._consumer._client, self._kafka_name)
        chosen = numbers if self._key is None else (partition_of(self._key, numbers),)
        every = [TopicPartition(self._kafka_name, number) for number in chosen]
        starts, ends = await self._consumer.beginning_offsets(every), await self._consumer.end_offsets(every)
        first = await self._offsets(self._start, starts, ends)
        self.until = {tp.partition: offset for tp, offset in (await self._offsets(self._stop, starts, ends)).items()}
        self._consumer.assign(every)  # only now: the client fetches from the end at once otherwise, and waits there
        for tp, offset in first.items():
            self._consumer.seek(tp, offset)
        self._at = {tp.partition: offset for tp, offset in first.items()}

    async def _offsets(self, wanted: Position, starts: dict[Any, int], ends: dict[Any, int]) -> dict[Any, int]:
        times = {}
        if isinstance(wanted, AtTime):
            found = await self._consumer.offsets_for_times(dict.fromkeys(starts, wanted.epoch_ms))
            times = {tp: at.offset for tp, at in found.items() if at is not None}
        return {tp: resolve(wanted, starts[tp], ends[tp], times.get(tp)) for tp in starts}

    def _unfinished(self) -> bool:
        return any(self._at[number] < stop for number, stop in self.until.items())

    async def _next(self) -> dict[Any, Any]:
        """The next batches; a broker that stays silent before the stop is a ``TransportError``."""
        deadline = asyncio.get_running_loop().time() + SILENT_S
        while True:
            with answering(f"reading {self._kafka_name}"):
                batches: dict[Any, Any] = await self._consumer.getmany(timeout_ms=POLL_MS)
                moved = await self._advance()
            if batches or moved:
                return batches
            if not self._follow and asyncio.get_running_loop().time() > deadline:
                raise TransportError(f"reading {self._kafka_name}", f"silent for {SILENT_S:.0f} s")

    async def _advance(self) -> bool:
        before, self._at = self._at, {tp.partition: await self._consumer.position(tp) for tp in self._assigned()}
        return before != self._at

    def _assigned(self) -> list[Any]:
        return [TopicPartition(self._kafka_name, number) for number in self.until]


async def last(cluster: Cluster, names: Names, topic: str, count: int, *, via: Opener = consumer) -> tuple[Record, ...]:
    """The newest ``count`` records over all partitions, oldest first."""
    async with Tail(cluster, names, topic, BeforeEnd(count), via=via) as tail:
        records = [record async for record in tail]
    records.sort(key=lambda record: (record.timestamp_ms, record.partition, record.offset))
    return tuple(records[-count:]) if count > 0 else ()


async def find(
    cluster: Cluster,
    names: Names,
    topic: str,
    *,
    key: bytes,
    match: Callable[[Record], bool] = lambda _: True,
    wait_s: float = 0.0,
    via: Opener = consumer,
) -> Record | None:
    """The first record under ``key`` that matches; waits up to ``wait_s`` behind the end for it, else None."""
    async with Tail(cluster, names, topic, key=key, via=via) as tail:
        async for record in tail:
            if record.key == key and match(record):
                return record
        if wait_s <= 0:
            return None
        [end] = tail.until.values()
    return await _await(Tail(cluster, names, topic, AtOffset(end), follow=True, key=key, via=via), key, match, wait_s)


async def _await(tail: Tail, key: bytes, match: Callable[[Record], bool], wait_s: float) -> Record | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s), tail:
            async for record in tail:
                if record.key == key and match(record):
                    return record
    return None
