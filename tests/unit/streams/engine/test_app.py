"""One Faust app as we set it up: its settings, its stages, its drain, its membership. No broker is met."""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from faust.streams import _current_event
from faust.types import TP

from streams.decisions.membership import Membership
from streams.engine.app import FETCH_BYTES, POLL_RECORDS, Hook, StageApp, faust_settings
from streams.engine.buffers import queue_size
from streams.engine.cluster import Cluster
from streams.engine.exit import Fatal
from streams.engine.lease import Lease, since_boot
from streams.engine.plan import AppPlan, Tuning
from streams.engine.slots import Place
from streams.engine.tables import DurableTable, NoRows, Rows
from streams.ports import Observation
from streams.stage import Output, Record, Scope
from tests.support.builders import NOW_MS, record
from tests.support.fake_faust import NAMES, PHYSICAL, Told, event, settle, stage, stage_app, told
from tests.support.loops import in_loop
from topics.catalog import ADMITTED, BREAKER_TICKS, INTERNAL_BYTES, LANES, TICKS, Names
from topics.errors import TopicRefused


def plan_of(directory: Path, name: str = "core", static: bool = True, **tuning: Any) -> AppPlan:
    place = Place("slot-4", directory / "slot-4", static=static, lock=None)
    said = Told()
    cluster = Cluster("one:1,two:2")
    return AppPlan(name, (stage(),), cluster, NAMES, place, SystemClock(), said, said.ended.append, Tuning(**tuning))


class SystemClock:
    def now_ms(self) -> int:
        return NOW_MS + 5


# -- settings
MEASURED = {
    "store": "rocksdb://",
    "key_serializer": "raw",
    "value_serializer": "raw",
    "processing_guarantee": "at_least_once",
    "broker_commit_interval": 1.0,
    "broker_session_timeout": 10.0,
    "broker_heartbeat_interval": 1.0,
    "broker_rebalance_timeout": 60.0,
    "broker_request_timeout": 30.0,
    "broker_max_poll_interval": 86_400.0,
    "consumer_max_fetch_size": FETCH_BYTES,
    "consumer_auto_offset_reset": "earliest",
    "stream_wait_empty": True,
    "stream_recovery_delay": 0.0,
    "producer_linger": 0.0,
    "topic_allow_declare": False,
    "topic_disable_leader": True,
    "topic_partitions": 8,
    "table_standby_replicas": 0,
    "web_enabled": False,
    "cython_optimizations": True,
    "Table": DurableTable,
}


def test_settings_of_app_are_the_measured_ones(tmp_path: Path) -> None:
    settings = faust_settings(plan_of(tmp_path))

    assert MEASURED == {name: settings[name] for name in MEASURED}


