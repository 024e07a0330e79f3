"""Where does a parked record wait, when is its time, and where does it go then?

It waits in one tier after another, longest first, and comes back to the topic that it left, always under one partition
number. What is still before it travels in two headers, so whoever forwards it need not understand its value.
"""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from topics.catalog import CATALOG, PARKED
from topics.errors import ConfigurationError

OURS = "prompts.parked-"  # starts the name of each header that is of use only while a record waits
ORIGIN, TIERS = OURS + "origin", OURS + "tiers"
STOPS = re.compile(rb"[1-9]:[1-9][0-9]{0,8}(,[1-9]:[1-9][0-9]{0,8})*")

Headers = tuple[tuple[str, bytes], ...]


class Forward(NamedTuple):
    """Write the record to ``topic``, into the partition that it is in, with these headers."""

    topic: str
    headers: Headers


class Unreadable(NamedTuple):
    """The headers tell no way back; ``reason`` in words, without any of their bytes."""

    reason: str


class Heard(NamedTuple):
    """What the broker's clock showed, ``stamp_ms`` in epoch milliseconds, at ``at_s`` of a clock that only runs on.

    Noted when the broker's answer arrives, so the stamp is never ahead; the local wall clock has no part in it.
    """

    stamp_ms: int
    at_s: float

    def now_ms(self, at_s: float) -> int:
        """The broker's time at ``at_s``, or a moment before it.

        >>> Heard(5_000, 100.0).now_ms(102.5)
        7500
        """
        return self.stamp_ms + math.floor((at_s - self.at_s) * 1000)


def due_ms(appended_ms: int, tier_s: float) -> int:
    """When a record has waited: its append time and the tier's seconds, rounded up to a millisecond.

    >>> due_ms(1_000, 0.0305)
    1031
    """
    return appended_ms + math.ceil(tier_s * 1000)


def output(topic: str, tiers: Sequence[float], tiers_s: Sequence[float]) -> Forward:
    """Where a record is written that shall wait: its first tier, and the headers that bring it back.

    Args:
        topic: The topic that it comes from and returns to, by its name in the catalog.
        tiers: The seconds to wait, as ``retry.park`` gives them.
        tiers_s: The seconds of all tiers there are, shortest first: one for each topic of ``PARKED``.

    Returns:
        The catalog's name of the topic to write to, under the partition number it is in, and headers.

    Raises:
        ConfigurationError: There is no such tier, or none is asked for.

    >>> output("assembled.normal", (120.0, 5.0, 5.0), (5.0, 30.0, 120.0, 600.0))[1]
    (('prompts.parked-origin', b'assembled.normal'), ('prompts.parked-tiers', b'1:2'))
    """
    known = dict(zip(tiers_s, range(1, len(PARKED) + 1), strict=False))
    for tier in tiers or (0.0,):
        if tier not in known:
            raise ConfigurationError("retry.tiers_s", tuple(tiers_s), f"there is no topic to wait {tier:g} s in")
    first, *rest = (known[tier] for tier in tiers)
    left = ((number, len(list(same))) for number, same in groupby(rest))
    return Forward(PARKED[first - 1], ((ORIGIN, topic.encode()), *_header(left)))


def next_stop(headers: Iterable[tuple[str, bytes]]) -> Forward | Unreadable:
    """Where a record goes whose tier is over.

    Args:
        headers: The parked record's.

    Returns:
        ``Forward`` to the next tier, that one taken off the list, or to the origin, without headers of ours; all others
        as they are. ``Unreadable`` where they tell no topic of the stages, or no tiers.

    >>> headers = (("traceparent", b"00-1"), (ORIGIN, b"assembled.low"), (TIERS, b"2:1,1:2"))
    >>> [next_stop(headers).topic, next_stop(next_stop(headers).headers).headers[-1]]
    ['parked.2', ('prompts.parked-tiers', b'1:1')]
    """
    headers = tuple(headers)
    ours = dict(pair for pair in reversed(headers) if pair[0] in (ORIGIN, TIERS))  # of several the first counts
    origin = ours.get(ORIGIN, b"").decode(errors="replace")
    if origin not in CATALOG or CATALOG[origin].public or origin in PARKED:
        return Unreadable("its headers name no topic of the stages to return to")
    if TIERS not in ours:
        return Forward(origin, tuple(pair for pair in headers if not pair[0].startswith(OURS)))
    stops = _stops(ours[TIERS])
    if not stops or stops[0][0] > len(PARKED):
        return Unreadable("its headers name no tiers to wait in")
    (number, times), *rest = stops
    left = [(number, times - 1), *rest] if times > 1 else rest
    kept = tuple(pair for pair in headers if pair[0] not in ours)
    return Forward(PARKED[number - 1], (*kept, (ORIGIN, ours[ORIGIN]), *_header(left)))


def _stops(text: bytes) -> list[tuple[int, int]]:
    if not STOPS.fullmatch(text):
        return []
    pairs = (stop.split(b":") for stop in text.split(b","))
    return [(int(number), int(times)) for number, times in pairs]


def _header(stops: Iterable[tuple[int, int]]) -> Headers:
    """The tiers that follow: number and how often, in the order of waiting; no header where none follows."""
    text = b",".join(b"%d:%d" % stop for stop in stops)
    return ((TIERS, text),) if text else ()
