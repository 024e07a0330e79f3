"""# Engine: holding

Responsibility: keeps back the acknowledgements of records that a stage has folded in memory and not yet in its rows.
Guarantees: a held record is acknowledged only after a record of another topic of its partition, handled later, is done
    (tests/unit/streams/engine/test_holding.py::test_held_record_is_acknowledged_with_the_next_cover);
    one that is done only after its cover waits for no further one
    (tests/unit/streams/engine/test_holding.py::test_held_record_done_after_its_cover_is_acknowledged_at_once).
NOT Responsible For: what is in the rows: a stage that holds writes with each cover all that it folded before.
"""

from collections import defaultdict
from collections.abc import Collection
from itertools import count
from typing import Any, Protocol

from streams.decisions.ack_order import Ticket
from streams.stage import Record


class Finished(Protocol):
    """A record that is done but for its acknowledgement; ``turn`` is its place in the order of handling."""

    intake: Any
    record: Record
    ticket: Ticket[Any]
    turn: int


class Holding:
    """The held records of one stage; ``topics`` are those that it holds, all others cover."""

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = frozenset(topics)
        self._turns = count(1)
        self._covered: defaultdict[int, int] = defaultdict(int)
        self._held: defaultdict[int, list[Finished]] = defaultdict(list)

    def turn(self) -> int:
        """The place of the record that is handled next."""
        return next(self._turns)

    def done(self, work: Finished) -> None:
        """Acknowledges the record, or holds it; one that covers frees those that were handled before it."""
        if self._topics:
            partition = work.record.partition
            if work.record.topic not in self._topics:
                self._cover(partition, work.turn)
            elif work.turn > self._covered[partition]:
                self._held[partition].append(work)
                return
        work.intake.acks.done(work.ticket)

    def _cover(self, partition: int, turn: int) -> None:
        self._covered[partition] = max(self._covered[partition], turn)
        held, self._held[partition] = self._held[partition], []
        for work in held:
            self.done(work)
