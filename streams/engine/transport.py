"""# Engine: transport

Responsibility: Faust's Kafka transport with what it lacks: an idempotent producer, a fence around rebalances, and a
    hand-over without tasks.
Guarantees: a record fetched during a rebalance is read again afterwards, never dropped
    (tests/unit/streams/engine/test_transport.py::test_getmany_record_during_rebalance_is_sought_again);
    with the direct hand-over off, every record goes Faust's own way
    (tests/unit/streams/engine/test_transport.py::test_getmany_direct_off_yields_every_record).
NOT Responsible For: what happens to a record (intake, loop), committing (Faust).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from faust.events import Event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.engine.lease import since_boot

YIELD_EVERY = 128
POLL_S = 0.2  # a fetch occupies the consumer's thread: commits and seeks wait behind it, so it must not be Faust's 1 s


class Intake(Protocol):
    """Where a topic's records go."""

    def offered(self, tp: TP, event: Event, consumer: "Consumer") -> bool:
        """Take the event without waiting; False when that is not possible now."""
        ...


class Consumer(driver.Consumer):
    """Faust's consumer, which hands stage records over itself where that needs no waiting."""

    direct = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.seek_again: dict[TP, int] = {}
        self.log_starts: dict[TP, int] = {}
        self.done_to: dict[TP, int] = {}
        super().__init__(*args, **kwargs)
        self._unacked_messages: set[Any] = set()  # Faust's is weak; ours are let go by `ack` and `forget`

    def _new_consumer_thread(self) -> "ConsumerThread":
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's stall warnings count stream events, which the direct hand-over bypasses; the watch is ours."""

    # -- acknowledgements come in offset order, so one number a partition says it all
    def ack(self, message: Any) -> bool:
        """All of the partition up to this record is done."""
        message.acked = True
        self._unacked_messages.discard(message)
        self.done_to[message.tp] = message.offset + 1
        waiting = self._waiting_for_ack
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> list[TP]:
        return [tp for tp in self.done_to if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        return self.done_to.pop(tp, None)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """What the last generation did not commit is its next owner's to do again."""
        self.done_to.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seek to what is committed; where nothing is, learn where the log starts, as that record must come first."""
        await super().perform_seek()
        fresh = [tp for tp in self.assignment() if tp.topic in self.app.intakes and not self._committed_offset.get(tp)]
        if fresh:
            starts = await self.earliest_offsets(*fresh)
            self.log_starts = {TP(tp.topic, tp.partition): offset for tp, offset in starts.items()}

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch once; what the intakes can take at once is handed over here, the rest is yielded to Faust's loop.

        Table recovery resumes the stage partitions, seeks, and then clears the queues: what is handed over in between
        would vanish with the read position behind it. So nothing is handed over until the rebalance is over, and the
        partitions seen meanwhile are sought again, before anything of this generation is out.
        """
        await self._seek_what_was_fenced()  # first, and not only when records came: there may be no more of them
        records, active = await self._wait_next_records(min(timeout, POLL_S))
        if not records or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        generation, seen = self.app.consumer_generation_id, 0
        for aiokafka_tp, batch in records.items():
            tp = TP(aiokafka_tp.topic, aiokafka_tp.partition)
            intake = self.app.intakes.get(tp.topic)
            if intake is not None and (self.app.rebalancing or self.seek_again):
                self.seek_again.setdefault(tp, batch[0].offset)
                continue
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            for record in batch:
                seen += 1
                if not seen % YIELD_EVERY:
                    await asyncio.sleep(0)
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                message = self._to_message(tp, record)
                if intake is None or not self.direct or not self._handed(tp, message, intake):
                    yield tp, message

    def _handed(self, tp: TP, message: Any, intake: Intake) -> bool:
        last = self._read_offset[tp]
        if last is not None and message.offset < last:
            return True  # read before; Faust drops it the same way
        event = Event(self.app, message.key, message.value, message.headers, message)
        message.refcount = 1
        if not self.app.flow_control.is_active() or not intake.offered(tp, event, self):
            message.refcount = 0
            return False
        self._read_offset[tp] = message.offset
        return True

    async def _seek_what_was_fenced(self) -> None:
        if not self.seek_again or self.app.rebalancing or not self.flow_active:
            return
        await self.perform_seek()
        for tp, offset in self.seek_again.items():
            if tp in self.assignment() and not self._committed_offset.get(tp):
                await self.seek(tp, offset)  # nothing committed yet, so there was nothing to seek to
        self.seek_again.clear()


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Hears from the group's coordinator: heartbeats that it confirmed, and how often it threw this member out."""

    evictions = 0

    async def on_start(self) -> None:
        """Start the consumer and listen to its coordinator."""
        await super().on_start()
        coordinator, app = self._consumer._coordinator, self.app
        reset, beat = coordinator.reset_generation, coordinator._do_heartbeat

        def counted() -> None:
            self.evictions += coordinator.generation > 0
            reset()

        async def confirmed() -> bool:
            asked = since_boot()
            alive = bool(await beat())
            if alive:
                app.main_loop.call_soon_threadsafe(app.lease.renewed, asked)
            return alive

        coordinator.reset_generation, coordinator._do_heartbeat = counted, confirmed


class Producer(driver.Producer):
    """Acknowledged by all replicas in sync, without duplicates from the client's own retries."""

    def _settings_extra(self) -> dict[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class Transport(driver.Transport):
    """Ties the three together."""

    Consumer = Consumer
    Producer = Producer
