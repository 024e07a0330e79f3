"""Topics as a real broker makes, keeps and refuses them."""

import asyncio

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.engine import topics
from streams.engine.cluster import Cluster
from streams.engine.connect import admin
from streams.engine.topics import Shape
from tests.support.brokers import Broker
from tests.support.loops import in_loop
from topics.catalog import CATALOG, Names
from topics.errors import ConfigurationError, TopicMissing, TopicRefused

pytestmark = pytest.mark.broker

SHAPE = Shape(partitions=2)
TABLES = {"core": ("requests",), "infer": ("answers",)}


def cluster_of(broker: Broker) -> Cluster:
    return Cluster(broker.bootstrap_servers)


async def applied(cluster: Cluster, names: Names, shape: Shape = SHAPE) -> topics.Plan:
    planned = await topics.plan(cluster, names, shape, TABLES)
    await topics.apply(cluster, planned)
    return planned


async def settings_on(cluster: Cluster, name: str) -> dict[str, str]:
    async with admin(cluster) as client:
        [answer] = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}


async def make(cluster: Cluster, name: str, partitions: int = 2, **settings: str) -> None:
    configs = {key.replace("_", "."): value for key, value in settings.items()}
    async with admin(cluster) as client:
        await client.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        while name not in await client.list_topics():  # noqa: ASYNC110 (the broker sets no event)
            await asyncio.sleep(0.01)  # why: polls, bounded by a deadline


@in_loop
async def test_plan_on_empty_cluster_creates_every_topic_and_changelog(broker: Broker, names: Names) -> None:
    planned = await topics.plan(cluster_of(broker), names, SHAPE, TABLES)

    assert len(CATALOG) + 2 == len(planned.create)


@in_loop
async def test_plan_after_apply_has_nothing_to_do(broker: Broker, names: Names) -> None:
    cluster = cluster_of(broker)
    await applied(cluster, names)

    again = await topics.plan(cluster, names, SHAPE, TABLES)

    assert ((), (), ()) == (again.create, again.alter, again.differ)


@in_loop
async def test_missing_before_apply_names_everything_after_it_nothing(broker: Broker, names: Names) -> None:
    cluster = cluster_of(broker)
    before = await topics.missing(cluster, names, TABLES)
    await applied(cluster, names)

    after = await topics.missing(cluster, names, TABLES)

    assert (len(CATALOG) + 2, ()) == (len(before), after)


@in_loop
async def test_changelog_after_apply_is_compacted(broker: Broker, names: Names) -> None:
    cluster = cluster_of(broker)
    await applied(cluster, names)

    settings = await settings_on(cluster, names.changelog("core", "requests"))

    assert ("compact", "LogAppendTime") == (settings["cleanup.policy"], settings["message.timestamp.type"])


@in_loop
async def test_apply_beside_another_apply_succeeds(broker: Broker, names: Names) -> None:
    cluster = cluster_of(broker)
    await asyncio.gather(*(applied(cluster, names) for _ in range(3)))

    assert () == (await topics.plan(cluster, names, SHAPE, TABLES)).create


@in_loop
async def test_alter_keeps_foreign_settings(broker: Broker, names: Names) -> None:
    cluster, name = cluster_of(broker), names.topic("results")
    await make(cluster, name, segment_ms="123456789", retention_ms="-1", message_timestamp_type="CreateTime")
    await applied(cluster, names)

    settings = await settings_on(cluster, name)

    assert ("123456789", "-1", "LogAppendTime") == tuple(
        settings[key] for key in ("segment.ms", "retention.ms", "message.timestamp.type")
    )


@in_loop
async def test_alter_applied_twice_has_nothing_left(broker: Broker, names: Names) -> None:
    cluster = cluster_of(broker)
    await make(cluster, names.topic("admitted"), message_timestamp_type="CreateTime")
    first = await applied(cluster, names)

    second = await topics.plan(cluster, names, SHAPE, TABLES)

    assert ([names.topic("admitted")], ()) == ([one.name for one in first.alter], second.alter)


@in_loop
async def test_topic_with_the_retention_of_the_broker_is_altered_and_one_with_its_own_refused(
    broker: Broker, names: Names
) -> None:
    cluster = cluster_of(broker)
    await make(cluster, names.topic("prompts"), message_timestamp_type="LogAppendTime")
    await make(cluster, names.topic("admitted"), retention_ms="1000")

    planned = await topics.plan(cluster, names, SHAPE, TABLES)

    assert [names.topic("admitted")] == [one.name for one in planned.differ]
    assert ["-1"] == [one.changes["retention.ms"] for one in planned.alter if one.name == names.topic("prompts")]


@in_loop
async def test_prompts_with_producer_timestamps_differ(broker: Broker, names: Names) -> None:
    cluster = cluster_of(broker)
    await make(cluster, names.topic("prompts"), message_timestamp_type="CreateTime")

    planned = await topics.plan(cluster, names, SHAPE, TABLES)

    assert [names.topic("prompts")] == [one.name for one in planned.differ]


@in_loop
async def test_prompts_with_producer_timestamps_allowed_are_used(broker: Broker, names: Names) -> None:
    cluster, shape = cluster_of(broker), Shape(partitions=2, allow_create_time=True)
    await make(cluster, names.topic("prompts"), message_timestamp_type="CreateTime")
    await applied(cluster, names, shape)

    settings = await settings_on(cluster, names.topic("prompts"))

    assert "CreateTime" == settings["message.timestamp.type"]


@in_loop
async def test_apply_with_differences_refuses_before_creating(broker: Broker, names: Names) -> None:
    cluster = cluster_of(broker)
    await make(cluster, names.topic("admitted"), partitions=3)

    with pytest.raises(ConfigurationError, match="3 partitions"):
        await applied(cluster, names)

    assert len(CATALOG) - 1 == len(await topics.missing(cluster, names))


@in_loop
async def test_more_replicas_than_brokers_are_refused_by_name(broker: Broker, names: Names) -> None:
    with pytest.raises(TopicRefused, match="InvalidReplicationFactorError"):
        await applied(cluster_of(broker), names, Shape(partitions=1, replication=9))


@in_loop
async def test_require_on_empty_cluster_raises_missing_with_all_names(broker: Broker, names: Names) -> None:
    planned = await topics.plan(cluster_of(broker), names, SHAPE)

    with pytest.raises(TopicMissing) as raised:
        topics.require(planned)

    assert len(CATALOG) == len(raised.value.missing)


@in_loop
async def test_cluster_id_asked_twice_is_the_same(broker: Broker) -> None:
    first, second = [await topics.cluster_id(cluster_of(broker)) for _ in range(2)]

    assert (True, first) == (len(first) > 10, second)
