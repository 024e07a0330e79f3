"""What is told about calls to providers, and what becomes of it: the records of ``calls`` and of ``breakers``.

Both are keyed by the service, a provider and a model: ``openai:gpt-5``.
"""

from typing import Literal

from topics.messages import Open
from topics.wire import decode, parse


class Told(Open):
    """How calls of one worker went, in order: ``o`` ok, ``s`` slow, ``f`` failed, ``l`` limited, one letter each.

    ``epoch`` is the breaker's under which they began; ``probe``: they were probes.
    """

    v: int = 1
    what: Literal["told"] = "told"
    worker: str
    epoch: int
    outcomes: str
    probe: bool = False


class Asked(Open):
    """A worker has a use for a probe of an open breaker, or opened one on its own evidence.

    ``epoch`` is what it knows of, ``sent_ms`` its own clock: a grant says it again, and is good from there on.
    """

    v: int = 1
    what: Literal["asked"] = "asked"
    worker: str
    epoch: int
    sent_ms: int


class Ordered(Open):
    """A person opens (``trip``, for so many seconds) or closes (``reset``) a breaker; ``id`` names the order."""

    v: int = 1
    what: Literal["ordered"] = "ordered"
    order: Literal["trip", "reset"]
    id: str
    who: str
    why: str
    for_s: float | None = None


class Probing(Open):
    """Which worker may make a probe: ``number`` counts within the epoch, ``sent_ms`` is as in its ``Asked``."""

    worker: str
    number: int
    at_ms: int
    sent_ms: int


class Order(Open):
    """The latest order that a breaker was given, and when."""

    order: str
    id: str
    who: str
    why: str
    at_ms: int


class Breaker(Open):
    """The state of a service's breaker; of two words the one with the higher ``epoch`` and ``number`` stands.

    ``since_ms``: when it opened; ``until_ms``: before that no (further) probe is granted; both 0 while closed.
    ``level`` is how often it relapsed.
    """

    v: int = 1
    service: str
    state: Literal["closed", "open", "half-open"]
    epoch: int
    number: int
    since_ms: int = 0
    until_ms: int = 0
    level: int = 0
    probing: Probing | None = None
    order: Order | None = None


KINDS: dict[str, type[Told | Asked | Ordered]] = {"told": Told, "asked": Asked, "ordered": Ordered}


def read(raw: bytes | None) -> Told | Asked | Ordered | None:
    """A record of ``calls``.

    Args:
        raw: Its value.

    Returns:
        The message; None where ``what`` is none of ours: a newer version's.

    Raises:
        DecodingError: It is no such message.
    """
    data = parse(raw, "Told")
    what = data.get("what") if isinstance(data, dict) else "told"
    kind = KINDS.get(str(what))
    return None if kind is None else decode(raw, kind)


__all__ = ["Asked", "Breaker", "Order", "Ordered", "Probing", "Told", "read"]
