"""# Stage: infer

Responsibility: has each dedup key and epoch answered by a provider: calls, and after failures waits, parks or gives up.
Guarantees:
    a finished call is never repeated, its deadline passed or not:
    tests/unit/streams/stages/test_infer.py::test_finished_call_after_its_deadline_is_answered_from_the_row
    nothing is sent, and nobody asked again, before the row is acknowledged:
    tests/unit/streams/stages/test_infer.py::test_output_before_the_row_is_acknowledged_waits
    a redelivery calls nobody and loses nothing:
    tests/property/test_redelivery.py::test_infer_redelivered_against_the_final_state_repeats_its_outputs
    nor does it when the answer is kept no longer:
    tests/property/test_redelivery.py::test_infer_redelivered_after_rows_were_thinned_calls_nobody
    an open breaker parks, and buries nothing:
    tests/unit/streams/stages/test_infer.py::test_request_before_open_breakers_is_parked_until_the_soonest_recovery
NOT Responsible For: whom to ask (decisions/cascade), which rows are old (decisions/thinning), other errors (the loop).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import NamedTuple, Protocol, assert_never

from streams.decisions import blame, cascade, course, endings, retry, rows, steps, thinning
from streams.decisions.blame import Outcome
from streams.decisions.cascade import Ask, Candidate, CascadePolicy, Course, Nobody, Route, Sight, Wait
from streams.decisions.course import Ended, Keys, Progress
from streams.decisions.flood_guard import FloodGuard, GuardPolicy
from streams.decisions.steps import Late, Missed, Step
from streams.decisions.thinning import KeepPolicy, Sweep
from streams.ports import AllClosed, Breakers, Call, Provider
from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import ASSEMBLED, FAILED, INFERRED, PARKED
from topics.errors import DeadlineExceeded, RecordTooLarge
from topics.messages import Assembled, Reply, grown
from topics.provider_errors import WorkerError

NAME = endings.STAGE


class Bound(Protocol):
    """Cancels what runs inside it after a time, as ``asyncio.Timeout`` does."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...
    def expired(self) -> bool: ...


Within = Callable[[float | None], Bound]
Sleep = Callable[[float], Awaitable[object]]


@dataclass(slots=True)
class Desk:
    """What the stage is given, and what this process has learned from its calls.

    ``kind`` names the provider of models without a route; ``shut`` is what ``cascade.shut`` said, for all requests.
    """

    providers: Mapping[str, Provider]
    kind: str
    routes: Mapping[str, Route]
    policy: CascadePolicy
    board: Breakers
    guard: FloodGuard
    within: Within
    sleep: Sleep
    shut: dict[str, int] = field(default_factory=dict)

    def close(self, service: str, until_ms: int, now_ms: int) -> None:
        """Asks nobody there until then."""
        self.shut = {name: ms for name, ms in self.shut.items() if ms > now_ms} | {service: until_ms}


def stage(
    provider: Provider,
    *,
    others: Mapping[str, Provider] | None = None,
    routes: Mapping[str, Route] | None = None,
    policy: CascadePolicy | None = None,
    board: Breakers | None = None,
    guard: GuardPolicy | None = None,
    keep: KeepPolicy | None = None,
    slots: int = 256,
    within: Within = asyncio.timeout,
    sleep: Sleep = asyncio.sleep,
) -> Stage:
    """The stage as data; ``provider`` answers models without a route, ``others`` by kind those of ``routes``.

    ``slots`` bounds the requests in work, ``within`` a call's seconds, ``keep`` the age of rows.
    """
    known, kept = {**(others or {}), provider.name: provider}, keep or KeepPolicy()
    watch = FloodGuard(guard or GuardPolicy())
    desk = Desk(
        known, provider.name, routes or {}, policy or CascadePolicy(), board or AllClosed(), watch, within, sleep
    )

    async def handle(record: Record, scope: Scope) -> Outputs:
        """Answers from the row of the key where there is one, else by as few calls as it takes; then thins old rows."""
        case = Case(record, wire.decode(record.value, Assembled), scope, desk)
        output, sweep = await case.output(), scope.derived(lambda _: Sweep(case.keys.answer))
        thinning.tend(scope.table, sweep, record.topic, record.timestamp_ms, kept)
        return (output,)

    writes = (INFERRED, FAILED, *PARKED)
    return Stage(NAME, NAME, tuple(ASSEMBLED.values()), writes, handle, table="answers", slots=slots, reads_clock=True)


