"""Whom to ask next? A route is an ordered list of candidates; each failed try says what becomes of its candidate.

All about a request is read from its tries, so that a restart, or the return from a tier, decides as the process before
would have. ``after`` judges a try that has just failed; attempts, budget and deadline are looked at only then.
``choose`` says whom to ask now; it ends no request that still has a candidate.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, assert_never

from streams.decisions import attempts, retry
from streams.decisions.attempts import Candidate, CascadePolicy, Course, Ledger, Route, roll
from streams.decisions.breaker import Closed, Open, Probe, Verdict
from streams.decisions.faults import Meaning, meaning
from streams.decisions.retry import Fault, GiveUp, Reason
from topics.errors import OrchestratorError, StageFailure
from topics.messages import Try
from topics.provider_errors import ContextTooLong

STAGE = "infer"
GRANT_MS = 1000  # for the word on a probe: asking and granting are a write and a read each

Why = Literal["backing-off", "rate-limited", "key-dead", "service-limited", "breaker-open", "parked", "outage"]
OWN: frozenset[Why] = frozenset({"backing-off", "rate-limited"})  # waits that a request's own tries have caused


@dataclass(frozen=True, slots=True)
class Sight:
    """What this process knows.

    Args:
        now_ms: The time, epoch milliseconds.
        verdict: What the breaker of a service says. Asked in the order of the candidates, and of none after the one
            that is chosen: a granted probe is not taken by somebody who does not use it. Whoever is told ``Open`` after
            its time has asked for the probe by that.
        shut: Provider, or service, → epoch milliseconds before which it is not asked, as ``shut`` says.
    """

    now_ms: int
    verdict: Callable[[str], Verdict]
    shut: Mapping[str, int] = field(default_factory=dict)


class Ask(NamedTuple):
    """Call this one; ``epoch`` and ``probe`` go to its breaker with the outcome."""

    candidate: Candidate
    epoch: int
    probe: bool = False


class Wait(NamedTuple):
    """Nobody can be asked now.

    Args:
        until_ms: When to choose again: at the soonest recovery, or at the deadline where that comes first.
        why: What keeps the candidate that recovers first.
        service: Of that candidate.
        since_ms: Since when its breaker is open, where that is why.
        due: Whether that breaker is due for a probe, which somebody else may have been granted.
    """

    until_ms: int
    why: Why
    service: str
    since_ms: int | None = None
    due: bool = False


class Nobody(NamedTuple):
    """No further call; reason and error as in ``retry.GiveUp``."""

    reason: Reason
    error: OrchestratorError


Choice = Ask | Wait | Nobody


def route_of(routes: Mapping[str, Route], model: str, kind: str) -> Route:
    """The candidates that a request's model stands for.

    Args:
        routes: Alias → its candidates.
        model: What the request names.
        kind: The provider of models that have no route.

    >>> route_of({"small": (Candidate("openai", "gpt-5-mini"),)}, "gpt-5", "openai")
    (Candidate(provider='openai', model='gpt-5'),)
    """
    return routes.get(model) or (Candidate(kind, model),)


def shut(policy: CascadePolicy, candidate: Candidate, error: BaseException, now_ms: int) -> tuple[str, int] | None:
    """What one request's failed try closes to all requests of the process.

    Args:
        policy: Its ``dead_key_s``.
        candidate: Who was asked.
        error: What the call raised.
        now_ms: When it did, epoch milliseconds.

    Returns:
        A key of ``Sight.shut`` and when it opens again, epoch milliseconds; None: nothing.
    """
    step, asked_s = meaning(error).step, getattr(error, "retry_after_s", None)
    if step == "dead":
        return candidate.provider, now_ms + attempts.ms(policy.dead_key_s)
    if step == "rotate" and asked_s:
        return candidate.service, now_ms + attempts.ms(asked_s)
    return None


def choose(policy: CascadePolicy, course: Course, sight: Sight) -> Choice:
    """Whom to ask now: on arrival, on the return from a wait, after a restart.

    Args:
        policy: The knobs.
        course: The request.
        sight: What this process knows.

    Returns:
        ``Ask``, ``Wait``, or ``Nobody`` where the prompt was too long for the last candidate. The order of the route
        holds, except that whoever failed as often as its share of the attempts comes after those that did not; one that
        backs off keeps its place, unless its breaker is open.

    >>> sight = Sight(5, lambda service: Open(0, 9) if service == "a:m" else Closed(7))
    >>> choose(CascadePolicy(), Course("i", (Candidate("a", "m"), Candidate("b", "m"))), sight)
    Ask(candidate=Candidate(provider='b', model='m'), epoch=7, probe=False)
    """
    if not course.tries and not sight.shut:  # as nearly always
        verdict = sight.verdict(course.route[0].service)
        if not isinstance(verdict, Open):
            return Ask(course.route[0], verdict.epoch, isinstance(verdict, Probe))
    ledger = attempts.read(policy, course)
    found = _looked(policy, course, sight, ledger, ())
    if isinstance(found, Ask):
        return found
    last = course.route[-1].provider
    return _soonest(found, course) if found else Nobody("permanent", ContextTooLong(last))


def after(policy: CascadePolicy, course: Course, sight: Sight, error: OrchestratorError) -> Choice:
    """What next, now that a try has failed.

    Args:
        policy: The knobs.
        course: The request; the last of its tries is the one that failed.
        sight: What this process knows; its ``now_ms`` is when that try ended.
        error: What the call raised.

    Returns:
        As ``choose``; ``Nobody`` also where no try can help, all were made, or the next one would come too late. A
        breaker, or a key that other requests found dead, ends no request: it is waited for, to the deadline. Nor does
        a probe that failed: it is no attempt.
    """
    ledger, failed = attempts.read(policy, course), course.tries[-1]
    lost = {candidate for candidate in course.route if candidate.provider in ledger.dead}
    if meaning(error).step == "none" or lost.issuperset(course.route[ledger.floor :]):
        return Nobody("permanent", error)
    ended = _ended(policy, course, ledger, sight.now_ms, error)
    if ended and (ended.reason == "exhausted" or _above_budget(policy, course, sight.now_ms)):
        return Nobody(*ended)
    asked = Candidate(failed.provider, failed.model)
    found = _looked(policy, course, sight, ledger, {*lost, asked} if ended else lost)
    if isinstance(found, Ask):
        return found
    waits = [wait for wait in found if wait.service == asked.service or not _late(policy, course, wait)]
    if waits:
        return _soonest(waits, course)
    reason: Reason = "deadline" if any(_beyond(course, wait) for wait in found) else "budget"
    return Nobody(*(ended or _given_up(reason, ledger, error)))


def _ended(
    policy: CascadePolicy, course: Course, ledger: Ledger, now_ms: int, error: OrchestratorError
) -> GiveUp | None:
    """Why the candidate that failed may not be tried again by this request; times count from the first try."""
    first_ms, deadline_ms = course.tries[0].at_ms, course.deadline_ms
    if error.retryable:
        left_s = None if deadline_ms is None else (deadline_ms - first_ms) / 1000
        fault, chance = Fault(STAGE, error, 0.0), roll(course.identity, ledger.attempts)
        said = retry.decide(policy.retry, fault, ledger.attempts, (now_ms - first_ms) / 1000, left_s, chance)
        return said if isinstance(said, GiveUp) else None
    if ledger.attempts >= policy.retry.attempts:
        return _given_up("exhausted", ledger, error)
    return _given_up("budget", ledger, error) if _above_budget(policy, course, now_ms) else None


def _given_up(reason: Reason, ledger: Ledger, error: OrchestratorError) -> GiveUp:
    return GiveUp(reason, StageFailure(STAGE, ledger.attempts, error))


def _above_budget(policy: CascadePolicy, course: Course, at_ms: int) -> bool:
    return at_ms - course.tries[0].at_ms > policy.retry.budget_s * 1000


def _late(policy: CascadePolicy, course: Course, wait: Wait) -> bool:
    """Whether a wait of the request's own making ends too late for it."""
    return wait.why in OWN and (_beyond(course, wait) or _above_budget(policy, course, wait.until_ms))


