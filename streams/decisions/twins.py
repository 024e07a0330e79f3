"""What is written for requests that wait in rows: answers shared with them, expiries, and the one that takes over.

Outputs come as ``Said``: no stage's type, so that both doors of the table make the same bytes of the same rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from streams.decisions import answers
from streams.decisions.ledger import Ledger
from streams.decisions.lineage import LINEAGE
from streams.decisions.requests import Deed, Entry, Twin, twin_key
from streams.decisions.rows import PAYLOAD_BYTES
from topics import wire
from topics.catalog import DEDUPED, FAILED, RESULTS
from topics.messages import Admitted, Deduped, Failed, Ticket, grown, shrunk

CARRIED = frozenset({"traceparent", "tracestate", "prompts.original-key", LINEAGE})  # as in stage.py, which lies above
Headers = tuple[tuple[str, bytes], ...]


class Seen(Protocol):
    """The part of a record that counts here."""

    @property
    def timestamp_ms(self) -> int: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(frozen=True, slots=True)
class Said:
    """One record to write for a twin, with the headers that are its own."""

    topic: str
    key: bytes
    value: bytes
    decision: str
    headers: Headers


def shared(ledger: Ledger, key: str, entry: Entry, final: Mapping[str, Any], seen: Seen) -> Iterator[Said]:
    """The final of a generation for each twin that waits for it.

    Args:
        ledger: The rows.
        key: The dedup key.
        entry: The generation, as it ended.
        final: The owner's answer, as JSON data.
        seen: The record that decided.

    Returns:
        One answer a twin, oldest first; ``failed`` for one whose own fields make it larger than an answer may be.
    """
    for _, twin in ledger.waiting(key, entry):
        ticket = orjson.loads(twin.payload)
        value = coalesced(final, twin, entry.ms)
        yield Said(RESULTS, ticket["id"].encode(), value, "coalesced", own_headers(twin, seen))


def failed(ledger: Ledger, key: str, entry: Entry, owners: Failed, seen: Seen) -> Iterator[Said]:
    """The failure of a generation as that of each twin that waits for it: each gets its own answer and dead letter.

    Args:
        ledger: The rows.
        key: The dedup key.
        entry: The generation, as it ended.
        owners: The owner's failure.
        seen: The record that decided.

    Returns:
        What goes to ``failed``, one a twin, oldest first. The call was the owner's: none of it is paid for again.
    """
    told = {name: getattr(owners, name) for name in ("stage", "outcome", "disposition", "failure")}
    times = {"first_failed_ms": owners.first_failed_ms, "failed_ms": entry.ms}
    for _, twin in ledger.waiting(key, entry):
        message = wire.decode(twin.payload, Admitted)
        value = wire.encode(shrunk(message, Failed, epoch=entry.epoch, attempts=0, **told, **times))
        yield Said(FAILED, key.encode(), value, "failed-too", own_headers(twin, seen))


def coalesced(final: Mapping[str, Any], twin: Twin, at_ms: int) -> bytes:
    """The answer of one twin.

    Args:
        final: The owner's answer, as JSON data.
        twin: Its row.
        at_ms: When the generation ended, epoch milliseconds.

    Returns:
        The bytes of its answer.
    """
    value = answers.shared(final, orjson.loads(twin.payload), "coalesced", at_ms)
    if len(value) > PAYLOAD_BYTES:
        heavy = answers.too_heavy(wire.decode(twin.payload, Admitted), len(value), PAYLOAD_BYTES, at_ms)
        return wire.encode(heavy)
    return value


def ticket_of(message: Ticket) -> dict[str, Any]:
    """The part of a message that an answer repeats, as JSON data.

    Args:
        message: Any message.

    Returns:
        What ``answers.shared`` needs of it.
    """
    origin = {"timestamp_ms": message.origin.timestamp_ms}
    return {"id": message.id, "request_hash": message.request_hash, "origin": origin, "metadata": message.metadata}


def expired(twin: Twin, seen: Seen) -> Said:
    """The answer of a twin whose deadline passed.

    Args:
        twin: Its row.
        seen: The record that decided.

    Returns:
        Its answer.
    """
    message = wire.decode(twin.payload, Admitted)
    value = wire.encode(answers.timed_out(message, seen.timestamp_ms))
    return Said(RESULTS, message.id.encode(), value, "expired", own_headers(twin, seen))


def promoted(twin: Twin, key: str, epoch: str, seen: Seen) -> Said:
    """The message of a twin that took over, under the epoch of the first owner.

    Args:
        twin: Its row.
        key: The dedup key, which is also the record key.
        epoch: Coordinates of the first owner.
        seen: The record that decided.

    Returns:
        What goes to ``deduped``.
    """
    owned = grown(wire.decode(twin.payload, Admitted), Deduped, epoch=epoch)
    return Said(DEDUPED, key.encode(), wire.encode(owned), "took-over", own_headers(twin, seen))


def acted(ledger: Ledger, deed: Deed, seen: Seen) -> Iterator[Said]:
    """What an input did to twins, as often as it is asked.

    Args:
        ledger: The rows.
        deed: What the input did.
        seen: The input.

    Returns:
        One record an act, for twins whose rows stand.
    """
    for key, number, epoch in deed.acts:
        twin = ledger.twin(key, number)
        if twin is not None:
            yield promoted(twin, key, epoch, seen) if epoch else expired(twin, seen)


def touched(deed: Deed) -> Iterator[bytes]:
    """Where the rows stand that an input wrote.

    Args:
        deed: What the input did.

    Returns:
        Places of its twins and their generations, as far as they may have been written.
    """
    for key, number, _ in deed.acts:
        yield twin_key(key, number)
        yield b"key/" + key.encode()


def own_headers(twin: Twin, seen: Seen) -> Headers:
    """A twin's own carried headers; one that only the deciding record has is emptied, as it is not the twin's.

    Args:
        twin: Its row.
        seen: The record that decided, whose headers would travel on otherwise.

    Returns:
        Names and values.
    """
    own = tuple((name, value.encode("latin-1")) for name, value in twin.headers)
    names = {name for name, _ in own}
    return own + tuple(
        (name, b"") for name in dict.fromkeys(name for name, _ in seen.headers) if name in CARRIED - names
    )
