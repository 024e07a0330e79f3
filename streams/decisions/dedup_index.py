"""Where among a partition's rows are the oldest finished one, the next deadline, and the twin of that identity?

All of it follows from the rows: one scan gives the same as keeping it in step, row by row, with ``note`` and ``gone``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TypeGuard

from streams.decisions import requests, succession
from streams.decisions.dedup import DedupPolicy
from streams.decisions.finished import Finished
from streams.decisions.requests import OPENER, Deed, Entry, Final, Row, Twin

KINDS: dict[bytes, type[Entry] | type[Twin] | type[Final] | type[Deed]] = {
    b"key": Entry,
    b"old": Entry,
    b"twin": Twin,
    b"final": Final,
    b"did": Deed,
}


@dataclass(slots=True)
class Index:
    """What can be found without a scan.

    Args:
        policy: The slack before takeovers.
        running: Places of the generations that run.
        done: Places of the rows that may go one day, by when they were decided.
        twins: (dedup key, identity) → the newest number under which it waits or waited.
        due: What a tick looks at, soonest first: (epoch milliseconds, dedup key, number of the twin, or ``OPENER`` for
            a takeover). May name what is not due any more: the rows tell.
        takeovers: Dedup key → the time for which a takeover stands in ``due``.
        thinned: Place of a generation whose twins are on their way out → the number below which they still stand.
    """

    policy: DedupPolicy
    running: set[bytes] = field(default_factory=set)
    done: Finished = field(default_factory=Finished)
    twins: dict[tuple[str, str], int] = field(default_factory=dict)
    due: list[tuple[int, str, int]] = field(default_factory=list)
    takeovers: dict[str, int] = field(default_factory=dict)
    thinned: dict[bytes, int] = field(default_factory=dict)

    def note(self, place: bytes, row: Row) -> None:
        """A row was written.

        Args:
            place: Its key.
            row: What it holds.
        """
        if isinstance(row, Twin):
            self._twin(place, row)
        elif isinstance(row, Entry) and row.by is None:
            self._runs(place, row)
        else:
            self.running.discard(place)
            self.done.add(place, row.ms)

    def gone(self, place: bytes, row: Row) -> None:
        """A row was deleted.

        Args:
            place: Its key.
            row: What it held.
        """
        self.done.discard(place)
        self.thinned.pop(place, None)
        if isinstance(row, Twin):
            named = (requests.key_in(place), row.identity)
            if self.twins.get(named) == _number(place):
                del self.twins[named]

    def next_due(self, now_ms: int) -> tuple[str, int] | None:
        """Takes out what is due first.

        Args:
            now_ms: Epoch milliseconds.

        Returns:
            Dedup key and number, or None where nothing is due until then.
        """
        if not self.due or self.due[0][0] > now_ms:
            return None
        _, key, number = heappop(self.due)
        if number == OPENER:
            self.takeovers.pop(key, None)
        return key, number

    def _twin(self, place: bytes, twin: Twin) -> None:
        key, number = requests.key_in(place), _number(place)
        named = (key, twin.identity)
        known = self.twins.get(named)
        if known is None or known < number:
            self.twins[named] = number
        if twin.standing == "waiting" and twin.deadline_ms is not None:
            heappush(self.due, (twin.deadline_ms, key, number))

    def _runs(self, place: bytes, entry: Entry) -> None:
        self.running.add(place)
        self.done.discard(place)
        self.thinned.pop(place, None)
        when = succession.takeover_ms(entry, self.policy)
        if when is not None and self.takeovers.get(key := requests.key_in(place)) != when:
            self.takeovers[key] = when
            heappush(self.due, (when, key, OPENER))


def build(rows: Iterable[tuple[bytes, bytes]], policy: DedupPolicy) -> Index:
    """The index of a partition.

    Args:
        rows: All its rows, in any order.
        policy: As for ``Index``.

    Returns:
        What ``note`` would have made of them.
    """
    index = Index(policy)
    decided: list[tuple[int, bytes]] = []
    for place, stored in rows:
        kind = KINDS.get(place.partition(b"/")[0])
        row = None if kind is None else requests.unpack(stored, kind)
        if row is None:
            continue
        if _is_done(row):
            decided.append((row.ms, place))
        else:
            index.note(place, row)
    for ms, place in sorted(decided):
        index.done.add(place, ms)
    return index


def _is_done(row: Row) -> TypeGuard[Entry | Final | Deed]:
    return not isinstance(row, Twin) and not (isinstance(row, Entry) and row.by is None)


def _number(place: bytes) -> int:
    return int(place.rpartition(b"/")[2])
