"""What does a dead letter tell, which others died of the same, and which ones does a person mean?"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from streams.decisions import burial, lineage
from streams.decisions.burial import Headers
from streams.decisions.identity import framed
from streams.decisions.lineage import Place
from streams.decisions.offsets import UNITS_MS
from topics import wire
from topics.answer import rfc3339
from topics.catalog import DEAD_LETTERS, Names
from topics.errors import ConfigurationError, DecodingError

PRINT_CHARS = 12  # hex digits of a fingerprint: enough among the causes of one pipeline, short enough to type
SHORTEST_ID = 4  # shorter ones are words by chance
HEX = re.compile(r"\b0x[0-9a-f]+\b|\b[0-9a-f]+(?:-[0-9a-f]+){2,}\b|\b(?=[a-f]*[0-9])[0-9a-f]{8,}\b", re.IGNORECASE)
AGE = re.compile("([0-9]{1,9})([smhd])")
DIGITS = re.compile(r"[0-9]+(?:[.,:][0-9]+)*")


class Seen(Protocol):
    """The part of a record that counts here."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its bytes; None where its evidence does not tell.

    Args:
        place: Where it stands.
        at_ms: When it was buried, epoch milliseconds.
        size: Bytes of its value.
        id: Of the request.
        kind: Of the error, with ``stage``, ``exception_class`` and ``message``.
        disposition: Why it was buried.
        lineage: How often it had been sent again.
        session: The conversation that its request names.
        fingerprint: What all that died of the same share.
        prompt: Whether it was read from ``prompts``, so that it can be sent there again.
        readable: Whether its bytes are a request.
    """

    place: Place
    at_ms: int
    size: int
    id: str | None
    kind: str | None
    stage: str | None
    exception_class: str | None
    message: str | None
    disposition: str | None
    lineage: int
    session: str | None
    fingerprint: str
    prompt: bool
    readable: bool

    @property
    def at(self) -> str:
        """Its coordinates: ``dead-letters/3/17``."""
        return self.place.at

    @property
    def short(self) -> str:
        """Its coordinates as people type them: ``3/17``."""
        return f"{self.place.partition}/{self.place.offset}"

    @property
    def buried(self) -> str:
        """When, RFC 3339."""
        return rfc3339(self.at_ms)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are meant: all conditions that are given must hold.

    Args:
        ids: Ids of requests and coordinates of dead letters; one of them must fit.
        kind: Of the error.
        stage: That gave it up.
        session: Of the request.
        fingerprint: Its beginning is enough.
        before_ms: Buried before that, epoch milliseconds; ``after_ms``: at or after that.
    """

    ids: frozenset[str] = frozenset()
    kind: str | None = None
    stage: str | None = None
    session: str | None = None
    fingerprint: str | None = None
    before_ms: int | None = None
    after_ms: int | None = None


def letter_of(record: Seen, names: Names) -> Letter:
    """What a record of ``dead-letters`` tells.

    Args:
        record: It may be anybody's.
        names: How topics are called.

    Returns:
        All that its evidence and its value say.
    """
    told = burial.told(record.headers)
    data = _json(record.value)
    kind, stage, exception_class = told.get("kind"), told.get("stage"), told.get("exception-class")
    message, id, session = told.get("exception-message"), told.get("request-id"), data.get("session")
    return Letter(
        place=Place(DEAD_LETTERS, record.partition, record.offset),
        at_ms=record.timestamp_ms,
        size=len(record.value or b""),
        id=id,
        kind=kind,
        stage=stage,
        exception_class=exception_class,
        message=message,
        disposition=told.get("disposition"),
        lineage=lineage.lineage_of(told),
        session=session if isinstance(session, str) else None,
        fingerprint=fingerprint(stage, kind, exception_class, normal(message or "", id)),
        prompt=lineage.from_prompts(told, names),
        readable=_readable(told, data),
    )


def normal(message: str, id: str | None = None) -> str:
    """An error's text without what differs from request to request.

    Args:
        message: Its text.
        id: Of the request, which is left out where it stands as a word.

    Returns:
        The text with ``#`` for numbers and hex, and ``<id>`` for the id.

    >>> normal("order-77: 413 bytes at 0xfe12, try 2.5 s later", "order-77")
    '<id>: # bytes at #, try # s later'
    """
    if id is not None and len(id) >= SHORTEST_ID:
        message = re.sub(rf"(?<!\w){re.escape(id)}(?!\w)", "<id>", message)
    return DIGITS.sub("#", HEX.sub("#", message))


def fingerprint(stage: str | None, kind: str | None, exception_class: str | None, message: str) -> str:
    """Names a cause of death.

    Args:
        stage: That gave up.
        kind: Of the error.
        exception_class: Its class.
        message: What ``normal`` returned.

    Returns:
        Twelve hex digits.
    """
    parts = (stage or "", kind or "", exception_class or "", message)
    return sha256(framed(*(part.encode(errors="replace") for part in parts))).hexdigest()[:PRINT_CHARS]


def wants(wanted: Wanted, letter: Letter) -> bool:
    """Whether a dead letter is meant.

    Args:
        wanted: The conditions.
        letter: The dead letter.

    Returns:
        True where all of them hold; without conditions every one is meant.
    """
    exact = ((wanted.kind, letter.kind), (wanted.stage, letter.stage), (wanted.session, letter.session))
    return (
        all(asked is None or asked == told for asked, told in exact)
        and letter.fingerprint.startswith(wanted.fingerprint or "")
        and (wanted.before_ms is None or letter.at_ms < wanted.before_ms)
        and (wanted.after_ms is None or letter.at_ms >= wanted.after_ms)
        and (not wanted.ids or bool(fits(wanted.ids, letter)))
    )


def age_ms(text: str, option: str) -> int:
    """An age as people write it.

    Args:
        text: A whole number and a unit: ``90s``, ``15m``, ``2h``, ``3d``.
        option: What it was given to, for the error.

    Returns:
        Milliseconds.

    Raises:
        ConfigurationError: It is not written so.

    >>> age_ms("15m", "--older-than")
    900000
    """
    if (found := AGE.fullmatch(text.strip())) is None:
        raise ConfigurationError(option, text, "write a number and s, m, h or d, such as 90s, 15m, 2h or 3d")
    return int(found[1]) * UNITS_MS[found[2]]


def fits(ids: frozenset[str], letter: Letter) -> frozenset[str]:
    """By which of the names that were given a dead letter is meant.

    Args:
        ids: Ids of requests and coordinates of dead letters, with or without a topic.
        letter: The dead letter.

    Returns:
        Those that fit; several may.
    """
    return frozenset(id for id in ids if id == letter.id or lineage.letter_at(id) == letter.place)


def _readable(told: dict[str, str], data: dict[str, Any]) -> bool:
    """Bytes that once were a request still are one; what was made up for lost ones needs its words."""
    if told.get("disposition") == "undecodable":
        return False
    return "original" not in told or "messages" in data or "prompt" in data


def _json(value: bytes | None) -> dict[str, Any]:
    try:
        data = wire.parse(value, "request")
    except DecodingError:
        return {}
    return data if isinstance(data, dict) else {}
