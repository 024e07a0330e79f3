"""What does a caller get back? The closed door model of ``results``, and the closed list of error kinds.

Every field derives from records, never from a clock at the moment of writing: a repeated answer is byte-equal.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, Strict

from topics.messages import Usage
from topics.request import Closed

Status = Literal["completed", "rejected", "expired", "failed", "cancelled"]
Source = Literal["provider", "cache", "coalesced"]
ErrorKind = Literal[
    "invalid_request",
    "undecodable",
    "too_large",
    "deadline_exceeded",
    "worker_error",
    "provider_denied",
    "provider_not_found",
    "provider_rate_limited",
    "provider_unavailable",
    "provider_unreachable",
    "provider_timeout",
    "provider_malformed",
    "provider_empty",
    "context_too_long",
    "provider_refused",
    "stage_failure",
    "answer_gone",
    "backpressure_shed",
    "template_failed",
    "prompt_too_long",
    "answer_empty",
    "answer_truncated",
    "answer_too_long",
    "answer_invalid",
    "internal",
]
ERROR_KINDS: dict[ErrorKind, str] = {
    "invalid_request": "a field of the request is unknown, wrong, over a limit, or not supported yet",
    "undecodable": "the bytes are no request",
    "too_large": "the request, or what the stages made of it, is above what a topic may carry",
    "deadline_exceeded": "the deadline passed before the provider answered",
    "worker_error": "the provider did not answer the call",
    "provider_denied": "the provider refuses the credentials that the pipeline has",
    "provider_not_found": "the provider has no such model, or is not where the settings say",
    "provider_rate_limited": "the provider asks for fewer calls; `retry_after_s` is what it said",
    "provider_unavailable": "the provider failed on its own side",
    "provider_unreachable": "no connection to the provider, or it broke before the answer was whole",
    "provider_timeout": "the provider did not answer within the settings' time",
    "provider_malformed": "what the provider sent is no answer, or too large to be one",
    "provider_empty": "the provider answered without any choice",
    "context_too_long": "the prompt is above what the model can read",
    "provider_refused": "the provider refuses the request as it is, for example one of its `params`",
    "stage_failure": "a stage gave the request up after its last try",
    "answer_gone": "the provider was paid for an answer that is no longer kept; it is not called again",
    "backpressure_shed": "too many requests wait already; the answer says when to come back",
    "template_failed": "the request's template could not be rendered with what the request brought",
    "prompt_too_long": "what may not be left out of the prompt is above the model's budget of tokens",
    "answer_empty": "the provider answered with neither text nor tool calls, and that is set to fail",
    "answer_truncated": "the provider stopped at the token limit, and that is set to fail",
    "answer_too_long": "the answer is above its limit",
    "answer_invalid": "the answer does not fit the request's `response_format`",
    "internal": "none of the above: a defect on our side, named in the logs",
}

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z: producers may write any timestamp, RFC 3339 has four digits


class AnswerError(Closed):
    """Why there is no text.

    Args:
        kind: A word of the closed list ``ERROR_KINDS``.
        message: What happened, without prompt text.
        retryable: Whether sending the request again can help.
        retry_after_s: Seconds to wait before that, where known.
    """

    kind: ErrorKind
    message: str
    retryable: bool = False
    retry_after_s: float | None = None


class AnswerTry(Closed):
    """One of several calls that were made for an answer.

    Args:
        provider: Who was asked; ``model``: for which model.
        kind: How it failed, a word of the closed list ``ERROR_KINDS``; null: it gave the answer.
        at: When it began, RFC 3339, UTC.
        work_s: Seconds that it took.
    """

    provider: str
    model: str
    kind: ErrorKind | None = None
    at: str
    work_s: float = 0.0


class Answer(Closed):
    """One value of ``results``: the final answer of one request. What a status does not have is null.

    Args:
        id: The request's id, its own or the derived one.
        status: ``completed``; ``rejected``: not admitted; ``expired``: the deadline passed; ``failed``: tried and given
            up; ``cancelled``: kept for later.
        text: What the provider said; ``message`` is the same as an assistant message in OpenAI's shape.
        finish_reason: The provider's word for why it stopped.
        model: The model that answered; ``provider`` names who served it.
        source: Whether this answer was bought, came from the cache, or from the call of a twin.
        same_as: The id of the request whose call it shares.
        usage: Tokens that this answer cost; ``saved_usage``: tokens that it did not cost, being shared.
        cost_usd_micros: Millionths of a dollar that this answer cost.
        error: Why there is no text.
        attempts: Provider calls made, 0 where none was.
        request_hash: SHA-256 (hex) of the canonical request; of the raw value where that is no valid request.
        received_at: Kafka's timestamp of the request; ``finished_at``: when the outcome was decided. RFC 3339, UTC.
        work_s: Seconds of work by stage.
        metadata: The request's own.
        tries: The calls in order, where they were more than one.
    """

    id: str
    status: Status
    text: str | None = None
    message: dict[str, Any] | None = None
    finish_reason: str | None = None
    model: str | None = None
    provider: str | None = None
    source: Source | None = None
    same_as: str | None = None
    usage: Usage | None = None
    saved_usage: Usage | None = None
    cost_usd_micros: int = 0
    error: AnswerError | None = None
    attempts: int = 0
    request_hash: str
    received_at: str
    finished_at: str
    work_s: dict[str, float] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    tries: Annotated[tuple[AnswerTry, ...], Strict(False)] | None = None


def error_kind(kind: str) -> ErrorKind:
    """The same word where it is in the closed list, else ``internal``."""
    return next((known for known in get_args(ErrorKind) if known == kind), "internal")


def rfc3339(ms: int) -> str:
    """A time as people read it.

    Args:
        ms: Epoch milliseconds; outside the years 1970 to 9999 the nearest time inside is meant.

    Returns:
        RFC 3339 in UTC with milliseconds and ``Z``.

    >>> rfc3339(1769860800000)
    '2026-01-31T12:00:00.000Z'
    """
    seconds, rest_ms = divmod(min(max(ms, 0), LAST_MS), 1000)
    return f"{_to_the_second(seconds)}.{rest_ms:03d}Z"


@lru_cache(maxsize=1024)
def _to_the_second(seconds: int) -> str:
    """Most answers of a second share it."""
    return f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


__all__ = [
    "ERROR_KINDS",
    "Answer",
    "AnswerError",
    "AnswerTry",
    "ErrorKind",
    "Source",
    "Status",
    "error_kind",
    "rfc3339",
]
