"""Faust without a broker: what the engine touches of its consumer and queues, and a bench around one stage."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from faust.types import TP, ConsumerMessage
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from streams.engine import slots
from streams.engine.app import StageApp
from streams.engine.calls import Calls
from streams.engine.cluster import Cluster
from streams.engine.delivery import Parcel, Settled
from streams.engine.exit import Fatal
from streams.engine.intake import TopicIntake
from streams.engine.lease import Lease
from streams.engine.loop import Loop
from streams.engine.plan import AppPlan, Tuning
from streams.engine.scope import RecordScope
from streams.ports import Observation
from streams.stage import Output, Record, Scope, Stage
from tests.support.builders import NOW_MS
from topics.catalog import ADMITTED, INFERRED, Names
from topics.errors import OrchestratorError

NAMES = Names()
PHYSICAL = NAMES.topic(ADMITTED)
GENERATION = 3


def message(
    offset: int = 0,
    partition: int = 0,
    value: bytes | None = b"v",
    key: bytes | None = b"k",
    generation: int = GENERATION,
    topic: str = PHYSICAL,
    headers: Any = (),
) -> ConsumerMessage:
    """One consumed message as Faust makes it."""
    tp = TP(topic, partition)
    stamp = NOW_MS / 1000
    return ConsumerMessage(
        topic, partition, offset, stamp, 1, headers, key, value, None, 0, 0, tp, generation_id=generation
    )


class FakeEvent:
    """Holds a message; may be referred to weakly, as Faust does."""

    def __init__(self, held: Any) -> None:
        self.message = held


def event(offset: int = 0, **fields: Any) -> FakeEvent:
    return FakeEvent(message(offset, **fields))


class FakeConsumer:
    """The part of Faust's consumer that intakes and acks use."""

    def __init__(self) -> None:
        self._unacked_messages: set[Any] = set()
        self._waiting_for_ack: asyncio.Future[None] | None = None
        self._committed_offset: dict[TP, int | None] = {}
        self.log_starts: dict[TP, int] = {}
        self.starts: dict[TP, int] = {}
        self.asked: list[TP] = []
        self.acked: list[int] = []
        self.stopped: list[TP] = []
        self.resumed: list[TP] = []
        self.asking: Callable[[], None] = lambda: None

    def ack(self, held: Any) -> bool:
        self._unacked_messages.discard(held)
        self.acked.append(held.offset)
        return True

    def on_buffer_full(self, tp: TP) -> None:
        self.stopped.append(tp)

    def on_buffer_drop(self, tp: TP) -> None:
        self.resumed.append(tp)

    async def earliest_offsets(self, tp: TP) -> dict[TP, int]:
        self.asked.append(tp)
        self.asking()
        return {tp: self.starts[tp]} if tp in self.starts else {}


class FakeApp:
    """The part of the app that an intake asks."""

    name = "core"

    def __init__(self, consumer: FakeConsumer, tuning: Tuning) -> None:
        self.consumer = consumer
        self.plan = SimpleNamespace(tuning=tuning)
        self.stopping = self.rebalancing = False
        self.consumer_generation_id = GENERATION
        self.flow_control = FlowControlEvent(initially_suspended=False)
        self.ended: list[Fatal] = []
        self.lost: list[tuple[str, int, int, int]] = []

    def end(self, fatal: Fatal) -> None:
        self.ended.append(fatal)

    def observe_lost(self, topic: str, partition: int, first: int, after: int) -> None:
        self.lost.append((topic, partition, first, after))


class FakeStream:
    """A stream over a real queue of Faust's; remembers which events were current."""

    def __init__(self, flow: FlowControlEvent, maxsize: int = 100) -> None:
        self.channel = SimpleNamespace(queue=ThrowableQueue(maxsize, flow_control=flow))
        self.current: list[int] = []

    def _set_current_event(self, seen: Any) -> None:
        self.current.append(seen.message.offset)


class FakeDelivery:
    """Keeps parcels; settles them soon, or when told to."""

    def __init__(self, *, auto: bool = True) -> None:
        self.auto = auto
        self.parcels: list[Parcel] = []
        self.in_order: list[list[Parcel]] = []

    def post(self, parcel: Parcel) -> bool:
        return False  # all goes by `send`

    async def send(self, parcel: Parcel) -> None:
        self.parcels.append(parcel)
        if self.auto:
            asyncio.get_running_loop().call_soon(parcel.settled, None)

    async def send_in_order(self, parcels: list[Parcel]) -> None:
        self.in_order.append(parcels)
        for parcel in parcels:
            await self.send(parcel)

    def answer(self, error: OrchestratorError | None = None) -> None:
        """The broker answers everything that is under way."""
        waiting, self.parcels = self.parcels, []
        for parcel in waiting:
            parcel.settled(error)

    @property
    def topics(self) -> list[str]:
        return [parcel.topic for parcel in self.parcels]


