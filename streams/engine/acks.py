"""# Engine: acks

Responsibility: tie the pure rules of order and continuity to Faust's consumer.
Guarantees: Faust hears of an offset only when all before it in its partition are done
    (tests/unit/streams/engine/test_acks.py::test_done_out_of_order_acks_only_done_prefix);
    a hole in offsets is never taken into work (tests/unit/streams/engine/test_acks.py::test_admit_hole_is_fatal);
    after ``forget`` nothing of the old generation is acknowledged
    (tests/unit/streams/engine/test_acks.py::test_done_after_forget_acks_nothing), and all of the next one still is
    (tests/unit/streams/engine/test_acks.py::test_forget_of_a_left_generation_spares_the_next).
NOT Responsible For: the rules themselves (streams/decisions), committing (Faust).
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from streams.decisions import continuity
from streams.decisions.ack_order import AckOrder, Ticket


@dataclass(slots=True)
class Acks:
    """The un-acked records of one intake, by partition. ``consumer`` is Faust's."""

    consumer: Any
    orders: dict[int, AckOrder[Any]] = field(default_factory=dict)
    expected: dict[int, int] = field(default_factory=dict)
    held_bytes: int = 0

    def judge(self, message: Any, log_start: int | None = None) -> continuity.Verdict:
        """Is this the offset that must come next? First in a generation: the committed one, or the start of the log."""
        expected = self.expected.get(message.partition)
        if expected is None:
            expected = self.consumer._committed_offset.get(message.tp)
        if expected is None:
            expected = self.consumer.log_starts.get(message.tp)
        return continuity.judge(message.offset, expected, log_start)

    def open(self, message: Any, size: int) -> Ticket[Any]:
        """Take a record into work; ``size`` in bytes."""
        self.expected[message.partition] = message.offset + 1
        order = self.orders.get(message.partition)
        if order is None:
            order = self.orders[message.partition] = AckOrder()
        self.held_bytes += size
        return order.opened(message, size)

    def span(self, partition: int) -> int:
        """How many records of a partition are in work or wait for one before them."""
        order = self.orders.get(partition)
        return 0 if order is None else len(order)

    def done(self, ticket: Ticket[Any]) -> None:
        """All outputs and table writes of the record are acknowledged."""
        if ticket.dead:
            return
        self.held_bytes -= ticket.bytes
        for message in ticket.order.finished(ticket):
            self.consumer.ack(message)

    def leave(self) -> Collection[AckOrder[Any]]:
        """The generation is ending: what is taken from now on belongs to the next. Returns what is still un-acked."""
        left = self.orders.values()
        self.orders, self.expected = {}, {}
        return left

    def forget(self, left: Collection[AckOrder[Any]]) -> int:
        """Give up what is not acknowledged, and let a waiting rebalance or stop go on. Returns how many records."""
        unacked, count = self.consumer._unacked_messages, 0
        for ticket in (ticket for order in left for ticket in order.forgotten()):
            unacked.discard(ticket.item)
            self.held_bytes -= 0 if ticket.done else ticket.bytes
            count += 1
        waiting = self.consumer._waiting_for_ack
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        return count
