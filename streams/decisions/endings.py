"""How does a request leave ``infer`` for good? The bytes that are written then, in whose name ever."""

from collections.abc import Sequence

from streams.decisions import failures, rows
from streams.decisions.course import Ended
from streams.decisions.retry import Reason
from topics import wire
from topics.catalog import FAILED, INFERRED
from topics.errors import DeadlineExceeded, OrchestratorError, RecordTooLarge
from topics.messages import Assembled, Failed, Failure, Inferred, Reply, Try, shrunk

STAGE = "infer"
USED_UP = (
    *("passages", "snapshot", "rendered", "template_hash", "system_hash", "ratio_version", "cut"),
    *("hop", "due_ms", "tries"),
)
ADOPTED = ("stage", "outcome", "disposition", "failure", "reason", "attempts", "tries", "first_failed_ms", "failed_ms")


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
