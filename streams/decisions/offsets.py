"""Where does a read start or stop? The notation of `--from` and `--to`: start, end, N, -N, @ISO, @epoch_ms, @-15m."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

from topics.errors import ConfigurationError

NOTATION = "write start, end, N, -N, @2026-01-31T12:00:00Z, @1769860800000 or @-15m (s, m, h, d)"
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class FromStart:
    """The oldest record that a partition still has."""


@dataclass(frozen=True, slots=True)
class AtEnd:
    """Behind the newest record."""


@dataclass(frozen=True, slots=True)
class AtOffset:
    """Exactly that offset, in every partition."""

    offset: int


@dataclass(frozen=True, slots=True)
class BeforeEnd:
    """That many offsets before the end, in every partition."""

    count: int


@dataclass(frozen=True, slots=True)
class AtTime:
    """The first record appended at or after that time, epoch milliseconds."""

    epoch_ms: int


Position = FromStart | AtEnd | AtOffset | BeforeEnd | AtTime


def parse(text: str, now_ms: int) -> Position:
    """The position that ``text`` means.

    Args: ``text`` in the notation above; ``now_ms`` epoch milliseconds, what ``@-15m`` counts from.
    Returns: one of the five positions; a time without a zone is UTC.
    Raises: ``ConfigurationError`` for anything else.

    >>> parse("-10", 0)
    BeforeEnd(count=10)
    >>> parse("@-15m", 1_000_000)
    AtTime(epoch_ms=100000)
    """
    match text.strip():
        case "start":
            return FromStart()
        case "end":
            return AtEnd()
        case number if re.fullmatch(r"-?[0-9]{1,18}", number):
            return BeforeEnd(-int(number)) if number.startswith("-") else AtOffset(int(number))
        case time if time.startswith("@"):
            return AtTime(_epoch_ms(time[1:], now_ms))
    raise ConfigurationError("offset", text, NOTATION)


def _epoch_ms(time: str, now_ms: int) -> int:
    if ago := re.fullmatch(r"-([0-9]{1,9})([smhd])", time):
        return max(0, now_ms - int(ago[1]) * UNITS_MS[ago[2]])
    if re.fullmatch(r"[0-9]{1,18}", time):
        return int(time)
    try:
        moment = datetime.fromisoformat(time)
    except ValueError as bad:
        raise ConfigurationError("offset", f"@{time}", NOTATION) from bad
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, round(zoned.timestamp() * 1000))


def resolve(position: Position, start: int, end: int, at_time: int | None) -> int:
    """The offset a position means in one partition.

    Args: ``start`` and ``end`` are the partition's first and next offset; ``at_time`` is the offset that the broker
    names for the time of an ``AtTime``, None when no record is that young.
    Returns: an offset in ``[start, end]``.

    >>> resolve(BeforeEnd(10), 95, 100, None)
    95
    """
    match position:
        case FromStart():
            return start
        case AtEnd():
            return end
        case AtOffset(offset):
            return min(max(offset, start), end)
        case BeforeEnd(count):
            return max(start, end - count)
        case AtTime():
            return end if at_time is None else min(max(at_time, start), end)
        case _:
            assert_never(position)


__all__ = ["AtEnd", "AtOffset", "AtTime", "BeforeEnd", "FromStart", "Position", "parse", "resolve"]
