"""What is deleted of a real log, and that nobody misses it."""

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from streams import pipeline
from streams.engine import lag, trim
from streams.engine.cluster import Cluster
from streams.engine.connect import admin, producer
from streams.engine.trim import Trimmer
from streams.settings import Settings
from tests.support.brokers import Broker
from tests.support.loops import in_loop
from tests.support.running import Line, request, running
from topics.catalog import ADMITTED, FAILED, PROMPTS, Names

pytestmark = pytest.mark.broker

HOUR_MS = 3_600_000
EACH = 5


async def filled(broker: Broker, names: Names) -> Cluster:
    """``prompts`` and ``failed`` with one partition and five records each."""
    cluster = Cluster(broker.bootstrap_servers)
    topics = [names.topic(PROMPTS), names.topic(FAILED)]
    async with admin(cluster) as client:
        made = [NewTopic(topic, 1, 1, topic_configs={"message.timestamp.type": "LogAppendTime"}) for topic in topics]
        await client.create_topics(made)
    async with producer(cluster) as writer:
        for topic in topics * EACH:
            await writer.send_and_wait(topic, b"x", partition=0)
    return cluster


async def commit(cluster: Cluster, group: str, **offsets: int) -> None:
    """Commits offsets of partition 0, by Kafka's names of the topics."""
    member = AIOKafkaConsumer(**cluster.client_args(), group_id=group, enable_auto_commit=False)
    await member.start()
    places = {TopicPartition(topic, 0): offset for topic, offset in offsets.items()}
    member.assign(list(places))
    await member.commit(places)
    await member.stop()


def groups(names: Names) -> dict[str, tuple[str, ...]]:
    prompts, failed = names.topic(PROMPTS), names.topic(FAILED)
    return {names.group("core"): (prompts, failed), names.group("bury"): (failed,)}


async def starts(cluster: Cluster, names: Names) -> tuple[int, int]:
    """Where the logs of ``prompts`` and ``failed`` begin."""
    found = {one.topic: one.start for one in await lag.lags(cluster, groups(names))}
    return found[names.topic(PROMPTS)], found[names.topic(FAILED)]


def soon() -> int:
    """Two hours from now: everything is older than an hour, and the oldest work a little older than that."""
    return round(time.time() * 1000) + 2 * HOUR_MS + 60_000


@pytest.mark.parametrize(
    ("committed", "expected"),
    [
        ({"core": (5, 5), "bury": 5}, (5, 5)),
        ({"core": (5, 4), "bury": 5}, (0, 4)),  # something waits: no prompt goes
        ({"core": (5, 5), "bury": 2}, (0, 2)),
        ({"core": (5, 5)}, (0, 0)),
    ],
)
@in_loop
async def test_round_deletes_what_all_groups_have_committed_and_is_old(
    broker: Broker, names: Names, committed, expected
) -> None:
    cluster = await filled(broker, names)
    prompts, failed = committed["core"]
    await commit(cluster, names.group("core"), **{names.topic(PROMPTS): prompts, names.topic(FAILED): failed})
    if "bury" in committed:
        await commit(cluster, names.group("bury"), **{names.topic(FAILED): committed["bury"]})
    await Trimmer(cluster, names, groups(names), HOUR_MS).round(soon())

    assert expected == await starts(cluster, names)


@in_loop
async def test_round_on_young_records_deletes_nothing(broker: Broker, names: Names) -> None:
    cluster = await filled(broker, names)
    await commit(cluster, names.group("core"), **{names.topic(PROMPTS): EACH, names.topic(FAILED): EACH})
    await commit(cluster, names.group("bury"), **{names.topic(FAILED): EACH})
    told = await Trimmer(cluster, names, groups(names), HOUR_MS).round(soon() - 2 * HOUR_MS)

    assert ([], (0, 0)) == (told, await starts(cluster, names))


@in_loop
async def test_rounds_at_the_same_time_delete_once(broker: Broker, names: Names) -> None:
    cluster = await filled(broker, names)
    await commit(cluster, names.group("core"), **{names.topic(PROMPTS): EACH, names.topic(FAILED): EACH})
    await commit(cluster, names.group("bury"), **{names.topic(FAILED): EACH})
    trimmers = [Trimmer(cluster, names, groups(names), HOUR_MS) for _ in range(4)]
    told = await asyncio.gather(*(one.round(soon()) for one in trimmers))

    assert {"trimmed"} == {seen.action for its in told for seen in its}
    assert (EACH, EACH) == await starts(cluster, names)


@in_loop
async def test_round_without_its_topics_is_told_as_an_error(broker: Broker, names: Names) -> None:
    trimmer = Trimmer(Cluster(broker.bootstrap_servers), names, groups(names), HOUR_MS)

    assert ["topic_missing"] == [seen.kind for seen in await trim._told(trimmer, soon())]


@pytest.mark.chaos
def test_worker_over_a_trimmed_log_goes_on_where_it_was(broker: Broker, names: Names, tmp_path: Path) -> None:
    """F11: what is gone below the committed offset is no gap; a worker with an empty state directory agrees."""
    line = Line(broker.bootstrap_servers, names)
    first, later = [f"a-{number}" for number in range(20)], [f"b-{number}" for number in range(20)]
    cluster, reads = Cluster(line.brokers), trim.reads(pipeline.stages(Settings()), names)
    with running(line, tmp_path / "one") as worker:
        asyncio.run(line.publish(*map(request, first)))
        asyncio.run(line.results(first))
        worker.stop()
    told = asyncio.run(Trimmer(cluster, names, reads, HOUR_MS).round(soon()))
    with running(line, tmp_path / "two") as worker:
        asyncio.run(line.publish(*map(request, later)))
        answered = asyncio.run(line.results([*first, *later]))
        worker.stop()

    gone = {seen.topic: seen.outputs for seen in told if seen.action == "trimmed"}
    assert {names.topic(PROMPTS), names.topic(ADMITTED)} <= set(gone)
    assert 40 == len({seen.key for seen in answered}) == len(answered)
