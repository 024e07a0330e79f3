"""How does a Python program ask, and get its answers? Publishes requests and yields answers as they arrive."""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from streams.client.door import Door, KafkaDoor, Publisher
from streams.client.final import final
from streams.client.flight import Bounds, Flight
from streams.decisions.questions import Naming, Question, Row, by_content
from streams.stage import Headers
from topics import wire
from topics.answer import Answer
from topics.catalog import PROMPTS, RESULTS, Names
from topics.errors import ConfigurationError, OrchestratorError
from topics.request import Request

Rows = Iterable[Row] | AsyncIterable[Row]


class AnswersMissing(OrchestratorError):
    """The time given was over before these requests were answered; they go on, and can be asked for by id."""

    kind: ClassVar[str] = "answers_missing"
    retryable = True

    def __init__(self, ids: tuple[str, ...], timeout_s: float) -> None:
        super().__init__(f"{len(ids)} not answered within {timeout_s:g} s: {', '.join(ids[:3])}{' …' * (len(ids) > 3)}")
        self.ids = ids


@dataclass(frozen=True, slots=True)
class Receipt:
    """The broker has the request: its ``id``, and its coordinates ``at`` (``prompts/3/1042``)."""

    id: str
    at: str


class Client:
    """Publishes prompts and awaits answers.

    Args:
        brokers: ``host:port``, several separated by commas; None: the environment, else ``streams.toml``.
        properties: Java client properties of a secured cluster.
        door: another way to the topics, for tests.
        bounds: how much may be on its way at once, and how long a broker that went away is waited for.
        headers: from a request's id to the headers of its record, such as a ``traceparent``; none by default.

    Raises:
        ConfigurationError: no broker is named anywhere, or a property is not understood.

    Inside a coroutine or a notebook::

        async with Client("127.0.0.1:19092") as client:
            async for answer in client.ask(["Summarise Kafka in one line"], timeout_s=60):
                print(answer.id, answer.status, answer.text)

    Anywhere else, ``ask_all(["Summarise Kafka in one line"], "127.0.0.1:19092")`` gives all answers at once.
    """

    def __init__(
        self,
        brokers: str | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        door: Door | None = None,
        bounds: Bounds | None = None,
        headers: Callable[[str], Headers] = lambda id: (),
    ) -> None:
        self.door = door or _kafka(brokers, properties)
        self._bounds, self._headers = bounds or Bounds(), headers
        self._open = AsyncExitStack()
        self._publisher: Publisher | None = None

    async def __aenter__(self) -> Self:
        self._publisher = await self._open.enter_async_context(self.door.publisher())
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._publisher = None
        await self._open.aclose()

    async def submit(self, rows: Rows) -> AsyncIterator[Receipt]:
        """Publishes requests without waiting for answers.

        Args:
            rows: prompts, or requests as mappings; a request without an id gets one.

        Yields:
            One receipt per row, in order, each after the broker's acknowledgement.

        Raises:
            ConfigurationError: a row is no request, or two rows have one id.
            TransportError: the broker did not acknowledge in time.
        """
        async for question in _questions(rows, None):
            sent = await self._writer.send(PROMPTS, question.key, question.value, self._headers(question.id))
            yield Receipt(question.id, (await sent).at)

    async def ask(
        self, rows: Rows, timeout_s: float | None = None, *, batch: str | None = None
    ) -> AsyncIterator[Answer]:
        """Publishes requests and yields each answer once, in the order of arrival.

        Reads ``results`` from its end as it is before the first request is published, so no answer is missed. Rows are
        taken as there is room, so there may be any number of them; a broker that restarts meanwhile is waited for.

        Args:
            rows: prompts, requests as mappings, or ``Request``s; also an async iterable of them.
            timeout_s: seconds for everything; None waits for ever.
            batch: where given, rows without an id get the same id in each run that gives the same name, so that a
                program that was killed can simply ask again; else they get a random one.

        Yields:
            One answer per row, whatever its status.

        Raises:
            AnswersMissing: the time is over; its ``ids`` are the published requests without an answer.
            ConfigurationError: a row is no request, or two rows have one id.
            TransportError: the broker could not be reached.

        A program that may be killed and run again::

            async for answer in client.ask({"id": f"doc-{n}", "prompt": text} for n, text in enumerate(texts)):
                save(answer)
        """
        async with aclosing(self.answers(_questions(rows, batch), timeout_s)) as answers:
            async for answer in answers:
                yield answer

    async def answers(
        self, questions: AsyncIterator[Question], timeout_s: float | None = None
    ) -> AsyncGenerator[Answer, None]:
        """As ``ask``, for requests that have their ids."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        flight = Flight(self._writer, self._bounds, self._headers)
        async with self.door.from_end(RESULTS) as results, flight.begun(questions, results):
            try:
                while (answer := await flight.answer(end)) is not None:
                    yield answer
            except TimeoutError:
                raise AnswersMissing(tuple(flight.waiting.values()), timeout_s or 0.0) from None

    async def get(self, id: str, wait_s: float = 0.0) -> Answer | None:
        """The answer of one request.

        Args:
            id: the request's id.
            wait_s: seconds to wait for it where it is not there yet.

        Returns:
            The answer, the last one of a request that was sent again; None where there is none (yet).
        """
        record = await final(self.door, id.encode(), wait_s)
        return None if record is None else wire.decode(record.value, Answer)

    @property
    def _writer(self) -> Publisher:
        if self._publisher is None:
            raise ConfigurationError("client", "closed", "use it inside `async with Client(…) as client:`")
        return self._publisher


def ask_all(
    rows: Iterable[Row], brokers: str | None = None, *, timeout_s: float | None = None, client: Client | None = None
) -> list[Answer]:
    """All answers at once, for programs without a loop; also inside a notebook, which has one.

    Args:
        rows: as for ``Client.ask``.
        brokers: as for ``Client``.
        timeout_s: seconds for everything; None waits for ever.
        client: instead of ``brokers``: a client that is not in use yet.

    Returns:
        One answer per row, in the order of arrival.

    Raises:
        AnswersMissing: the time is over.
        ConfigurationError: a row is no request, or no broker is named.
        TransportError: the broker could not be reached.
    """

    async def asked() -> list[Answer]:
        async with client or Client(brokers) as open:
            return [answer async for answer in open.ask(rows, timeout_s)]

    with ThreadPoolExecutor(1) as elsewhere:  # a thread of its own, as the caller's may have a running loop
        return elsewhere.submit(asyncio.run, asked()).result()


async def _questions(rows: Rows, batch: str | None) -> AsyncIterator[Question]:
    naming, number = Naming(by_content(batch) if batch is not None else lambda _: str(uuid.uuid4())), 0
    async for row in _each(rows):
        yield naming.question(row, f"row {(number := number + 1)}")


async def _each(rows: Rows) -> AsyncIterator[Row]:
    if isinstance(rows, str | Mapping | Request):
        raise ConfigurationError("rows", type(rows).__name__, "give a list of rows, even for one")
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row


def _kafka(brokers: str | None, properties: Mapping[str, str] | None) -> Door:
    from streams import settings
    from streams.engine.cluster import Cluster

    loaded = settings.load({"kafka.brokers": brokers, "kafka.properties": properties}, os.environ, Path.cwd())
    address, _ = settings.brokers(loaded)
    chosen = loaded.settings
    return KafkaDoor(Cluster(address, chosen.kafka.properties), Names(chosen.names.namespace, chosen.names.prefix))
