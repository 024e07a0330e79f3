"""How does a Python program ask, and get its answers? Publishes requests and yields answers as they arrive."""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import orjson

from streams.stage import Headers, Record
from topics import wire
from topics.answer import Answer
from topics.catalog import PROMPTS, RESULTS, Names
from topics.errors import ConfigurationError, OrchestratorError

if TYPE_CHECKING:
    from streams.engine.cluster import Cluster

Row = str | Mapping[str, Any]
Failure = asyncio.Future[tuple[str, Answer]]
Arrived = tuple[str, Answer] | Failure
Job = Callable[[], Awaitable[None]]


class Sent(Protocol):
    """Where a published record is now."""

    @property
    def at(self) -> str: ...


class Publisher(Protocol):
    """Writes records; the second await of ``send`` is the broker's acknowledgement."""

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> Awaitable[Sent]: ...


class Results(Protocol):
    """Reads ``results``: from their end at the moment of opening, or one answer by its id."""

    def from_end(self, topic: str) -> AbstractAsyncContextManager[AsyncIterable[Record]]: ...

    async def find(
        self, topic: str, key: bytes, match: Callable[[Record], bool], wait_s: float = 0.0
    ) -> Record | None: ...


class Door(Results, Protocol):
    """The two public ends of the pipeline."""

    def publisher(self) -> AbstractAsyncContextManager[Publisher]: ...


class AnswersMissing(OrchestratorError):
    """The time given was over before these requests were answered; they go on, and can be asked for by id."""

    kind: ClassVar[str] = "answers_missing"
    retryable = True

    def __init__(self, ids: tuple[str, ...], timeout_s: float) -> None:
        super().__init__(f"{len(ids)} not answered within {timeout_s:g} s: {', '.join(ids[:3])}{' …' * (len(ids) > 3)}")
        self.ids = ids


@dataclass(frozen=True, slots=True)
class Receipt:
    """The broker has the request: its id, and its coordinates (``prompts/3/1042``)."""

    id: str
    at: str


class Client:
    """Publishes prompts and awaits answers.

    Args:
        brokers: ``host:port``, several separated by commas; None: the environment, else ``streams.toml``.
        properties: Java client properties of a secured cluster.
        door: another way to the topics, for tests.

    Raises:
        ConfigurationError: no broker is named anywhere, or a property is not understood.

    Inside a coroutine or a notebook::

        async with Client("127.0.0.1:19092") as client:
            async for answer in client.ask(["Summarise Kafka in one line"], timeout_s=60):
                print(answer.text)
    """

    def __init__(
        self, brokers: str | None = None, *, properties: Mapping[str, str] | None = None, door: Door | None = None
    ) -> None:
        self._door = door or _kafka(brokers, properties)
        self._open = AsyncExitStack()
        self._publisher: Publisher | None = None

    async def __aenter__(self) -> Self:
        self._publisher = await self._open.enter_async_context(self._door.publisher())
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._publisher = None
        await self._open.aclose()

    async def submit(self, rows: Iterable[Row]) -> AsyncIterator[Receipt]:
        """Publishes requests without waiting for answers.

        Args:
            rows: prompts, or requests as mappings; a request without an id gets one.

        Yields:
            One receipt per row, in order, each after the broker's acknowledgement.

        Raises:
            ConfigurationError: a row is no request, or two rows have one id.
            TransportError: the broker did not acknowledge in time.
        """
        for request in requests(rows):
            yield Receipt(request["id"], (await (await self._send(request))).at)

    async def ask(self, rows: Iterable[Row], timeout_s: float | None = None) -> AsyncIterator[Answer]:
        """Publishes requests and yields each answer once, in the order of arrival.

        Reads ``results`` from its end as it is before the first request is published, so no answer is missed.

        Args:
            rows: prompts, or requests as mappings; a request without an id gets one.
            timeout_s: seconds for everything; None waits for ever.

        Yields:
            One answer per request.

        Raises:
            AnswersMissing: the time is over; its ``ids`` are the requests without an answer.
            ConfigurationError: a row is no request, or two rows have one id.
            TransportError: the broker could not be reached.
        """
        waiting = {request["id"]: request for request in requests(rows)}
        arrived: asyncio.Queue[Arrived] = asyncio.Queue()
        end = None if timeout_s is None else time.monotonic() + timeout_s
        async with self._door.from_end(RESULTS) as results:
            asked, wanted = list(waiting.values()), set(waiting)
            jobs: tuple[Job, ...] = (lambda: self._publish(asked), lambda: _collect(results, wanted, arrived))
            tasks = [asyncio.create_task(_reported(job, arrived)) for job in jobs]
            try:
                while waiting:
                    item = await _next(arrived, end)
                    if item is None:
                        raise AnswersMissing(tuple(waiting), timeout_s or 0.0)
                    del waiting[item[0]]
                    yield item[1]
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def get(self, id: str, wait_s: float = 0.0) -> Answer | None:
        """The answer of one request.

        Args:
            id: the request's id.
            wait_s: seconds to wait for it where it is not there yet.

        Returns:
            The answer, or None where there is none (yet).
        """
        record = await self._door.find(RESULTS, id.encode(), lambda _: True, wait_s)
        return None if record is None else wire.decode(record.value, Answer)

    async def _publish(self, asked: list[dict[str, Any]]) -> None:
        await asyncio.gather(*[await self._send(request) for request in asked])

    async def _send(self, request: Mapping[str, Any]) -> Awaitable[Sent]:
        if self._publisher is None:
            raise ConfigurationError("client", "closed", "use it inside `async with Client(…) as client:`")
        return await self._publisher.send(PROMPTS, request["id"].encode(), _encoded(request))


