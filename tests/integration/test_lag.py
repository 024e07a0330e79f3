"""Lag as the broker knows it."""

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete

from streams.engine import lag
from streams.engine.cluster import Cluster
from streams.engine.connect import admin, producer
from tests.support.brokers import Broker
from tests.support.loops import in_loop
from topics.catalog import Names
from topics.errors import TopicMissing

pytestmark = pytest.mark.broker


async def filled(broker: Broker, topic: str, per_partition: int = 5) -> Cluster:
    cluster = Cluster(broker.bootstrap_servers)
    async with admin(cluster) as client:
        await client.create_topics([NewTopic(topic, 2, 1)])
    async with producer(cluster) as writer:
        for number in range(2 * per_partition):
            await writer.send_and_wait(topic, b"x", partition=number % 2)
    return cluster


async def commit(cluster: Cluster, group: str, offsets: dict[TopicPartition, int]) -> None:
    member = AIOKafkaConsumer(**cluster.client_args(), group_id=group, enable_auto_commit=False)
    await member.start()
    member.assign(list(offsets))
    await member.commit(offsets)
    await member.stop()


@in_loop
async def test_lag_of_unknown_group_is_the_whole_log(broker: Broker, names: Names) -> None:
    topic = names.topic("admitted")
    cluster = await filled(broker, topic)

    got = await lag.lags(cluster, {names.group("nobody"): (topic,)})

    assert ([None, None], 10) == ([one.committed for one in got], lag.total(got))


@in_loop
async def test_lag_of_group_without_member_counts_from_its_commit(broker: Broker, names: Names) -> None:
    topic, group = names.topic("admitted"), names.group("core")
    cluster = await filled(broker, topic)
    await commit(cluster, group, {TopicPartition(topic, 0): 4, TopicPartition(topic, 1): 5})

    got = await lag.lags(cluster, {group: (topic,)})

    assert {0: 1, 1: 0} == {one.partition: one.records for one in got}


@in_loop
async def test_lag_of_trimmed_log_counts_what_is_left(broker: Broker, names: Names) -> None:
    topic = names.topic("admitted")
    cluster = await filled(broker, topic)
    async with admin(cluster) as client:
        await client.delete_records({TopicPartition(topic, 0): RecordsToDelete(3)})

    got = await lag.lags(cluster, {names.group("core"): (topic,)})

    assert {0: 2, 1: 5} == {one.partition: one.records for one in got}


@in_loop
async def test_lag_read_again_sees_new_records(broker: Broker, names: Names) -> None:
    topic, reads = names.topic("admitted"), {names.group("core"): (names.topic("admitted"),)}
    cluster = await filled(broker, topic)
    async with lag.LagReader(cluster) as reading:
        before = lag.total(await reading.read(reads))
        async with producer(cluster) as writer:
            await writer.send_and_wait(topic, b"x", partition=0)
        after = lag.total(await reading.read(reads))

    assert (10, 11) == (before, after)


@in_loop
async def test_lag_of_missing_topic_names_it(broker: Broker, names: Names) -> None:
    with pytest.raises(TopicMissing, match=names.topic("deduped")):
        await lag.lags(Cluster(broker.bootstrap_servers), {names.group("core"): (names.topic("deduped"),)})
