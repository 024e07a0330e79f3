"""Does a stage that takes nothing leave its neighbours alone?"""

from pathlib import Path

import pytest

from streams.engine.app import POLL_RECORDS
from streams.engine.buffers import queue_size
from tests.support.brokers import Broker
from tests.support.loops import in_loop
from tests.support.probe_worker import GATED
from tests.support.probes import items, site, values_of
from topics.catalog import ADMITTED, Names

pytestmark = pytest.mark.broker

PARTITIONS = 2
BACKLOG = 3 * queue_size(POLL_RECORDS["core"], PARTITIONS)


@pytest.mark.parametrize("direct", [True, False])
@in_loop
async def test_gated_topic_with_backlog_leaves_neighbour_flowing(
    broker: Broker, names: Names, tmp_path: Path, direct: bool
) -> None:
    flowing = items(200, prefix="flow")
    async with site(broker, names, tmp_path) as here:
        await here.write(GATED, items(BACKLOG, prefix="gated"))
        await here.probe("gate", "pass", direct=direct).start().ready()
        await here.write(ADMITTED, flowing)
        passed = await here.values(len(flowing), within_s=10.0)

    assert values_of(flowing) == passed


@in_loop
async def test_gated_topic_that_opens_is_worked_off_whole(broker: Broker, names: Names, tmp_path: Path) -> None:
    gated = items(BACKLOG, prefix="gated")
    async with site(broker, names, tmp_path) as here:
        await here.write(GATED, gated)
        probe = await here.probe("gate").start().ready()
        (here.directory / "gate").touch()
        passed = await here.values(len(gated), within_s=20.0)
        code = await probe.stopped()

    assert (values_of(gated), 0) == (passed, code)
