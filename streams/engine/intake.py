"""# Engine: intake

Responsibility: one Faust agent per topic, which reads its queue directly and hands each record to the loop.
Guarantees: a record taken during a rebalance or a stop is left un-acked for its next owner
    (tests/unit/streams/engine/test_intake.py::test_read_record_during_rebalance_is_left);
    a full window stops the taking, and nothing else
    (tests/unit/streams/engine/test_intake.py::test_read_full_window_waits_for_room).
NOT Responsible For: what a record means and its delivery (loop), when the drain happens (drain).
"""

import asyncio
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from streams.decisions import continuity
from streams.decisions.ack_order import AckOrder, Ticket
from streams.engine.acks import Acks
from streams.engine.buffers import HELD_BYTES, HeldBytes
from streams.engine.exit import Fatal, Reason
from streams.stage import Record, headers_of
from topics.catalog import EXPENDABLE

if TYPE_CHECKING:
    from streams.engine.app import StageApp
    from streams.engine.loop import Loop

SPAN = 5_000  # un-acked records of a partition: what a crash repeats at most, beside calls
YIELD_EVERY = 64


class TopicIntake:
    """The intake of one topic of one stage."""

    def __init__(self, app: "StageApp", loop: "Loop", topic: str, physical: str) -> None:
        self.app, self.loop, self.topic, self.physical = app, loop, topic, physical
        self.acks = Acks(None)
        self.queue: Any = None
        self._flow: Any = app.flow_control
        self.held: HeldBytes | None = None
        self._pressure: dict[Any, tuple[Any, Any]] = {}
        self._room = asyncio.Event()

    # -- from the consumer
    def offered(self, tp: Any, event: Any, consumer: Any) -> bool:
        """Put an event into the agent's queue, if that needs no waiting."""
        queue = self.queue
        if queue is None or queue.full():
            return False
        pair = self._pressure.get(tp)
        if pair is None:
            pair = self._pressure[tp] = (partial(consumer.on_buffer_full, tp), partial(consumer.on_buffer_drop, tp))
        queue.put_nowait_enhanced(event, on_pressure_high=pair[0], on_pressure_drop=pair[1])
        if self.held is not None:
            self.held.put(tp, len(event.message.value or b""))
        return True

    # -- the agent
    async def read(self, stream: Any) -> None:
        """The agent's body: take, check, hand on; for as long as the worker lives."""
        queue = self.queue = stream.channel.queue
        consumer = self.acks.consumer = self.app.consumer
        self.held = HeldBytes(consumer.on_buffer_full, consumer.on_buffer_drop)
        self._flow, has_table, taken = self.app.flow_control, self.loop.stage.table is not None, 0
        while True:
            try:
                event = queue.get_nowait() if queue._queue else await queue.get()
            except StopAsyncIteration:  # Faust's way to end a stream
                return
            self.held.taken(len(event.message.value or b""))
            if not self.stale(event.message):
                if has_table:
                    stream._set_current_event(event)  # by it the table finds its partition
                await self._take(event)
            taken += 1
            if not taken % YIELD_EVERY:
                await asyncio.sleep(0)

    def stale(self, message: Any) -> bool:
        """Handed over under an assignment that is ending, or over: its next owner reads it again."""
        app = self.app
        return bool(
            app.stopping
            or app.rebalancing
            or message.generation_id != app.consumer_generation_id
            or not self._flow.is_active()
        )

    async def _take(self, event: Any) -> None:
        message = event.message
        verdict = self.acks.judge(message)
        if not isinstance(verdict, continuity.InOrder) and not await self._may_skip(message):
            return
        ticket = self._opened(event)
        while not self._has_room(message.partition) and not ticket.dead:
            self._room.clear()
            await self._room.wait()
        if not ticket.dead:
            await self.loop.handle(self, event, ticket)

    def _opened(self, event: Any) -> Ticket[Any]:
        message = event.message
        message.tracked = True
        self.acks.consumer._unacked_messages.add(message)
        return self.acks.open(message, len(message.value or b"") + len(message.key or b""))

    async def _may_skip(self, message: Any) -> bool:
        verdict = self.acks.judge(message, await self._log_start(message))
        if self.stale(message):
            return False  # a rebalance began meanwhile
        return isinstance(verdict, continuity.InOrder) or self._passes(verdict, message)

    async def _log_start(self, message: Any) -> int | None:
        starts = await self.acks.consumer.earliest_offsets(message.tp)
        return next(iter(starts.values()), None)

    def _passes(self, verdict: continuity.Hole | continuity.LaterStart, message: Any) -> bool:
        where = f"{self.topic}/{message.partition}: expected {verdict.expected}, got {verdict.got}"
        may_skip = self.topic in EXPENDABLE or self.app.plan.tuning.skip_lost_offsets
        if isinstance(verdict, continuity.LaterStart) and may_skip:
            self.app.observe_lost(self.topic, message.partition, verdict.expected, verdict.got)
            return True
        reason: Reason = "hole_in_offsets" if isinstance(verdict, continuity.Hole) else "log_starts_later"
        self.app.end(Fatal(reason, self.app.name, where, self.topic, message.partition, verdict.expected))
        return False

    # -- room
    def _has_room(self, partition: int) -> bool:
        in_span = self.acks.span(partition) <= SPAN
        in_bytes = self.acks.held_bytes <= HELD_BYTES or self.acks.span(partition) <= 1
        return in_span and in_bytes and self.loop.has_slot() and not self.loop.refused

    def room(self) -> None:
        """Something was finished or forgotten: look again."""
        self._room.set()

    def leave(self) -> Collection[AckOrder[Any]]:
        """What is un-acked of the generation that is ending."""
        return self.acks.leave()

    def cleared(self) -> None:
        """A generation begins: Faust has emptied the queue."""
        if self.held is not None:
            self.held.cleared()

    def forget(self, left: Collection[AckOrder[Any]]) -> int:
        """Forget what is not acknowledged of a generation that was left; returns how many records."""
        count = self.acks.forget(left) if self.acks.consumer is not None else 0
        self.room()
        return count

    def record(self, message: Any) -> Record:
        """Faust's message as the stage sees it."""
        return Record(
            self.topic,
            message.partition,
            message.offset,
            round(message.timestamp * 1000),
            message.key,
            message.value,
            headers_of(message.headers),
        )
