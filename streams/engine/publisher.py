"""# Engine: publisher

Responsibility: writing records from outside the stages (`submit`, the Python client, drills), acknowledged by all.
Guarantees:
- awaiting a delivery returns coordinates only after the broker acknowledged:
  tests/integration/test_reader.py::test_published_record_is_read_back_at_its_coordinates
- too large is refused before anything is sent:
  tests/unit/streams/engine/test_publisher.py::test_value_above_limit_refused_before_sending
- a broker that is away ends in a TransportError within the bound:
  tests/unit/streams/engine/test_publisher.py::test_delivery_without_answer_fails_after_bound
NOT Responsible For: what requests mean; outputs of stages (delivery).
"""

import asyncio
from collections.abc import Awaitable, Generator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from streams.engine.cluster import Cluster
from streams.engine.connect import Opener, answering, partitions_of, producer
from streams.stage import Headers
from topics.catalog import CATALOG, INTERNAL_BYTES, Names
from topics.errors import RecordTooLarge, TopicMissing, TopicRefused

ENVELOPE = 64 * 1024  # key, headers and framing beside the value
BOUND_S = 30.0


@dataclass(frozen=True, slots=True)
class Sent:
    """Where an acknowledged record stands; ``topic`` is the catalog's name, ``timestamp_ms`` the broker's time."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def at(self) -> str:
        """Coordinates as people write them: ``prompts/3/1042``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Delivery:
    """Awaitable of ``Sent``; may be awaited more than once, or never."""

    def __init__(self, future: Awaitable[Any], topic: str, kafka_name: str, size: int, deadline: float) -> None:
        self._future = asyncio.ensure_future(future)
        self._future.add_done_callback(_seen)
        self._topic, self._kafka_name, self._size, self._deadline = topic, kafka_name, size, deadline

    def __await__(self) -> Generator[Any, None, Sent]:
        return self._settled().__await__()

    async def _settled(self) -> Sent:
        with refusing(self._topic, self._kafka_name, self._size):
            async with asyncio.timeout_at(self._deadline):
                meta = await asyncio.shield(self._future)
        return Sent(self._topic, meta.partition, meta.offset, meta.timestamp)


def _seen(future: asyncio.Future[Any]) -> BaseException | None:
    """Marks the outcome as looked at, as nobody has to await a delivery."""
    return None if future.cancelled() else future.exception()


@contextmanager
def refusing(topic: str, kafka_name: str, size: int) -> Iterator[None]:
    """The broker's refusals as our errors; whatever else goes wrong is a ``TransportError``."""
    with answering(f"publishing to {kafka_name}"):
        try:
            yield
        except (MessageSizeTooLargeError, RecordListTooLargeError) as bad:
            raise RecordTooLarge(topic, size, CATALOG[topic].max_bytes) from bad
        except (UnknownTopicOrPartitionError, InvalidTopicError) as bad:
            raise TopicMissing((kafka_name,)) from bad
        except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError) as bad:
            raise TopicRefused(kafka_name, type(bad).__name__) from bad


class Publisher:
    """Async context: an idempotent producer; ``bound_s`` seconds from send to acknowledgement."""

    def __init__(self, cluster: Cluster, names: Names, bound_s: float = BOUND_S, *, via: Opener = producer) -> None:
        self._via = via
        self._cluster, self._names, self._bound_s = cluster, names, bound_s
        self._open = AsyncExitStack()
        self._known: set[str] = set()

    async def __aenter__(self) -> Self:
        client = self._via(self._cluster, max_request_size=INTERNAL_BYTES + ENVELOPE)
        self._producer = await self._open.enter_async_context(client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Delivery:
        """Hands one record to the producer; await the returned delivery for its coordinates.

        ``topic`` is the catalog's name. Raises ``RecordTooLarge``, ``TopicMissing``, ``TopicRefused``,
        ``TransportError``.
        """
        kafka_name, size, limit = self._names.topic(topic), len(value or b""), CATALOG[topic].max_bytes
        if size > limit:
            raise RecordTooLarge(topic, size, limit)
        deadline = asyncio.get_running_loop().time() + self._bound_s
        with refusing(topic, kafka_name, size):
            async with asyncio.timeout_at(deadline):
                await self._exists(kafka_name)
                future = await self._producer.send(
                    kafka_name, value, key=key, headers=list(headers), partition=partition
                )
        return Delivery(future, topic, kafka_name, size, deadline)

    async def flush(self) -> None:
        """Returns once everything sent so far is acknowledged or failed; ``TransportError`` after the bound."""
        with answering("flushing"):
            async with asyncio.timeout(self._bound_s):
                await self._producer.flush()

    async def _exists(self, kafka_name: str) -> None:
        if kafka_name not in self._known:
            await partitions_of(self._producer.client, kafka_name)
            self._known.add(kafka_name)
