"""Which rows of ``answers`` have had their time? With each second of input a few are looked at, by the order of keys.

| row | becomes | when |
|---|---|---|
| an outcome | a marker: there were calls, what they came to is kept no longer | its lane is ``whole_ms`` younger |
| a marker, an outcome, the way of a request | nothing | the partition is ``marked_ms`` younger |

Times are epoch milliseconds: that of a row is when it was used last, and a later record tells by its own how old that
is, never a clock. An outcome waits for one of its own lane: what a dead worker left un-acknowledged there comes again
before that, and uses it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from streams.decisions import rows
from topics.catalog import DAY_MS
from topics.errors import DecodingError

EVERY_MS = 1000  # of input, between two looks
PAGE = 500  # rows of one look
PAGE_BYTES = 1024 * 1024  # and what they weigh
WRITES = 200  # of one look


class Rows(Protocol):
    """The part of a table that counts here."""

    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]: ...


@dataclass(frozen=True, slots=True)
class KeepPolicy:
    """For how long outcomes are kept whole, and for how long it is known that there was one; milliseconds."""

    whole_ms: int = 3_600_000
    marked_ms: int = 7 * DAY_MS


@dataclass(slots=True)
class Sweep:
    """How far one partition has been looked through.

    ``cursor`` is the key that was looked at last: at first any, so that a partition that moves often is not looked at
    in front alone. ``newest`` is the time of the newest record of each lane since the partition came here,
    ``swept_ms`` that of the record that looked last.
    """

    cursor: bytes = b""
    newest: dict[str, int] = field(default_factory=dict)
    swept_ms: int = -EVERY_MS


def thinned(stored: bytes, sweep: Sweep, policy: KeepPolicy) -> bytes | None:
    """What becomes of a row.

    Args:
        stored: It.
        sweep: Its partition, where a record of ``swept_ms`` is at hand.
        policy: How long rows are kept.

    Returns:
        The same object where it stays; None where it goes; else its marker, or the row of an earlier version with a
        time, which for it begins now. What is no row stays.
    """
    seen = rows.age(stored)
    if seen is None:
        return rows.dated(stored, sweep.swept_ms)
    if sweep.swept_ms - seen.ms >= policy.marked_ms:
        return None
    if not seen.topic or sweep.newest.get(seen.topic, 0) - seen.ms < policy.whole_ms or rows.spent(stored):
        return stored
    try:
        return rows.marker(stored)
    except DecodingError:
        return stored


def tend(table: Rows, sweep: Sweep, topic: str, ms: int, policy: KeepPolicy) -> None:
    """Thins the next few rows, where a second of input has passed; for a record that is done with its own rows.

    Args:
        table: The rows of its partition.
        sweep: How far that was looked through.
        topic: The record's lane.
        ms: Its append time, epoch milliseconds.
        policy: How long rows are kept.
    """
    newest = sweep.newest
    if ms > newest.get(topic, -1):
        newest[topic] = ms
    if ms - sweep.swept_ms < EVERY_MS:
        return
    sweep.swept_ms = ms
    for key, value in _due(table, sweep, policy):
        if value is None:
            table.delete(key)
        else:
            table.put(key, value)


def _due(table: Rows, sweep: Sweep, policy: KeepPolicy) -> list[tuple[bytes, bytes | None]]:
    """What is to be written, once the reading is over; the cursor stands behind the last row that was looked at."""
    due, looked, size = list[tuple[bytes, bytes | None]](), 0, 0
    for key, stored in _round(table, sweep.cursor):
        sweep.cursor, looked, size = key, looked + 1, size + len(stored)
        became = thinned(stored, sweep, policy)
        if became is not stored:
            due.append((key, became))
        if looked == PAGE or size >= PAGE_BYTES or len(due) == WRITES:
            break
    return due


def _round(table: Rows, start: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every row once, those behind a key first."""
    yield from table.items(start)
    for key, stored in table.items():
        if key > start:
            return
        yield key, stored
