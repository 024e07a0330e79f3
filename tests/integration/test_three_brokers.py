"""One of three brokers dies under load and comes back: nobody is asked twice, and no worker needs help."""

import asyncio
import os
from pathlib import Path

import pytest

from streams import pipeline
from streams.engine import topics
from streams.engine.cluster import Cluster
from streams.local.kafka import EmbeddedKafka
from streams.settings import Settings
from tests.support import steady
from tests.support.running import Line
from tests.support.three_brokers import three_brokers

pytestmark = [pytest.mark.broker, pytest.mark.chaos]

RATE, AROUND_S, DEAD_S = 15.0, 5.0, 10.0


class Tripled(Line):
    """A line whose topics have three copies."""

    async def prepare(self) -> None:
        cluster, shape = Cluster(self.brokers), topics.Shape(partitions=self.partitions, replication=3)
        tables = pipeline.tables(pipeline.stages(Settings()))
        await topics.apply(cluster, await topics.plan(cluster, self.names, shape, tables), 60.0)


async def died(line: Line, broker: EmbeddedKafka) -> steady.Load:
    """Load before, during and after the death of a broker."""
    async with steady.fed(line, RATE) as load:
        await asyncio.sleep(AROUND_S)  # why: load before the fault
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(DEAD_S)  # why: load on two brokers
        await asyncio.to_thread(broker.start)
        await asyncio.sleep(AROUND_S)  # why: load after it
    return load


@pytest.mark.skipif(bool(os.environ.get("KAFKA_BOOTSTRAP_SERVERS")), reason="needs brokers of its own")
def test_one_of_three_brokers_killed_and_back_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """F6: three copies, two in sync are enough."""
    with three_brokers(tmp_path / "kafka") as brokers:
        line = Tripled(",".join(broker.bootstrap_servers for broker in brokers))
        with steady.at_work(line, tmp_path, 2, nonce=True, delay_s=0.3) as workers:
            load = asyncio.run(died(line, brokers[-1]))
            outcome = asyncio.run(steady.outcome(line, load, steady.calls_of(tmp_path)))
            alive = [worker.alive for worker in workers]

    assert ([True, True], (), (), ()) == (alive, outcome.lost, outcome.conflicting, outcome.repeated)
    assert len(load.sent) > RATE * DEAD_S
