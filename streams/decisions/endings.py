"""How does a request leave ``infer`` for good? The bytes that are written then, in whose name ever."""

from collections.abc import Sequence
from typing import NamedTuple

from streams.decisions import failures, rows
from streams.decisions.course import Ended
from streams.decisions.retry import Reason
from topics import wire
from topics.catalog import FAILED, INFERRED
from topics.errors import AnswerGone, DeadlineExceeded, OrchestratorError, RecordTooLarge
from topics.messages import Assembled, Failed, Failure, Inferred, Reply, Try, shrunk

STAGE = "infer"
USED_UP = (
    *("passages", "snapshot", "rendered", "template_hash", "system_hash", "ratio_version", "cut"),
    *("hop", "due_ms", "tries"),
)
ADOPTED = ("stage", "outcome", "disposition", "failure", "reason", "attempts", "tries", "first_failed_ms", "failed_ms")


class Said(NamedTuple):
    """What is written: the topic, the bytes, and the word for why."""

    topic: str
    value: bytes
    decision: str


def answered(message: Assembled, reply: Reply, tries: Sequence[Try]) -> bytes:
    """What is written for a reply.

    Args:
        message: The request.
        reply: What the provider said.
        tries: The calls that failed before.

    Returns:
        The bytes of an ``Inferred``.

    Raises:
        RecordTooLarge: More than a row may remember.
    """
    value = wire.encode(shrunk(message, Inferred, *USED_UP, reply=reply, tries=tries))
    if len(value) > rows.PAYLOAD_BYTES:
        raise RecordTooLarge(INFERRED, len(value), rows.PAYLOAD_BYTES)
    return value


def given_up(reason: Reason, error: OrchestratorError, tries: Sequence[Try], now_ms: int) -> Ended:
    """How a request ends for which there is no further call.

    Args:
        reason: Why there is none.
        error: The last call's, or what stands for all of them.
        tries: All calls.
        now_ms: The time, epoch milliseconds.

    Returns:
        Outcome ``failed``, with a dead letter.
    """
    return Ended(
        disposition=failures.disposition_of(error) if reason == "permanent" else "exhausted",
        failure=failures.failure_of(error),
        reason=reason,
        attempts=len(tries),
        first_failed_ms=_first_failed_ms(tries, now_ms),
        failed_ms=now_ms,
    )


def expired(deadline_ms: int, tries: Sequence[Try]) -> Ended:
    """How a request ends whose deadline has passed; that stands for now, so that the same comes out however late.

    Args:
        deadline_ms: Epoch milliseconds.
        tries: All calls, the one included that it cut short.

    Returns:
        Outcome ``expired``, without a dead letter.
    """
    name = DeadlineExceeded.__name__
    failure = Failure(kind=DeadlineExceeded.kind, message="No answer before the deadline", exception_class=name)
    first_ms = _first_failed_ms(tries, deadline_ms)
    times = {"first_failed_ms": min(first_ms, deadline_ms), "failed_ms": deadline_ms}
    return Ended(outcome="expired", disposition=None, failure=failure, attempts=len(tries), **times)


def _first_failed_ms(tries: Sequence[Try], now_ms: int) -> int:
    return tries[0].at_ms + round(tries[0].work_s * 1000) if tries else now_ms


def failed(message: Assembled, ended: Ended, tries: Sequence[Try]) -> bytes:
    """What is written for a request that has ended without an answer.

    Args:
        message: The request.
        ended: How.
        tries: All calls.

    Returns:
        The bytes of a ``Failed``.
    """
    told = {name: value for name, value in ended.__dict__.items() if name in ADOPTED}
    return wire.encode(shrunk(message, Failed, *USED_UP, stage=STAGE, tries=tries, **told))


def adopted(message: Assembled, row: rows.Row) -> bytes:
    """A remembered outcome as the message's own.

    Args:
        message: The request.
        row: The outcome of its key and epoch.

    Returns:
        The exact bytes where it was had for this request; written anew for a twin that took over.
    """
    if row.word == FAILED:
        lost = wire.decode(row.payload, Failed)
        if lost.identity == message.identity:
            return row.payload
        return wire.encode(shrunk(message, Failed, *USED_UP, **{name: getattr(lost, name) for name in ADOPTED}))
    bought = wire.decode(row.payload, Inferred)
    if bought.identity == message.identity:
        return row.payload
    told = {"reply": bought.reply, "tries": bought.tries, "same_as": bought.same_as or bought.id}
    return wire.encode(shrunk(message, Inferred, *USED_UP, **told))


def gone(message: Assembled, row: rows.Row) -> bytes:
    """What is written for a request whose answer was had and is kept no longer.

    Args:
        message: The request.
        row: What is left of the outcome of its key and epoch.

    Returns:
        The bytes of a ``Failed`` that its twins share, with the number of calls that were made; its time is that of
        the row, but not before the request itself.
    """
    error, ms = AnswerGone(row.at), max(row.ms or 0, message.origin.timestamp_ms)
    ended = Ended(
        disposition=failures.disposition_of(error),
        failure=failures.failure_of(error),
        reason="permanent",
        attempts=row.calls,
        first_failed_ms=ms,
        failed_ms=ms,
    )
    return failed(message, ended, ())


def outcome(message: Assembled, row: rows.Row, at: str) -> Said:
    """What a record comes to whose key and epoch have an outcome.

    Args:
        message: The request.
        row: The outcome, or what is left of it.
        at: Coordinates of the record.

    Returns:
        The exact bytes where this record decided it; else what they are for its request.
    """
    if row.word == rows.GONE:
        return Said(FAILED, gone(message, row), "answer-gone")
    if row.at != at:
        return Said(row.word, adopted(message, row), "answered-before")
    return Said(row.word, row.payload, "called" if row.word == INFERRED else "given-up")
