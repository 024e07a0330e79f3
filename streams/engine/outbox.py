"""# Engine: outbox

Responsibility: put records straight into the producer's open batches, with one callback a batch instead of a future
    and a callback a record.
Guarantees: a record rides in the batch that aiokafka itself would have chosen
    (tests/integration/test_outbox.py::test_put_and_send_mixed_arrive_in_the_order_of_the_calls);
    each rider hears of its own offset, or of the batch's failure, once
    (tests/unit/streams/engine/test_outbox.py::test_batch_that_ends_tells_each_rider_its_offset);
    whatever needs waiting or is unusual is left to the producer's own ``send``
    (tests/unit/streams/engine/test_outbox.py::test_put_unusual_record_is_left_to_the_producer).
NOT Responsible For: what happens to a failed record (delivery), when batches are sent (aiokafka).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from aiokafka.errors import ProducerClosed
from aiokafka.structs import TopicPartition

from streams.decisions.partitioner import partition_of

ANY = -1  # without a key aiokafka chooses


class Rider(Protocol):
    """A record on its way; ``seat`` is its number in the batch."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: list[tuple[str, bytes]] | None
    seat: int


Landed = Callable[[Any, BaseException | None, int, int], None]  # rider, failure, partition, offset


class Outbox:
    """Rides in the batches of aiokafka's producer; which of its internals that needs is asserted by tests."""

    def __init__(self, producer: Callable[[], Any], landed: Landed) -> None:
        self._producer, self._landed = producer, landed
        self._places: dict[tuple[str, int], TopicPartition] = {}
        self._riders: dict[Any, list[Rider]] = {}

    def put(self, rider: Rider) -> bool:
        """Buffer a record without waiting; False where that cannot be: the caller sends it the slow way."""
        producer = self._producer()
        accumulator = producer._message_accumulator
        known = producer.client.cluster._partitions.get(rider.topic)
        if not known or accumulator._closed or accumulator._exception is not None:
            return False
        partition = rider.partition
        if partition is None:
            partition = ANY if rider.key is None else partition_of(rider.key, len(known))
        size = len(rider.key or b"") + len(rider.value or b"")
        if partition not in known or size >= producer._max_request_size // 2 or not size:
            return False
        place = self._places.get((rider.topic, partition))
        if place is None:
            place = self._places[rider.topic, partition] = TopicPartition(rider.topic, partition)
        return self._boarded(rider, accumulator, place)

    def _boarded(self, rider: Rider, accumulator: Any, place: TopicPartition) -> bool:
        waiting = accumulator._batches.get(place)
        batch = waiting[-1] if waiting else accumulator._append_batch(accumulator.create_builder(), place)
        seat = batch._builder.append(timestamp=None, key=rider.key, value=rider.value, headers=rider.headers)
        if seat is None:
            return False  # the batch is full
        rider.seat = seat.offset
        riders = self._riders.get(batch)
        if riders is None:
            riders = self._riders[batch] = []
            batch.future.add_done_callback(partial(self._arrived, batch))
        riders.append(rider)
        return True

    def _arrived(self, batch: Any, report: Any) -> None:
        riders = self._riders.pop(batch)
        failure = ProducerClosed() if report.cancelled() else report.exception()
        partition = batch.tp.partition
        base = 0 if failure is not None else report.result().offset
        for rider in riders:
            self._landed(rider, failure, partition, base + rider.seat)
