"""# Engine: loop

Responsibility: the one place where a record is handled: call, send, fail, observe, and only then acknowledge.
Guarantees: a record is done only after every output and every table write of it is acknowledged
    (tests/unit/streams/engine/test_loop.py::test_handle_unacknowledged_output_is_not_acked);
    nothing a handler raises escapes, and each failure becomes a record
    (tests/unit/streams/engine/test_loop.py::test_handle_raising_handler_sends_refusal_then_acks);
    an output above its topic's size is refused before anything is sent
    (tests/unit/streams/engine/test_loop.py::test_handle_output_above_limit_becomes_refusal).
NOT Responsible For: taking records (intake), what a failure becomes (streams/decisions/failures).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Protocol

from streams.decisions import failures
from streams.decisions.ack_order import AckOrder, Ticket
from streams.engine.acks import Acks
from streams.engine.delivery import Delivery, Parcel
from streams.engine.holding import Holding
from streams.engine.lease import Lease
from streams.engine.scope import Failpoint, RecordScope
from streams.ports import Observation, Observer
from streams.stage import Output, Record, Stage, dressed
from topics.catalog import CATALOG, EXPENDABLE, FAILED, Names
from topics.errors import OrchestratorError, RecordTooLarge, TopicRefused, TransportError

RETRY_PAUSE_S = 1.0  # a handler that could not reach the broker waits and tries again, without limit

ScopeOf = Callable[[Record], RecordScope]


class Intake(Protocol):
    """Where records come from: hears which are done, when there is room, and when a generation ends."""

    @property
    def acks(self) -> Acks: ...
    def record(self, message: Any) -> Record: ...
    def room(self) -> None: ...
    def leave(self) -> Collection[AckOrder[Any]]: ...
    def forget(self, left: Collection[AckOrder[Any]]) -> int: ...


class Work:
    """One record in work: what is still on its way, and what was refused."""

    __slots__ = (
        "awaited",
        "error",
        "event",
        "intake",
        "kind",
        "late",
        "left",
        "outputs",
        "record",
        "scope",
        "started",
        "ticket",
        "turn",
        "wait_s",
    )

    def __init__(self, intake: Intake, event: Any, ticket: Ticket[Any], record: Record, scope: RecordScope) -> None:
        self.intake, self.event, self.ticket, self.record, self.scope = intake, event, ticket, record, scope
        self.left, self.outputs, self.late, self.turn = 1, 0, False, 0
        self.kind: str | None = None
        self.awaited: Awaitable[Any] | None = None
        self.error: OrchestratorError | None = None
        self.started = time.monotonic()
        self.wait_s = max(0.0, time.time() - record.timestamp_ms / 1000)


class Loop:
    """Handles the records of one stage; one with slots may answer at once, or return what to await."""

    def __init__(
        self,
        stage: Stage,
        names: Names,
        delivery: Delivery,
        lease: Lease,
        scope_of: ScopeOf,
        observer: Observer,
        failpoint: Failpoint,
    ) -> None:
        self.stage, self._delivery, self._lease, self._scope_of = stage, delivery, lease, scope_of
        self._observer, self._failpoint, self._names = observer, failpoint, names
        self._physical = {topic: names.topic(topic) for topic in CATALOG}
        self._intakes: list[Intake] = []
        self._holding = Holding(stage.holds)
        self.tasks: dict[asyncio.Task[None], Work] = {}
        self.in_work = 0
        self.refused: TopicRefused | None = None
        self._idle = asyncio.Event()

    def feed(self, intake: Intake) -> None:
        """An intake that hands its records here; all of them share the stage's slots."""
        self._intakes.append(intake)

    def has_slot(self) -> bool:
        """May another record be taken into work? Stages that never await need no slots."""
        return not self.stage.slots or self.in_work < self.stage.slots

    async def handle(self, intake: Intake, event: Any, ticket: Ticket[Any]) -> None:
        """Handle one record: here and now, or in a task of its own for a stage that awaits."""
        record = intake.record(event.message)
        work = Work(intake, event, ticket, record, self._scope_of(record))
        work.turn = self._holding.turn()
        self.in_work += 1
        outputs = self._handled(work)
        if outputs is not None:
            await self._send(work, outputs)
            return
        task = asyncio.get_running_loop().create_task(self._in_task(work))
        self.tasks[task] = work
        task.add_done_callback(self._task_ended)

    def _handled(self, work: Work) -> list[Output] | None:
        """The outputs, or None where the handler must be awaited: then what to await is in the work."""
        try:
            result = self.stage.handle(work.record, work.scope)
            if self.stage.slots and isinstance(result, Awaitable):
                work.awaited = result
                return None
            return self._checked(work, result)
        except (Exception, asyncio.CancelledError) as error:  # a plain function cannot be cancelled from outside
            return self._refusal(work, error)

    async def _in_task(self, work: Work) -> None:
        outputs: list[Output] | None = None
        while outputs is None:
            try:
                result = work.awaited or self.stage.handle(work.record, work.scope)
                work.awaited = None
                outputs = self._checked(work, await result if isinstance(result, Awaitable) else result)
            except asyncio.CancelledError as error:
                if work.ticket.dead or asyncio.current_task().cancelling():  # type: ignore[union-attr]  # we are in a task
                    raise
                outputs = self._refusal(work, error)
            except TopicRefused as refused:
                self._stop(work, refused)
                return
            except TransportError:
                await asyncio.sleep(RETRY_PAUSE_S)
            except Exception as error:
                outputs = self._refusal(work, error)
        await self._send(work, outputs)

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        work = self.tasks.pop(task)
        if task.cancelled():
            if isinstance(work.awaited, Coroutine):
                work.awaited.close()  # cancelled before its first step
            self._release(work)

    def _checked(self, work: Work, outputs: Any) -> list[Output]:
        ready = [dressed(work.record, self.stage.name, output) for output in outputs]
        for output in ready:
            size, limit = len(output.value or b"") + len(output.key or b""), CATALOG[output.topic].max_bytes
            if size > limit:
                raise RecordTooLarge(output.topic, size, limit)
            if output.topic == FAILED:
                work.kind = output.decision  # the stage itself gave the request up
        return ready

    def _refusal(self, work: Work, error: BaseException) -> list[Output]:
        """Says what went wrong; of what is nobody's work it is only told."""
        stage, now_ms = self.stage, work.scope.now_ms
        work.kind = failures.failure_of(error).kind
        if work.record.topic in EXPENDABLE:
            return []
        refusal = failures.refusal(work.record, stage.name, error, now_ms=now_ms, names=self._names, app=stage.app)
        output = Output(refusal.topic, refusal.key, refusal.value, "failed", refusal.partition, refusal.headers)
        return [dressed(work.record, self.stage.name, output)]

    async def _send(self, work: Work, outputs: list[Output]) -> None:
        def settled(error: OrchestratorError | None) -> None:
            self._settled(work, error)

        work.outputs = len(outputs)
        if not self._lease.valid() and not await self._lease.held(lambda: work.ticket.dead):
            self._release(work)
            return
        writes = work.scope.rows.taken(settled)
        work.left += len(writes) + len(outputs)
        if writes:
            self._failpoint("row-written")
            await self._delivery.send_in_order(writes)
            self._failpoint("row-sent")
        for output in outputs:
            parcel = self._parcel(output, settled)
            if not self._delivery.post(parcel):
                await self._delivery.send(parcel)
        self._failpoint("outputs-sent")
        settled(None)

    def _parcel(self, output: Output, settled: Callable[[OrchestratorError | None], None]) -> Parcel:
        return Parcel(
            self._physical[output.topic],
            output.key,
            output.value,
            settled,
            partition=output.partition,
            headers=list(output.headers),
        )

    def _settled(self, work: Work, error: OrchestratorError | None) -> None:
        work.error = work.error or error
        work.left -= 1
        if work.left:
            return
        if work.error is None:
            self._done(work)
        elif isinstance(work.error, RecordTooLarge) and not work.late:
            self._refuse_late(work, work.error)
        else:
            self._stop(work, work.error)

    def _done(self, work: Work) -> None:
        self._failpoint("outputs-acknowledged")
        work.scope.close()
        self._holding.done(work)
        self._release(work)
        record = work.record
        self._observer.observe(
            Observation(
                self.stage.name,
                "failed" if work.kind else "ticked" if record.topic in EXPENDABLE else "handled",
                record.topic,
                record.partition,
                record.offset,
                work.wait_s,
                time.monotonic() - work.started,
                work.outputs,
                work.kind,
            )
        )

    def _refuse_late(self, work: Work, error: OrchestratorError) -> None:
        """The broker found a record too large that we had let pass: answer the failure in its place."""
        work.error, work.left, work.late = None, 1, True
        task = asyncio.get_running_loop().create_task(self._send(work, self._refusal(work, error)))
        self.tasks[task] = work
        task.add_done_callback(self._task_ended)

    def _stop(self, work: Work, error: OrchestratorError) -> None:
        """A topic that refuses writes stops its stage, un-acked, until a person has looked; the process goes on."""
        self.refused = error if isinstance(error, TopicRefused) else TopicRefused("?", error.kind)
        self._release(work)
        record = work.record
        seen = Observation(self.stage.name, "stopped", record.topic, record.partition, record.offset, kind=error.kind)
        self._observer.observe(seen)

    def _release(self, work: Work) -> None:
        self.in_work -= 1
        if not self.in_work:
            self._idle.set()
        for intake in self._intakes:
            intake.room()

    # -- drain
    async def drain(self, grace_s: float, *, patient: bool) -> int:
        """Let work finish for a grace, cancel the rest, forget what is un-acked. Returns how many were forgotten.

        That is the work of the generation that is ending: the next one may begin, and end, before this returns.
        Records that wait for a shared call are let go at once unless ``patient``: the call runs on without them. And
        where the lease is over there is nothing to wait for: it will not come back in this generation.
        """
        left = [(intake, intake.leave()) for intake in self._intakes]
        if not patient:
            self._cancel(lambda work: work.scope.calling)
        if self.in_work and not self.refused and self._lease.valid():
            await self._idle_within(grace_s)
        forgotten = sum(intake.forget(orders) for intake, orders in left)
        self._lease.wake()
        dead = self._cancel(lambda work: work.ticket.dead)
        if dead:
            await asyncio.wait(dead, timeout=grace_s)
        return forgotten

    async def _idle_within(self, seconds: float) -> None:
        self._idle.clear()
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return  # what is left is cancelled next

    def _cancel(self, which: Callable[[Work], bool]) -> list[asyncio.Task[None]]:
        chosen = [task for task, work in self.tasks.items() if which(work)]
        for task in chosen:
            task.cancel()
        return chosen
