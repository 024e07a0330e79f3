"""What does a failed call say about who may be asked next, and about everybody else? For its breaker: see ``blame``."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from topics import provider_errors as errors
from topics.errors import OrchestratorError, StageFailure, kind_of

Step = Literal["rotate", "dead", "again", "skip", "none"]


class Meaning(NamedTuple):
    """What a failed call says.

    Args:
        step: ``rotate``: to the next candidate at once, back to this one when it allows; ``dead``: so is the key, and
            with it all candidates of the provider; ``again``: the same one after a while; ``skip``: only candidates
            after this one, and it was no attempt; ``none``: no further try of anyone can help.
        systemic: Whether equal failures of many requests are one outage.
    """

    step: Step
    systemic: bool = False


MEANINGS: Mapping[str, Meaning] = {
    errors.ProviderRateLimited.kind: Meaning("rotate", systemic=True),
    errors.ProviderDenied.kind: Meaning("dead", systemic=True),
    errors.ProviderUnavailable.kind: Meaning("again", systemic=True),
    errors.ProviderUnreachable.kind: Meaning("again", systemic=True),
    errors.ProviderTimeout.kind: Meaning("again", systemic=True),
    errors.ProviderEmpty.kind: Meaning("again", systemic=True),
    errors.ProviderMalformed.kind: Meaning("none", systemic=True),
    errors.ContextTooLong.kind: Meaning("skip"),
    errors.ProviderNotFound.kind: Meaning("none"),
    errors.ProviderRefused.kind: Meaning("none"),
}
PASSING, FINAL = Meaning("again", systemic=True), Meaning("none")


def meaning(error: BaseException) -> Meaning:
    """What a failed call says.

    Args:
        error: What the call raised, or the failure of the stage around it.

    Returns:
        The line of the table; for an error that it does not name ``FINAL``, or ``PASSING`` where it is retryable.

    >>> meaning(errors.ProviderRateLimited("openai")).step, meaning(errors.ContextTooLong("openai")).step
    ('rotate', 'skip')
    """
    if isinstance(error, StageFailure):
        return meaning(error.source)
    retryable = isinstance(error, OrchestratorError) and error.retryable
    return MEANINGS.get(kind_of(error), PASSING if retryable else FINAL)


def step_of(kind: str) -> Step:
    """The step of a fault that is known by its kind only, as in a ledger: one that the table does not name can pass.

    Args:
        kind: ``kind`` of the error.

    >>> step_of("provider_denied"), step_of("worker_error")
    ('dead', 'again')
    """
    return MEANINGS.get(kind, PASSING).step
