"""Riding in the producer's own batches: what boards, what is left to the producer, and what each rider hears."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, ProducerClosed
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.partitioner import partition_of
from streams.engine.delivery import Parcel
from streams.engine.outbox import Outbox
from tests.support.loops import in_loop

TOPIC, PARTITIONS, MOST = "prompts.inferred", 4, 4096


def parcel(
    value: bytes | None = b"v", *, key: bytes | None = b"k", partition: int | None = 1, topic: str = TOPIC
) -> Parcel:
    return Parcel(topic, key, value, lambda error: None, partition=partition, headers=[("h", b"1")])


class Rig:
    """An outbox over aiokafka's real accumulator; the broker's answers are given by hand."""

    def __init__(self, batch_bytes: int = 16_384) -> None:
        cluster = SimpleNamespace(_partitions={TOPIC: dict.fromkeys(range(PARTITIONS))})
        self.accumulator = MessageAccumulator(cluster, batch_bytes, 0, 30)
        self.producer = SimpleNamespace(
            _message_accumulator=self.accumulator, client=SimpleNamespace(cluster=cluster), _max_request_size=2 * MOST
        )
        self.heard: list[tuple[Any, Any, int, int]] = []
        self.outbox = Outbox(lambda: self.producer, lambda *told: self.heard.append(told))

    def batches(self, partition: int = 1) -> list[Any]:
        return [
            batch for tp, batches in self.accumulator._batches.items() if tp.partition == partition for batch in batches
        ]

    async def ends(self, ending: Callable[[Any], Awaitable[None] | None], partition: int = 1) -> None:
        """The batch of a partition ends, and who rode in it hears."""
        [batch] = self.batches(partition)
        ending(batch)
        await turn()


async def turn() -> None:
    """Lets callbacks run."""
    for _ in range(3):
        await asyncio.sleep(0)  # why: callbacks of futures run in the next turn of the loop


@in_loop
async def test_batch_that_ends_tells_each_rider_its_offset() -> None:
    rig, riders = Rig(), [parcel(b"%d" % number) for number in range(3)]
    boarded = [rig.outbox.put(rider) for rider in riders]
    await rig.ends(lambda batch: batch.done(40))

    assert ([True] * 3, [(rider, None, 1, 40 + at) for at, rider in enumerate(riders)]) == (boarded, rig.heard)


@in_loop
async def test_batch_that_fails_tells_each_rider_why() -> None:
    rig, riders, why = Rig(), [parcel(), parcel()], KafkaTimeoutError()
    for rider in riders:
        rig.outbox.put(rider)
    await rig.ends(lambda batch: batch.failure(why))

    assert [(riders[0], why), (riders[1], why)] == [told[:2] for told in rig.heard]


@in_loop
async def test_batch_that_is_cancelled_is_told_as_a_closed_producer() -> None:
    rig = Rig()
    rig.outbox.put(parcel())
    await rig.ends(lambda batch: batch.future.cancel())

    assert [ProducerClosed] == [type(told[1]) for told in rig.heard]


@in_loop
async def test_batch_shared_with_the_producer_keeps_each_ones_offset() -> None:
    rig, rider = Rig(), parcel()
    own = await rig.accumulator.add_message(TopicPartition(TOPIC, 1), b"k", b"own", 1.0)
    rig.outbox.put(rider)
    await rig.ends(lambda batch: batch.done(40))

    assert (40, [(rider, None, 1, 41)]) == ((await own).offset, rig.heard)


@in_loop
async def test_riders_of_two_batches_hear_apart() -> None:
    rig, first, second = Rig(), parcel(partition=1), parcel(partition=2)
    rig.outbox.put(first)
    rig.outbox.put(second)
    await rig.ends(lambda batch: batch.done(7), partition=2)

    assert [(second, None, 2, 7)] == rig.heard


UNUSUAL = {
    "topic nobody knows": parcel(topic="prompts.gone"),
    "partition that is not there": parcel(partition=PARTITIONS),
    "neither key nor partition": parcel(key=None, partition=None),
    "near the producer's limit": parcel(b"v" * MOST),
    "neither key nor value": parcel(None, key=None),
}


@pytest.mark.parametrize("case", UNUSUAL)
@in_loop
async def test_put_unusual_record_is_left_to_the_producer(case: str) -> None:
    rig = Rig()

    assert (False, {}) == (rig.outbox.put(UNUSUAL[case]), dict(rig.accumulator._batches))


@pytest.mark.parametrize("state", [{"_closed": True}, {"_exception": ProducerClosed()}])
@in_loop
async def test_put_into_an_ended_producer_is_left_to_it(state: dict[str, Any]) -> None:
    rig = Rig()
    vars(rig.accumulator).update(state)

    assert not rig.outbox.put(parcel())


@in_loop
async def test_put_into_a_full_batch_is_left_to_the_producer() -> None:
    rig = Rig(batch_bytes=200)
    boarded = [rig.outbox.put(parcel(b"v" * 60)) for _ in range(4)]

    assert (True, False) == (boarded[0], boarded[-1])


@given(st.binary(min_size=1, max_size=40))
@in_loop
async def test_put_without_partition_goes_where_the_key_says(key: bytes) -> None:
    rig = Rig()
    rig.outbox.put(parcel(key=key, partition=None))

    assert 1 == len(rig.batches(partition_of(key, PARTITIONS)))


@in_loop
async def test_put_tombstone_boards_by_its_key() -> None:
    rig = Rig()

    assert rig.outbox.put(parcel(None))


@in_loop
async def test_put_wakes_the_sender() -> None:
    rig = Rig()
    waiter = rig.accumulator.waiter()
    rig.outbox.put(parcel())

    assert waiter.done()