@in_loop
async def test_settings_reach_faust_as_they_are(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        got = {name: getattr(app.conf, name) for name in MEASURED}

    expected = {**MEASURED, "store": got["store"], "processing_guarantee": got["processing_guarantee"]}
    assert expected == got
    assert ("rocksdb", "at_least_once") == (got["store"].scheme, got["processing_guarantee"].value)


@pytest.mark.parametrize("name", [*POLL_RECORDS, "other"])
@pytest.mark.parametrize("partitions", [1, 8, 32])
def test_settings_compute_the_buffer_from_polls_and_partitions(tmp_path: Path, name: str, partitions: int) -> None:
    settings = faust_settings(plan_of(tmp_path, name, partitions=partitions))

    assert queue_size(settings["broker_max_poll_records"], partitions) == settings["stream_buffer_maxsize"]


@pytest.mark.parametrize(("name", "polls"), [("core", 100), ("infer", 50), ("bury", 50), ("other", 50)])
def test_settings_bound_the_records_of_a_poll_by_app(tmp_path: Path, name: str, polls: int) -> None:
    assert polls == faust_settings(plan_of(tmp_path, name))["broker_max_poll_records"]


def test_settings_let_the_largest_internal_record_through(tmp_path: Path) -> None:
    assert faust_settings(plan_of(tmp_path))["producer_max_request_size"] > INTERNAL_BYTES


@pytest.mark.parametrize("static", [True, False])
def test_settings_name_a_static_member_only_with_its_lock(tmp_path: Path, static: bool) -> None:
    plan = plan_of(tmp_path, static=static)
    instance = faust_settings(plan)["consumer_group_instance_id"]

    assert (plan.place.instance_id("prompts.core", plan.reads) if static else None) == instance


def test_settings_name_another_member_when_the_app_reads_another_topic(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    grown = replace(plan, stages=(*plan.stages, stage("more", reads=("deduped",))))
    names = {faust_settings(one)["consumer_group_instance_id"] for one in (plan, grown)}

    assert 2 == len(names)


@pytest.mark.parametrize("static", [True, False])
def test_settings_fix_the_url_of_a_slot(tmp_path: Path, static: bool) -> None:
    url = faust_settings(plan_of(tmp_path, static=static))["canonical_url"]

    assert url.endswith("slot-4:6066")


def test_settings_give_each_app_a_directory_of_its_own(tmp_path: Path) -> None:
    dirs = {faust_settings(plan_of(tmp_path, name))["datadir"] for name in ("core", "infer")}

    assert {str(tmp_path / "slot-4" / "core"), str(tmp_path / "slot-4" / "infer")} == dirs


@pytest.mark.parametrize(
    ("field", "setting"), [("session_s", "broker_session_timeout"), ("heartbeat_s", "broker_heartbeat_interval")]
)
def test_settings_take_the_tuning_of_the_test_profile(tmp_path: Path, field: str, setting: str) -> None:
    assert 3.5 == faust_settings(plan_of(tmp_path, **{field: 3.5}))[setting]


def test_group_of_an_app_bears_the_namespace(tmp_path: Path) -> None:
    assert "prompts.infer" == plan_of(tmp_path, "infer").group


# -- stages
@in_loop
async def test_app_has_one_agent_per_topic_read(tmp_path: Path) -> None:
    lanes = tuple(f"assembled.{lane}" for lane in LANES)
    with stage_app(tmp_path, stage("a"), stage("b", reads=lanes)) as app:
        topics = {name for agent in app.agents.values() for name in agent.channel.topics}
        counts = {agent.concurrency for agent in app.agents.values()}

    assert ({PHYSICAL, *(NAMES.topic(lane) for lane in lanes)}, {1}) == (topics, counts)


@in_loop
async def test_app_feeds_all_topics_of_a_stage_into_one_loop(tmp_path: Path) -> None:
    lanes = tuple(f"assembled.{lane}" for lane in LANES)
    with stage_app(tmp_path, stage("a"), stage("b", reads=lanes)) as app:
        loops = {intake.loop.stage.name: len(intake.loop._intakes) for intake in app.intakes.values()}

    assert ({"a": 1, "b": 4}, 2) == (loops, len(app.loops))


@in_loop
async def test_app_reads_raw_bytes_through_a_bounded_queue(tmp_path: Path) -> None:
    with stage_app(tmp_path, partitions=4) as app:
        [agent] = app.agents.values()
        channel = agent.channel
        kept = (channel.key_type, channel.value_type, channel.queue.maxsize)

    assert (bytes, bytes, queue_size(100, 4)) == kept


@in_loop
async def test_app_makes_one_table_for_stages_that_share_it(tmp_path: Path) -> None:
    with stage_app(tmp_path, stage("a", table="rows"), stage("b", reads=("failed",), table="rows")) as app:
        tables = {name: (type(table), table.partitions) for name, table in app._rows.items()}

    assert {"rows": (DurableTable, 8)} == tables


@in_loop
async def test_app_table_has_the_changelog_of_the_catalog(tmp_path: Path) -> None:
    with stage_app(tmp_path, stage(table="rows")) as app:
        changelog = app._rows["rows"].changelog_topic.get_topic_name()

    assert Names().changelog("core", "rows") == changelog


@pytest.mark.parametrize(("table", "kind"), [(None, NoRows), ("rows", Rows)])
@in_loop
async def test_scope_gives_rows_only_to_a_stage_with_a_table(tmp_path: Path, table: str | None, kind: type) -> None:
    with stage_app(tmp_path, stage(table=table)) as app:
        scope = app.loops[0]._scope_of(record())

    assert kind is type(scope.rows)


@pytest.mark.parametrize(("reads_clock", "now_ms"), [(False, NOW_MS), (True, NOW_MS + 5)])
@in_loop
async def test_scope_gives_the_clock_only_to_a_stage_that_may_read_it(
    tmp_path: Path, reads_clock: bool, now_ms: int
) -> None:
    with stage_app(tmp_path, stage(reads_clock=reads_clock), clock=SystemClock()) as app:
        got = app.loops[0]._scope_of(record()).now_ms

    assert now_ms == got


@in_loop
async def test_scope_writes_rows_into_the_partition_of_the_record(tmp_path: Path) -> None:
    with stage_app(tmp_path, stage(table="rows")) as app:
        held = event(partition=3)
        _current_event.set(ref(held))
        scope = app.loops[0]._scope_of(record(partition=3))
        scope.table.put(b"k", b"v")
        [parcel] = scope.rows.taken(lambda error: None)

    assert (Names().changelog("core", "rows"), 3) == (parcel.topic, parcel.partition)


# -- rebalances
class HookedApp:
    """What the hook calls."""

    def __init__(self) -> None:
        self.main_loop = asyncio.get_running_loop()
        self.calls: list[Any] = []
        self.lease = SimpleNamespace(renewed=lambda at: self.calls.append("renewed"))

    def begin_drain(self) -> None:
        self.calls.append("drain")

    def rebalanced(self, seconds: float) -> None:
        self.calls.append(seconds)


@in_loop
async def test_hook_of_a_starting_rebalance_drains_in_the_apps_loop() -> None:
    app = HookedApp()
    await asyncio.to_thread(Hook().on_rebalance_start, app)
    await settle()

    assert ["drain"] == app.calls


@in_loop
async def test_hook_of_an_assignment_renews_the_lease() -> None:
    app = HookedApp()
    await asyncio.to_thread(Hook().on_rebalance_return, app, {"started": 0.0})
    await settle()

    assert ["renewed"] == app.calls


@in_loop
async def test_hook_of_an_ended_rebalance_tells_how_long_it_took() -> None:
    app = HookedApp()
    Hook().on_rebalance_end(app, {"started": time.monotonic() - 5.0})

    assert 5.0 == pytest.approx(app.calls[0], abs=1.0)


@in_loop
async def test_rebalanced_app_cancels_calls_that_moved_and_tells(tmp_path: Path) -> None:
    async def call() -> None:
        await asyncio.Event().wait()

    with stage_app(tmp_path) as app:
        app.consumer.assignment = lambda: {TP(PHYSICAL, 1), TP("a-changelog", 2)}
        waiting = [asyncio.ensure_future(app.calls.shared(b"%d" % part, part, call)) for part in (1, 2)]
        await settle()
        app.rebalanced(0.5)
        running = set(app.calls.running)
        await app.calls.stop()
        await asyncio.gather(*waiting, return_exceptions=True)
        seen = told(app).seen

    assert {b"1"} == running
    assert [Observation("engine", "rebalanced", "core", -1, -1, work_s=0.5, outputs=1)] == seen


@in_loop
async def test_rebalanced_app_forgets_what_was_made_of_the_rows(tmp_path: Path) -> None:
    with stage_app(tmp_path, stage(table="rows")) as app:
        app.consumer.assignment = set
        table = app._rows["rows"]
        table.derived[0] = "an index over rows of another time"
        app.rebalanced(0.5)

        assert {} == table.derived


# -- ticks
TICKING, BREAKING = NAMES.topic(TICKS), NAMES.topic(BREAKER_TICKS)


@contextmanager
def in_charge(directory: Path, reads: tuple[str, ...] = (ADMITTED, TICKS)) -> Iterator[StageApp]:
    """An app that reads clocks, assigned to partitions of them and of others."""
    with stage_app(directory, stage(reads=reads)) as app:
        app.consumer.assignment = lambda: {
            *(TP(TICKING, 1), TP(TICKING, 6), TP(BREAKING, 1)),
            *(TP(PHYSICAL, 2), TP("a-changelog", 3)),
        }
        app.rebalances = 1
        yield app


@in_loop
async def test_in_charge_of_time_is_who_reads_the_partition_of_ticks(tmp_path: Path) -> None:
    with in_charge(tmp_path) as app:
        assert {(TICKING, 1), (TICKING, 6), (BREAKING, 1)} == app._in_charge_of()


@pytest.mark.parametrize(("field", "value"), [("stopping", True), ("rebalancing", True), ("rebalances", 0)])
@in_loop
async def test_in_charge_of_time_is_nobody_while_partitions_may_be_anothers(
    tmp_path: Path, field: str, value: object
) -> None:
    with in_charge(tmp_path) as app:
        setattr(app, field, value)

        assert set() == app._in_charge_of()


@in_loop
async def test_in_charge_of_time_is_nobody_under_a_lease_that_is_over(tmp_path: Path) -> None:
    with in_charge(tmp_path) as app:
        app.lease = Lease(10.0, iter([0.0, 9.1]).__next__)

        assert set() == app._in_charge_of()


@pytest.mark.parametrize(
    ("reads", "ticking"), [((ADMITTED, TICKS), True), ((ADMITTED, BREAKER_TICKS), True), ((ADMITTED,), False)]
)
@in_loop
async def test_started_app_lets_time_pass_where_a_stage_reads_ticks(
    tmp_path: Path, reads: tuple[str, ...], ticking: bool
) -> None:
    with in_charge(tmp_path, reads) as app:
        await app.on_start()
        task = app._ticking
        if task is not None:
            task.cancel()

    assert ticking == (task is not None)


@in_loop
async def test_stop_of_an_app_ends_its_ticks_first(tmp_path: Path) -> None:
    with in_charge(tmp_path) as app:
        app.main_loop = asyncio.get_running_loop()
        app._ticking = asyncio.get_running_loop().create_task(asyncio.Event().wait())  # type: ignore[arg-type]  # any task
        await app.on_stop()
        await settle()

        assert app._ticking.cancelled()


@in_loop
async def test_begin_drain_clears_the_fence_of_the_old_assignment(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        app.consumer.seek_again[TP(PHYSICAL, 0)] = 4
        app.begin_drain()
        await asyncio.gather(*app._drains)

    assert {} == app.consumer.seek_again


@in_loop
async def test_begin_drain_during_a_drain_drains_what_was_taken_since(tmp_path: Path) -> None:
    """A second rebalance may begin while the first one's drain waits for its grace: else it would wait for ever."""
    with stage_app(tmp_path, grace_s=0.0) as app:
        intake = app.intakes[PHYSICAL]
        intake.acks.consumer = app.consumer
        app.begin_drain()
        taken = intake._opened(event(0))
        first = set(app._drains)
        app.begin_drain()
        await asyncio.gather(*first)
        await settle()

        assert (True, set(), set()) == (taken.dead, app._drains, app.consumer._unacked_messages)


@in_loop
async def test_drain_that_ends_late_spares_what_the_next_generation_took(tmp_path: Path) -> None:
    with stage_app(tmp_path, grace_s=0.05) as app:
        intake = app.intakes[PHYSICAL]
        intake.acks.consumer = app.consumer
        old = intake._opened(event(0))
        app.loops[0].in_work = 1
        app.lease.renewed(since_boot())
        app.begin_drain()
        await settle()
        new = intake._opened(event(0))
        await asyncio.gather(*app._drains)

        assert (True, False) == (old.dead, new.dead)


@in_loop
async def test_begin_drain_before_the_consumer_is_there_does_nothing(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        app.begin_drain()

        assert set() == app._drains


@pytest.mark.parametrize(("stopping", "kept"), [(False, {}), (True, {0: 7})])
@in_loop
async def test_drain_forgets_what_landed_unless_the_app_stops(
    tmp_path: Path, stopping: bool, kept: dict[int, int]
) -> None:
    with stage_app(tmp_path, stage(table="rows"), grace_s=0.0) as app:
        app._rows["rows"].persisted.landed(0, 7)
        app.stopping = stopping
        await app._drained()

        assert kept == app._rows["rows"].persisted.acknowledged


@in_loop
async def test_drain_counts_what_all_loops_forgot(tmp_path: Path) -> None:
    with stage_app(tmp_path, grace_s=0.0) as app:
        intake = app.intakes[PHYSICAL]
        intake.acks.consumer = app.consumer
        held = event(0)
        intake._opened(held)

        assert 1 == await app._drained()


@in_loop
async def test_stop_of_an_app_ends_its_calls_and_persists(tmp_path: Path) -> None:
    async def call() -> None:
        await asyncio.Event().wait()

    with stage_app(tmp_path, stage(table="rows"), grace_s=0.0) as app:
        app.main_loop = asyncio.get_running_loop()
        assert app.consumer is not None
        asking = asyncio.ensure_future(app.calls.shared(b"k", 0, call))
        app._rows["rows"].persisted.landed(0, 7)
        await settle()
        await app.on_stop()
        await asyncio.gather(asking, return_exceptions=True)
        left = (app.stopping, app.calls.running, app._rows["rows"].persisted.acknowledged)

    assert (True, {}, {}) == left


@in_loop
async def test_stop_of_an_app_that_never_started_ends(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        await app.on_stop()

        assert not app.stopping


@in_loop
async def test_stop_of_an_app_lets_nothing_be_sent_again(tmp_path: Path) -> None:
    with stage_app(tmp_path, grace_s=0.0) as app:
        app.main_loop = asyncio.get_running_loop()
        assert app.consumer is not None
        await app.on_stop()

        assert app.delivery._stopped


# -- looked at from outside
@pytest.mark.parametrize(
    ("rebalances", "rebalancing", "refused", "ready"),
    [(0, False, False, False), (1, False, False, True), (1, True, False, False), (2, False, True, False)],
)
@in_loop
async def test_ready_means_assigned_recovered_and_writing(
    tmp_path: Path, rebalances: int, rebalancing: bool, refused: bool, ready: bool
) -> None:
    with stage_app(tmp_path) as app:
        app.rebalances, app.rebalancing = rebalances, rebalancing
        app.loops[0].refused = TopicRefused("x", "y") if refused else None

        assert ready == app.ready


def member_of(app: StageApp, generation: int | None, evictions: int = 0) -> None:
    thread = app.consumer._thread
    coordinator = SimpleNamespace(generation=generation)
    thread._consumer = None if generation is None else SimpleNamespace(_coordinator=coordinator)
    thread.evictions = evictions


@pytest.mark.parametrize(("generation", "outside"), [(3, False), (0, True), (-1, True), (None, True)])
@in_loop
async def test_look_sees_whether_the_group_has_this_member(
    tmp_path: Path, generation: int | None, outside: bool
) -> None:
    with stage_app(tmp_path) as app:
        member_of(app, generation)
        app.look()

        assert outside == (app.member.outside_since is not None)


@in_loop
async def test_look_without_a_generation_counts_as_outside(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        app.consumer._thread._consumer = SimpleNamespace(_coordinator=SimpleNamespace())
        app.look()

        assert app.member.outside_since is not None


@in_loop
async def test_look_at_a_member_lost_for_a_minute_ends_the_process(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        member_of(app, -1)
        app.member = Membership(outside_since=time.monotonic() - 61)
        app.look()
        [fatal] = told(app).ended

    assert ("lost_group", "core") == (fatal.reason, fatal.app)


@in_loop
async def test_look_at_two_evictions_in_a_minute_ends_the_process(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        member_of(app, 3, evictions=1)
        app.look()
        after_one = list(told(app).ended)
        member_of(app, 3, evictions=2)
        app.look()

        assert ([], ["lost_group"]) == (after_one, [fatal.reason for fatal in told(app).ended])


@in_loop
async def test_look_counts_each_eviction_once(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        member_of(app, 3, evictions=1)
        for _ in range(5):
            app.look()

        assert ([], 1) == (told(app).ended, len(app.member.evictions))


def answering_with(app: StageApp, answer: Awaitable[Any]) -> None:
    client = SimpleNamespace(force_metadata_update=lambda: answer)
    app.producer._producer = SimpleNamespace(client=client)


async def says(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.mark.parametrize(
    ("answer", "answers"), [(True, True), (False, False), (TimeoutError(), False), (ConnectionRefusedError(), False)]
)
@in_loop
async def test_broker_answers_only_when_its_metadata_comes(tmp_path: Path, answer: Any, answers: bool) -> None:
    with stage_app(tmp_path) as app:
        answering_with(app, says(answer))

        assert answers == await app.broker_answers()


@in_loop
async def test_end_of_an_app_goes_to_the_plan(tmp_path: Path) -> None:
    fatal = Fatal("cannot_deliver", "core", "x")
    with stage_app(tmp_path) as app:
        app.end(fatal)

        assert [fatal] == told(app).ended


@in_loop
async def test_lost_records_are_observed_with_their_count(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        app.observe_lost("admitted", 2, 5, 9)

        assert [Observation("engine", "lost", "admitted", 2, 5, outputs=4)] == told(app).seen


@pytest.mark.parametrize(("name", "away_s"), [("core", None), ("infer", 900.0)])
@in_loop
async def test_delivery_waits_by_app_while_the_broker_is_away(tmp_path: Path, name: str, away_s: float | None) -> None:
    with stage_app(tmp_path, stage(app=name), name=name) as app:
        assert away_s == app.delivery._policy.away_s


@in_loop
async def test_delivery_uses_the_producer_of_the_app(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        app.producer._producer = producer = object()

        assert producer is app.delivery._producer()


@in_loop
async def test_failpoint_of_the_plan_reaches_every_scope(tmp_path: Path) -> None:
    points: list[str] = []

    async def handle(record: Record, scope: Scope) -> list[Output]:
        return []

    with stage_app(tmp_path, stage(handle=handle, slots=1)) as app:
        object.__setattr__(app.plan, "failpoint", points.append)
        scope = app.loops[0]._scope_of(record())
        await scope.shared(b"k", lambda: says("x"))

    assert ["call-returned"] == points
