"""# Engine: tier

Responsibility: one tier's topic as the loop sees it: what waits here, whose time it is, what may be committed.
Guarantees: in each partition the first waits for its time, and all others for the first
    (tests/unit/streams/engine/test_tier.py::test_ripe_record_behind_one_that_is_not_waits_with_it);
    only the prefix that is done is to be committed
    (tests/unit/streams/engine/test_tier.py::test_record_done_out_of_order_is_committed_with_those_before_it);
    what was left is never acknowledged, and what is taken anew is
    (tests/unit/streams/engine/test_tier.py::test_record_of_a_left_generation_is_not_committed).
NOT Responsible For: fetching, clocks, committing (park), what becomes of a record (loop).
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from streams.decisions import parking
from streams.decisions.ack_order import AckOrder, Ticket
from streams.engine.acks import Acks
from streams.stage import Record

SPAN = 5_000  # un-acked records of a partition: what a crash repeats at most


class Tier:
    """An intake of the loop, and what its acknowledgements go to; ``seconds`` is how long each record waits."""

    def __init__(self, topic: str, physical: str, seconds: float) -> None:
        self.topic, self.physical, self.seconds = topic, physical, seconds
        self.waiting: dict[int, deque[Record]] = {}
        self.done_to: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self.acks = Acks(self)
        self._unacked_messages: set[Record] = set()
        self._waiting_for_ack = None

    # -- what is here
    def begin(self, partitions: Iterable[int]) -> None:
        """These partitions are read here from now on."""
        self.waiting = {partition: deque() for partition in partitions}
        self.done_to, self._committed = {}, {}

    def end(self) -> None:
        """No partition is: what waited is its next owner's."""
        for held in self.waiting.values():
            held.clear()  # whoever is taking from it stops
        self.waiting = {}

    def hungry(self) -> list[int]:
        """The partitions of which nothing waits here."""
        return [number for number, held in self.waiting.items() if not held and self.acks.span(number) < SPAN]

    def put(self, partition: int, records: Iterable[Record]) -> None:
        """Records that were fetched; what is no longer read here is left."""
        self.waiting.get(partition, deque()).extend(records)

    def due_ms(self) -> int | None:
        """When the first of all is due, in the broker's time; None where none waits."""
        return min((self._due_ms(held[0]) for held in self.waiting.values() if held), default=None)

    def ripe(self, now_ms: int, stopped: Callable[[], bool] = lambda: False) -> Iterator[Record]:
        """Takes out what is due, partition by partition; nothing more once ``stopped``."""
        for held in list(self.waiting.values()):
            while held and self._due_ms(held[0]) <= now_ms and not stopped():
                yield held.popleft()

    def _due_ms(self, record: Record) -> int:
        return parking.due_ms(record.timestamp_ms, self.seconds)

    # -- as the loop's intake
    def opened(self, record: Record) -> Ticket[Any]:
        """Takes a record into work."""
        return self.acks.open(record, len(record.value or b"") + len(record.key or b""))

    def record(self, message: Record) -> Record:
        """The record itself: it was made when it was fetched."""
        return message

    def room(self) -> None:
        """Nobody waits for room: records wait for their time here anyway."""

    def leave(self) -> Collection[AckOrder[Any]]:
        """What is un-acked of the generation that is ending."""
        return self.acks.leave()

    def forget(self, left: Collection[AckOrder[Any]]) -> int:
        """Forget what is un-acked of a generation that was left; returns how many records."""
        return self.acks.forget(left)

    # -- to be committed
    def ack(self, record: Record) -> None:
        """All of the partition up to this record is done."""
        self.done_to[record.partition] = record.offset + 1

    def news(self) -> dict[int, int]:
        """Partition → offset, where more is done than was committed."""
        return {number: offset for number, offset in self.done_to.items() if self._committed.get(number) != offset}

    def committed(self, news: Mapping[int, int]) -> None:
        """The group has these offsets now."""
        self._committed |= news
