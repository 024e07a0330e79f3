"""Is this process still a member of its consumer group, and the only one under its name?

A member that lost its place and does not return reads nothing for ever; one that is thrown out twice in a minute is
fighting another process for the same identity. Both end the process: the supervisor starts a clean one.
"""

from dataclasses import dataclass, replace

OUTSIDE_S = 60.0
FIGHT_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Membership:
    """What was seen so far: outside since when (seconds, monotonic), and when it was thrown out lately."""

    outside_since: float | None = None
    evictions: tuple[float, ...] = ()


def seen(state: Membership, member: bool, evicted: int, now: float) -> Membership:
    """The state after one look: ``member`` now, ``evicted`` times since the last look, ``now`` in monotonic seconds."""
    recent = (*(t for t in state.evictions if now - t < FIGHT_WINDOW_S), *([now] * evicted))
    since = None if member else state.outside_since if state.outside_since is not None else now
    return replace(state, outside_since=since, evictions=recent)


def lost(state: Membership, now: float) -> str | None:
    """Why the process must end, or None.

    >>> lost(Membership(outside_since=0.0), 61.0)
    'not a member of the group for 61 s'
    """
    if len(state.evictions) >= 2:
        times = f"{len(state.evictions)} times in {FIGHT_WINDOW_S:.0f} s"
        return f"thrown out of the group {times}: another process has this identity"
    if state.outside_since is not None and now - state.outside_since > OUTSIDE_S:
        return f"not a member of the group for {now - state.outside_since:.0f} s"
    return None