def _beyond(course: Course, wait: Wait) -> bool:
    return course.deadline_ms is not None and wait.until_ms >= course.deadline_ms


def _looked(
    policy: CascadePolicy, course: Course, sight: Sight, ledger: Ledger, without: Collection[Candidate]
) -> Ask | list[Wait]:
    """The first candidate that can be asked, else what each of them waits for."""
    waits = list[Wait]()
    share = math.ceil(policy.retry.attempts / len(course.route))
    for candidate in _ordered(course, ledger, share):
        if candidate in without:
            continue
        found = _judged(candidate, ledger, sight)
        if isinstance(found, Ask):
            return found
        waits.append(found)
        if found.why == "backing-off" and _times(ledger, candidate) < share:
            break
    return waits


def _times(ledger: Ledger, candidate: Candidate) -> int:
    return ledger.marks.get(candidate, attempts.FRESH).times


def _ordered(course: Course, ledger: Ledger, share: int) -> Sequence[Candidate]:
    """The candidates that are left, those that have had their share of the attempts after the others."""
    left = course.route[ledger.floor :]
    return sorted(left, key=lambda candidate: _times(ledger, candidate) >= share) if ledger.marks else left


def _judged(candidate: Candidate, ledger: Ledger, sight: Sight) -> Ask | Wait:
    """Whether one candidate can be asked now, and else what keeps it."""
    now_ms, service = sight.now_ms, candidate.service
    mark = ledger.marks.get(candidate, attempts.FRESH)
    rests = mark.until_ms > now_ms
    if rests and mark.rotates:
        return Wait(mark.until_ms, "rate-limited", service)
    for why, until_ms in _shut(candidate, ledger, sight):
        if until_ms > now_ms:
            return Wait(until_ms, why, service)
    said = sight.verdict(service)
    match said:
        case Probe(epoch):
            return Ask(candidate, epoch, probe=True)
        case Closed(epoch):
            return Wait(mark.until_ms, "backing-off", service) if rests else Ask(candidate, epoch)
        case Open(since_ms, until_ms) if until_ms > now_ms:
            return Wait(until_ms, "breaker-open", service, since_ms)
        case Open(since_ms):
            return Wait(now_ms + GRANT_MS, "breaker-open", service, since_ms, due=True)
        case _:
            assert_never(said)


def _shut(candidate: Candidate, ledger: Ledger, sight: Sight) -> Iterator[tuple[Why, int]]:
    """What is closed to this request without its breaker's word."""
    provider = candidate.provider
    yield "key-dead", max(ledger.dead.get(provider, 0), sight.shut.get(provider, 0))
    yield "service-limited", sight.shut.get(candidate.service, 0)


def _soonest(waits: Sequence[Wait], course: Course) -> Wait:
    first = min(waits, key=lambda wait: wait.until_ms)
    if course.deadline_ms is None or first.until_ms <= course.deadline_ms:
        return first
    return first._replace(until_ms=course.deadline_ms)


__all__ = [
    "Ask",
    "Candidate",
    "CascadePolicy",
    "Choice",
    "Course",
    "Meaning",
    "Nobody",
    "Route",
    "Sight",
    "Try",
    "Wait",
    "after",
    "choose",
    "meaning",
    "roll",
    "route_of",
    "shut",
]
