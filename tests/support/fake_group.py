"""A broker with its own clock, a consumer that is a member of a group, and a producer; all in memory and one loop."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from tests.support.aio import now_s
from tests.support.fake_kafka import Message

BEGAN_MS = 1_769_860_800_000


@dataclass
class FakeBroker:
    """Logs, and a clock that may differ from the local one by ``skew_ms``; ``starts`` is where a log begins."""

    skew_ms: int = 0
    logs: dict[TopicPartition, list[Message]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[TopicPartition, int] = field(default_factory=lambda: defaultdict(int))
    commits: dict[TopicPartition, int] = field(default_factory=dict)

    def now_ms(self) -> int:
        return BEGAN_MS + self.skew_ms + round(now_s() * 1000)

    def append(self, topic: str, partition: int, key: Any, value: Any, headers: Any = ()) -> Message:
        """One record, stamped with the broker's time."""
        log = self.logs[TopicPartition(topic, partition)]
        offset = self.starts[TopicPartition(topic, partition)] + len(log)
        log.append(Message(topic, partition, offset, self.now_ms(), key, value, tuple(headers)))
        return log[-1]


class FakeMember:
    """The group's one member; ``errors`` end its next fetches and commits, ``asked`` tells what each fetch wanted."""

    def __init__(self, broker: FakeBroker, partitions: int = 1) -> None:
        self.broker, self.partitions = broker, partitions
        self.at: dict[TopicPartition, int] = {}
        self.errors: list[BaseException] = []
        self.refused_commits: list[BaseException] = []
        self.asked: list[tuple[TopicPartition, ...]] = []
        self.batch = 100
        self.options: dict[str, Any] = {}
        self._coordinator = SimpleNamespace(generation=1, beats=[], resets=0)
        self._coordinator.reset_generation = self._reset
        self._coordinator._do_heartbeat = self._beat

    def _reset(self) -> None:
        self._coordinator.resets += 1
        self._coordinator.generation = -1

    async def _beat(self) -> bool:
        return bool(self._coordinator.beats.pop(0) if self._coordinator.beats else True)

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self.topics, self.listener = topics, listener
        self.assign()

    def assign(self, *partitions: int) -> None:
        """A generation begins: these partitions of each topic, or all."""
        numbers = partitions or range(self.partitions)
        places = [TopicPartition(topic, number) for topic in self.topics for number in numbers]
        self.at = {place: self.broker.commits.get(place, self.broker.starts[place]) for place in places}
        self.listener.on_partitions_assigned(places)

    async def revoke(self) -> None:
        places, self.at = list(self.at), {}
        await self.listener.on_partitions_revoked(places)

    async def committed(self, place: TopicPartition) -> int | None:
        return self.broker.commits.get(place)

    async def beginning_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.broker.starts[place] for place in places}

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.at[place] = max(offset, self.broker.starts[place])

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.refused_commits:
            raise self.refused_commits.pop(0)
        self.broker.commits |= offsets

    async def getmany(self, *places: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Message]]:
        self.asked.append(places)
        if self.errors:
            raise self.errors.pop(0)
        found = self._found(places)
        if not found:
            await asyncio.sleep(timeout_ms / 1000)  # why: in virtual time, as long as a fetch that finds nothing waits
            found = self._found(places)
        for place, batch in found.items():
            self.at[place] = batch[-1].offset + 1
        return found

    def _found(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, list[Message]]:
        ahead = {
            place: [one for one in self.broker.logs[place] if one.offset >= self.at[place]]
            for place in places
            if place in self.at
        }
        return {place: batch[: self.batch] for place, batch in ahead.items() if batch}


class FakeWriter:
    """A producer; ``refusals`` by topic answer its records, those of the topic ``holds`` wait until ``release``."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker, self.client = broker, self
        self.refusals: dict[str, BaseException] = {}
        self.holds, self.answering = "", True
        self.kept: list[Callable[[], None]] = []
        self.options: dict[str, Any] = {}

    async def force_metadata_update(self) -> bool:
        return self.answering

    async def send(
        self, topic: str, value: Any = None, key: Any = None, partition: Any = None, *, headers: Any = ()
    ) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if topic in self.refusals:
                answer.set_exception(self.refusals[topic])
            else:
                answer.set_result(self.broker.append(topic, partition, key, value, headers or ()))

        if topic == self.holds:
            self.kept.append(tell)
        else:
            tell()
        return answer

    def release(self, *which: int) -> None:
        """Answers what was kept: all of it, or those numbers of it."""
        for number in which or range(len(self.kept)):
            self.kept[number]()

    async def send_and_wait(self, topic: str, value: Any, partition: int) -> Any:
        return await (await self.send(topic, value, None, partition))


def through(client: Any) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """The fake as something that opens it; what it was opened with is kept in ``options``, and whether it is closed."""

    @asynccontextmanager
    async def opened(*_: object, **options: Any) -> AsyncIterator[Any]:
        client.options, client.closed = options, False
        yield client
        client.closed = True

    return opened
