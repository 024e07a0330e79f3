"""What is kept of one record while all topics are checked? Names and hashes, never bytes."""

from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Any, NamedTuple, Protocol

from streams.decisions import failures, identity
from streams.decisions.burial import Headers
from topics import wire
from topics.errors import DecodingError
from topics.messages import Origin


class Seen(failures.Seen, Protocol):
    """A record as it was read, under the catalog's name of its topic."""

    @property
    def headers(self) -> Headers: ...


class Mark(NamedTuple):
    """How far a group has come in a partition, and its log; ``committed`` is None before the first commit."""

    group: str
    topic: str
    partition: int
    committed: int | None
    start: int
    end: int


class Prompt(NamedTuple):
    """One accepted record: names are hashes of 16 bytes.

    ``name`` is that of its answer, ``also`` that of the answer it gets when the door itself failed; ``body`` is the
    hash of its key and value, ``asked`` that of the request, ``shared`` that of its dedup key.
    """

    id: str
    place: int
    ms: int
    name: bytes
    also: bytes
    identity: bytes
    shared: bytes
    asked: bytes
    body: bytes
    judged: bool


class Form(NamedTuple):
    """One of the distinct answers under a name."""

    hash: bytes
    status: str
    kind: str
    attempts: int


@dataclass(slots=True)
class Given:
    """The answers under one name: where the first stands, append times in epoch milliseconds, how many there are."""

    id: str
    received: str
    place: int
    first_ms: int
    last_ms: int
    forms: tuple[Form, ...] = ()
    count: int = 0


class Letter(NamedTuple):
    """One dead letter; ``place`` of its original, None where that is no prompt. ``whole``: it holds original bytes;
    ``kind``: what its request died of."""

    id: str
    at: str
    place: int | None
    original: str
    body: bytes
    whole: bool
    kind: str = ""


@dataclass(slots=True)
class View:
    """What was read of one partition: offsets ``first`` to ``next``, less the holes; time of its first record."""

    first: int
    next: int
    end: int | None = None
    first_ms: int | None = None
    holes: list[tuple[int, int]] = field(default_factory=list)


def origin_of(record: Seen) -> Origin:
    """Where a record lies, and the hash of its value."""
    return Origin(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        hash=sha256(record.value or b"").hexdigest(),
    )


def derived(record: Seen) -> str:
    """The id of a record that names none."""
    return identity.derived_id(record.topic, record.partition, record.offset, record.timestamp_ms)


def name_of(id: str, request_hash: str, received: str) -> bytes:
    """What an answer and its prompt have in common, as one name."""
    return digest(f"{len(id)}:{id}{request_hash}{received}".encode(errors="surrogatepass"))


def body_of(record: Seen) -> bytes:
    """The hash of a record's key and value; a value that is null counts as one without bytes."""
    return digest(identity.framed(b"-" if record.key is None else b"+" + record.key, record.value or b""))


def digest(raw: bytes) -> bytes:
    """A hash of 16 bytes."""
    return blake2b(raw, digest_size=16).digest()


def packed(partition: int, offset: int) -> int:
    """Coordinates as one number."""
    return partition << 48 | offset


def place_text(topic: str, place: int) -> str:
    """Coordinates as people write them.

    >>> place_text("prompts", packed(3, 17))
    'prompts/3/17'
    """
    return f"{topic}/{place >> 48}/{place & (1 << 48) - 1}"


def named(value: bytes | None) -> str | None:
    """The id that a value brings, where it is of any use."""
    said = data_of(value).get("id")
    return said if isinstance(said, str) and 0 < len(said) <= failures.MAX_ID_CHARS else None


def data_of(value: bytes | None) -> dict[str, Any]:
    """The JSON object in a value, empty where there is none."""
    try:
        data = wire.parse(value, "record")
    except DecodingError:
        return {}
    return data if isinstance(data, dict) else {}
