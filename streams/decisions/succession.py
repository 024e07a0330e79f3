"""What does the outcome of an owner do to its twins, and what does time do to those who wait?

The second half of the machine in ``dedup``: who an outcome is to the generation of its epoch, times how it ended.
"""

from collections.abc import Mapping
from typing import Literal

from streams.decisions.dedup import BINDING, DedupPolicy
from streams.decisions.requests import Entry, Twin
from streams.decisions.retry import OWN

Verdict = Literal["completed", "shared", "own"]
Part = Literal["decider", "owner", "ended", "other"]
Ending = Literal["repeats", "completes", "fails", "yields", "copies", "aside"]

ENDINGS: Mapping[Part, Mapping[Verdict, Ending]] = {
    "decider": dict.fromkeys(("completed", "shared", "own"), "repeats"),
    "owner": {"completed": "completes", "shared": "fails", "own": "yields"},
    "ended": dict.fromkeys(("completed", "shared", "own"), "copies"),
    "other": dict.fromkeys(("completed", "shared", "own"), "aside"),
}


def verdict(status: str, reason: str | None = None) -> Verdict:
    """Whether the twins of an owner share how it ended.

    Args:
        status: Of its answer.
        reason: Why no further try was made, for one that failed.

    >>> verdict("failed", "exhausted"), verdict("failed", "deadline"), verdict("expired")
    ('shared', 'own', 'own')
    """
    if status == "completed":
        return "completed"
    return "shared" if status == "failed" and reason not in OWN else "own"


def part(entry: Entry | None, identity: str, at: str) -> Part:
    """Who an outcome is to the generation of its epoch.

    Args:
        entry: That generation's row, or None.
        identity: Whose outcome it is.
        at: Coordinates of the record that tells it.

    Returns:
        ``decider``: this record ended it; ``owner``: it runs and this is its owner's; ``ended``: it has ended, and the
        final kept there is this request's; else ``other`` (a replaced owner, or nothing stands).
    """
    if entry is None:
        return "other"
    if entry.by == at:
        return "decider"
    if entry.identity != identity:
        return "other"
    if entry.by is None:
        return "owner"
    return "ended" if entry.word in BINDING else "other"


def end(who: Part, verdict: Verdict) -> Ending:
    """What an outcome does.

    Args:
        who: What ``part`` returned.
        verdict: ``completed``; ``shared``: failed for a reason that its twins share; ``own``: for one of its own.

    Returns:
        ``completes`` and ``fails``: everybody gets it; ``yields``: the oldest twin takes over; ``copies``: what stands
        is sent again; ``repeats``: this record did it before; ``aside``: the answer of this request alone.
    """
    return ENDINGS[who][verdict]


def may_take_over(twin: Twin, now_ms: int) -> bool:
    """Whether a twin may become owner: it waits, and not in vain.

    Args:
        twin: Its row.
        now_ms: The time of the record that asks, epoch milliseconds.

    Returns:
        False also where its deadline is exactly now.
    """
    return twin.standing == "waiting" and (twin.deadline_ms is None or twin.deadline_ms > now_ms)


def expires(entry: Entry, twin: Twin, now_ms: int) -> bool:
    """Whether a tick answers a twin ``expired``.

    Args:
        entry: The generation that it waits for; one that has ended has answered it.
        twin: Its row.
        now_ms: The tick's time, epoch milliseconds.

    Returns:
        True from the millisecond of its deadline on.
    """
    waits = entry.by is None and twin.standing == "waiting"
    return waits and twin.deadline_ms is not None and twin.deadline_ms <= now_ms


def takeover_ms(entry: Entry, policy: DedupPolicy) -> int | None:
    """When a twin may take over from an owner that was not heard of.

    Args:
        entry: The generation.
        policy: The slack.

    Returns:
        Epoch milliseconds; None where it has ended, nobody waits, or the owner has no deadline.
    """
    if entry.by is not None or not entry.count or entry.deadline_ms is None:
        return None
    return entry.deadline_ms + policy.slack_ms
