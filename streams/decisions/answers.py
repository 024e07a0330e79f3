"""Which answer does an outcome become? One function an outcome; every field comes from records, none from a clock."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from topics.answer import Answer, AnswerError, AnswerTry, Source, error_kind, rfc3339
from topics.messages import Failed, Inferred, Origin, Reply, Ticket, Try, Usage

NOTHING = {"input_tokens": 0, "output_tokens": 0}


def completed(message: Inferred) -> Answer:
    """The answer of a request that the provider answered.

    Args:
        message: The request with its reply, as ``infer`` wrote it.

    Returns:
        An answer with status ``completed`` and source ``provider``, finished when the reply was; ``coalesced`` and
        free of charge where the reply was bought for a request that this one took over from.
    """
    reply, bought = message.reply, message.same_as is None
    return Answer(
        id=message.id,
        status="completed",
        text=reply.text,
        message=reply.message or {"role": "assistant", "content": reply.text},
        finish_reason=reply.finish_reason,
        model=reply.model,
        provider=reply.provider,
        source="provider" if bought else "coalesced",
        same_as=message.same_as,
        usage=reply.usage if bought else Usage(),
        saved_usage=None if bought else reply.usage,
        cost_usd_micros=reply.cost_usd_micros if bought else 0,
        attempts=reply.attempts if bought else 0,
        tries=_told((*message.tries, _last(reply))) if bought and message.tries else None,
        request_hash=message.request_hash,
        received_at=rfc3339(message.origin.timestamp_ms),
        finished_at=rfc3339(reply.finished_ms),
        work_s={"infer": reply.work_s} if bought else {},
        metadata=message.metadata,
    )


def _last(reply: Reply) -> Try:
    """The call that gave the answer."""
    began_ms = reply.finished_ms - round(reply.work_s * 1000)
    return Try(provider=reply.provider, model=reply.model, at_ms=began_ms, work_s=reply.work_s)


def _told(tries: Iterable[Try]) -> tuple[AnswerTry, ...] | None:
    told = tuple(
        AnswerTry(
            provider=made.provider,
            model=made.model,
            kind=error_kind(made.kind) if made.kind else None,
            at=rfc3339(made.at_ms),
            work_s=made.work_s,
        )
        for made in tries
    )
    return told if len(told) > 1 else None


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
        usage=failed.usage,
        cost_usd_micros=failed.cost_usd_micros,
        attempts=failed.attempts,
        tries=_told(failed.tries),
        request_hash=failed.request_hash,
        received_at=rfc3339(failed.origin.timestamp_ms),
        finished_at=rfc3339(failed.failed_ms),
        metadata=failed.metadata,
    )


def shared(final: Mapping[str, Any], ticket: Mapping[str, Any], source: Source, finished_ms: int) -> bytes:
    """The answer of a request that another one's final answers too.

    Args:
        final: The other's answer, as JSON data.
        ticket: The request's own message, as JSON data.
        source: ``cache``: it was there already; ``coalesced``: both waited for it.
        finished_ms: Timestamp of the record that decided it, epoch milliseconds.

    Returns:
        The bytes of an ``Answer``: what was said or failed is the other's, ``saved_usage`` what that had cost; its own
        are usage 0, cost 0, no attempts and no tries.
    """
    saved = final.get("saved_usage") or final.get("usage")
    own = {
        "id": ticket["id"],
        "source": source,
        "same_as": final.get("same_as") or final["id"],
        "usage": None if saved is None else NOTHING,
        "saved_usage": saved,
        "cost_usd_micros": 0,
        "attempts": 0,
        "tries": None,
        "request_hash": ticket["request_hash"],
        "received_at": rfc3339(ticket["origin"]["timestamp_ms"]),
        "finished_at": rfc3339(finished_ms),
        "work_s": {},
        "metadata": ticket.get("metadata", {}),
    }
    return orjson.dumps({**final, **own})


def timed_out(ticket: Ticket, at_ms: int) -> Answer:
    """The answer of a twin whose deadline passed while it waited.

    Args:
        ticket: The request.
        at_ms: Timestamp of the record that decided it, epoch milliseconds.

    Returns:
        An answer with status ``expired`` and error kind ``deadline_exceeded``.
    """
    return Answer(
        id=ticket.id,
        status="expired",
        error=AnswerError(kind="deadline_exceeded", message="No answer before the deadline"),
        request_hash=ticket.request_hash,
        received_at=rfc3339(ticket.origin.timestamp_ms),
        finished_at=rfc3339(at_ms),
        metadata=ticket.metadata,
    )


def too_heavy(ticket: Ticket, size: int, limit: int, at_ms: int) -> Answer:
    """The answer of a twin whose own fields make the shared answer larger than its topic may carry.

    Args:
        ticket: The request.
        size: Bytes that it would have; ``limit``: bytes that it may have.
        limit: See ``size``.
        at_ms: Timestamp of the record that decided it, epoch milliseconds.

    Returns:
        An answer with status ``failed`` and error kind ``too_large``.
    """
    return Answer(
        id=ticket.id,
        status="failed",
        error=AnswerError(kind="too_large", message=f"The answer has {size} bytes, the limit is {limit}"),
        request_hash=ticket.request_hash,
        received_at=rfc3339(ticket.origin.timestamp_ms),
        finished_at=rfc3339(at_ms),
        metadata=ticket.metadata,
    )
