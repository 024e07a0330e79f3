"""How is a row laid out that remembers exact bytes? A line of JSON about them, then the bytes as they are.

The bytes are what was sent, or will be sent again, so they are framed and never parsed and written anew; the line
begins with the time of the row, that its age be known at a glance, but for rows of earlier versions, which have none.
"""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import orjson

from topics.catalog import INTERNAL_BYTES
from topics.errors import DecodingError

VERSION = 1
PAYLOAD_BYTES = INTERNAL_BYTES - 1024  # what a row may remember: its first line and its key count too
GONE = "gone"  # the word of a row whose payload is kept no longer
GLANCE = re.compile(rb'\{"ms":([0-9]{1,18}),"v":[0-9]+,(?:"at":"([^"/]*)/)?')
TIMELESS = b'{"v":'


@dataclass(frozen=True, slots=True)
class Row:
    """``at``: coordinates of the input that decided it; ``word``: what was decided; ``payload``: the exact bytes.

    ``ms`` is when it was used last (epoch milliseconds; None: unknown), ``calls`` how many were made for it.
    """

    at: str
    word: str
    payload: bytes
    ms: int | None = None
    calls: int = 1


class Age(NamedTuple):
    """What is seen of a row at a glance: its time in epoch milliseconds, and the topic of ``at``, empty without one."""

    ms: int
    topic: str


def pack(row: Row) -> bytes:
    """The stored form of a row.

    Args:
        row: Its payload may be any bytes, line ends included.

    Returns:
        Bytes that ``unpack`` reads back.

    >>> pack(Row("refined/0/7", "completed", b"{}"))
    b'{"v":1,"at":"refined/0/7","word":"completed"}\\n{}'
    """
    time = {} if row.ms is None else {"ms": row.ms}
    calls = {} if row.calls == 1 else {"calls": row.calls}
    about = {**time, "v": VERSION, "at": row.at, "word": row.word, **calls}
    return orjson.dumps(about) + b"\n" + row.payload


def unpack(stored: bytes) -> Row:
    """The row from its stored form; fields that a newer version added are passed over.

    Args:
        stored: What ``pack`` returned.

    Returns:
        The row, its payload byte for byte.

    Raises:
        DecodingError: It is no row.
    """
    head, _, payload = stored.partition(b"\n")
    try:
        about = orjson.loads(head)
        ms = about.get("ms")
        calls = int(about.get("calls", 1))
        return Row(str(about["at"]), str(about["word"]), payload, None if ms is None else int(ms), calls)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as bad:
        raise DecodingError("Row", "its first line does not say what it holds", stored) from bad


def used(row: Row, ms: int) -> Row:
    """The row as it is written when it is used.

    Args:
        row: It.
        ms: The time, epoch milliseconds.

    Returns:
        The row with that time, if it is later; one whose payload is gone as it is, because its time is told.
    """
    return row if row.word == GONE else replace(row, ms=max(row.ms or 0, ms))


def age(stored: bytes) -> Age | None:
    """What a row tells at a glance; its payload is not looked at.

    Args:
        stored: Any row that begins with its time.

    Returns:
        Its age, or None where it does not begin so.

    >>> age(b'{"ms":5,"v":1,"at":"assembled.low/0/7","word":"inferred"}')
    Age(ms=5, topic='assembled.low')
    """
    seen = GLANCE.match(stored)
    return None if seen is None else Age(int(seen[1]), (seen[2] or b"").decode(errors="replace"))


def dated(stored: bytes, ms: int) -> bytes:
    """A row of an earlier version with a time.

    Args:
        stored: The row.
        ms: Its time from now on, epoch milliseconds.

    Returns:
        The row beginning with its time; bytes that are no row of ours as they are.

    >>> dated(b'{"v":1,"tries":[]}', 5)
    b'{"ms":5,"v":1,"tries":[]}'
    """
    return b'{"ms":%d,%b' % (ms, stored[1:]) if stored.startswith(TIMELESS) else stored


def spent(stored: bytes) -> bool:
    """Whether a row's payload is kept no longer.

    Args:
        stored: What ``pack`` returned.
    """
    return stored.endswith(b"\n")


def marker(stored: bytes) -> bytes:
    """What is left of a row when its payload goes.

    Args:
        stored: What ``pack`` returned.

    Returns:
        A row of about 70 bytes: whose it was, when it was used last, how many calls it took.

    Raises:
        DecodingError: It is no row.
    """
    return pack(replace(unpack(stored), word=GONE, payload=b""))
