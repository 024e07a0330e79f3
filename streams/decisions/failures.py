"""What is written when a handler raised? Total: any bytes and any exception give one record, and the same ones again.

Errors of ours speak for themselves; of a foreign exception only the class name is kept, as its text may hold a prompt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from pydantic import ValidationError

from streams.decisions import burial, identity
from topics import wire
from topics.catalog import CATALOG, DEAD_LETTERS, FAILED, INTERNAL_BYTES, PROMPT_BYTES, Names
from topics.errors import DeadlineExceeded, DecodingError, OrchestratorError, RecordTooLarge, StageFailure, kind_of
from topics.messages import Disposition, Failed, Failure, Origin, Outcome, Ticket, Work

MAX_ID_CHARS = 256
HEAVY = frozenset({"passages", "rendered", "reply"})  # of no use to who answers or buries a failure


class Seen(Protocol):
    """The part of a record that counts here."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """The record to write for one that could not be handled; ``partition`` None lets the key choose."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    failed: Failed
    headers: burial.Headers = ()


def failure_of(error: BaseException) -> Failure:
    """An error as evidence, without words of a prompt.

    Args:
        error: Anything that was raised.

    Returns:
        Its stable kind, that of its cause, our own text or the foreign class name, and whether trying again can help.

    >>> failure_of(ValueError("secret words")).message
    'ValueError'
    """
    ours = isinstance(error, OrchestratorError)
    return Failure(
        kind=kind_of(error),
        cause=kind_of(error.source) if isinstance(error, StageFailure) else None,
        message=_utf8(str(error)) if ours else type(error).__name__,
        exception_class=type(error).__name__,
        retryable=isinstance(error, OrchestratorError) and error.retryable,
        retry_after_s=_seconds(getattr(error, "retry_after_s", None)),
    )


def disposition_of(error: BaseException) -> Disposition | None:
    """Why a request gets a dead letter.

    Args:
        error: Anything that was raised.

    Returns:
        ``undecodable``, ``too-large``, ``exhausted`` (retryable, but not any more), None (the deadline passed: no dead
        letter), else ``permanent``.

    >>> disposition_of(KeyError("x"))
    'permanent'
    """
    match error:
        case DeadlineExceeded():
            return None
        case DecodingError():
            return "undecodable"
        case RecordTooLarge():
            return "too-large"
        case OrchestratorError(retryable=True):
            return "exhausted"
        case _:
            return "permanent"


def failed_of(record: Seen, stage: str, error: BaseException, *, attempts: int = 1, now_ms: int) -> Failed:
    """What travels on ``failed`` for a record whose handler raised.

    Args:
        record: The consumed record. Where its value is a message of ours, that names the request; else the record does.
        stage: Name of the stage that raised.
        error: What it raised.
        attempts: How often it was tried.
        now_ms: The handler's time in epoch milliseconds; for all stages without a clock the record's timestamp.

    Returns:
        A message with outcome ``failed``, or ``expired`` for a passed deadline. Never raises, whatever the bytes are.
    """
    outcome: Outcome = "expired" if isinstance(error, DeadlineExceeded) else "failed"
    about = _about(record)
    return _written(
        {
            **about,
            "stage": stage,
            "outcome": outcome,
            "disposition": disposition_of(error),
            "failure": failure_of(error),
            "attempts": attempts,
            "first_failed_ms": now_ms,
            "failed_ms": now_ms,
        }
    )


def _written(fields: dict[str, Any]) -> Failed:
    """The message, without what of an optional field is of no use."""
    try:
        return Failed.model_validate(fields)
    except ValidationError as bad:
        wrong = {error["loc"][0] for error in bad.errors(include_url=False, include_context=False, include_input=False)}
    return Failed.model_validate({name: value for name, value in fields.items() if name not in wrong})


def refusal(
    record: Seen,
    stage: str,
    error: BaseException,
    *,
    attempts: int = 1,
    now_ms: int,
    names: Names | None = None,
    app: str | None = None,
) -> Refusal:
    """The record to write for a record whose handler raised: the loop's one rule for all stages.

    Args:
        record: The consumed record.
        stage: Name of the stage that raised.
        error: What it raised.
        attempts: How often it was tried.
        now_ms: As for ``failed_of``.
        names: Kafka's names, for the evidence of a dead letter.
        app: The app of the stage, likewise.

    Returns:
        A record for ``failed``; for what was read from ``failed`` itself one for ``dead-letters``, with the value as it
        is where that fits, because nobody would come after that. From ``prompts`` the key is the identity, as the
        partitions may differ.
    """
    failed = failed_of(record, stage, error, attempts=attempts, now_ms=now_ms)
    if record.topic == FAILED:
        kept = record.value if len(record.value or b"") <= PROMPT_BYTES else wire.encode(_thin(failed))
        where = burial.where(failed, names or Names(), app)
        return Refusal(DEAD_LETTERS, record.key, kept, None, failed, burial.evidence(failed, where))
    value = wire.encode(failed)
    if len(value) > INTERNAL_BYTES:
        value = wire.encode(_thin(failed))
    if _public(record.topic):
        return Refusal(FAILED, failed.identity.encode(), value, None, failed)
    return Refusal(FAILED, record.key, value, record.partition, failed)


def _about(record: Seen) -> dict[str, Any]:
    """The ticket fields of the message in the record, else (and for what people wrote) made from the record."""
    data = _data(record.value)
    if _public(record.topic):
        return _stranger(record, data)
    try:
        Ticket.model_validate(data)
        kept = {name: value for name, value in data.items() if name not in HEAVY}
        return {**kept, "work": _work(data)}
    except ValidationError:
        return _stranger(record, data)


def _public(topic: str) -> bool:
    """Whether people write it, so that what looks like a message of ours there is none."""
    return topic in CATALOG and CATALOG[topic].public


def _stranger(record: Seen, data: Mapping[str, Any]) -> dict[str, Any]:
    derived = identity.derived_id(record.topic, record.partition, record.offset, record.timestamp_ms)
    raw_hash = sha256(record.value or b"").hexdigest()
    said = data.get("id")
    return {
        "id": said if isinstance(said, str) and 0 < len(said) <= MAX_ID_CHARS else derived,
        "identity": identity.identity(None, derived, raw_hash),
        "request_hash": raw_hash,
        "origin": Origin(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            hash=raw_hash,
        ),
    }


def _data(value: bytes | None) -> dict[str, Any]:
    try:
        data = wire.parse(value, "record")
    except DecodingError:
        return {}
    return data if isinstance(data, dict) else {}


def _work(data: Mapping[str, Any]) -> Work | None:
    try:
        return Work.model_validate(data.get("work"))
    except ValidationError:
        return None


def _utf8(text: str) -> str:
    """Text that can be written: lone surrogates become question marks."""
    return text.encode(errors="replace").decode()


def _thin(failed: Failed) -> Failed:
    return Failed.model_validate({**failed.__dict__, "work": None, "metadata": {}})


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
