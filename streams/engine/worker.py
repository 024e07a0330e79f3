"""# Engine: worker

Responsibility: one worker process: its place, its apps side by side, its watch, its bounded end.
Guarantees: SIGTERM drains within the grace and ends with code 0
    (tests/integration/test_worker_life.py::test_sigterm_with_running_calls_drains_and_exits_zero);
    a crashed app or a lost group ends the process for its supervisor
    (tests/integration/test_worker_life.py::test_crashed_consumer_thread_ends_process_with_70);
    a worker whose topics are missing says which and how to make them
    (tests/integration/test_worker_life.py::test_missing_topics_are_named_with_the_command);
    go: 160 faults at 8 points, 46,999 prompts, 0 lost, 0 conflicting, 0 repeated without cause, by
    tests/chaos/go_no_go.py
    (tests/integration/test_faults.py::test_worker_that_dies_at_a_point_or_wakes_late_loses_and_repeats_nothing).
NOT Responsible For: starting processes (streams/local), what apps are made of (pipeline).
"""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import faust.streams
import uvloop

from streams.engine import slots, tables, topics
from streams.engine.app import StageApp
from streams.engine.cluster import Cluster
from streams.engine.exit import Fatal, end_process, report_path
from streams.engine.park import ParkApp
from streams.engine.plan import AppPlan, Tuning
from streams.engine.scope import Failpoint
from streams.ports import Clock, Observer
from streams.stage import Stage
from topics.catalog import Names
from topics.errors import ConfigurationError

log = logging.getLogger(__name__)

START_S = 120.0
STOP_SLACK_S = 25.0  # beside the grace: leaving the group, the last commit
PARK = "park"  # the app that is no Faust App: it waits

App = StageApp | ParkApp


@asynccontextmanager
async def alone() -> AsyncIterator[None]:
    """Nothing runs beside the worker."""
    yield


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """All that one worker process is made of; ``stages`` of other apps than ``apps`` are left out."""

    cluster: Cluster
    names: Names
    stages: tuple[Stage, ...]
    apps: tuple[str, ...]
    state_dir: Path
    clock: Clock
    observer: Observer
    shape: topics.Shape = field(default_factory=topics.Shape)
    slot: int = 0
    static: bool = True
    take_over: bool = False
    tuning: Tuning = field(default_factory=Tuning)
    failpoint: Failpoint = lambda _: None
    beside: "Beside" = lambda _: alone()
    page: "Beside" = lambda _: alone()

    def tables(self) -> dict[str, tuple[str, ...]]:
        """The tables of each app, by name."""
        named = {(stage.app, stage.table) for stage in self.stages if stage.table}
        return {app: tuple(sorted(table for owner, table in named if owner == app)) for app in self.apps}


@dataclass(slots=True)
class Worker:
    """A running worker: what its web page and its tests look at."""

    apps: list[App] = field(default_factory=list)

    expected: int = 0
    others: list[Callable[[], tuple[str, ...]]] = field(
        default_factory=list
    )  # what runs beside the apps, and its reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not ready; empty when it is."""
        if len(self.apps) < self.expected:
            return ("starting",)
        own = tuple(f"{app.name}: {_state(app)}" for app in self.apps if not app.ready)
        return own + tuple(reason for other in self.others for reason in other())

    def calls_running(self) -> dict[tuple[str, ...], float]:
        """Calls under way, by app."""
        return {(app.name,): len(app.calls.running) for app in self.apps}

    def held(self) -> dict[tuple[str, ...], float]:
        """Records taken and not yet acknowledged, by topic and partition."""
        return {
            (intake.topic, str(partition)): len(order)
            for app in self.apps
            for intake in app.intakes.values()
            for partition, order in intake.acks.orders.items()
        }


def _state(app: App) -> str:
    refused = next((loop.refused for loop in app.loops if loop.refused), None)
    return str(refused) if refused else "assigning partitions and recovering tables"


Ready = Callable[[Worker], None]
Beside = Callable[[Worker], AbstractAsyncContextManager[object]]


