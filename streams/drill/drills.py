"""Which drills are there, and what is each? Workers, provider, load and faults, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import orjson

from streams.drill.hands import Size

LONG_EVERY = 20  # one call in twenty is a long one
OWN = "what is number {number}?"
SAME = "what is a log?"


@dataclass(frozen=True, slots=True)
class Drill:
    """One way to find out.

    Args:
        name: The word on the command line.
        does: What happens, in words.
        faults: Names of what is played, in this order.
        calls_s: Seconds of a call; one of ``LONG_EVERY`` takes ``long_s``.
        rate: Prompts a second.
        busy_s: Seconds of steady load; the faults begin in it.
        hold_s: Seconds that a fault lasts which lasts.
        drain_s: Seconds after it in which all must be answered.
        words: What is asked, with the request's number in it: equal words are asked for once.
        warm: Requests that are answered before anything happens.
        size: Workers and their settings.
    """

    name: str
    does: str
    faults: tuple[str, ...]
    calls_s: float = 1.0
    long_s: float = 6.0
    rate: float = 40.0
    busy_s: float = 20.0
    hold_s: float = 8.0
    drain_s: float = 60.0
    words: str = OWN
    warm: int = 10
    size: Size = field(default_factory=Size)

    @property
    def script(self) -> tuple[str, ...]:
        """What the provider plays where nothing is wrong."""
        return (f"slow:{self.calls_s:g}*{LONG_EVERY - 1}", f"slow:{self.long_s:g}")

    def asked(self, number: int) -> bytes:
        """The request of that number."""
        return request(f"drill-{number}", self.words.format(number=number))

    def warm_up(self, number: int) -> bytes:
        """The request of that number before anything happens."""
        return request(f"warm-up-{number}", f"are you there? ({number})")


def request(id: str, prompt: str) -> bytes:
    """A request as anybody writes it."""
    return orjson.dumps({"id": id, "prompt": prompt})


DRILLS: Mapping[str, Drill] = MappingProxyType(
    {
        drill.name: drill
        for drill in (
            Drill("crash", "workers are killed while they call", ("kill", "kill", "kill")),
            Drill("outage", "the provider is away for a while", ("outage",), hold_s=12.0),
            Drill(
                "outage-long",
                "the provider is away for two minutes of five",
                ("outage",),
                rate=50.0,
                busy_s=300.0,
                hold_s=120.0,
                drain_s=180.0,
                size=Size(workers=4),
            ),
            Drill(
                "twins",
                "a thousand equal prompts, and the worker that makes their one call is killed",
                ("kill-caller",),
                calls_s=8.0,
                long_s=8.0,
                rate=100.0,
                busy_s=10.0,
                words=SAME,
                warm=0,
            ),
            Drill("rebalance", "workers join, leave, sleep and wake", ("storm", "zombie"), hold_s=9.0),
        )
    }
)
