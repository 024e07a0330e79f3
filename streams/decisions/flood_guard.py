"""Do requests fail one by one, or is there an outage that would bury them all? Counted over one worker's calls."""

from dataclasses import dataclass, field, replace
from typing import Self

from streams.decisions.faults import meaning
from topics.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """The knobs of a flood guard.

    Args:
        consecutive: So many requests that would be given up, and no call that went well between them, are an outage.
        ratio: So large a part of the latest calls is one, too: seen before the first request has made all its tries,
        window: of so many of them,
        minimum: from so many on.

    Raises:
        ConfigurationError: A knob is out of its range.
    """

    consecutive: int = 10
    ratio: float = 0.5
    window: int = 50
    minimum: int = 20

    def __post_init__(self) -> None:
        if self.consecutive < 1:
            raise ConfigurationError("infer.guard_consecutive", self.consecutive, "set at least 1")
        if not 0 < self.ratio <= 1:
            raise ConfigurationError("infer.guard_ratio", self.ratio, "set a part above 0, at most 1")
        if not 1 <= self.minimum <= self.window:
            raise ConfigurationError("infer.guard_minimum", self.minimum, f"set 1 to guard_window ({self.window})")


@dataclass(frozen=True, slots=True)
class FloodGuard:
    """What a worker's latest calls say; a value: ``called`` gives the next one.

    Args:
        policy: The knobs.
        streak: Requests that would be given up since the last call that went well.
        calls: The window: when each began, epoch milliseconds, and whether it failed; the latest last.
        failed: How many of them did.
    """

    policy: GuardPolicy = field(default_factory=GuardPolicy)
    streak: int = 0
    calls: tuple[tuple[int, bool], ...] = ()
    failed: int = 0

    def called(self, error: BaseException | None, began_ms: int) -> Self:
        """The guard after one more call.

        Args:
            error: How it failed; None: it was answered. What is a request's own fault says nothing of the others and
                changes nothing.
            began_ms: When it began, epoch milliseconds. Calls count in this order: a slow answer that ends in an outage
                tells of the time before it.

        >>> len(FloodGuard().called(None, 5).calls), FloodGuard().called(KeyError(), 5).calls
        (1, ())
        """
        policy, bad = self.policy, error is not None
        if error is None and not self.streak and len(self.calls) == policy.window and not self.failed:
            return self  # all is well, and was: nothing to note
        if error is not None and not meaning(error).systemic:
            return self
        calls = sorted((*self.calls, (began_ms, bad)))[-policy.window :]
        return replace(
            self, streak=self.streak if bad else 0, calls=tuple(calls), failed=sum(failed for _, failed in calls)
        )

    def given_up(self, error: BaseException) -> Self:
        """The guard after one more request would have been given up; its last call is counted already.

        Args:
            error: Why; what is the request's own fault changes nothing.

        >>> FloodGuard().given_up(KeyError()).streak
        0
        """
        return replace(self, streak=self.streak + 1) if meaning(error).systemic else self

    def systemic(self) -> bool:
        """Whether there is an outage: what would be given up for it is to be parked.

        >>> FloodGuard(streak=9).systemic(), FloodGuard(streak=10).systemic()
        (False, True)
        """
        policy, count = self.policy, len(self.calls)
        if self.streak >= policy.consecutive:
            return True
        return count >= policy.minimum and self.failed >= policy.ratio * count
