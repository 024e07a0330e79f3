"""What may be deleted of a log that we trim ourselves, and until when must a request be answered?

A record may go when every group that reads it has committed past it and it is older than the retention; a prompt, which
its dead letter is made of, stands longer by the age of the oldest record on its way (found by trying ``ages``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

LEAD_MS = 3_600_000  # a request is answered that long before its prompt may go
FINEST = 1024  # the shortest age that is looked for, as a part of the retention


@dataclass(frozen=True, slots=True)
class Log:
    """One partition.

    Args:
        start: The first offset that the broker has.
        end: The offset of the next record, noted before ``aged``.
        committed: Group → the offset up to which it is done, for every group that reads it; None: it never committed.
        aged: The first offset whose record is younger than asked; None where all are older.
    """

    start: int
    end: int
    committed: Mapping[str, int | None]
    aged: int | None

    @property
    def old(self) -> int:
        """The offset up to which records are older than asked, within the log."""
        return max(self.start, self.end if self.aged is None else min(self.aged, self.end))


@dataclass(frozen=True, slots=True)
class Trim:
    """Delete the ``records`` there are below the offset ``before``."""

    before: int
    records: int


@dataclass(frozen=True, slots=True)
class Held:
    """Old records stay: nobody knows how far these ``groups`` are. Without any group, nobody reads them."""

    groups: tuple[str, ...]


def trim(log: Log) -> Trim | Held | None:
    """What becomes of the old records of a partition.

    Args:
        log: It; ``aged`` for the time before which records are old enough.

    Returns:
        ``Trim`` below the smallest committed offset, ``Held`` where a reader never committed, None: nothing to do.

    >>> trim(Log(0, 9, {"core": 5, "park": 3}, 7))
    Trim(before=3, records=3)
    """
    if log.old == log.start:
        return None
    silent = tuple(sorted(group for group, committed in log.committed.items() if committed is None))
    known = [committed for committed in log.committed.values() if committed is not None]
    if silent or not known:
        return Held(silent)
    before = min(log.old, *known)
    return Trim(before, before - log.start) if before > log.start else None


def unfinished(log: Log) -> tuple[str, ...]:
    """Which groups have old records before them.

    Args:
        log: The partition; ``aged`` for the time before which a record is old.

    Returns:
        Their names, sorted; a group that never committed has everything before it.

    >>> unfinished(Log(0, 9, {"core": 7, "park": None}, 7))
    ('park',)
    """
    return tuple(sorted(group for group, committed in log.committed.items() if (committed or 0) < log.old > log.start))


def keep_ms(retention_ms: int) -> int:
    """How long after its timestamp a request is answered at the latest.

    Args:
        retention_ms: For how long prompts are kept, milliseconds.

    Returns:
        An hour less, or half of it where that is more.

    >>> keep_ms(7_200_000), keep_ms(1_000)
    (3600000, 500)
    """
    return retention_ms - min(LEAD_MS, retention_ms // 2)


def ages(retention_ms: int) -> tuple[int, ...]:
    """The ages, in milliseconds, by which it is found how long the oldest work has been waiting.

    Args:
        retention_ms: The retention, milliseconds.

    Returns:
        Ascending by a factor of four; the last is the retention.

    >>> ages(1024)
    (1, 4, 16, 64, 256, 1024)
    """
    return tuple(retention_ms * 4**step // FINEST for step in range(FINEST.bit_length() // 2 + 1))


__all__ = ["Held", "Log", "Trim", "ages", "keep_ms", "trim", "unfinished"]
