"""One worker process around its apps: what it says of itself, how it watches, how it ends. Apps are fakes here."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust.streams
import pytest

from streams.engine import slots, topics, worker
from streams.engine.app import StageApp
from streams.engine.cluster import Cluster
from streams.engine.exit import Fatal, report_path
from streams.engine.park import ParkApp
from streams.engine.worker import STOP_SLACK_S, Worker, WorkerPlan, assert_compiled
from streams.stages import park
from tests.support.builders import NOW_MS
from tests.support.fake_faust import NAMES, PHYSICAL, Told, event, stage, stage_app
from tests.support.loops import in_loop, until
from topics.errors import ConfigurationError, TopicMissing, TopicRefused, TransportError


class Now:
    def now_ms(self) -> int:
        return NOW_MS


class FakeApp:
    """What the worker sees of an app."""

    def __init__(
        self, name: str = "core", ready: bool = True, stops: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.name, self.ready, self.crashed = name, ready, False
        self.crash_reason: BaseException | None = None
        self.done: list[str] = []
        self.ended: list[Fatal] = []
        self.loops: list[Any] = []
        self.intakes: dict[str, Any] = {}
        self.calls = SimpleNamespace(running={})
        self.delivery = SimpleNamespace(look=self.delivery_look)
        self._stops = stops

    async def delivery_look(self, answers: Any) -> None:
        self.done.append("delivery" if answers == self.broker_answers else "?")

    async def broker_answers(self) -> bool:
        return True

    def look(self) -> None:
        self.done.append("look")

    def persist(self) -> None:
        self.done.append("persist")

    def end(self, fatal: Fatal) -> None:
        self.ended.append(fatal)

    async def stop(self) -> None:
        self.done.append("stop")
        if self._stops is not None:
            await self._stops()


def of(*apps: FakeApp, expected: int | None = None) -> Worker:
    running: Any = list(apps)
    return Worker(apps=running, expected=len(apps) if expected is None else expected)


def real(app: Any) -> StageApp:
    return app  # type: ignore[no-any-return]  # a fake in the place of an app


def plan_of(
    directory: Path, *stages: Any, apps: tuple[str, ...] = ("core",), brokers: str = "127.0.0.1:1"
) -> WorkerPlan:
    return WorkerPlan(Cluster(brokers), NAMES, stages or (stage(),), apps, directory, Now(), Told())


# -- the plan
@pytest.mark.parametrize(
    ("stages", "apps", "tables"),
    [
        ([], ("core",), {"core": ()}),
        ([stage("a", table="t")], ("core",), {"core": ("t",)}),
        ([stage("a", table="t"), stage("b", table="t")], ("core",), {"core": ("t",)}),
        ([stage("a", table="z"), stage("b", table="a")], ("core",), {"core": ("a", "z")}),
        ([stage("a", table="t"), stage("b", app="infer", table="u")], ("core",), {"core": ("t",)}),
        ([stage("a", table="t"), stage("b", app="infer")], ("core", "infer"), {"core": ("t",), "infer": ()}),
    ],
)
def test_tables_of_a_plan_are_those_of_its_apps(
    tmp_path: Path, stages: list[Any], apps: tuple[str, ...], tables: dict[str, tuple[str, ...]]
) -> None:
    plan = WorkerPlan(Cluster("a:1"), NAMES, tuple(stages), apps, tmp_path, Now(), Told())

    assert tables == plan.tables()


def test_plan_is_static_in_slot_zero_unless_told_otherwise(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)

    assert (0, True, False, topics.Shape()) == (plan.slot, plan.static, plan.take_over, plan.shape)


@in_loop
async def test_nothing_runs_beside_a_plain_worker(tmp_path: Path) -> None:
    async with plan_of(tmp_path).beside(Worker()) as nothing:
        assert nothing is None


# -- what it says of itself
RECOVERING = "assigning partitions and recovering tables"


def test_worker_with_apps_to_come_is_starting() -> None:
    assert ("starting",) == of(FakeApp(), expected=2).reasons


def test_worker_with_ready_apps_has_no_reasons() -> None:
    assert () == of(FakeApp("core"), FakeApp("infer")).reasons


def test_worker_names_the_app_that_is_not_ready() -> None:
    assert ("infer: assigning partitions and recovering tables",) == of(
        FakeApp(), FakeApp("infer", ready=False)
    ).reasons


def test_worker_names_the_topic_that_refuses() -> None:
    app = FakeApp(ready=False)
    app.loops = [SimpleNamespace(refused=None), SimpleNamespace(refused=TopicRefused("results", "no right"))]

    assert ("core: Kafka refuses writes to 'results': no right",) == of(app).reasons


@pytest.mark.parametrize(
    ("ready", "told"), [(True, ("documents: reading",)), (False, (f"core: {RECOVERING}", "documents: reading"))]
)
def test_worker_is_not_ready_before_what_runs_beside_it_is(ready: bool, told: tuple[str, ...]) -> None:
    """Readiness is assignment, recovery, and every follower at its end."""
    running = of(FakeApp(ready=ready))
    running.others += [lambda: ("documents: reading",), lambda: ()]

    assert told == running.reasons


def test_worker_counts_its_running_calls_by_app() -> None:
    app = FakeApp("infer")
    app.calls.running = {b"a": object(), b"b": object()}

    assert {("core",): 0, ("infer",): 2} == of(FakeApp(), app).calls_running()


@in_loop
async def test_worker_counts_held_records_by_topic_and_partition(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        intake = app.intakes[PHYSICAL]
        intake.acks.consumer = app.consumer
        held = [event(offset, partition=partition) for offset, partition in ((0, 1), (1, 1), (0, 2))]
        for one in held:
            intake._opened(one)

        assert {("admitted", "1"): 2, ("admitted", "2"): 1} == Worker([app], 1).held()


# -- the watch
@in_loop
async def test_look_watches_membership_rows_and_delivery() -> None:
    app = FakeApp()
    await worker._look(real(app))

    assert (["look", "persist", "delivery"], []) == (app.done, app.ended)


@in_loop
async def test_look_at_a_crashed_app_ends_the_process_by_name() -> None:
    app = FakeApp("infer")
    app.crashed, app.crash_reason = True, RuntimeError("words of a prompt")
    await worker._look(real(app))

    assert [Fatal("crashed_consumer", "infer", "RuntimeError")] == app.ended


@in_loop
async def test_watch_announces_readiness_once() -> None:
    stop, announced = asyncio.Event(), list[Worker]()
    running = of(FakeApp())
    watching = asyncio.ensure_future(worker._watch(running, stop, announced.append))
    await until(lambda: bool(announced))
    stop.set()

    assert (0, [running]) == (await watching, announced)


@in_loop
async def test_watch_does_not_announce_an_app_that_recovers() -> None:
    stop, announced = asyncio.Event(), list[Worker]()
    app = FakeApp(ready=False)
    watching = asyncio.ensure_future(worker._watch(of(app), stop, announced.append))
    await until(lambda: "look" in app.done)
    before = list(announced)
    app.ready = True
    await until(lambda: bool(announced))
    stop.set()
    await watching

    assert [] == before


@in_loop
async def test_watch_told_to_stop_before_readiness_returns_at_once() -> None:
    stop = asyncio.Event()
    stop.set()
    app = FakeApp(ready=False)

    assert (0, []) == (await worker._watch(of(app), stop, lambda _: None), app.done)


@in_loop
async def test_tick_ends_with_the_stop_not_with_its_time() -> None:
    stop = asyncio.Event()
    stop.set()

    await asyncio.wait_for(worker._ticked(stop, 1000.0), 5)


# -- the end
async def fails() -> None:
    raise RuntimeError("x")


async def hangs() -> None:
    await asyncio.Event().wait()


@in_loop
async def test_stop_in_flow_order_stops_every_app() -> None:
    order: list[str] = []

    def noted(name: str) -> FakeApp:
        async def stops() -> None:
            order.append(name)

        return FakeApp(name, stops=stops)

    code = await worker._stop([real(noted("core")), real(noted("infer"))], 1.0)

    assert (0, ["core", "infer"]) == (code, order)


@pytest.mark.parametrize(("stops", "grace_s"), [(fails, 1.0), (hangs, 0.05 - STOP_SLACK_S)])
@in_loop
async def test_stop_that_fails_or_hangs_is_told_and_the_rest_goes_on(
    stops: Any, grace_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    last = FakeApp("infer")
    with caplog.at_level(logging.ERROR):
        code = await worker._stop([real(FakeApp("core", stops=stops)), real(last)], grace_s)

    assert (1, True, ["stop"]) == (code, "stopping core" in caplog.text, last.done)


# -- before anything starts
def test_worker_on_compiled_streams_may_run() -> None:
    assert_compiled()


def test_worker_on_pure_python_streams_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faust.streams, "_CStreamIterator", None)

    with pytest.raises(ConfigurationError, match="no compiled streams"):
        assert_compiled()


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@in_loop
async def test_serve_without_a_broker_takes_no_slot(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "state", brokers=f"127.0.0.1:{closed_port()}")
    with pytest.raises(TransportError):
        await worker.serve(plan, asyncio.Event(), lambda _: None)

    assert not (tmp_path / "state").exists()


@in_loop
async def test_made_app_has_the_stages_of_its_name_only(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, stage("a"), stage("b", app="infer", reads=("deduped",)), apps=("core", "infer"))
    place = slots.take(tmp_path, 0)
    made = [worker._made(plan, name, place, "c", report_path(tmp_path, 0)) for name in plan.apps]
    place.release()

    assert [["a"], ["b"]] == [[loop.stage.name for loop in app.loops] for app in made]


@pytest.mark.parametrize(("name", "kind"), [("park", ParkApp), ("core", StageApp)])
def test_made_app_that_waits_is_no_faust_app(tmp_path: Path, name: str, kind: type) -> None:
    @in_loop
    async def made() -> None:
        place = slots.take(tmp_path, 0)
        plan = plan_of(tmp_path, stage(), park.stage(), apps=("core", "park"))
        app = worker._made(plan, name, place, "c", report_path(tmp_path, 0))
        place.release()

        assert isinstance(app, kind)

    made()


@in_loop
async def test_made_app_marks_its_directory_with_the_cluster(tmp_path: Path) -> None:
    place = slots.take(tmp_path, 0)
    worker._made(plan_of(tmp_path), "core", place, "cluster-a", report_path(tmp_path, 0))
    place.release()

    assert "cluster-a" == (tmp_path / "slot-0" / "core" / "cluster.id").read_text()


@in_loop
async def test_made_app_in_a_foreign_directory_tells_what_was_wiped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = slots.take(tmp_path, 0)
    for cluster in ("cluster-a", "cluster-b"):
        with caplog.at_level(logging.WARNING, logger=worker.log.name):
            worker._made(plan_of(tmp_path), "core", place, cluster, report_path(tmp_path, 0))
    place.release()

    assert ["wiped"] == [entry.__dict__["action"] for entry in caplog.records if "wiped" in entry.message]


@pytest.mark.parametrize("field", ["cluster", "names", "clock", "observer", "tuning", "failpoint"])
@in_loop
async def test_made_app_is_given_what_the_worker_was_given(tmp_path: Path, field: str) -> None:
    plan, place = plan_of(tmp_path), slots.take(tmp_path, 0)
    app = worker._made(plan, "core", place, "c", report_path(tmp_path, 0))
    place.release()

    assert getattr(plan, field) is getattr(app.plan, field)


# -- serving, with a cluster that has everything
class Started(FakeApp):
    """An app that starts, or fails to."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        super().__init__(name)
        self.error = error

    async def start(self) -> None:
        self.done.append("start")
        if self.error is not None:
            raise self.error


