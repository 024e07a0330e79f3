"""Is anything lost when the broker refuses, goes away and comes back, or the worker dies in between?"""

import json
from pathlib import Path

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.engine.connect import admin
from tests.support.brokers import Broker
from tests.support.loops import in_loop
from tests.support.probes import Site, items, site, values_of
from topics.catalog import ADMITTED, FAILED, INFERRED, Names

pytestmark = pytest.mark.broker


async def lower_limit(here: Site, topic: str, limit: int) -> None:
    """The broker takes no record above so many bytes from now on."""
    wanted = ConfigResource(ConfigResourceType.TOPIC, here.names.topic(topic), {"max.message.bytes": str(limit)})
    async with admin(here.cluster) as client:
        await client.alter_configs([wanted])


@pytest.mark.parametrize("direct", [True, False])
@in_loop
async def test_worker_killed_with_records_under_way_loses_none(
    broker: Broker, names: Names, tmp_path: Path, direct: bool
) -> None:
    written = items(600, size=200)
    async with site(broker, names, tmp_path) as here:
        probe = await here.probe("pass", direct=direct).start().ready()
        await here.write(ADMITTED, written)
        for wanted in (50, 300):
            await here.values(wanted)
            await probe.killed()
            await probe.start().ready()
        passed = await here.values(600)

    assert values_of(written) == passed


@in_loop
async def test_outputs_of_a_partition_keep_its_order(broker: Broker, names: Names, tmp_path: Path) -> None:
    written = [(0, b"one key", b"%04d" % number) for number in range(300)]
    async with site(broker, names, tmp_path) as here:
        await here.probe("pass").start().ready()
        await here.write(ADMITTED, written)
        passed = [record.value for record in await here.read(INFERRED, 300)]

    assert [value for _, _, value in written] == passed


@in_loop
async def test_output_too_large_for_the_broker_becomes_a_failure(broker: Broker, names: Names, tmp_path: Path) -> None:
    small = items(10, partitions=1, prefix="small")
    async with site(broker, names, tmp_path) as here:
        probe = await here.probe("pass").start().ready()
        await lower_limit(here, INFERRED, 2_000)
        await here.write(ADMITTED, [(0, b"big", b"x" * 20_000)])
        [refusal] = await here.read(FAILED, 1)
        await here.write(ADMITTED, small)
        passed = await here.values(10)

        assert probe.alive
    assert values_of(small) == passed
    assert "too_large" == json.loads(refusal.value)["failure"]["kind"]


@in_loop
async def test_output_too_large_is_not_met_again_after_a_restart(broker: Broker, names: Names, tmp_path: Path) -> None:
    async with site(broker, names, tmp_path) as here:
        probe = await here.probe("pass").start().ready()
        await lower_limit(here, INFERRED, 2_000)
        await here.write(ADMITTED, [(0, b"big", b"x" * 20_000)])
        await here.read(FAILED, 1)
        await probe.stopped()
        await here.prepared()
        await probe.start().ready()
        await here.write(ADMITTED, items(1, partitions=1))
        await here.values(1)
        came = await here.read_all((INFERRED, FAILED), 2)

    assert {INFERRED: 1, FAILED: 1} == came


@in_loop
async def test_worker_refuses_to_start_on_a_topic_with_too_low_a_limit(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    async with site(broker, names, tmp_path) as here:
        await lower_limit(here, INFERRED, 2_000)
        probe = here.probe("pass").start()
        code = await probe.ended()

    assert 0 != code
    assert f"{names.topic(INFERRED)} = 'max.message.bytes is too low'" in probe.output


@in_loop
async def test_refusal_too_large_for_the_broker_too_stops_the_stage_with_an_alarm(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    async with site(broker, names, tmp_path) as here:
        probe = await here.probe("pass").start().ready()
        for topic in (INFERRED, FAILED):
            await lower_limit(here, topic, 100)
        await here.write(ADMITTED, [(0, b"big", b"x" * 20_000)])
        state = await probe.until(lambda state: not state["ready"])
        [stopped] = probe.observed("stopped")

    assert ("pass", "too_large", ADMITTED) == (stopped["stage"], stopped["kind"], stopped["topic"])
    assert "refuses writes" in state["reasons"][0]


@in_loop
async def test_deleted_topic_stops_the_stage_and_the_process_lives(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    async with site(broker, names, tmp_path) as here:
        probe = here.probe("pass")
        probe.spec["producer_timeout_s"] = 3.0
        await probe.start().ready()
        async with admin(here.cluster) as client:
            await client.delete_topics([here.names.topic(INFERRED)])
        await here.write(ADMITTED, items(2))
        state = await probe.until(lambda state: not state["ready"], 20.0)

        assert probe.alive
    assert here.names.topic(INFERRED) in state["reasons"][0]


@in_loop
async def test_stage_stopped_by_a_refusal_reads_on_after_a_restart(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    async with site(broker, names, tmp_path) as here:
        probe = here.probe("pass")
        probe.spec["producer_timeout_s"] = 3.0
        await probe.start().ready()
        async with admin(here.cluster) as client:
            await client.delete_topics([here.names.topic(INFERRED)])
        await here.write(ADMITTED, items(20))
        await probe.until(lambda state: not state["ready"], 20.0)
        code = await probe.stopped()
        await here.prepared()
        await probe.start().ready()
        passed = await here.values(20)

    assert (0, values_of(items(20))) == (code, passed)


@in_loop
async def test_broker_killed_and_back_loses_nothing_and_ends_nothing(
    fresh_broker: Broker, names: Names, tmp_path: Path
) -> None:
    """B58: a broker that is away is waited for."""
    written = items(400)
    async with site(fresh_broker, names, tmp_path) as here:
        probe = await here.probe("pass").start().ready()
        await here.write(ADMITTED, written[:200])
        fresh_broker.kill()
        fresh_broker.start()
        await here.write(ADMITTED, written[200:])
        passed = await here.values(400, within_s=30.0)

        assert probe.alive
    assert values_of(written) == passed
