"""What becomes of a request whose try failed: again in a moment, again after being parked, or given up?

Time and chance are arguments, in seconds and as a ``roll`` in [0, 1). Who is given up is so before it waits, not after.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple, Self

from topics.errors import ConfigurationError, OrchestratorError, StageFailure

MAX_RETRY_DELAY = 600.0  # seconds; what a provider asks for by itself may be longer
LONGEST_S = 7 * 86_400.0  # no request lives longer
DOUBLINGS = 1023  # 2.0 to this power is still a float
SECONDS = re.compile(r"[0-9]{1,300}(\.[0-9]{1,300})?", re.ASCII)

Growth = Literal["exponential", "linear", "fixed"]
Reason = Literal["permanent", "exhausted", "deadline", "budget"]
OWN: frozenset[Reason] = frozenset({"deadline", "budget"})  # of one request alone: another with equal content may go on


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The knobs of a retry; times in seconds.

    Args:
        attempts: Tries in all, the first one included; 1: no retry.
        base_s: The wait after the first try, before jitter.
        growth: How the wait goes on: ``exponential`` b, 2b, 4b; ``linear`` b, 2b, 3b; ``fixed`` b, b, b.
        cap_s: The longest of these waits, at most ``MAX_RETRY_DELAY``.
        budget_s: Between the start of the first try and that of the last, whichever providers were asked.
        in_process_s: Waits below this are waited where the request is; longer ones are parked.
        tiers_s: The waits for which one can be parked, ascending.

    Raises:
        ConfigurationError: A knob is out of its range.
    """

    attempts: int = 4
    base_s: float = 0.5
    growth: Growth = "exponential"
    cap_s: float = MAX_RETRY_DELAY
    budget_s: float = LONGEST_S
    in_process_s: float = 5.0
    tiers_s: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0)

    def __post_init__(self) -> None:
        _in_range("retry.attempts", self.attempts, 1, math.inf)
        _in_range("retry.base_s", self.base_s, 0, LONGEST_S)
        _in_range("retry.cap_s", self.cap_s, 0, MAX_RETRY_DELAY)
        _in_range("retry.budget_s", self.budget_s, 0, LONGEST_S)
        _in_range("retry.in_process_s", self.in_process_s, 0, LONGEST_S)
        for before, tier in zip((0.0, *self.tiers_s), self.tiers_s, strict=False):
            if not before < tier <= LONGEST_S:
                raise ConfigurationError("retry.tiers_s", self.tiers_s, "set seconds above 0, in ascending order")
        if not self.tiers_s:
            raise ConfigurationError("retry.tiers_s", self.tiers_s, "set at least one")

    @classmethod
    def exponential(cls, attempts: int, base: float) -> Self:
        """A policy of ``attempts`` tries whose waits double from ``base`` seconds on.

        >>> [RetryPolicy.exponential(4, 0.5).delay_for_attempt(n) for n in (1, 2, 3)]
        [0.5, 1.0, 2.0]
        """
        return cls(attempts, base, "exponential")

    @classmethod
    def linear(cls, attempts: int, base: float) -> Self:
        """A policy of ``attempts`` tries whose waits grow by ``base`` seconds each.

        >>> [RetryPolicy.linear(4, 0.5).delay_for_attempt(n) for n in (1, 2, 3)]
        [0.5, 1.0, 1.5]
        """
        return cls(attempts, base, "linear")

    @classmethod
    def fixed(cls, attempts: int, base: float) -> Self:
        """A policy of ``attempts`` tries with ``base`` seconds between them.

        >>> [RetryPolicy.fixed(4, 0.5).delay_for_attempt(n) for n in (1, 2, 3)]
        [0.5, 0.5, 0.5]
        """
        return cls(attempts, base, "fixed")

    def delay_for_attempt(self, n: int) -> float:
        """Seconds after the ``n``-th try (from 1) before the next, without jitter: in [0, ``cap_s``] for every ``n``.

        >>> RetryPolicy.exponential(5, 1).delay_for_attempt(1_000_000) == MAX_RETRY_DELAY
        True
        """
        step = max(1, n)
        if self.growth == "exponential":
            wait_s = self.base_s * 2.0 ** (step - 1 if step <= DOUBLINGS else DOUBLINGS)
        elif self.growth == "linear":
            wait_s = self.base_s * min(step, 2**53)
        else:
            wait_s = self.base_s
        return min(self.cap_s, wait_s)


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong.

    Args:
        stage: Name of the stage that tries.
        error: The last try's; its ``retryable`` and, where it has one, its ``retry_after_s`` count.
        first_s: When the first try began.
    """

    stage: str
    error: OrchestratorError
    first_s: float


class RetryNow(NamedTuple):
    """Try again after ``delay_s``, waited where the request is."""

    delay_s: float


class Park(NamedTuple):
    """Wait in ``tiers``, longest first, and try again not before ``due_s``; what the tiers leave is waited then."""

    tiers: tuple[float, ...]
    due_s: float


class GiveUp(NamedTuple):
    """No further try.

    Args:
        reason: ``permanent``: no try can help; ``exhausted``: all were made; ``deadline``, ``budget``: the next one
            would come too late for the request, or for the time that all tries together have.
        error: What to give as the cause: the fault's own where it is permanent, else a ``StageFailure`` around it.
    """

    reason: Reason
    error: OrchestratorError


Decision = RetryNow | Park | GiveUp


def decide(
    policy: RetryPolicy, fault: Fault, attempt: int, now_s: float, deadline_s: float | None, roll: float
) -> Decision:
    """What to do after a try that failed. Full jitter: the wait is ``roll`` of the policy's, or what was asked for.

    Args:
        policy: The knobs.
        fault: What went wrong.
        attempt: Tries made so far, the first included.
        now_s: The time, in seconds on the clock of ``deadline_s`` and ``fault.first_s``.
        deadline_s: When the request expires; None: never.
        roll: Chance in [0, 1).

    Returns:
        ``RetryNow``, ``Park`` or ``GiveUp``. A try is never due at or after the deadline, nor before a Retry-After is
        over, nor above the budget.

    >>> decide(RetryPolicy.exponential(3, 1), Fault("infer", StageFailure("x", 1, KeyError()), 0), 1, 0, None, 0.5)[0]
    'permanent'
    """
    error = fault.error
    if not error.retryable:
        return GiveUp("permanent", error)
    if attempt >= policy.attempts:
        return _given_up("exhausted", fault, attempt)
    wait_s = roll * policy.delay_for_attempt(attempt)
    asked_s = getattr(error, "retry_after_s", None)
    if asked_s is not None and asked_s > wait_s:
        wait_s = asked_s
    if now_s + wait_s - fault.first_s > policy.budget_s:
        return _given_up("budget", fault, attempt)
    if wait_s < policy.in_process_s:
        late = deadline_s is not None and now_s + wait_s >= deadline_s
        return _given_up("deadline", fault, attempt) if late else RetryNow(wait_s)
    parked = park(policy, now_s, now_s + wait_s)
    late = deadline_s is not None and parked.due_s >= deadline_s
    return _given_up("deadline", fault, attempt) if late else parked


def rest(policy: RetryPolicy, now_s: float, due_s: float) -> RetryNow | Park:
    """How one that came back from a tier goes on waiting: it is due at ``due_s``, and it is ``now_s``.

    >>> rest(RetryPolicy(), 40.0, 42.0)
    RetryNow(delay_s=2.0)
    >>> rest(RetryPolicy(), 0.0, 42.0)
    Park(tiers=(30.0, 5.0, 5.0), due_s=42.0)
    """
    wait_s = due_s - now_s
    return park(policy, now_s, due_s) if wait_s >= policy.in_process_s else RetryNow(max(wait_s, 0.0))


def park(policy: RetryPolicy, now_s: float, due_s: float) -> Park:
    """The largest tiers that fit from ``now_s`` to ``due_s``; too much left to wait in process makes one tier more.

    Args:
        policy: Its ``tiers_s`` and ``in_process_s``.
        now_s: The time; ``due_s``: when the next try is wanted, finite. Both in seconds on one clock.

    Returns:
        Tiers, longest first, and when the try is due: as wanted, later only where the tiers are longer.

    >>> park(RetryPolicy(), 0.0, 155.0).tiers
    (120.0, 30.0, 5.0)
    """
    left_s = due_s - now_s
    tiers: tuple[float, ...] = ()
    for tier in reversed(policy.tiers_s):
        if left_s >= tier:
            times = int(left_s // tier)
            tiers += (tier,) * times
            left_s -= times * tier
    if left_s >= policy.in_process_s or not tiers:
        tiers += policy.tiers_s[:1]
        left_s -= policy.tiers_s[0]
    return Park(tiers, due_s if left_s >= 0 else due_s - left_s)


def retry_after_s(told: str, now_s: float) -> float | None:
    """What a ``Retry-After`` asks for (RFC 9110, 10.2.3).

    Args:
        told: The header's value: seconds, or a date in one of HTTP's three forms.
        now_s: The time in epoch seconds, from which a date counts.

    Returns:
        Seconds in [0, ``LONGEST_S``]; None for what is neither.

    >>> retry_after_s("120", 0.0), retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 45.0), retry_after_s("soon", 0.0)
    (120.0, 15.0, None)
    """
    if SECONDS.fullmatch(told):
        return min(float(told), LONGEST_S)
    at_s = _date_s(told)
    return None if at_s is None else min(max(at_s - now_s, 0.0), LONGEST_S)


def _date_s(told: str) -> float | None:
    try:
        found = parsedate_to_datetime(told)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _given_up(reason: Reason, fault: Fault, attempt: int) -> GiveUp:
    return GiveUp(reason, StageFailure(fault.stage, attempt, fault.error))


def _in_range(field: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigurationError(field, value, f"set a number from {least:g} to {most:g}")
