"""A compacted topic, followed on a real broker, also over its restart."""

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka.admin import NewTopic

from streams.engine.cluster import Cluster
from streams.engine.connect import admin, producer
from streams.engine.follow import Follower
from streams.stage import Record
from tests.support import brokers
from tests.support.brokers import Broker
from tests.support.loops import in_loop, until
from topics.catalog import Names

pytestmark = pytest.mark.broker

EAGER = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.001",
    "max.compaction.lag.ms": "100",
}


async def compacted(broker: Broker, topic: str) -> Cluster:
    cluster = Cluster(broker.bootstrap_servers)
    async with admin(cluster) as client:
        await client.create_topics([NewTopic(topic, 2, 1, topic_configs=EAGER)])
    return cluster


async def write(cluster: Cluster, topic: str, rows: dict[bytes, bytes]) -> None:
    async with producer(cluster) as writer:
        for key, value in rows.items():
            await writer.send_and_wait(topic, value, key=key)


@pytest.fixture(scope="module")
def cleaning_broker(broker_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that compacts as soon as it can."""
    kind = "embedded" if broker_kind == "external" else broker_kind
    with brokers.owned(kind, tmp_path_factory.mktemp("cleaning"), {"log.cleaner.backoff.ms": "50"}) as owned:
        yield owned


async def followed(cluster: Cluster, topic: str) -> list[Record]:
    seen: list[Record] = []
    async with Follower(cluster, topic, seen.append) as follower:
        await follower.caught_up(20)
    return seen


@in_loop
async def test_caught_up_after_compaction_has_last_row_of_each_key(cleaning_broker: Broker, names: Names) -> None:
    topic, rows = names.changelog("core", "breakers"), [b"k%d" % number for number in range(10)]
    cluster, turn = await compacted(cleaning_broker, topic), 0
    seen: list[Record] = []
    while len(seen) == 10 * turn:  # nothing was compacted away so far
        turn += 1
        await write(cluster, topic, dict.fromkeys(rows, b"turn %d" % turn))
        seen = await followed(cluster, topic)

    assert dict.fromkeys(rows, b"turn %d" % turn) == {record.key: record.value for record in seen}


@in_loop
async def test_caught_up_on_empty_topic_returns(broker: Broker, names: Names) -> None:
    topic, seen = names.changelog("core", "breakers"), list[Record]()
    cluster = await compacted(broker, topic)
    async with Follower(cluster, topic, seen.append) as follower:
        await follower.caught_up(20)

    assert [] == seen


@in_loop
async def test_follower_after_catching_up_hears_new_rows(broker: Broker, names: Names) -> None:
    topic, seen = names.changelog("core", "breakers"), list[Record]()
    cluster = await compacted(broker, topic)
    async with Follower(cluster, topic, seen.append, called="breakers") as follower:
        await follower.caught_up(20)
        await write(cluster, topic, {b"a": b"1"})
        await until(lambda: bool(seen))

    assert ("breakers", b"a", b"1") == (seen[0].topic, seen[0].key, seen[0].value)


@in_loop
async def test_follower_after_broker_restart_goes_on(fresh_broker: Broker, names: Names) -> None:
    topic, seen = names.changelog("core", "breakers"), list[Record]()
    cluster = await compacted(fresh_broker, topic)
    await write(cluster, topic, {b"before": b"1"})
    async with Follower(cluster, topic, seen.append) as follower:
        await follower.caught_up(20)
        await asyncio.to_thread(fresh_broker.kill)
        await asyncio.to_thread(fresh_broker.start)
        await write(cluster, topic, {b"after": b"2"})
        await until(lambda: len(seen) == 2)

    assert [b"before", b"after"] == [record.key for record in seen]
