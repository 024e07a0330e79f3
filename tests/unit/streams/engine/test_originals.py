"""Reading one record back, on logs in memory."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.cluster import Cluster
from streams.engine.originals import BrokerOriginals
from streams.stage import Record
from tests.support.fake_kafka import FakeConsumer, Log, through
from tests.support.loops import in_loop
from topics.catalog import PROMPTS, Names
from topics.errors import TopicMissing, TransportError
from topics.messages import Origin

NAMES = Names(prefix="mine.")
TP = TopicPartition("mine.prompts", 0)


def consumer(count: int = 5, start: int = 0) -> FakeConsumer:
    log = Log({TP.topic: 2})
    for number in range(count):
        log.append(TP.topic, value=b"p%d" % number)
    log.starts[TP] = start
    return FakeConsumer(log)


def origin(offset: int, partition: int = 0) -> Origin:
    return Origin(topic=PROMPTS, partition=partition, offset=offset, timestamp_ms=0, hash="")


async def fetched(client: FakeConsumer, *wanted: Origin, wait_s: float = 5.0) -> list[Record | None]:
    async with BrokerOriginals(Cluster("a:1"), NAMES, wait_s, via=through(client)) as originals:
        return [await originals.fetch(one) for one in wanted]


@in_loop
async def test_record_at_coordinates_is_returned_under_catalog_name() -> None:
    assert [Record(PROMPTS, 0, 3, 3000, b"k", b"p3")] == await fetched(consumer(), origin(3))


@pytest.mark.parametrize(
    ("wanted", "start"),
    [(origin(5), 0), (origin(99), 0), (origin(1), 2), (origin(0, partition=1), 0), (origin(0, partition=7), 0)],
)
@in_loop
async def test_record_that_is_not_in_the_log_is_none(wanted: Origin, start: int) -> None:
    assert [None] == await fetched(consumer(start=start), wanted)


@in_loop
async def test_record_replaced_by_a_later_one_is_none() -> None:
    client = consumer()
    del client.log.messages[TP][2]

    assert [None] == await fetched(client, origin(2))


@in_loop
async def test_only_markers_at_the_coordinates_is_none() -> None:
    client = consumer()
    del client.log.messages[TP][4]

    assert [None] == await fetched(client, origin(4))


@given(st.lists(st.integers(0, 7), max_size=6))
def test_records_in_any_order_are_each_found(offsets: list[int]) -> None:
    got = asyncio.run(fetched(consumer(5, start=1), *map(origin, offsets)))

    assert [offset if 1 <= offset < 5 else None for offset in offsets] == [one and one.offset for one in got]


@in_loop
async def test_fetch_without_answer_fails_after_bound() -> None:
    client = consumer()
    client.silent = True

    with pytest.raises(TransportError, match="reading prompts/0/3 back: TimeoutError"):
        await fetched(client, origin(3), wait_s=0.05)


@in_loop
async def test_failing_fetch_is_a_transport_error() -> None:
    client = consumer()
    client.errors = [KafkaConnectionError()]

    with pytest.raises(TransportError, match="KafkaConnectionError"):
        await fetched(client, origin(3))


@in_loop
async def test_fetch_after_a_failure_succeeds() -> None:
    client = consumer()
    client.errors = [KafkaConnectionError()]
    async with BrokerOriginals(Cluster("a:1"), NAMES, via=through(client)) as originals:
        with pytest.raises(TransportError):
            await originals.fetch(origin(3))
        again = await originals.fetch(origin(3))

    assert b"p3" == (again and again.value)


@in_loop
async def test_original_of_missing_topic_names_it() -> None:
    with pytest.raises(TopicMissing, match=r"mine\.prompts"):
        await fetched(FakeConsumer(Log()), origin(0))


@in_loop
async def test_consumer_is_opened_for_single_records() -> None:
    client = consumer()
    await fetched(client)

    assert {"max_poll_records": 1, "auto_offset_reset": "none"}.items() <= client.options.items()
