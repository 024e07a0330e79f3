"""Which answer does an outcome become? One function an outcome; every field comes from records, none from a clock."""

from typing import Any

from topics.answer import Answer, AnswerError, error_kind, rfc3339
from topics.messages import Failed, Inferred, Origin


def completed(message: Inferred) -> Answer:
    """The answer of a request that the provider answered.

    Args:
        message: The request with its reply, as ``infer`` wrote it.

    Returns:
        An answer with status ``completed`` and source ``provider``, finished when the reply was.
    """
    reply = message.reply
    return Answer(
        id=message.id,
        status="completed",
        text=reply.text,
        message={"role": "assistant", "content": reply.text},
        finish_reason=reply.finish_reason,
        model=reply.model,
        provider=reply.provider,
        source="provider",
        usage=reply.usage,
        cost_usd_micros=reply.cost_usd_micros,
        attempts=reply.attempts,
        request_hash=message.request_hash,
        received_at=rfc3339(message.origin.timestamp_ms),
        finished_at=rfc3339(reply.finished_ms),
        work_s={"infer": reply.work_s},
        metadata=message.metadata,
    )


def refused(
    request_id: str, origin: Origin, reason: str, *, request_hash: str, metadata: dict[str, Any] | None = None
) -> Answer:
    """The answer of a request that was not admitted.

    Args:
        request_id: The request's id, its own where that is usable, else the derived one.
        origin: Where it entered; its timestamp is when it was received and finished.
        reason: What is wrong and how to mend it, without prompt text.
        request_hash: SHA-256 (hex) by which the caller finds the request again.
        metadata: The request's own, where that is usable.

    Returns:
        An answer with status ``rejected`` and error kind ``invalid_request``.
    """
    at = rfc3339(origin.timestamp_ms)
    return Answer(
        id=request_id,
        status="rejected",
        error=AnswerError(kind="invalid_request", message=reason),
        request_hash=request_hash,
        received_at=at,
        finished_at=at,
        metadata=metadata or {},
    )


def given_up(failed: Failed) -> Answer:
    """The answer of a request that a stage gave up, and of bytes that are no request.

    Args:
        failed: What the stage wrote on ``failed``.

    Returns:
        An answer whose status is the outcome (``failed``, ``rejected`` or ``expired``); a failure kind outside the
        closed list becomes ``internal``.
    """
    failure = failed.failure
    error = AnswerError(
        kind=error_kind(failure.kind),
        message=failure.message,
        retryable=failure.retryable,
        retry_after_s=failure.retry_after_s,
    )
    return Answer(
        id=failed.id,
        status=failed.outcome,
        error=error,
        attempts=failed.attempts,
        request_hash=failed.request_hash,
        received_at=rfc3339(failed.origin.timestamp_ms),
        finished_at=rfc3339(failed.failed_ms),
        metadata=failed.metadata,
    )
