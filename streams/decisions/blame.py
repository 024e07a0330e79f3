"""What does a finished call say about the service that was called? Its breaker counts by that."""

from collections.abc import Mapping
from typing import Literal

from topics.provider_errors import ProviderMalformed, ProviderRateLimited, WorkerError

Outcome = Literal["ok", "slow", "failed", "limited", "ignored"]

LETTERS: Mapping[Outcome, str] = {"ok": "o", "slow": "s", "failed": "f", "limited": "l", "ignored": "i"}


def outcome_of(error: BaseException | None) -> Outcome:
    """What a finished call says about the service.

    Args:
        error: What the call raised, or None.

    Returns:
        ``ok``; ``failed``: the service's fault, timeouts and answers that are none included; ``limited``: it asked for
        fewer calls; ``ignored``: the fault of the request or of our credentials, or nobody's. Whether ``ok`` was
        ``slow`` is for ``graded``.

    >>> outcome_of(None), outcome_of(ProviderRateLimited("openai")), outcome_of(TimeoutError())
    ('ok', 'limited', 'ignored')
    """
    match error:
        case None:
            return "ok"
        case ProviderRateLimited():
            return "limited"
        case ProviderMalformed() | WorkerError(retryable=True):
            return "failed"
        case _:
            return "ignored"


def graded(outcome: Outcome, took_ms: int, slow_s: float) -> Outcome:
    """The outcome, ``slow`` for an answer that took too long.

    Args:
        outcome: What ``outcome_of`` returned.
        took_ms: Between the call's begin and its end.
        slow_s: From how many seconds on that is.

    Returns:
        The outcome.
    """
    return "slow" if outcome == "ok" and took_ms >= slow_s * 1000 else outcome


__all__ = ["LETTERS", "Outcome", "graded", "outcome_of"]
