"""How are the rows of the table ``requests`` laid out? A line of JSON about them, then bytes as they are.

| key | row | bytes after the line |
|---|---|---|
| ``key/<dedup key>`` | ``Entry``: the key's present generation, from its first owner to its end | its final answer |
| ``old/<dedup key>/<epoch>`` | ``Entry``: a generation that a newer one followed | its final answer |
| ``twin/<dedup key>/<number>`` | ``Twin``: one request that waits, or waited, for an owner | its ``admitted`` value |
| ``final/<dedup key>/<identity>`` | ``Final``: answered beside the entry: from the cache, or late | the answer |
| ``final/…/<coordinates>`` | ``Final``: one that a newer one followed, by what decided it | the answer |
| ``did/<coordinates>`` | ``Deed``: what one input did that no other row tells | – |

Fields that a newer version added are kept. ``ms`` is the timestamp of the record that decided, in epoch milliseconds.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

import orjson

from topics.catalog import INTERNAL_BYTES
from topics.errors import DecodingError

VERSION = 1
ROW_BYTES = INTERNAL_BYTES - 4096  # of the bytes after the line: the line and the key of a row count too
OPENER = -1  # the number of a generation's first owner, who never was a twin

Standing = Literal["waiting", "owner", "expired", "out"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One generation of a dedup key: all requests that share one epoch.

    Args:
        epoch: Coordinates of the first owner; a twin that takes over inherits it.
        check: Hash of the content, independent of the key.
        first: Offset of the ``admitted`` record that opened it; ``last``: of the last one that found it running.
        opener: Identity of the first owner; ``opener_out``: it was answered for a reason of its own.
        owner: Number of the twin that owns it now, or ``OPENER``; ``identity`` and ``deadline_ms`` are the owner's.
        low: Number of its first twin; ``next``: of its next one; ``oldest``: none below it can still take over.
        count: Twins that wait; ``size``: bytes of their messages.
        before: Epoch of the generation before it, where that still stands.
        by: Coordinates of the record that ended it at ``ms``; None while it runs. ``word``: how it ended.
        payload: The owner's final answer; empty where it is not kept.
    """

    epoch: str
    check: str
    first: int
    last: int
    opener: str
    identity: str
    deadline_ms: int | None = None
    owner: int = OPENER
    opener_out: bool = False
    low: int = 0
    oldest: int = 0
    next: int = 0
    count: int = 0
    size: int = 0
    before: str | None = None
    by: str | None = None
    ms: int = 0
    word: str = ""
    payload: bytes = b""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Twin:
    """A request that found its key owned: ``waiting`` for the owner's answer, then perhaps itself ``owner``.

    ``expired`` and ``out`` were answered otherwise.
    ``origin``: coordinates of its prompt. ``payload`` is its whole ``admitted`` value, ``headers`` are those that every
    hop passes on, their values as Latin-1 text.
    """

    origin: str
    identity: str
    deadline_ms: int | None = None
    standing: Standing = "waiting"
    headers: tuple[tuple[str, str], ...] = ()
    payload: bytes = b""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Final:
    """The answer of a request that was answered beside its key's entry; ``at``: coordinates of what decided it.

    ``before`` is that of the final before it, which stands under these coordinates.
    """

    at: str
    word: str
    ms: int
    before: str | None = None
    payload: bytes = b""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deed:
    """What one input did: ``acts`` are (dedup key, number of the twin, its epoch where it took over, else empty).

    It is written before the rows that it tells of, so that whoever recovers only it carries the acts out once more.
    """

    word: str
    ms: int
    acts: tuple[tuple[str, int, str], ...] = ()
    depth: int = 0
    capacity: int = 0
    retry_after_s: float | None = None
    payload: bytes = b""
    more: dict[str, Any] = field(default_factory=dict)


LISTS = {"acts", "headers"}
Row = Entry | Twin | Final | Deed
R = TypeVar("R", bound=Row)
HEADS: dict[type[Any], tuple[str, ...]] = {
    kind: tuple(one.name for one in fields(kind) if one.name not in ("payload", "more"))
    for kind in (Entry, Twin, Final, Deed)
}


def pack(row: Row) -> bytes:
    """The stored form of a row.

    Args:
        row: Its payload may be any bytes, line ends included.

    Returns:
        Bytes that ``unpack`` reads back.

    >>> pack(Final("admitted/0/7", "cached", 5, payload=b"{}"))
    b'{"v":1,"at":"admitted/0/7","word":"cached","ms":5,"before":null}\\n{}'
    """
    head: dict[str, Any] = {"v": VERSION}
    for name in HEADS[type(row)]:
        head[name] = getattr(row, name)
    if row.more:
        head.update(row.more)
    return orjson.dumps(head) + b"\n" + row.payload


def unpack(stored: bytes, into: type[R]) -> R:
    """The row from its stored form, with the fields that a newer version added.

    Args:
        stored: What ``pack`` returned.
        into: What kind of row it is, as its key tells.

    Returns:
        The row, its payload byte for byte.

    Raises:
        DecodingError: It is no such row.
    """
    head, _, payload = stored.partition(b"\n")
    try:
        about = orjson.loads(head)
        known = {name: about.pop(name) for name in HEADS[into] if name in about}
        about.pop("v", None)
        for name in LISTS & known.keys():
            known[name] = tuple(tuple(one) for one in known[name])
        return into(**known, payload=payload, more=about)
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError) as bad:
        raise DecodingError(into.__name__, "its first line does not say what it holds", stored) from bad


def entry_key(key: str) -> bytes:
    """Where the present generation of a dedup key stands."""
    return b"key/" + key.encode()


def old_key(key: str, epoch: str) -> bytes:
    """Where a generation stands that a newer one followed."""
    return b"old/%b/%b" % (key.encode(), epoch.encode())


def twin_key(key: str, number: int) -> bytes:
    """Where one waiting request stands."""
    return b"twin/%b/%d" % (key.encode(), number)


def final_key(key: str, identity: str, at: str | None = None) -> bytes:
    """Where a final stands that was given beside the entry; ``at``: one that a newer final followed."""
    place = b"final/%b/%b" % (key.encode(), identity.encode())
    return place if at is None else b"%b/%b" % (place, at.encode())


def deed_key(at: str) -> bytes:
    """Where it stands what the input at these coordinates did."""
    return b"did/" + at.encode()


def key_in(place: bytes) -> str:
    """The dedup key inside the key of an entry or a twin.

    >>> key_in(twin_key("c:ab", 7)), key_in(old_key("c:ab", "prompts/0/7"))
    ('c:ab', 'c:ab')
    """
    return place.split(b"/", 2)[1].decode()
