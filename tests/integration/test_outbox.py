"""Do records that ride in the producer's batches arrive, each once, in order, whatever else is sent between them?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from streams.decisions.stall import StallPolicy
from streams.engine.delivery import Delivery, Parcel
from tests.support.brokers import Broker
from tests.support.loops import in_loop, until
from tests.support.probes import Site, site
from topics.catalog import ADMITTED, Names
from topics.errors import OrchestratorError

pytestmark = pytest.mark.broker

COUNT = 2_000


@asynccontextmanager
async def delivery(broker: Broker, *, batch_bytes: int) -> AsyncIterator[Delivery]:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, enable_idempotence=True, acks="all", max_batch_size=batch_bytes
    )
    await producer.start()
    try:
        yield Delivery("core", lambda: producer, lambda fatal: None, StallPolicy(), direct=True)
    finally:
        await producer.stop()


class Sent:
    """Numbered records for one partition, and what was heard of each."""

    def __init__(self, here: Site) -> None:
        self.topic = here.names.topic(ADMITTED)
        self.settled: list[int] = []
        self.offsets: list[int] = []

    def parcel(self, number: int) -> Parcel:
        def settled(error: OrchestratorError | None) -> None:
            self.settled.append(number if error is None else -1)

        def landed(partition: int, offset: int) -> None:
            self.offsets.append(offset)

        return Parcel(self.topic, b"k", b"%06d" % number, settled, partition=0, landed=landed)


@pytest.mark.parametrize("batch_bytes", [300, 16_384], ids=["batches often full", "roomy batches"])
@in_loop
async def test_put_and_send_mixed_arrive_in_the_order_of_the_calls(
    broker: Broker, names: Names, tmp_path: Path, batch_bytes: int
) -> None:
    async with site(broker, names, tmp_path) as here:
        sent = Sent(here)
        async with delivery(broker, batch_bytes=batch_bytes) as out:
            for number in range(COUNT):
                parcel = sent.parcel(number)
                if number % 3 == 0 or not out.post(parcel):
                    await out.send(parcel)
            await until(lambda: len(sent.settled) == COUNT, 30.0)
        arrived = [record.value for record in await here.read(ADMITTED, COUNT)]

    wanted = [b"%06d" % number for number in range(COUNT)]
    assert (wanted, list(range(COUNT))) == (arrived, sorted(sent.offsets))
