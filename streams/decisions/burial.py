"""What does a dead letter hold? The original bytes where they are still there, and evidence in bounded headers."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from topics import wire
from topics.answer import rfc3339
from topics.catalog import CATALOG, PROMPT_BYTES, Names
from topics.messages import Failed

Headers = tuple[tuple[str, bytes], ...]

ERROR = "prompts.error."
RESERVED = frozenset({"prompts.stage", "prompts.decision", "prompts.cause", "prompts.original-key"})
HEADER_BYTES = 60 * 1024  # names and values together; Kafka's limit on the record leaves 64 KiB for them
VALUE_BYTES = 2 * 1024  # of one piece of evidence; longer text is cut
ID_BYTES = 8 * 1024  # above what an id may have: a redrive is recognised by it, so it is never cut
WHOLE = frozenset({"request-id"})
COUNT_BYTES = 64  # room for the header that counts what was left out


@dataclass(frozen=True, slots=True)
class Where:
    """Kafka's names around a failure: the ``topic`` of the original and the consumer ``group`` that gave it up."""

    topic: str
    group: str


def where(failed: Failed, names: Names, app: str | None) -> Where:
    """Kafka's names around a failure.

    Args:
        failed: What travelled on ``failed``.
        names: How topics and groups are called.
        app: The app of the stage that gave it up, None where nobody knows.

    Returns:
        The original's topic, as it is where it is none of ours, and the group, empty without an app.
    """
    topic = failed.origin.topic
    return Where(names.topic(topic) if topic in CATALOG else topic, names.group(app) if app else "")


def intact(value: bytes | None, expected: str) -> bool:
    """Whether these are the bytes that were accepted.

    Args:
        value: What was read back.
        expected: SHA-256 (hex) of the raw value, as the origin names it.

    Returns:
        True for equal hashes; a null value counts as no bytes.

    >>> intact(None, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    True
    """
    return sha256(value or b"").hexdigest() == expected


def evidence(failed: Failed, where: Where) -> Headers:
    """Why and where a request was given up, as headers.

    Args:
        failed: What travelled on ``failed``.
        where: Kafka's names.

    Returns:
        ``prompts.error.`` and a word → text in UTF-8 of at most 2 KiB, the id whole; times in RFC 3339,
        ``original-timestamp`` in epoch milliseconds.
    """
    failure, origin = failed.failure, failed.origin
    told = {
        "kind": failure.kind,
        "stage": failed.stage,
        "exception-class": failure.exception_class,
        "exception-message": failure.message,
        "attempts": failed.attempts,
        "first-failed-at": rfc3339(failed.first_failed_ms),
        "failed-at": rfc3339(failed.failed_ms),
        "original-topic": where.topic,
        "original-partition": origin.partition,
        "original-offset": origin.offset,
        "original-timestamp": origin.timestamp_ms,
        "group": where.group,
        "request-id": failed.id,
        "lineage": failed.lineage,
        "disposition": failed.disposition or "permanent",
        **{word: why for word, why in (("cause", failure.cause), ("reason", failed.reason)) if why is not None},
    }
    return tuple(
        (ERROR + word, cut(str(value), ID_BYTES if word in WHOLE else VALUE_BYTES)) for word, value in told.items()
    )


def told(headers: Headers) -> dict[str, str]:
    """The evidence of a dead letter, read back.

    Args:
        headers: All headers of a record; it may be anybody's.

    Returns:
        Word → text, the first of each word; none for a record that nobody of us buried.

    >>> told((("prompts.error.kind", b"too_large"), ("own", b"1")))
    {'kind': 'too_large'}
    """
    ours = ((name.removeprefix(ERROR), value) for name, value in reversed(headers) if name.startswith(ERROR))
    return {word: (value or b"").decode(errors="replace") for word, value in ours}


def with_own(headers: Headers, own: Iterable[tuple[str, bytes]], limit: int = HEADER_BYTES) -> Headers:
    """Evidence first, then the original record's own headers as far as they fit.

    Args:
        headers: The evidence.
        own: The original's headers in order; names that are ours are left out.
        limit: Bytes of all names and values together.

    Returns:
        The headers; where some did not fit, ``prompts.error.headers-dropped`` counts them.

    >>> with_own((), (("a", b"1"), ("b", b"x" * 200)), limit=100)
    (('a', b'1'), ('prompts.error.headers-dropped', b'1'))
    """
    room, kept, dropped = limit - COUNT_BYTES - sum(map(_size, headers)), [], 0
    for header in own:
        if header[0] in RESERVED or header[0].startswith(ERROR):
            continue
        fits = _size(header) <= room
        room -= _size(header) if fits else 0
        dropped += not fits
        kept += [header] if fits else []
    count = ((ERROR + "headers-dropped", b"%d" % dropped),) if dropped else ()
    return (*headers, *kept, *count)


def canonical_request(failed: Failed) -> bytes:
    """What is buried where the original bytes are gone: the request as it was understood.

    Args:
        failed: What travelled on ``failed``.

    Returns:
        JSON of a request with its id; only the id where the rest is unknown or above what a request may weigh.
    """
    named: dict[str, Any] = {"id": failed.id}
    if failed.tenant is not None:
        named["tenant"] = failed.tenant
    work = {} if failed.work is None else failed.work.model_dump(exclude_defaults=True)
    metadata = {"metadata": failed.metadata} if failed.metadata else {}
    whole = wire.canonical({**named, **work, **metadata})
    return whole if len(whole) <= PROMPT_BYTES else wire.canonical(named)


def cut(text: str, limit: int = VALUE_BYTES) -> bytes:
    """UTF-8 of at most ``limit`` bytes, never cut inside a character.

    >>> cut("né", 2)
    b'n'
    """
    return text.encode(errors="replace")[:limit].decode(errors="ignore").encode()


def _size(header: tuple[str, bytes]) -> int:
    return len(header[0].encode()) + len(header[1])
