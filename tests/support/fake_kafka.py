"""Kafka's clients without Kafka: logs in memory, and failures on demand."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata, OffsetAndTimestamp


@dataclass(frozen=True)
class Message:
    """What aiokafka hands out for one record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class Log:
    """Topics with their partitions; ``starts`` moves where a log begins."""

    topics: dict[str, int] = field(default_factory=dict)
    messages: dict[TopicPartition, list[Message]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[TopicPartition, int] = field(default_factory=lambda: defaultdict(int))
    ends: dict[TopicPartition, int] = field(default_factory=lambda: defaultdict(int))

    def append(self, topic: str, partition: int = 0, key: bytes | None = b"k", value: bytes | None = b"v") -> Message:
        """One record at the end, stamped with its offset in seconds."""
        tp = TopicPartition(topic, partition)
        offset = self.ends[tp]
        self.ends[tp] = offset + 1
        message = Message(topic, partition, offset, offset * 1000, key, value)
        self.messages[tp].append(message)
        return message

    def fetch_all_metadata(self) -> Any:
        """As a client's metadata."""

        async def answer() -> Any:
            return self

        return answer()

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Numbers of the partitions, None without the topic."""
        return set(range(self.topics[topic])) if topic in self.topics else None


class FakeConsumer:
    """A groupless consumer over a ``Log``; ``errors`` end the next fetches, ``silent`` never gives a record."""

    def __init__(self, log: Log) -> None:
        self.log, self._client = log, log
        self.at: dict[TopicPartition, int] = {}
        self.read: list[TopicPartition] = []
        self.errors: list[Exception] = []
        self.silent = False

    def assign(self, tps: list[TopicPartition]) -> None:
        self.at = dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.at[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self.at[tp]

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self.log.starts[tp] for tp in tps}

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self.log.ends[tp] for tp in tps}

    async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        found = {tp: next((m for m in self.log.messages[tp] if m.timestamp >= ms), None) for tp, ms in times.items()}
        return {tp: m and OffsetAndTimestamp(m.offset, m.timestamp) for tp, m in found.items()}

    async def getmany(self, *tps: TopicPartition, timeout_ms: int, max_records: int = 2) -> dict[TopicPartition, Any]:
        await asyncio.sleep(0.001)
        if self.errors:
            raise self.errors.pop(0)
        batches = {} if self.silent else {tp: self._batch(tp, max_records) for tp in tps or self.at}
        return {tp: batch for tp, batch in batches.items() if batch}

    def _batch(self, tp: TopicPartition, most: int) -> list[Message]:
        batch = [message for message in self.log.messages[tp] if message.offset >= self.at[tp]][:most]
        self.at[tp] = batch[-1].offset + 1 if batch else self.log.ends[tp]
        self.read.extend([tp] * len(batch))
        return batch


class FakeProducer:
    """A producer into a ``Log``; ``refusal`` answers every delivery, ``stuck`` never answers."""

    def __init__(self, log: Log) -> None:
        self.log, self.client = log, log
        self.refusal: Exception | None = None
        self.stuck = False
        self.sent: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}

    async def send(self, topic: str, value: bytes | None, **more: Any) -> asyncio.Future[Any]:
        self.sent.append({"topic": topic, "value": value, **more})
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.refusal is not None:
            future.set_exception(self.refusal)
        elif not self.stuck:
            future.set_result(self.log.append(topic, more.get("partition") or 0, more.get("key"), value))
        return future

    async def flush(self) -> None:
        if self.stuck:
            await asyncio.Event().wait()


@dataclass
class FakeAdmin:
    """A cluster's control plane: topics as (partitions, replication, settings), and committed offsets of groups."""

    topics: dict[str, tuple[int, int, dict[str, str]]] = field(default_factory=dict)
    commits: dict[str, dict[TopicPartition, int]] = field(default_factory=dict)
    codes: dict[str, list[int]] = field(default_factory=dict)
    leaderless: int = 0
    asked: list[str] = field(default_factory=list)

    async def describe_topics(self, topics: list[str] | None = None) -> list[dict[str, Any]]:
        self.asked.append("describe_topics")
        self.leaderless -= 1
        leader = -1 if self.leaderless >= 0 else 1
        return [
            {
                "topic": name,
                "partitions": [{"leader": leader, "error_code": 0, "replicas": [1] * copies} for _ in range(count)],
            }
            for name, (count, copies, _) in self.topics.items()
        ]

    async def describe_configs(self, resources: list[Any]) -> list[Any]:
        rows = [(0, None, 2, one.name, self._entries(one.name)) for one in resources]
        return [SimpleNamespace(resources=rows)]

    def _entries(self, name: str) -> list[tuple[str, str, bool, int]]:
        own = self.topics[name][2]
        standard = {"segment.ms": "604800000", "message.timestamp.type": "CreateTime"}
        return [
            *((key, value, False, 1) for key, value in own.items()),
            *((key, value, False, 5) for key, value in standard.items() if key not in own),
        ]

    async def describe_cluster(self) -> dict[str, str]:
        return {"cluster_id": "fake-cluster"}

    async def create_topics(self, topics: list[Any]) -> Any:
        self.asked.append("create_topics")
        return SimpleNamespace(topic_errors=[(one.name, self._created(one), "why") for one in topics])

    def _created(self, new: Any) -> int:
        code = self.codes[new.name].pop(0) if self.codes.get(new.name) else 36 if new.name in self.topics else 0
        if code == 0:
            self.topics[new.name] = (new.num_partitions, new.replication_factor, dict(new.topic_configs))
        return code

    async def alter_configs(self, resources: list[Any]) -> list[Any]:
        self.asked.append("alter_configs")
        for one in resources:
            self.topics[one.name] = (*self.topics[one.name][:2], dict(one.configs))
        return [SimpleNamespace(resources=[(0, None, 2, one.name) for one in resources])]

    async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
        return {tp: OffsetAndMetadata(offset, "") for tp, offset in self.commits.get(group, {}).items()}


def through(client: Any) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """The fake as something that opens it; what it was opened with is kept in ``options``."""

    @asynccontextmanager
    async def opened(_cluster: object, **options: Any) -> AsyncIterator[Any]:
        client.options = options
        yield client

    return opened


@dataclass
class Handed:
    """One record that a producer took, until the test says what became of it."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int | None
    headers: Any
    report: asyncio.Future[Any]

    def acknowledge(self, offset: int = 0, partition: int | None = None) -> None:
        """The broker wrote it."""
        self.report.set_result(
            SimpleNamespace(partition=self.partition if partition is None else partition, offset=offset)
        )

    def refuse(self, error: Exception) -> None:
        """The broker, or the client, gave it up."""
        self.report.set_exception(error)


class HeldProducer:
    """The producer under the engine: takes records, and answers none before the test does.

    ``errors`` are raised by the next sends; while ``room`` is unset a send waits, as with a full buffer.
    """

    def __init__(self) -> None:
        self.sent: list[Handed] = []
        self.errors: list[BaseException] = []
        self.room = asyncio.Event()
        self.room.set()
        self.waiting = 0

    async def send(
        self, topic: str, value: Any = None, key: Any = None, partition: Any = None, *, headers: Any = None
    ) -> asyncio.Future[Any]:
        self.waiting += 1
        try:
            await self.room.wait()
        finally:
            self.waiting -= 1
        if self.errors:
            raise self.errors.pop(0)
        report: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.sent.append(Handed(topic, value, key, partition, headers, report))
        return report

    @property
    def values(self) -> list[bytes | None]:
        """What was sent so far, in order."""
        return [one.value for one in self.sent]


@dataclass(eq=False)
class FaustMessage:
    """The part of Faust's message that the engine reads."""

    offset: int
    partition: int = 0
    topic: str = "t"
    acked: bool = False

    @property
    def tp(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


class FaustConsumer:
    """The part of Faust's consumer that acknowledges: what it heard of, and what still holds up a rebalance."""

    def __init__(self, committed: dict[TopicPartition, int] | None = None) -> None:
        self._committed_offset = committed or {}
        self._unacked_messages: set[Any] = set()
        self._waiting_for_ack: asyncio.Future[None] | None = None
        self.log_starts: dict[TopicPartition, int] = {}
        self.acked: list[tuple[int, int]] = []

    def ack(self, message: Any) -> bool:
        self.acked.append((message.partition, message.offset))
        self._unacked_messages.discard(message)
        return True
