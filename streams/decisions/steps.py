"""What does ``infer`` do next with a request? What the cascade says, within the deadline; an outage buries nobody."""

import math
from typing import NamedTuple

from streams.decisions import cascade, parking, retry
from streams.decisions.cascade import Ask, Candidate, CascadePolicy, Course, Nobody, Sight, Wait
from streams.decisions.course import Progress
from streams.decisions.flood_guard import FloodGuard
from streams.decisions.retry import Park, RetryPolicy
from topics.answer import rfc3339
from topics.errors import CircuitOpen, DeadlineExceeded, OrchestratorError
from topics.messages import Try

WHY = "prompts.parked-because"  # header of a parked record


class Late(NamedTuple):
    """The deadline has passed; epoch milliseconds."""

    deadline_ms: int


class Missed(NamedTuple):
    """A call that failed, and its line in the ledger."""

    error: OrchestratorError
    made: Try


Step = Ask | Wait | Nobody | Late


def missed(
    candidate: Candidate, error: OrchestratorError, began_ms: int, ended_ms: int, *, probe: bool = False
) -> Missed:
    """A call that failed.

    Args:
        candidate: Who was asked.
        error: What came of it.
        began_ms: Epoch milliseconds, as ``ended_ms``.
        probe: Whether its breaker had granted it as one: that is no attempt of the request.
    """
    asked_s = getattr(error, "retry_after_s", None)
    times = {"at_ms": began_ms, "work_s": (ended_ms - began_ms) / 1000, "retry_after_s": asked_s}
    made = Try(provider=candidate.provider, model=candidate.model, kind=error.kind, probe=probe, **times)
    return Missed(error, made)


def first(policy: CascadePolicy, course: Course, sight: Sight, due_ms: int | None = None) -> Step:
    """What to do with a request on arrival, and after each wait.

    Args:
        policy: The knobs.
        course: The request.
        sight: What this process knows.
        due_ms: Not before that time, epoch milliseconds; None: at any.
    """
    if due_ms is not None and due_ms > sight.now_ms:
        return in_time(Wait(due_ms, "parked", ""), course.deadline_ms, sight.now_ms)
    return in_time(cascade.choose(policy, course, sight), course.deadline_ms, sight.now_ms)


def after(policy: CascadePolicy, course: Course, sight: Sight, error: OrchestratorError, guard: FloodGuard) -> Step:
    """What to do with a request whose last try has just failed.

    Args:
        policy: The knobs.
        course: The request, that try included.
        sight: What this process knows.
        error: What the call came to.
        guard: Whether there is an outage, were this request given up, too; that try included.

    Returns:
        As ``cascade.after``; ``Late`` where the deadline has passed. In an outage nobody is given up: who would be, for
        what all suffer from, waits for the first tier and, each time that it fails again, for the next longer one; to
        its deadline where that is nearer than all of them.
    """
    if isinstance(error, DeadlineExceeded):
        return Late(error.deadline_ms)
    found = cascade.after(policy, course, sight, error)
    if isinstance(found, Nobody) and cascade.meaning(found.error).systemic and guard.given_up(found.error).systemic():
        found = Wait(_spared_ms(policy.retry, course, sight.now_ms), "outage", "")
    return in_time(found, course.deadline_ms, sight.now_ms)


def _spared_ms(policy: RetryPolicy, course: Course, now_ms: int) -> int:
    ends = [now_ms + math.ceil(tier_s * 1000) for tier_s in policy.tiers_s]
    if course.deadline_ms is not None:
        ends = [end_ms for end_ms in ends if end_ms < course.deadline_ms] or [course.deadline_ms]
    beyond = max(0, len(course.tries) - policy.attempts)  # tries that it made since it would have been given up
    return ends[min(beyond, len(ends) - 1)]


def in_time(step: Step, deadline_ms: int | None, now_ms: int) -> Step:
    """The step, unless the deadline has passed before it.

    Args:
        step: A call or a wait; anything else is an end already.
        deadline_ms: Epoch milliseconds, as ``now_ms``; None: never.
    """
    if deadline_ms is None or not isinstance(step, Ask | Wait):
        return step
    if deadline_ms <= now_ms:
        return Late(deadline_ms)
    return step._replace(until_ms=deadline_ms) if isinstance(step, Wait) and step.until_ms > deadline_ms else step


def wait(policy: RetryPolicy, wanted: Wait, progress: Progress, topic: str, now_ms: int) -> float | Progress:
    """How to wait.

    Args:
        policy: Its tiers, and how long one may wait where the request is.
        wanted: Until when.
        progress: Of the request.
        topic: From where it is parked, by its name in the catalog.
        now_ms: The time, epoch milliseconds.

    Returns:
        Seconds to wait there; or the progress of a request that is parked.
    """
    left_s = max(0, wanted.until_ms - now_ms) / 1000
    how = retry.rest(policy, 0.0, left_s)
    if wanted.due:
        return left_s  # for the word on a probe: who parks is not there when it is granted
    if not isinstance(how, Park):
        return how.delay_s
    there = parking.output(topic, how.tiers, policy.tiers_s)
    headers = (*((name, value.decode()) for name, value in there.headers), (WHY, because(wanted, left_s)))
    due_ms = now_ms + math.ceil(how.due_s * 1000)
    return Progress(tries=progress.tries, parked=there.topic, headers=headers, due_ms=due_ms)


def because(wanted: Wait, left_s: float) -> str:
    """Why a request waits, in words.

    Args:
        wanted: The wait.
        left_s: For how long.

    >>> because(Wait(9, "rate-limited", "openai:gpt-5"), 0.009)
    'rate-limited: openai:gpt-5'
    """
    if wanted.since_ms is not None:
        return str(circuit_open(wanted.service, wanted.since_ms, left_s))
    return f"{wanted.why}: {wanted.service}" if wanted.service else wanted.why


def circuit_open(service: str, since_ms: int, left_s: float) -> CircuitOpen:
    """What a caller is told for whom a service is not called.

    Args:
        service: A provider and a model.
        since_ms: Since when its breaker is open, epoch milliseconds.
        left_s: After how many seconds it may be called again.
    """
    return CircuitOpen(service, rfc3339(since_ms), left_s)
