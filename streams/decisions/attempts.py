"""What do the tries of a request say about each candidate? Read anew each time, so that a restart forgets nothing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from streams.decisions import faults
from streams.decisions.retry import LONGEST_S, RetryPolicy
from topics.errors import ConfigurationError
from topics.messages import Try


class Candidate(NamedTuple):
    """Who may be asked: a kind of provider, and the name of a model there."""

    provider: str
    model: str

    @property
    def service(self) -> str:
        """What has a breaker: ``openai:gpt-5``."""
        return f"{self.provider}:{self.model}"


Route = tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class CascadePolicy:
    """The knobs.

    Args:
        retry: Attempts, waits and budget, over all candidates of a route together.
        dead_key_s: Seconds for which a provider that refused our credentials is not asked again.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    dead_key_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Course:
    """A request as far as it has come.

    Args:
        identity: Its identity, from which the chance of its waits is drawn.
        route: Its candidates, the wanted one first; at least one, each once.
        tries: The calls so far, in order.
        deadline_ms: When it expires, epoch milliseconds; None: never.

    Raises:
        ConfigurationError: The route is empty.
    """

    identity: str
    route: Route
    tries: tuple[Try, ...] = ()
    deadline_ms: int | None = None

    def __post_init__(self) -> None:
        if not self.route:
            raise ConfigurationError("routes", (), "name at least one provider:model")


class Mark(NamedTuple):
    """What the tries say of one candidate.

    Args:
        times: How often it failed, probes not counted.
        until_ms: Not again before that time, epoch milliseconds.
        rotates: Whether others are asked meanwhile.
    """

    times: int = 0
    until_ms: int = 0
    rotates: bool = False


class Ledger(NamedTuple):
    """What all tries say together.

    Args:
        attempts: Those that count: neither prompts too long for the model, nor probes.
        floor: Index in the route of the first candidate that may still be asked.
        marks: Of each candidate that failed.
        dead: Provider whose key was refused → when it may be asked again, epoch milliseconds.
    """

    attempts: int
    floor: int
    marks: Mapping[Candidate, Mark]
    dead: Mapping[str, int]


FRESH = Mark()
NOTHING = Ledger(0, 0, {}, {})


def read(policy: CascadePolicy, course: Course) -> Ledger:
    """The ledger of a request.

    Args:
        policy: The knobs.
        course: The request.

    >>> read(CascadePolicy(), Course("i", (Candidate("echo", "m"),))) == NOTHING
    True
    """
    marks, dead = dict[Candidate, Mark](), dict[str, int]()
    attempts = floor = 0
    for made in course.tries:
        candidate, ended_ms = Candidate(made.provider, made.model), made.at_ms + ms(made.work_s)
        match made.kind and faults.step_of(made.kind):
            case None | "":
                continue
            case "skip":
                floor = max(floor, _next(course.route, candidate))
                continue
            case "dead":
                dead[made.provider] = ended_ms + ms(policy.dead_key_s)
        attempts += not made.probe
        times = marks.get(candidate, FRESH).times + (not made.probe)
        marks[candidate] = _marked(policy, course.identity, made, attempts)._replace(times=times)
    return Ledger(attempts, floor, marks, dead) if course.tries else NOTHING


def _next(route: Route, candidate: Candidate) -> int:
    return route.index(candidate) + 1 if candidate in route else 0


def _marked(policy: CascadePolicy, identity: str, made: Try, attempt: int) -> Mark:
    """How long a candidate rests, as the retry rule said when the try had failed."""
    jitter_s = roll(identity, attempt) * policy.retry.delay_for_attempt(attempt)
    asked_s = made.retry_after_s or 0.0
    rotates = asked_s > jitter_s or faults.step_of(made.kind or "") == "rotate"
    return Mark(0, made.at_ms + ms(made.work_s) + ms(max(jitter_s, asked_s)), rotates)


def roll(identity: str, attempt: int) -> float:
    """The chance of the wait after a try: the same in every process.

    Args:
        identity: Of the request.
        attempt: Number of the try, from 1.

    Returns:
        A number in [0, 1).

    >>> roll("a", 1) == roll("a", 1) != roll("a", 2)
    True
    """
    drawn = sha256(f"{identity}\0{attempt}".encode("utf-8", "surrogatepass")).digest()[:8]
    return (int.from_bytes(drawn) >> 11) / 2**53  # a float holds 53 bits; all 64 could be rounded up to 1


def ms(seconds: float) -> int:
    """Whole milliseconds, never fewer than the seconds, and never more than a request lives.

    >>> ms(1.0001)
    1001
    """
    return math.ceil(min(max(seconds, 0.0), LONGEST_S) * 1000)
