"""Publishing: what is refused, what a delivery says, how long it may take."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from streams.engine.cluster import Cluster
from streams.engine.publisher import ENVELOPE, Publisher, Sent, refusing
from tests.support.fake_kafka import FakeProducer, Log, through
from tests.support.loops import in_loop
from topics.catalog import CATALOG, INTERNAL_BYTES, PROMPTS, RESULTS, Names
from topics.errors import OrchestratorError, RecordTooLarge, TopicMissing, TopicRefused, TransportError

NAMES = Names(prefix="mine.")


def producer(*known: str) -> FakeProducer:
    return FakeProducer(Log(dict.fromkeys(known or (NAMES.topic(PROMPTS), NAMES.topic(RESULTS)), 1)))


def publisher(client: FakeProducer, bound_s: float = 5.0) -> Publisher:
    return Publisher(Cluster("a:1"), NAMES, bound_s, via=through(client))


async def sent(client: FakeProducer, value: bytes | None = b"v", **more: Any) -> Sent:
    async with publisher(client, more.pop("bound_s", 5.0)) as opened:
        return await (await opened.send(PROMPTS, b"k", value, **more))


def test_sent_is_written_as_coordinates() -> None:
    assert "prompts/3/1042" == Sent(PROMPTS, 3, 1042, 0).at


@in_loop
async def test_delivery_has_catalog_name_and_broker_coordinates() -> None:
    client = producer()
    client.log.append("mine.prompts")

    assert Sent(PROMPTS, 0, 1, 1000) == await sent(client)


@in_loop
async def test_record_is_handed_over_unchanged() -> None:
    client = producer()
    await sent(client, b"value", headers=(("h", b"1"),), partition=0)

    expected = {"topic": "mine.prompts", "value": b"value", "key": b"k", "headers": [("h", b"1")], "partition": 0}
    assert [expected] == client.sent


@in_loop
async def test_producer_may_send_the_largest_record() -> None:
    client = producer()
    await sent(client)

    assert INTERNAL_BYTES + ENVELOPE == client.options["max_request_size"]


@pytest.mark.parametrize("value", [None, b"", b"x" * CATALOG[PROMPTS].max_bytes])
@in_loop
async def test_value_up_to_limit_is_sent(value: bytes | None) -> None:
    client = producer()
    await sent(client, value)

    assert [value] == [one["value"] for one in client.sent]


@in_loop
async def test_value_above_limit_refused_before_sending() -> None:
    client, limit = producer(), CATALOG[PROMPTS].max_bytes

    with pytest.raises(RecordTooLarge) as raised:
        await sent(client, b"x" * (limit + 1))

    assert (PROMPTS, limit + 1, limit) == (raised.value.topic, raised.value.size, raised.value.limit)
    assert [] == client.sent


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (MessageSizeTooLargeError(), RecordTooLarge),
        (RecordListTooLargeError(), RecordTooLarge),
        (UnknownTopicOrPartitionError(), TopicMissing),
        (InvalidTopicError(), TopicMissing),
        (TopicAuthorizationFailedError(), TopicRefused),
        (ClusterAuthorizationFailedError(), TopicRefused),
        (KafkaConnectionError(), TransportError),
        (KafkaTimeoutError(), TransportError),
    ],
)
@in_loop
async def test_refused_delivery_raises_our_error(refusal: Exception, expected: type[OrchestratorError]) -> None:
    client = producer()
    client.refusal = refusal

    with pytest.raises(expected) as raised:
        await sent(client)

    assert refusal is raised.value.__cause__


def test_refusal_of_own_error_passes_unchanged() -> None:
    with pytest.raises(TopicMissing, match="absent"), refusing(PROMPTS, "mine.prompts", 1):
        raise TopicMissing(("absent",))


@in_loop
async def test_missing_topic_raises_before_sending() -> None:
    client = producer("another")

    with pytest.raises(TopicMissing, match=r"mine\.prompts"):
        await sent(client)

    assert [] == client.sent


@in_loop
async def test_topic_is_looked_up_once() -> None:
    client = producer()
    async with publisher(client) as opened:
        await opened.send(PROMPTS, b"k", b"v")
        client.log.topics.clear()
        again = await (await opened.send(PROMPTS, b"k", b"v"))

    assert 1 == again.offset


@in_loop
async def test_delivery_without_answer_fails_after_bound() -> None:
    client = producer()
    client.stuck = True

    with pytest.raises(TransportError, match=r"publishing to mine\.prompts: TimeoutError"):
        await sent(client, bound_s=0.05)


@in_loop
async def test_delivery_may_be_awaited_twice() -> None:
    async with publisher(producer()) as opened:
        delivery = await opened.send(PROMPTS, b"k", b"v")

        assert await delivery == await delivery


@in_loop
async def test_delivery_answered_in_time_may_be_awaited_late() -> None:
    async with publisher(producer(), bound_s=0.02) as opened:
        delivery = await opened.send(PROMPTS, b"k", b"v")
        await asyncio.sleep(0.05)  # why: longer than the bound, which is what is tested

        assert 0 == (await delivery).offset


@in_loop
async def test_failed_delivery_nobody_awaits_complains_nowhere() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    client = producer()
    client.refusal = KafkaConnectionError()
    async with publisher(client) as opened:
        await opened.send(PROMPTS, b"k", b"v")
    await asyncio.sleep(0)
    gc.collect()

    assert [] == complaints


@in_loop
async def test_flush_with_answering_broker_returns() -> None:
    async with publisher(producer()) as opened:
        delivery = await opened.send(RESULTS, b"k", b"v")
        await opened.flush()

    assert 0 == (await delivery).offset


@in_loop
async def test_flush_without_answer_fails_after_bound() -> None:
    client = producer()
    client.stuck = True

    with pytest.raises(TransportError, match="flushing"):
        async with publisher(client, bound_s=0.05) as opened:
            await opened.flush()
