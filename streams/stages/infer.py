"""# Stage: infer

Responsibility: calls the provider once for each dedup key and epoch, within the deadline, and remembers the outcome.
Guarantees:
    a finished call is never repeated, its deadline passed or not:
    tests/unit/streams/stages/test_infer.py::test_finished_call_after_its_deadline_is_answered_from_the_row
    nothing is sent before the row is acknowledged:
    tests/unit/streams/stages/test_infer.py::test_output_before_the_row_is_acknowledged_waits
    a redelivery gives the same bytes:
    tests/property/test_redelivery.py::test_infer_redelivered_against_the_final_state_repeats_its_outputs
    a deadline is kept to the millisecond:
    tests/unit/streams/stages/test_infer.py::test_deadline_around_now_decides_whether_a_call_is_made
    an expiry stays one, though a twin has taken over since:
    tests/unit/streams/stages/test_infer.py::test_expired_record_redelivered_after_a_twin_answered_expires_again
NOT Responsible For: retries, breakers, lane weights (not there yet), errors that are no WorkerError (the loop).
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from streams.decisions import failures, rows
from streams.decisions.identity import framed
from streams.ports import Call, Provider
from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import ASSEMBLED, FAILED, INFERRED
from topics.errors import DeadlineExceeded, OrchestratorError, RecordTooLarge, WorkerError
from topics.messages import Assembled, Failed, Failure, Inferred, Reply, grown, shrunk

NAME = "infer"
SPENT = ("passages", "snapshot", "rendered", "template_hash", "system_hash", "ratio_version", "cut")  # used up

SHARED = ("stage", "outcome", "disposition", "failure", "attempts", "first_failed_ms", "failed_ms")
MARKED = b'{"v":1}'


class Bound(Protocol):
    """Cancels what runs inside it after a time, as ``asyncio.Timeout`` does."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...
    def expired(self) -> bool: ...


Within = Callable[[float | None], Bound]


def stage(provider: Provider, *, slots: int = 256, within: Within = asyncio.timeout) -> Stage:
    """The stage as data; ``slots`` bounds the calls in flight, ``within`` a call's seconds."""

    async def handle(record: Record, scope: Scope) -> Outputs:
        """Answers from the row of the key where there is one, else by one call."""
        message = wire.decode(record.value, Assembled)
        key = row_key(message)
        stored = scope.table.get(key)
        if stored is not None and _expired_before(record, message, scope):
            return (_expired(record, message, scope),)
        if stored is None:
            try:
                decided = await _decided(record, message, key, scope, provider, within)
            except DeadlineExceeded:
                return (_expired(record, message, scope),)
            stored = scope.table.get(key) or decided  # another record of the key may have been first
        scope.table.put(key, stored)  # again where it was there: the store may be ahead of its changelog
        await scope.settled()
        return (_output(record, message, rows.unpack(stored)),)

    lanes = tuple(ASSEMBLED.values())
    writes = (INFERRED, FAILED)
    return Stage(NAME, NAME, lanes, writes, handle, table="answers", slots=slots, reads_clock=True)


def row_key(message: Assembled) -> bytes:
    """Where the outcome of the message's call is remembered."""
    return framed(message.dedup_key.encode(), message.epoch.encode())


def marker_key(at: str) -> bytes:
    """Where it is remembered that the record at these coordinates expired, while its epoch may yet be answered."""
    return b"expired/" + at.encode()


def _expired_before(record: Record, message: Assembled, scope: Scope) -> bool:
    return message.deadline_ms is not None and scope.table.get(marker_key(record.at)) is not None


async def _decided(
    record: Record, message: Assembled, key: bytes, scope: Scope, provider: Provider, within: Within
) -> bytes:
    """The row of the outcome of one call; raises ``DeadlineExceeded``."""

    async def call() -> Reply:
        return await _called(message, scope, provider, within)

    try:
        _in_time(message, scope.now_ms)
        value = _answered(message, await scope.shared(key, call))
        return rows.pack(rows.Row(record.at, INFERRED, value))
    except (WorkerError, RecordTooLarge) as error:
        return rows.pack(rows.Row(record.at, FAILED, _given_up(message, error, scope.now_ms)))


async def _called(message: Assembled, scope: Scope, provider: Provider, within: Within) -> Reply:
    started_ms = scope.now_ms
    deadline_ms = message.deadline_ms
    bound = within(None if deadline_ms is None else (deadline_ms - started_ms) / 1000)
    try:
        async with bound:
            reply = await provider.complete(_call(message))
    except TimeoutError:
        if deadline_ms is None or not bound.expired():
            raise
        raise DeadlineExceeded(deadline_ms, deadline_ms) from None
    finished_ms = scope.now_ms
    return grown(reply, Reply, work_s=(finished_ms - started_ms) / 1000, finished_ms=finished_ms)


def _call(message: Assembled) -> Call:
    work = message.work
    return Call(id=message.identity, messages=message.rendered, model=work.model, params=work.params)


def _in_time(message: Assembled, now_ms: int) -> None:
    if message.deadline_ms is not None and message.deadline_ms <= now_ms:
        # The deadline stands for now: a redelivery, later, has to give the same bytes.
        raise DeadlineExceeded(message.deadline_ms, message.deadline_ms)


def _answered(message: Assembled, reply: Reply) -> bytes:
    value = wire.encode(shrunk(message, Inferred, *SPENT, reply=reply))
    if len(value) > rows.PAYLOAD_BYTES:
        raise RecordTooLarge(INFERRED, len(value), rows.PAYLOAD_BYTES)
    return value


def _given_up(message: Assembled, error: OrchestratorError, now_ms: int) -> bytes:
    evidence = {"failure": failures.failure_of(error), "disposition": failures.disposition_of(error)}
    times = {"first_failed_ms": now_ms, "failed_ms": now_ms}
    return wire.encode(shrunk(message, Failed, *SPENT, stage=NAME, outcome="failed", attempts=1, **evidence, **times))


def _expired(record: Record, message: Assembled, scope: Scope) -> Output:
    """No call finished for this record; the deadline stands for now, so that the same comes out however late."""
    scope.table.put(marker_key(record.at), MARKED)
    failure = Failure(
        kind=DeadlineExceeded.kind, message="No answer before the deadline", exception_class="DeadlineExceeded"
    )
    evidence = {"failure": failure, "disposition": None, "attempts": 0}
    times = {"first_failed_ms": message.deadline_ms, "failed_ms": message.deadline_ms}
    given_up = shrunk(message, Failed, *SPENT, stage=NAME, outcome="expired", **evidence, **times)
    return Output(FAILED, record.key, wire.encode(given_up), "expired", record.partition)


def _output(record: Record, message: Assembled, row: rows.Row) -> Output:
    if row.at == record.at:
        decision = "called" if row.word == INFERRED else "given-up"
        return Output(row.word, record.key, row.payload, decision, record.partition)
    return Output(row.word, record.key, _adopted(message, row), "answered-before", record.partition)


def _adopted(message: Assembled, row: rows.Row) -> bytes:
    """The outcome as the message's own: exact bytes where it was had for that; anew for a twin that took over."""
    if row.word == INFERRED:
        bought = wire.decode(row.payload, Inferred)
        if bought.identity == message.identity:
            return row.payload
        return wire.encode(shrunk(message, Inferred, *SPENT, reply=bought.reply, same_as=bought.same_as or bought.id))
    failed = wire.decode(row.payload, Failed)
    if failed.identity == message.identity:
        return row.payload
    return wire.encode(shrunk(message, Failed, *SPENT, **{name: getattr(failed, name) for name in SHARED}))
