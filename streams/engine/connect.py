"""# Engine: connect

Responsibility: connections to a cluster that are always closed, and the client's errors as ours.
Guarantees:
- a broker that is away is a TransportError, within a bound:
  tests/unit/streams/engine/test_connect.py::test_connection_to_closed_port_raises_transport_error
- a refused login or certificate is told as such:
  tests/integration/test_connect.py::test_wrong_password_is_told_as_refused_login
- passing reasons are tried again, definite ones are not:
  tests/unit/streams/engine/test_connect.py::test_patience_with_definite_error_ends_at_once
NOT Responsible For: what is sent or read; retries of records.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import stamina
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from streams.engine.cluster import Cluster
from topics.errors import ConfigurationError, TopicMissing, TransportError

T = TypeVar("T")
Opener = Callable[..., AbstractAsyncContextManager[Any]]  # what `admin`, `consumer` and `producer` are; fakes too

REFUSED_LOGIN = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
CONNECT_S, CONTROL_S, STOP_S, ANSWER_S = 5.0, 30.0, 5.0, 3.0


@contextmanager
def answering(doing: str) -> Iterator[None]:
    """Turns the client's errors, connection errors and timeouts into ``TransportError``."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as bad:
        raise TransportError(doing, type(bad).__name__) from bad


class NotYet(TransportError):
    """The broker named a passing reason (a new leader, a coordinator that loads): `patiently` tries again."""

    kind = "not_yet"


def _passing(error: Exception) -> bool:
    return isinstance(error, NotYet) or (isinstance(error, KafkaError) and bool(error.retriable))


async def patiently(doing: str, call: Callable[[], Awaitable[T]], within_s: float = CONTROL_S) -> T:
    """The result of a control-plane call, tried again while the broker names a passing reason."""
    caller = stamina.AsyncRetryingCaller(attempts=None, timeout=within_s, wait_max=1.0)
    with answering(doing):
        return await caller(_passing, call)


@asynccontextmanager
async def _opened(cluster: Cluster, client: Any, stop: Callable[[], Awaitable[None]]) -> AsyncIterator[Any]:
    try:
        await patiently("connecting", partial(_started, cluster, client), CONNECT_S)
        yield client
    finally:
        await stop()


async def _started(cluster: Cluster, client: Any) -> None:
    try:
        await client.start()
    except KafkaConnectionError:
        await _explain(cluster)
        raise


async def _explain(cluster: Cluster) -> None:
    """The client only says that it could not connect; a refused login or certificate is the operator's to mend."""
    options = cluster.client_args()
    host, _, port = cluster.addresses[0].rpartition(":")
    wanted = {name: value for name, value in options.items() if name.startswith(("sasl", "security", "ssl"))}
    try:
        connection = await create_conn(host.strip("[]"), int(port), request_timeout_ms=int(CONNECT_S * 1000), **wanted)
    except REFUSED_LOGIN as bad:
        fix = f"the broker refuses this login: {type(bad).__name__} (user, password, sasl.mechanism)"
        raise ConfigurationError("sasl.jaas.config", "********", fix) from bad
    except ssl.SSLError as bad:
        fix = f"no TLS with this broker: {bad.reason} (ssl.truststore.location, security.protocol)"
        raise ConfigurationError("security.protocol", cluster.protocol, fix) from bad
    except (KafkaError, OSError, TimeoutError):
        return
    connection.close()


async def _stop_producer(client: AIOKafkaProducer) -> None:
    """Gives what is unsent a bounded time: an idempotent producer would otherwise wait for its broker for ever."""
    try:
        async with asyncio.timeout(STOP_S):
            await client.stop()
    except TimeoutError:
        await client._sender.close()
        await client.client.close()


def admin(cluster: Cluster) -> AbstractAsyncContextManager[Any]:
    """A started admin client."""
    client = AIOKafkaAdminClient(**cluster.client_args())
    return _opened(cluster, client, client.close)


def consumer(cluster: Cluster, **options: Any) -> AbstractAsyncContextManager[Any]:
    """A started consumer without a group, which never commits."""
    return member(cluster, None, **options)


def member(cluster: Cluster, group: str | None, **options: Any) -> AbstractAsyncContextManager[Any]:
    """A started consumer in a group, which never commits by itself; it joins when it subscribes."""
    client = AIOKafkaConsumer(**cluster.client_args(), group_id=group, enable_auto_commit=False, **options)
    return _opened(cluster, client, client.stop)


def producer(cluster: Cluster, **options: Any) -> AbstractAsyncContextManager[Any]:
    """A started idempotent producer, acknowledged by all in-sync replicas."""
    client = AIOKafkaProducer(**cluster.client_args(), enable_idempotence=True, acks="all", **options)
    return _opened(cluster, client, partial(_stop_producer, client))


async def answers(client: AIOKafkaClient) -> bool:
    """Does the broker answer a metadata request, within a moment?"""
    try:
        return bool(await asyncio.wait_for(client.force_metadata_update(), ANSWER_S))
    except (TimeoutError, OSError):
        return False


async def partitions_of(client: AIOKafkaClient, topic: str) -> tuple[int, ...]:
    """The partitions of a topic, lowest first; ``TopicMissing`` without one.

    All topics are asked for: asking for one by name creates it on brokers that create topics automatically.
    """
    every = await patiently("listing topics", client.fetch_all_metadata)
    found = every.partitions_for_topic(topic)
    if not found:
        raise TopicMissing((topic,))
    return tuple(sorted(found))
