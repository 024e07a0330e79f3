"""Publishing, tailing, finding and reading back on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from streams.decisions.offsets import AtEnd, AtOffset, AtTime, BeforeEnd, FromStart, Position
from streams.engine import reader, topics
from streams.engine.cluster import Cluster
from streams.engine.connect import admin
from streams.engine.originals import BrokerOriginals
from streams.engine.publisher import Publisher, Sent
from streams.engine.reader import Tail
from streams.engine.topics import Shape
from streams.stage import Record
from tests.support.brokers import Broker
from tests.support.loops import in_loop
from topics.catalog import PROMPT_BYTES, PROMPTS, RESULTS, Names
from topics.errors import TopicMissing, TransportError
from topics.messages import Origin

pytestmark = pytest.mark.broker

PARTITIONS = 3


async def prepared(broker: Broker, names: Names) -> Cluster:
    cluster = Cluster(broker.bootstrap_servers)
    await topics.apply(cluster, await topics.plan(cluster, names, Shape(partitions=PARTITIONS)))
    return cluster


async def publish(cluster: Cluster, names: Names, count: int, topic: str = RESULTS) -> list[Sent]:
    async with Publisher(cluster, names) as publisher:
        deliveries = [await publisher.send(topic, f"k{n}".encode(), f"v{n}".encode()) for n in range(count)]
        return [await delivery for delivery in deliveries]


async def tailed(cluster: Cluster, names: Names, start: Position, stop: Position | None = None) -> list[Record]:
    async with Tail(cluster, names, RESULTS, start, stop) as tail:
        return [record async for record in tail]


def origin(offset: int, partition: int = 0) -> Origin:
    return Origin(topic=PROMPTS, partition=partition, offset=offset, timestamp_ms=0, hash="")


@in_loop
async def test_published_record_is_read_back_at_its_coordinates(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    async with Publisher(cluster, names) as publisher:
        sent = await (await publisher.send(RESULTS, b"a", b"one", (("h", b"1"),)))

    [record] = await tailed(cluster, names, FromStart())

    where = (RESULTS, sent.partition, sent.offset, sent.timestamp_ms)
    assert Record(*where, b"a", b"one", (("h", b"1"),)) == record


@in_loop
async def test_tail_from_position_reads_exactly_to_end(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    sent = await publish(cluster, names, 60)
    ends = {number: 1 + max((one.offset for one in sent if one.partition == number), default=-1) for number in range(3)}
    expected = {
        FromStart(): 60,
        AtEnd(): 0,
        AtOffset(5): sum(max(0, end - 5) for end in ends.values()),
        BeforeEnd(2): sum(min(2, end) for end in ends.values()),
        AtTime(0): 60,
        AtTime(sent[-1].timestamp_ms + 3_600_000): 0,
    }

    got = {start: len(await tailed(cluster, names, start)) for start in expected}

    assert expected == got


@in_loop
async def test_tail_up_to_stop_leaves_the_rest(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    await publish(cluster, names, 60)

    got = await tailed(cluster, names, FromStart(), AtOffset(4))

    assert ({0, 1, 2, 3}, 12) == ({record.offset for record in got}, len(got))


@in_loop
async def test_tail_following_gives_what_comes_later(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    async with Tail(cluster, names, RESULTS, AtEnd(), follow=True) as tail:
        following = asyncio.ensure_future(anext(aiter(tail)))
        await publish(cluster, names, 1)
        got = await following

    assert (b"k0", b"v0") == (got.key, got.value)


@in_loop
async def test_last_over_partitions_is_newest_in_order_of_time(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    await publish(cluster, names, 30)
    newest = await publish(cluster, names, 1)

    got = await reader.last(cluster, names, RESULTS, 5)

    assert newest[0].at == got[-1].at
    assert all(older.timestamp_ms <= newer.timestamp_ms for older, newer in pairwise(got))


@in_loop
async def test_find_by_key_reads_only_its_partition(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    sent = await publish(cluster, names, 40)
    looked_at: list[Record] = []

    def match(record: Record) -> bool:
        looked_at.append(record)
        return record.value == b"v7"

    found = await reader.find(cluster, names, RESULTS, key=b"k7", match=match)

    assert (sent[7].at, [b"k7"]) == (found and found.at, [record.key for record in looked_at])


@in_loop
async def test_find_of_later_answer_waits_for_it(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    waiting = asyncio.ensure_future(reader.find(cluster, names, RESULTS, key=b"k0", wait_s=30))
    await publish(cluster, names, 1)
    found = await waiting

    assert b"v0" == (found and found.value)


@in_loop
async def test_find_without_answer_gives_none(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    await publish(cluster, names, 3)

    found = [await reader.find(cluster, names, RESULTS, key=b"absent", wait_s=wait_s) for wait_s in (0.0, 0.3)]

    assert [None, None] == found


@in_loop
async def test_tail_of_missing_topic_names_it(broker: Broker, names: Names) -> None:
    cluster = Cluster(broker.bootstrap_servers)

    with pytest.raises(TopicMissing, match=names.topic(RESULTS)):
        await tailed(cluster, names, FromStart())


@in_loop
async def test_publish_to_missing_topic_names_it(broker: Broker, names: Names) -> None:
    with pytest.raises(TopicMissing, match=names.topic(RESULTS)):
        await publish(Cluster(broker.bootstrap_servers), names, 1)


@in_loop
async def test_largest_prompt_passes_the_broker(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    async with Publisher(cluster, names) as publisher:
        sent = await (await publisher.send(PROMPTS, b"k", b"x" * PROMPT_BYTES))

    assert 0 == sent.offset


@in_loop
async def test_tail_behind_a_transaction_marker_ends(broker: Broker, names: Names) -> None:
    cluster = await prepared(broker, names)
    writer = AIOKafkaProducer(**cluster.client_args(), transactional_id=names.group("tx"))
    await writer.start()
    async with writer.transaction():
        await writer.send_and_wait(names.topic(RESULTS), b"in a transaction", partition=0)
    await writer.stop()

    got = await tailed(cluster, names, FromStart())

    assert [b"in a transaction"] == [record.value for record in got]


@asynccontextmanager
async def three_prompts(broker: Broker, names: Names) -> AsyncIterator[tuple[Cluster, BrokerOriginals]]:
    cluster = await prepared(broker, names)
    async with Publisher(cluster, names) as publisher:
        for number in range(3):
            await (await publisher.send(PROMPTS, b"k", b"p%d" % number, partition=0))
    async with BrokerOriginals(cluster, names, wait_s=10) as originals:
        yield cluster, originals


@in_loop
async def test_original_by_coordinates_has_original_bytes(broker: Broker, names: Names) -> None:
    async with three_prompts(broker, names) as (_, originals):
        got = [await originals.fetch(origin(offset)) for offset in (1, 0, 2)]

    assert [b"p1", b"p0", b"p2"] == [record and record.value for record in got]


@in_loop
async def test_originals_asked_at_once_do_not_mix(broker: Broker, names: Names) -> None:
    async with three_prompts(broker, names) as (_, originals):
        got = await asyncio.gather(*(originals.fetch(origin(number % 3)) for number in range(9)))

    assert [number % 3 for number in range(9)] == [record.offset for record in got if record]


@in_loop
async def test_original_below_log_start_is_none(broker: Broker, names: Names) -> None:
    async with three_prompts(broker, names) as (cluster, originals):
        async with admin(cluster) as client:
            await client.delete_records({TopicPartition(names.topic(PROMPTS), 0): RecordsToDelete(2)})
        got = [await originals.fetch(origin(1)), await originals.fetch(origin(2))]

    assert [None, b"p2"] == [record and record.value for record in got]


@in_loop
async def test_original_beyond_log_or_partitions_is_none(broker: Broker, names: Names) -> None:
    async with three_prompts(broker, names) as (_, originals):
        got = [await originals.fetch(origin(3)), await originals.fetch(origin(0, partition=77))]

    assert [None, None] == got


@in_loop
async def test_publisher_without_broker_ends_within_its_bounds(fresh_broker: Broker, names: Names) -> None:
    cluster, clock = await prepared(fresh_broker, names), asyncio.get_running_loop()
    async with Publisher(cluster, names, bound_s=1.0) as publisher:
        await (await publisher.send(PROMPTS, b"k", b"before"))
        await asyncio.to_thread(fresh_broker.kill)
        started = clock.time()
        with pytest.raises(TransportError):
            await (await publisher.send(PROMPTS, b"k", b"into the void"))

    assert 10 > clock.time() - started


@in_loop
async def test_publisher_over_a_broker_restart_delivers_once(fresh_broker: Broker, names: Names) -> None:
    cluster = await prepared(fresh_broker, names)
    async with Publisher(cluster, names) as publisher:
        await (await publisher.send(RESULTS, b"k", b"before"))
        await asyncio.to_thread(fresh_broker.kill)
        delivery = await publisher.send(RESULTS, b"k", b"during")
        await asyncio.to_thread(fresh_broker.start)
        await delivery

    assert [b"before", b"during"] == [record.value for record in await tailed(cluster, names, FromStart())]
