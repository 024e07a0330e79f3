"""How long may a delivery hang? While the broker is away it waits; when the broker answers and it still hangs, give up.

Silence is an outage and passes; a broker that answers but never acknowledges is a fault that only a restart clears.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StallPolicy:
    """Seconds: ``stalled_s`` with a broker that answers; ``away_s`` without one (None: without limit)."""

    stalled_s: float = 60.0
    away_s: float | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Keep waiting."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the process without acknowledging; ``why`` is one sentence for the log."""

    why: str


def decide(policy: StallPolicy, pending_s: float, answering_s: float | None) -> Wait | GiveUp:
    """Judge the oldest delivery under way.

    Arguments: ``pending_s`` seconds since it was sent; ``answering_s`` seconds since the broker began to answer
    without a break, None while it does not answer.

    >>> decide(StallPolicy(), 600.0, None)
    Wait()
    >>> decide(StallPolicy(), 600.0, 61.0)
    GiveUp(why='the broker answers, and a delivery has hung for 600 s')
    """
    if answering_s is None:
        if policy.away_s is not None and pending_s > policy.away_s:
            return GiveUp(f"the broker has been away for {pending_s:.0f} s")
        return Wait()
    if min(pending_s, answering_s) > policy.stalled_s:
        return GiveUp(f"the broker answers, and a delivery has hung for {pending_s:.0f} s")
    return Wait()
