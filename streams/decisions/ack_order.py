"""When may an offset be acknowledged? Only when every record before it in its partition and generation is done too.

Kafka commits one number per partition, so acknowledging past an unfinished record loses it on the next crash.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """One record in work; ``dead`` once its generation is over: it will be handed over again and must not be acked."""

    item: T
    order: "AckOrder[T]" = field(repr=False)
    bytes: int = 0
    done: bool = False
    dead: bool = False


@dataclass(slots=True)
class AckOrder(Generic[T]):
    """The un-acked records of one partition in one generation, in offset order.

    >>> order = AckOrder()
    >>> first, second = order.opened("o1"), order.opened("o2")
    >>> order.finished(second), order.finished(first)
    ([], ['o1', 'o2'])
    """

    _queue: deque[Ticket[T]] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._queue)

    def opened(self, item: T, size: int = 0) -> Ticket[T]:
        """Take a record into work; ``size`` in bytes. Returns its ticket."""
        ticket = Ticket(item, self, size)
        self._queue.append(ticket)
        return ticket

    def finished(self, ticket: Ticket[T]) -> list[T]:
        """Mark one record done. Returns the items that may be acknowledged now, in order (none for a dead ticket)."""
        ticket.done = True
        ready: list[T] = []
        while self._queue and self._queue[0].done:
            ready.append(self._queue.popleft().item)
        return [] if ticket.dead else ready

    def forgotten(self) -> list[Ticket[T]]:
        """Give up all that is not acknowledged: the next owner of the partition reads it again. Returns the tickets."""
        left = list(self._queue)
        for ticket in left:
            ticket.dead = True
        self._queue.clear()
        return left