async def serve(plan: WorkerPlan, stop: asyncio.Event, ready: Ready) -> int:
    """Run the apps until ``stop`` is set or one of them fails. Returns the exit code.

    ``plan.beside`` is entered first of all, ``plan.page`` once the worker has its place, before the first app starts;
    ``ready`` is called once all are assigned and recovered.
    """
    assert_compiled()
    topics.require(await topics.plan(plan.cluster, plan.names, plan.shape, plan.tables()))
    cluster_id = await topics.cluster_id(plan.cluster)
    worker = Worker(expected=len(plan.apps))
    async with plan.beside(worker):
        if plan.take_over:
            log.warning("waits until the slot is free", extra={"action": "waiting"})
            if not await slots.free(plan.state_dir, plan.slot, stop):
                return 0
        place = slots.take(plan.state_dir, plan.slot, static=plan.static)
        try:
            async with plan.page(worker):
                return await _served(plan, place, cluster_id, worker, stop, ready)
        finally:
            place.release()


async def _served(
    plan: WorkerPlan, place: slots.Place, cluster_id: str, worker: Worker, stop: asyncio.Event, ready: Ready
) -> int:
    report, code = _no_report(plan), 0
    try:
        worker.apps.extend(_made(plan, name, place, cluster_id, report) for name in plan.apps)
        await asyncio.wait_for(asyncio.gather(*(app.start() for app in worker.apps)), START_S)
        code = await _watch(worker, stop, ready)
    finally:
        code = await _stop(worker.apps, plan.tuning.grace_s) or code
    return code


def _no_report(plan: WorkerPlan) -> Path:
    report = report_path(plan.state_dir, plan.slot)
    report.unlink(missing_ok=True)
    return report


def _made(plan: WorkerPlan, name: str, place: slots.Place, cluster_id: str, report: Path) -> App:
    def end(fatal: Fatal) -> None:
        end_process(fatal, report)

    for wiped in tables.prepare(place.dir / name, cluster_id):
        log.warning("wiped %s", wiped, extra={"action": "wiped"})
    mine = tuple(stage for stage in plan.stages if stage.app == name)
    made = AppPlan(
        name, mine, plan.cluster, plan.names, place, plan.clock, plan.observer, end, plan.tuning, plan.failpoint
    )
    return ParkApp(made) if name == PARK else StageApp(made)


async def _watch(worker: Worker, stop: asyncio.Event, ready: Ready) -> int:
    announced, ticks = False, 0
    while not stop.is_set():
        await _ticked(stop, 0.05 if not announced else 1.0)
        if not announced and not worker.reasons:
            announced = True
            ready(worker)
        ticks += 1
        if announced or not ticks % 20:
            for app in worker.apps:
                await _look(app)
    return 0


async def _ticked(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _look(app: App) -> None:
    if app.crashed:
        app.end(Fatal("crashed_consumer", app.name, type(app.crash_reason).__name__))
    app.look()
    app.persist()
    await app.delivery.look(app.broker_answers)


async def _stop(apps: Iterable[App], grace_s: float) -> int:
    """Stop the apps in flow order, so that later stages can finish what was handed on. Returns 1 when one hung."""
    code = 0
    for app in apps:
        try:
            await asyncio.wait_for(app.stop(), grace_s + STOP_SLACK_S)
        except Exception as error:
            log.exception("stopping %s: %s", app.name, type(error).__name__, extra={"action": "stop"})
            code = 1
    return code


def assert_compiled() -> None:
    """Faust's pure Python streams acknowledge stale events: refuse to run on them."""
    if faust.streams._CStreamIterator is None:
        raise ConfigurationError("faust", "no compiled streams", "install a wheel of faust-streaming for this Python")


def run(plan: WorkerPlan, ready: Ready = lambda _: None) -> int:
    """Run a worker in this process until SIGTERM or SIGINT. Returns the exit code."""

    async def main() -> int:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)  # measured: 10 to 20 % more records per second
        return await serve(plan, stop, ready)

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # the consumers' threads make their loops by it, too
    with asyncio.Runner() as runner:
        code = runner.run(main())
    sys.stdout.flush()
    return code