class Replied(NamedTuple):
    """A call that was answered: the bytes to write, and when it began, epoch milliseconds."""

    value: bytes
    began_ms: int


class Case:
    """One record in work. What leaves it is made from rows, so another record of the request comes to the same."""

    __slots__ = ("desk", "keys", "message", "place", "progress", "record", "scope", "stored", "unsaved")

    def __init__(self, record: Record, message: Assembled, scope: Scope, desk: Desk) -> None:
        self.record, self.message, self.scope, self.desk = record, message, scope, desk
        self.keys, self.progress = Keys.of(message), course.begun(message)
        self.place = self.keys.hop(message.hop)
        self.stored = self.unsaved = False

    async def output(self) -> Output:
        """What becomes of it. Rows are looked at before each step: another record of it may have been faster."""
        step: Step | Replied | None = None
        while True:
            if not isinstance(step, Replied):
                self._catch_up()
            if self.progress.over:
                return await self._left()
            answer = self.scope.table.get(self.keys.answer)
            if answer is not None:
                return await self._closed(rows.unpack(answer))
            match step := step or self._next():
                case Replied(value, _):
                    return await self._closed(self._row(INFERRED, value, len(self.progress.tries) + 1))
                case Ask() if self.unsaved:
                    await self._save()
                    step = steps.in_time(step, self.message.expires_ms, self.scope.now_ms)
                case Ask():
                    step = await self._asked(step)
                case Wait():
                    step = await self._waited(step)
                case Late(deadline_ms):
                    self._end(endings.expired(deadline_ms, self.progress.tries))
                case Nobody(reason, error):
                    ended = endings.given_up(reason, error, self.progress.tries, self.scope.now_ms)
                    if reason not in retry.OWN:
                        return await self._closed(self._row(FAILED, self._failed(ended), ended.attempts))
                    self._end(ended)
                case never:
                    assert_never(never)

    # -- decide

    def _next(self) -> Step:
        """Whom to ask now, or for what to wait; who was parked, not before it is due."""
        due_ms = self.message.due_ms if self.progress.tries == self.message.tries else None
        return steps.first(self.desk.policy, self._course(), self._sight(), due_ms)

    def _after(self, missed: Missed) -> Step:
        """What next, now that a call has failed; for some failures others need not ask there, either."""
        desk, made, now_ms = self.desk, missed.made, self.scope.now_ms
        closed = cascade.shut(desk.policy, Candidate(made.provider, made.model), missed.error, now_ms)
        if closed is not None:
            desk.close(*closed, now_ms)
        desk.guard = desk.guard.called(missed.error, missed.made.at_ms)
        step = steps.after(desk.policy, self._course(), self._sight(), missed.error, desk.guard)
        if isinstance(step, Nobody) or (isinstance(step, Wait) and step.why == "outage"):
            desk.guard = desk.guard.given_up(missed.error)
        return step

    def _course(self) -> Course:
        message = self.message
        route = cascade.route_of(self.desk.routes, message.work.model, self.desk.kind)
        return Course(message.identity, route, self.progress.tries, message.expires_ms)

    def _sight(self) -> Sight:
        board, now_ms = self.desk.board, self.scope.now_ms
        return Sight(now_ms, lambda service: board.verdict(service, now_ms), self.desk.shut)

    # -- act

    async def _asked(self, ask: Ask) -> Step | Replied | None:
        """One call, or the one that another record has begun; None where that other one has gone on from there."""
        name = self.keys.call(len(self.progress.tries))
        made = await self.scope.shared(name, partial(self._called, ask))
        if isinstance(made, Replied):
            self.desk.guard = self.desk.guard.called(None, made.began_ms)
            return made
        before = self.progress
        self._catch_up()
        if self.progress is not before:
            return None
        self.progress, self.unsaved = Progress(tries=(*before.tries, made.made)), True
        return self._after(made)

    async def _called(self, ask: Ask) -> Replied | Missed:
        """One call within the deadline; its breaker is told, also of one that was cancelled."""
        candidate, desk, message = ask.candidate, self.desk, self.message
        began_ms, deadline_ms = self.scope.now_ms, message.expires_ms
        bound = desk.within(None if deadline_ms is None else (deadline_ms - began_ms) / 1000)
        call = Call(message.identity, message.rendered, candidate.model, message.work.params)
        outcome: Outcome = "ignored"
        try:
            async with bound:
                reply = await desk.providers[candidate.provider].complete(call)
            outcome = "ok"
            return self._replied(candidate, reply, began_ms)
        except WorkerError as error:
            outcome = blame.outcome_of(error)
            return steps.missed(candidate, error, began_ms, self.scope.now_ms, probe=ask.probe)
        except TimeoutError:
            if deadline_ms is None or not bound.expired():
                raise
            return steps.missed(candidate, DeadlineExceeded(deadline_ms, deadline_ms), began_ms, deadline_ms)
        finally:
            desk.board.told(candidate.service, ask.epoch, outcome, began_ms, self.scope.now_ms, ask.probe)

    def _replied(self, candidate: Candidate, reply: Reply, began_ms: int) -> Replied | Missed:
        now_ms, tries = self.scope.now_ms, self.progress.tries
        whole = grown(reply, Reply, work_s=(now_ms - began_ms) / 1000, finished_ms=now_ms, attempts=len(tries) + 1)
        try:
            return Replied(endings.answered(self.message, whole, tries), began_ms)
        except RecordTooLarge as error:
            return steps.missed(candidate, error, began_ms, now_ms)

    async def _waited(self, wanted: Wait) -> Wait | None:
        """Waits here, once it is written down what has failed so far; a longer wait is one in the tiers."""
        how = steps.wait(self.desk.policy.retry, wanted, self.progress, self.record.topic, self.scope.now_ms)
        if isinstance(how, Progress):
            self.progress = how
            return None
        if self.unsaved:
            await self._save()
            return wanted
        await self.scope.idle(self._news(wanted, how) if wanted.why == "breaker-open" else self.desk.sleep(how))
        return None

    async def _news(self, wanted: Wait, seconds: float) -> None:
        """Until there is a word about the breaker, for so long at most."""
        with suppress(TimeoutError):
            async with self.desk.within(seconds):
                await self.desk.board.ask(wanted.service, self.scope.now_ms)

    # -- write down

    def _catch_up(self) -> None:
        if (stored := self.scope.table.get(self.place)) is not None:
            self.stored = True
            self.progress = course.later(self.progress, stored)

    async def _save(self) -> None:
        """Writes down how far it has come: a call that failed is counted, whatever happens next."""
        self.scope.table.put(self.place, wire.encode(grown(self.progress, Progress, ms=self._used_ms())))
        self.stored, self.unsaved = True, False
        await self.scope.settled()

    def _failed(self, ended: Ended) -> bytes:
        return endings.failed(self.message, ended, self.progress.tries)

    def _end(self, ended: Ended) -> None:
        self.progress = Progress(tries=self.progress.tries, own=ended)

    async def _left(self) -> Output:
        """The request leaves this hop: parked, or with an end of its own. Written again where it was there."""
        await self._save()
        key, at, progress = self.record.key, self.record.partition, self.progress
        if progress.own is not None:
            decision = "given-up" if progress.own.outcome == "failed" else progress.own.outcome
            return Output(FAILED, key, self._failed(progress.own), decision, at)
        headers = tuple((name, value.encode()) for name, value in progress.headers)
        return Output(progress.parked or "", key, course.copy(self.message, progress), "parked", at, headers)

    def _used_ms(self) -> int:
        """When a row is used: now, but not before the record, however wrong the clock is."""
        return max(self.record.timestamp_ms, self.scope.now_ms)

    def _row(self, topic: str, value: bytes, calls: int) -> rows.Row:
        return rows.Row(self.record.at, topic, value, calls=calls)

    async def _closed(self, row: rows.Row) -> Output:
        """The outcome for all who have the key and epoch; the way there need not be known any more."""
        table, record, message = self.scope.table, self.record, self.message
        row = rows.used(row, self._used_ms())
        table.put(self.keys.answer, rows.pack(row))  # again where it was there: the store may be ahead
        for hop in range(message.hop + 1 if self.stored or message.hop else 0):
            table.delete(self.keys.hop(hop))
        await self.scope.settled()
        said = endings.outcome(message, row, record.at)
        return Output(said.topic, record.key, said.value, said.decision, record.partition)