class Served:
    """What ``serve`` did around its apps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *apps: Started, missing: bool = False) -> None:
        self.apps = {app.name: app for app in apps}
        self.places: list[slots.Place] = []
        self.besides: list[str] = []
        self.missing = missing
        monkeypatch.setattr(worker.topics, "plan", self.plan)
        monkeypatch.setattr(worker.topics, "cluster_id", self.cluster_id)
        monkeypatch.setattr(worker, "_made", self.made)

    async def plan(self, *_: Any) -> topics.Plan:
        lacking = (topics.New("prompts.admitted", 8, 1, {}),) if self.missing else ()
        return topics.Plan(lacking, (), (), ())

    async def cluster_id(self, _: Cluster) -> str:
        return "cluster-a"

    def made(self, _: WorkerPlan, name: str, place: slots.Place, *__: Any) -> Started:
        self.places.append(place)
        return self.apps[name]

    @asynccontextmanager
    async def beside(self, running: Worker) -> AsyncIterator[None]:
        self.besides.append(f"in, {len(running.apps)} apps")
        yield
        self.besides.append(f"out, {[app.name for app in running.apps]}")

    def plan_in(self, directory: Path) -> WorkerPlan:
        return replace(plan_of(directory, apps=tuple(self.apps)), beside=self.beside)


def free_again(directory: Path) -> bool:
    """Whether the slot can be taken as the static member."""
    place = slots.take(directory, 0)
    place.release()
    return place.static


@in_loop
async def test_serve_starts_apps_in_order_and_stops_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, core, infer = asyncio.Event(), Started("core"), Started("infer")
    served = Served(monkeypatch, core, infer)
    code = await worker.serve(served.plan_in(tmp_path), stop, lambda _: stop.set())

    assert 0 == code
    assert [["start", "look", "persist", "delivery", "stop"]] * 2 == [core.done, infer.done]


@in_loop
async def test_serve_gives_all_apps_one_place_and_frees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()
    served = Served(monkeypatch, Started("core"), Started("infer"))
    await worker.serve(served.plan_in(tmp_path), stop, lambda _: stop.set())

    assert (1, True) == (len({place.label for place in served.places}), free_again(tmp_path))


@in_loop
async def test_serve_is_surrounded_by_what_runs_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()
    served = Served(monkeypatch, Started("core"))
    await worker.serve(served.plan_in(tmp_path), stop, lambda _: stop.set())

    assert ["in, 0 apps", "out, ['core']"] == served.besides


@in_loop
async def test_serve_app_that_fails_to_start_stops_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = Started("core")
    served = Served(monkeypatch, core, Started("infer", error=ConnectionError("away")))
    with pytest.raises(ConnectionError):
        await worker.serve(served.plan_in(tmp_path), asyncio.Event(), lambda _: None)

    assert (["start", "stop"], True) == (core.done, free_again(tmp_path))


@in_loop
async def test_serve_app_that_fails_to_stop_gives_code_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, core = asyncio.Event(), Started("core")
    core._stops = fails
    served = Served(monkeypatch, core)

    assert 1 == await worker.serve(served.plan_in(tmp_path), stop, lambda _: stop.set())


@in_loop
async def test_serve_removes_the_report_of_the_last_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, report = asyncio.Event(), report_path(tmp_path, 0)
    report.write_text("{}")
    served = Served(monkeypatch, Started("core"))
    await worker.serve(served.plan_in(tmp_path), stop, lambda _: stop.set())

    assert not report.exists()


@in_loop
async def test_serve_without_its_topics_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = Started("core")
    served = Served(monkeypatch, core, missing=True)
    with pytest.raises(TopicMissing, match="streams topics apply"):
        await worker.serve(served.plan_in(tmp_path / "state"), asyncio.Event(), lambda _: None)

    assert ([], False) == (core.done, (tmp_path / "state").exists())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_ends_on_either_signal_with_the_code_of_the_apps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def serve(plan: WorkerPlan, stop: asyncio.Event, ready: Any) -> int:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 10)
        return 7

    tuned: list[Any] = []
    quiet = SimpleNamespace(collect=lambda: 0, freeze=lambda: None, set_threshold=lambda *sizes: tuned.append(sizes))
    monkeypatch.setattr(worker, "serve", serve)
    monkeypatch.setattr(worker, "gc", quiet)

    assert (7, 1) == (worker.run(plan_of(tmp_path)), len(tuned))
