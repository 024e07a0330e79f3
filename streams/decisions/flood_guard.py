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
    """What a worker's latest outcomes say; a value: ``seen`` gives the next one.

    Args:
        policy: The knobs.
        streak: Requests that would be given up since the last call that went well.
        count: Calls in the window.
        failed: The window, one bit a call, the latest lowest; 1: failed.
    """

    policy: GuardPolicy = field(default_factory=GuardPolicy)
    streak: int = 0
    count: int = 0
    failed: int = 0

    def called(self, error: BaseException | None) -> Self:
        """The guard after one more call.

        Args:
            error: How it failed; None: it was answered. What is a request's own fault says nothing of the others and
                changes nothing.

        >>> FloodGuard().called(None).count, FloodGuard().called(KeyError()).count
        (1, 0)
        """
        if error is None and not self.failed and not self.streak and self.count == self.policy.window:
            return self  # all is well, and was: nothing to note
        if error is not None and not meaning(error).systemic:
            return self
        bad, window = error is not None, self.policy.window
        return replace(
            self,
            streak=self.streak if bad else 0,
            count=min(self.count + 1, window),
            failed=(self.failed << 1 | bad) & ((1 << window) - 1),
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
        policy = self.policy
        if self.streak >= policy.consecutive:
            return True
        return self.count >= policy.minimum and self.failed.bit_count() >= policy.ratio * self.count