class FakeRows:
    """Rows in a dict, with a parcel for each write."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.writes: list[tuple[bytes, bytes | None]] = []

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value
        self.writes.append((key, value))

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)
        self.writes.append((key, None))

    def taken(self, settled: Settled) -> list[Parcel]:
        writes, self.writes = self.writes, []
        return [Parcel("changelog", key, value, settled, partition=0) for key, value in writes]


def passes_on(record: Record, scope: Scope) -> list[Output]:
    """A stage's handler: one output for each record."""
    return [Output(INFERRED, record.key, record.value, "passed")]


class Bench:
    """One stage with its loop and its intake, on fakes; ``now`` is the lease's clock."""

    def __init__(
        self, handle: Any = passes_on, *, slots: int = 0, auto: bool = True, table: str | None = None, **tuning: Any
    ) -> None:
        self.consumer = FakeConsumer()
        self.app = FakeApp(self.consumer, Tuning(**tuning))
        self.delivery, self.rows, self.calls = FakeDelivery(auto=auto), FakeRows(), Calls()
        self.seen: list[Observation] = []
        self.points: list[str] = []
        self.now = 0.0
        self.lease = Lease(10.0, lambda: self.now)
        self.stage = Stage("probe", "core", (ADMITTED,), (INFERRED,), handle, slots=slots, table=table)
        delivery: Any = self.delivery
        observer: Any = SimpleNamespace(observe=self.seen.append)
        self.loop = Loop(self.stage, NAMES, delivery, self.lease, self.scope, observer, self.points.append)
        self.intake = self.feed(ADMITTED)
        self.stream = FakeStream(self.app.flow_control)

    def scope(self, record: Record) -> RecordScope:
        rows: Any = self.rows
        delivery: Any = self.delivery
        return RecordScope(record, rows, None, self.calls, delivery, self.lease, self.points.append)

    def feed(self, topic: str) -> TopicIntake:
        app: Any = self.app
        intake = TopicIntake(app, self.loop, topic, NAMES.topic(topic))
        intake.acks.consumer = self.consumer
        self.loop.feed(intake)
        return intake

    async def handle(self, offset: int = 0, **fields: Any) -> Any:
        """One record straight into the loop; returns its ticket."""
        taken = event(offset, **fields)
        ticket = self.intake._opened(taken)
        await self.loop.handle(self.intake, taken, ticket)
        return ticket

    def put(self, *offsets: int, **fields: Any) -> None:
        """Events into the agent's queue."""
        for offset in offsets:
            self.stream.channel.queue.put_nowait(event(offset, **fields))

    @contextmanager
    def reading(self) -> Iterator["asyncio.Task[None]"]:
        """The agent, while the block lasts."""
        task = asyncio.ensure_future(self.intake.read(self.stream))
        try:
            yield task
        finally:
            if task.done():
                task.result()
            task.cancel()


async def settle(turns: int = 20) -> None:
    """Lets everything run that can run now."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Told:
    """An observer and an end of the process that only remember."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self.ended: list[Fatal] = []

    def observe(self, seen: Observation) -> None:
        self.seen.append(seen)


def stage(name: str = "probe", reads: tuple[str, ...] = (ADMITTED,), **fields: Any) -> Stage:
    return Stage(name, fields.pop("app", "core"), reads, (INFERRED,), fields.pop("handle", passes_on), **fields)


@contextmanager
def stage_app(
    directory: Path, *stages: Stage, name: str = "core", clock: Any = None, static: bool = True, **tuning: Any
) -> Iterator[StageApp]:
    """A real app that is never started: it has met no broker."""
    place = slots.take(directory, 0, static=static)
    told = Told()
    cluster = Cluster("127.0.0.1:1")
    plan = AppPlan(name, stages or (stage(),), cluster, NAMES, place, clock, told, told.ended.append, Tuning(**tuning))
    app = StageApp(plan)
    try:
        yield app
    finally:
        if app._consumer is not None:
            app.consumer._thread.thread_loop.close()
        place.release()


def told(app: StageApp) -> Told:
    """What an app of ``stage_app`` has said."""
    seen: Any = app.plan.observer
    return seen