def requests(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Each row as a request with an id; ``ConfigurationError`` for what is none, and for an id that comes twice."""
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows, start=1):
        request = _request(row, number)
        if request["id"] in found:
            raise ConfigurationError(
                f"row {number}: id", request["id"], "it is taken by an earlier row: give each its own"
            )
        found[request["id"]] = request
    return list(found.values())


def _request(row: object, number: int) -> dict[str, Any]:
    request = {"prompt": row} if isinstance(row, str) else dict(row) if isinstance(row, Mapping) else None
    if request is None:
        raise ConfigurationError(f"row {number}", type(row).__name__, "a row is a prompt or a request object")
    request["id"] = str(uuid.uuid4()) if request.get("id") is None else request["id"]
    if not isinstance(request["id"], str) or not request["id"]:
        raise ConfigurationError(f"row {number}: id", request["id"], "an id is a text of at least one character")
    return request


def _encoded(request: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError as bad:
        raise ConfigurationError("request", request["id"], f"it cannot be written as JSON: {bad}") from bad


async def _collect(results: AsyncIterable[Record], wanted: set[str], arrived: "asyncio.Queue[Arrived]") -> None:
    """Hands on the first answer of each wanted id; copies and other people's answers are passed over."""
    async for record in results:
        if (id := (record.key or b"").decode(errors="replace")) in wanted:
            wanted.discard(id)
            arrived.put_nowait((id, wire.decode(record.value, Answer)))


async def _reported(job: Job, arrived: "asyncio.Queue[Arrived]") -> None:
    try:
        await job()
    except Exception as failed:
        arrived.put_nowait(_failure(failed))


def _failure(failed: Exception) -> Failure:
    """An error to be raised by whoever asks for the result; marked as seen, as nobody may ask any more."""
    failure: Failure = asyncio.get_running_loop().create_future()
    failure.set_exception(failed)
    failure.exception()
    return failure


async def _next(arrived: "asyncio.Queue[Arrived]", end: float | None) -> tuple[str, Answer] | None:
    """The next answer, or None when the time is over; a failure of the work behind it is raised here."""
    left = None if end is None else max(0.0, end - time.monotonic())
    try:
        item = await asyncio.wait_for(arrived.get(), left)
    except TimeoutError:
        return None
    return item if isinstance(item, tuple) else item.result()


class KafkaDoor:
    """The door of a real cluster."""

    def __init__(self, cluster: "Cluster", names: Names) -> None:
        self.cluster, self.names = cluster, names

    def publisher(self) -> AbstractAsyncContextManager[Publisher]:
        from streams.engine.publisher import Publisher as KafkaPublisher

        return KafkaPublisher(self.cluster, self.names)

    def from_end(self, topic: str) -> AbstractAsyncContextManager[AsyncIterable[Record]]:
        from streams.decisions.offsets import AtEnd
        from streams.engine.reader import Tail

        return Tail(self.cluster, self.names, topic, start=AtEnd(), follow=True)

    async def find(self, topic: str, key: bytes, match: Callable[[Record], bool], wait_s: float = 0.0) -> Record | None:
        from streams.engine import reader

        return await reader.find(self.cluster, self.names, topic, key=key, match=match, wait_s=wait_s)


def _kafka(brokers: str | None, properties: Mapping[str, str] | None) -> Door:
    from streams import settings
    from streams.engine.cluster import Cluster

    loaded = settings.load({"kafka.brokers": brokers, "kafka.properties": properties}, os.environ, Path.cwd())
    address, _ = settings.brokers(loaded)
    chosen = loaded.settings
    return KafkaDoor(Cluster(address, chosen.kafka.properties), Names(chosen.names.namespace, chosen.names.prefix))
