"""What does the stage ``breaker`` keep of a service, and which word does it give for each record of ``calls``?

A row holds the breaker, how far ``calls`` is folded into it, and the latest words with the offsets that caused them: a
record that was folded before is not counted again, and has its word repeated from the row.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import orjson

from streams.decisions import breaker
from streams.decisions.breaker import BreakerPolicy, CircuitBreaker, Grant, Seen, State
from topics import wire
from topics.calls import Asked, Breaker, Order, Ordered, Probing, Told
from topics.errors import DecodingError

VERSION = 1
NAMES = tuple(one.name for one in fields(CircuitBreaker))
SAID = 32  # words that a row remembers: far more than are caused between two commits


class Said(NamedTuple):
    """One word: the offset of the record that caused it, the state that it tells of, its bytes."""

    offset: int
    state: State
    value: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """One service.

    Args:
        breaker: Its breaker.
        folded: Offset of the last record of ``calls`` that is in it, -1 before the first.
        ms: When that was, epoch milliseconds.
        number: Words so far.
        order: The latest order of a person.
        said: The latest words, oldest first.
        more: Fields that a newer version added.
    """

    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    folded: int = -1
    ms: int = 0
    number: int = 0
    order: Order | None = None
    said: tuple[Said, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


def fold(
    kept: Kept, service: str, message: Told | Asked | Ordered | None, offset: int, now_ms: int, policy: BreakerPolicy
) -> Kept:
    """What is kept after one more record of ``calls``.

    Args:
        kept: Before it.
        service: Whose record it is.
        message: The record; None for one that means nothing to us.
        offset: Its offset, above ``kept.folded``.
        now_ms: Its append time.
        policy: The knobs.

    Returns:
        With a word more where there is something to say: the epoch or the grant is another, or a worker asked about a
        breaker that is closed.
    """
    before, order = kept.breaker, kept.order
    after = _after(before, message, now_ms, policy)
    if isinstance(message, Ordered):
        order = Order(order=message.order, id=message.id, who=message.who, why=message.why, at_ms=now_ms)
    kept = replace(kept, breaker=after, folded=offset, ms=now_ms, order=order)
    changed = (before.epoch, before.grant) != (after.epoch, after.grant)
    if not changed and not (isinstance(message, Asked) and after.state == "closed"):
        return kept
    kept = replace(kept, number=kept.number + 1)
    said = Said(offset, after.state, wire.encode(word(kept, service)))
    return replace(kept, said=(*kept.said[1 - SAID :], said))


def _after(
    before: CircuitBreaker, message: Told | Asked | Ordered | None, now_ms: int, policy: BreakerPolicy
) -> CircuitBreaker:
    match message:
        case Told() | Asked() if message.epoch > before.epoch:  # we lost what the workers know: begin after it
            return CircuitBreaker(epoch=message.epoch + 1)
        case Told():
            return breaker.heard(before, message.outcomes, message.epoch, now_ms, policy, probe=message.probe)
        case Asked():
            return breaker.asked(before, message.worker, message.epoch, now_ms, policy, message.sent_ms)
        case Ordered(order="trip"):
            return breaker.tripped(before, now_ms, policy, message.for_s)
        case Ordered():
            return breaker.reset(before, now_ms, policy)
    return before


def word(kept: Kept, service: str) -> Breaker:
    """What is told of a service on ``breakers``.

    Args:
        kept: What is kept of it.
        service: Its name.

    Returns:
        The message.
    """
    now, grant = kept.breaker, kept.breaker.grant
    probing = None if grant is None else Probing(**grant._asdict())
    return Breaker(
        service=service,
        state=now.state,
        epoch=now.epoch,
        number=kept.number,
        since_ms=now.since_ms,
        until_ms=now.until_ms,
        level=now.level,
        probing=probing,
        order=kept.order,
    )


def words(kept: Kept, offset: int) -> tuple[tuple[State, bytes], ...]:
    """What is said for a record of ``calls``, the first time and each time that it comes again.

    Args:
        kept: What is kept, the record folded into it.
        offset: The record's.

    Returns:
        State and bytes: its own word, and after it the newest where that is another, so that the newest stays the last
        on the topic; nothing where it never caused one.
    """
    own = next((said for said in kept.said if said.offset == offset), None)
    if own is None:
        return ()
    newest = kept.said[-1]
    return tuple((said.state, said.value) for said in dict.fromkeys((own, newest)))


def as_told(word: Breaker) -> CircuitBreaker:
    """The breaker that a word tells of, without the evidence that only the stage has.

    Args:
        word: A record of ``breakers``.

    Returns:
        It, as new.
    """
    by = word.probing
    grant = None if by is None else Grant(by.number, by.worker, by.at_ms, by.sent_ms)
    return CircuitBreaker(word.state, word.epoch, word.since_ms, word.until_ms, word.level, grant)


def pack(kept: Kept) -> bytes:
    """The stored form of a row.

    Args:
        kept: What is kept of a service.

    Returns:
        Bytes that ``unpack`` reads back.
    """
    now, order = kept.breaker, kept.order
    plain = {name: getattr(now, name) for name in NAMES}
    plain["grant"] = None if now.grant is None else [*now.grant]
    plain["window"] = [[*one] for one in now.window]
    head = {"v": VERSION, "folded": kept.folded, "ms": kept.ms, "number": kept.number, "breaker": plain}
    said = [(one.offset, one.state, one.value.decode()) for one in kept.said]
    return orjson.dumps({**head, "order": None if order is None else order.model_dump(), "said": said, **kept.more})


def unpack(stored: bytes) -> Kept:
    """The row from its stored form, with the fields that a newer version added.

    Args:
        stored: What ``pack`` returned.

    Returns:
        The row.

    Raises:
        DecodingError: It is no such row.
    """
    try:
        about = orjson.loads(stored)
        about.pop("v", None)
        said = tuple(Said(offset, state, value.encode()) for offset, state, value in about.pop("said"))
        order = about.pop("order")
        return Kept(
            _breaker(about.pop("breaker")),
            about.pop("folded"),
            about.pop("ms"),
            about.pop("number"),
            None if order is None else Order.model_validate(order),
            said,
            about,
        )
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as bad:
        raise DecodingError("Breaker row", "it does not say what it holds", stored) from bad


def _breaker(about: dict[str, Any]) -> CircuitBreaker:
    known = {name: about[name] for name in NAMES if name in about}
    grant = None if known["grant"] is None else Grant(*known["grant"])
    return CircuitBreaker(**(known | {"grant": grant, "window": tuple(Seen(*one) for one in known["window"])}))
