"""What does the client need of Kafka? The two public ends of the pipeline, and the real cluster behind them."""

from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from streams.stage import Headers, Record
from topics.catalog import Names

if TYPE_CHECKING:
    from streams.decisions.offsets import Position
    from streams.engine.cluster import Cluster


class Sent(Protocol):
    """Where a published record is now."""

    @property
    def at(self) -> str: ...


class Publisher(Protocol):
    """Writes records; the second await of ``send`` is the broker's acknowledgement."""

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> Awaitable[Sent]: ...


class Door(Protocol):
    """Writes ``prompts``; reads ``results`` without a group: from their end, a stretch of them, or one answer by id."""

    def publisher(self) -> AbstractAsyncContextManager[Publisher]: ...

    def from_end(self, topic: str) -> AbstractAsyncContextManager[AsyncIterable[Record]]: ...

    def tail(
        self, topic: str, start: "Position", stop: "Position | None" = None, *, follow: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterable[Record]]: ...

    async def find(
        self, topic: str, key: bytes, match: Callable[[Record], bool], wait_s: float = 0.0
    ) -> Record | None: ...


class KafkaDoor:
    """The door of a real cluster."""

    def __init__(self, cluster: "Cluster", names: Names) -> None:
        self.cluster, self.names = cluster, names

    def publisher(self) -> AbstractAsyncContextManager[Publisher]:
        from streams.engine.publisher import Publisher as KafkaPublisher

        return KafkaPublisher(self.cluster, self.names)

    def from_end(self, topic: str) -> AbstractAsyncContextManager[AsyncIterable[Record]]:
        from streams.decisions.offsets import AtEnd

        return self.tail(topic, AtEnd(), follow=True)

    def tail(
        self, topic: str, start: "Position", stop: "Position | None" = None, *, follow: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterable[Record]]:
        from streams.engine.reader import Tail

        return Tail(self.cluster, self.names, topic, start=start, stop=stop, follow=follow)

    async def find(self, topic: str, key: bytes, match: Callable[[Record], bool], wait_s: float = 0.0) -> Record | None:
        from streams.engine import reader

        return await reader.find(self.cluster, self.names, topic, key=key, match=match, wait_s=wait_s)
