"""When are calls to a service not worth making, and who finds out that they are again? One breaker a service.

Closed, a breaker counts how calls go: so many bad ones in a row, or too large a part of the latest, and it opens.
Open, nobody calls until a wait is over; then the first worker that asks is granted one probe, and one more may be
granted each interval (half-open). The probes alone decide: too few good ones, and it opens again for twice as long;
enough of them, and it closes. An epoch begins whenever it opens or closes; what is told of another one came too late.

``TRANSITIONS`` is the whole of it; the functions below find out which event an input is. Times are epoch milliseconds
of whoever keeps the breaker: append times for the stage, the clock for a worker's own board.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

State = Literal["closed", "open", "half-open"]
Event = Literal["crossed", "granted", "relapsed", "recovered", "tripped", "reset"]

TRANSITIONS: Mapping[tuple[State, Event], State] = {
    ("closed", "crossed"): "open",
    ("closed", "tripped"): "open",
    ("closed", "reset"): "closed",
    ("open", "granted"): "half-open",
    ("open", "tripped"): "open",
    ("open", "reset"): "closed",
    ("half-open", "granted"): "half-open",
    ("half-open", "relapsed"): "open",
    ("half-open", "recovered"): "closed",
    ("half-open", "tripped"): "open",
    ("half-open", "reset"): "closed",
}

COUNTED, BAD = frozenset("osf"), frozenset("sf")  # of `blame.LETTERS`
RUNS = re.compile("o+|[sf]")  # good calls in a row count at once: only a bad one opens anything
DOUBLINGS = 6  # the longest wait is 64 times the first


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """The knobs of a breaker; times in seconds.

    Args:
        consecutive: So many bad calls in a row open it.
        rate: So large a part of bad calls in the window opens it, from ``minimum`` calls on.
        minimum: Calls that must be in the window before ``rate`` counts.
        window_n: The window holds at most so many calls,
        window_s: and none that is older.
        slow_s: An answer that takes so long is as bad as none.
        open_s: The first wait; each relapse doubles it, 64 times at most,
        cap_s: and never above this.
        probe_interval_s: At most one probe is granted in this time, and a grant is good for so long.
        success_rate: The part of good probes that closes it.
        min_probes: Probes before it may close.
    """

    consecutive: int = 5
    rate: float = 0.5
    minimum: int = 20
    window_n: int = 100
    window_s: float = 60.0
    slow_s: float = 300.0
    open_s: float = 5.0
    cap_s: float = 320.0
    probe_interval_s: float = 2.0
    success_rate: float = 0.8
    min_probes: int = 3

    def wait_ms(self, level: int) -> int:
        """How long it stays open.

        Args:
            level: How often it relapsed since it was closed.

        Returns:
            Milliseconds.

        >>> [BreakerPolicy(open_s=1, cap_s=40).wait_ms(level) for level in (0, 1, 2, 5, 6, 99)]
        [1000, 2000, 4000, 32000, 40000, 40000]
        """
        return round(1000 * min(self.open_s * (1 << min(level, DOUBLINGS)), self.cap_s))


class Grant(NamedTuple):
    """The right to one probe: ``number`` counts within the epoch, ``sent_ms``: when its worker asked, by its clock."""

    number: int
    worker: str
    at_ms: int
    sent_ms: int


class Seen(NamedTuple):
    """One counted call in the window."""

    at_ms: int
    bad: bool


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """The state of one service's breaker, with the evidence for what comes next.

    Args:
        state: ``closed``, ``open`` or ``half-open``.
        epoch: How often it opened or closed so far.
        since_ms: When it opened, relapses not counted; 0 while closed.
        until_ms: Before that no probe is granted; 0 while closed.
        level: How often it relapsed since it opened.
        grant: The latest grant of this epoch.
        streak: Bad calls in a row.
        window: The latest calls while closed, oldest first.
        good: Probes that went well since it was half-open; ``bad``: that did not.
    """

    state: State = "closed"
    epoch: int = 0
    since_ms: int = 0
    until_ms: int = 0
    level: int = 0
    grant: Grant | None = None
    streak: int = 0
    window: tuple[Seen, ...] = ()
    good: int = 0
    bad: int = 0


class Closed(NamedTuple):
    """Call; tell how it went under this epoch."""

    epoch: int


class Probe(NamedTuple):
    """Make this one call, as a probe; tell how it went under this epoch, as one."""

    epoch: int


class Open(NamedTuple):
    """Do not call; not before ``until_ms`` can a probe be had."""

    since_ms: int
    until_ms: int


Verdict = Closed | Probe | Open


def heard(
    breaker: CircuitBreaker, outcomes: str, epoch: int, now_ms: int, policy: BreakerPolicy, *, probe: bool = False
) -> CircuitBreaker:
    """The breaker after calls ended.

    Args:
        breaker: As it was.
        outcomes: One letter of ``blame.LETTERS`` a call, in order; unknown ones are passed over.
        epoch: Under which they began: another than the breaker's, and they are late, which changes nothing.
        now_ms: The time.
        policy: The knobs.
        probe: Whether they were probes: those count while it is half-open, all others while it is closed.

    Returns:
        The same breaker where nothing was counted.

    >>> heard(CircuitBreaker(), "fffff", 0, 1000, BreakerPolicy()).state
    'open'
    """
    counts = "half-open" if probe else "closed"
    for run in RUNS.findall(outcomes):
        if breaker.epoch != epoch or breaker.state != counts:
            return breaker
        count = _probed if probe else _counted
        breaker = count(breaker, run[0] in BAD, len(run), now_ms, policy)
    return breaker


def _counted(breaker: CircuitBreaker, bad: bool, calls: int, now_ms: int, policy: BreakerPolicy) -> CircuitBreaker:
    oldest_ms = now_ms - policy.window_s * 1000
    window = (*breaker.window, *(Seen(now_ms, bad),) * calls)[-policy.window_n :]
    if window[0].at_ms < oldest_ms:
        window = tuple(seen for seen in window if seen.at_ms >= oldest_ms)
    after = replace(breaker, streak=breaker.streak + 1 if bad else 0, window=window)
    return _step(after, "crossed", now_ms, policy) if bad and _crossed(after, policy) else after


def _crossed(breaker: CircuitBreaker, policy: BreakerPolicy) -> bool:
    if breaker.streak >= policy.consecutive:
        return True
    calls = len(breaker.window)
    return calls >= policy.minimum and sum(seen.bad for seen in breaker.window) >= policy.rate * calls


def _probed(breaker: CircuitBreaker, bad: bool, calls: int, now_ms: int, policy: BreakerPolicy) -> CircuitBreaker:
    after = replace(breaker, good=breaker.good + calls * (not bad), bad=breaker.bad + calls * bad)
    probes = after.good + after.bad
    if after.good < policy.success_rate * probes:
        return _step(after, "relapsed", now_ms, policy)
    return _step(after, "recovered", now_ms, policy) if probes >= policy.min_probes else after


def asked(
    breaker: CircuitBreaker, worker: str, epoch: int, now_ms: int, policy: BreakerPolicy, sent_ms: int = 0
) -> CircuitBreaker:
    """The breaker after a worker asked for a probe.

    Args:
        breaker: As it was.
        worker: Who asks.
        epoch: The one that it knows of.
        now_ms: The time.
        policy: The knobs.
        sent_ms: When it asked, by its own clock.

    Returns:
        With a new grant for the worker, or the same breaker: closed, of another epoch, or it is too early.
    """
    if breaker.state == "closed" or breaker.epoch != epoch or now_ms < breaker.until_ms:
        return breaker
    number = breaker.grant.number + 1 if breaker.grant else 1
    return replace(_step(breaker, "granted", now_ms, policy), grant=Grant(number, worker, now_ms, sent_ms))


def tripped(breaker: CircuitBreaker, now_ms: int, policy: BreakerPolicy, for_s: float | None = None) -> CircuitBreaker:
    """The breaker after a person opened it.

    Args:
        breaker: As it was.
        now_ms: The time.
        policy: The knobs.
        for_s: How long no probe is granted, in seconds; None: as if it had opened by itself.

    Returns:
        An open one of the next epoch.
    """
    after = _step(breaker, "tripped", now_ms, policy)
    return after if for_s is None else replace(after, until_ms=now_ms + round(for_s * 1000))


def reset(breaker: CircuitBreaker, now_ms: int, policy: BreakerPolicy) -> CircuitBreaker:
    """The breaker after a person closed it.

    Args:
        breaker: As it was.
        now_ms: The time.
        policy: The knobs.

    Returns:
        A closed one of the next epoch, which has seen nothing.
    """
    return _step(breaker, "reset", now_ms, policy)


def _step(breaker: CircuitBreaker, event: Event, now_ms: int, policy: BreakerPolicy) -> CircuitBreaker:
    state = TRANSITIONS[breaker.state, event]
    if state == "closed":
        return CircuitBreaker(epoch=breaker.epoch + 1)
    if state == "half-open":
        until_ms = now_ms + round(policy.probe_interval_s * 1000)
        return replace(breaker, state=state, until_ms=until_ms)
    level = breaker.level + (event == "relapsed")
    since_ms = breaker.since_ms or now_ms
    return CircuitBreaker(state, breaker.epoch + 1, since_ms, now_ms + policy.wait_ms(level), level)


__all__ = [
    "TRANSITIONS",
    "BreakerPolicy",
    "CircuitBreaker",
    "Closed",
    "Grant",
    "Open",
    "Probe",
    "Seen",
    "State",
    "Verdict",
    "asked",
    "heard",
    "reset",
    "tripped",
]
