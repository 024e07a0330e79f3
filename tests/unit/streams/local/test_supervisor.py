"""The supervisor: starts every slot, restarts by the rule, never two of one slot, stops in bounded time."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.restart import Fatal, RestartPolicy
from streams.engine.exit import report_path
from streams.local.supervisor import Supervisor, read_report
from tests.support.fake_process import FakeLauncher

ROLES = {"core": ("core",), "infer": ("infer",), "park": ("park", "bury")}
APPS = tuple(ROLES)
REPORT = {"app": "core", "reason": "hole", "topic": "prompts", "partition": 3, "offset": 1042, "at": "2026-01-31"}


def supervisor(home, launcher=None, slots=(0,), roles=ROLES, **policy):
    said = []
    made = Supervisor(launcher or FakeLauncher(), said.append, home, slots, roles, RestartPolicy(**policy))
    return made, said


def running(home, launcher, **arguments):
    """A supervisor whose workers were started at second 0."""
    made, said = supervisor(home, launcher, **arguments)
    made.tick(0.0)
    return made, said


def report(home, slot=0, **fields):
    path = report_path(home, slot)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**REPORT, **fields}))
    return path


def test_first_tick_starts_every_slot_with_all_apps(tmp_path):
    launcher = FakeLauncher()
    running(tmp_path, launcher, slots=(0, 1))

    assert [(0, APPS), (1, APPS)] == [(p.slot, p.apps) for p in launcher.started]


def test_tick_over_running_workers_starts_nothing(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher)
    made.tick(1.0)

    assert 1 == len(launcher.started)


@pytest.mark.parametrize(("now", "started"), [(1.49, 1), (1.5, 2), (9.0, 2)])
def test_killed_worker_is_started_again_when_its_delay_is_over(tmp_path, now, started):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher, base_s=0.5)
    launcher.started[0].ends(-9)
    made.tick(1.0)
    made.tick(now)

    assert started == len(launcher.started)


def test_killed_worker_leaves_its_neighbour_alone(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher, slots=(0, 1), base_s=0.0)
    launcher.started[0].ends(-9)
    made.tick(1.0)

    assert [0, 1, 0] == [p.slot for p in launcher.started]


def test_worker_that_dies_in_a_row_waits_longer_each_time(tmp_path):
    launcher = FakeLauncher()
    made, said = running(tmp_path, launcher, base_s=1.0, cap_s=4.0)
    for tick in (10.0, 20.0, 30.0, 40.0):
        launcher.started[-1].ends(1)
        made.tick(tick)
        made.tick(tick + 5.0)

    assert ["1.0 s", "2.0 s", "4.0 s", "4.0 s"] == [line.split(" in ")[1] for line in said]


def test_healthy_life_is_counted_from_the_real_start(tmp_path):
    launcher = FakeLauncher()
    made, said = running(tmp_path, launcher, base_s=1.0, healthy_s=60.0)
    launcher.started[-1].ends(1)
    made.tick(10.0)
    made.tick(50.0)  # late: the loop was busy
    launcher.started[-1].ends(1)
    made.tick(109.0)

    assert "worker 0 ended (exit 1): restarting in 2.0 s" == said[-1]


@pytest.mark.parametrize(("code", "how"), [(-9, "signal 9"), (1, "exit 1"), (70, "exit 70"), (0, "exit 0")])
def test_ended_worker_is_told_with_how_it_ended(tmp_path, code, how):
    launcher = FakeLauncher()
    made, said = running(tmp_path, launcher, base_s=0.5)
    launcher.started[0].ends(code)
    made.tick(1.0)

    assert [f"worker 0 ended ({how}): restarting in 0.5 s"] == said


def test_refused_configuration_is_not_started_again(tmp_path):
    launcher = FakeLauncher()
    made, said = running(tmp_path, launcher)
    launcher.started[0].ends(2)
    made.tick(1.0)
    made.tick(1000.0)

    assert (1, False) == (len(launcher.started), made.alive)
    assert "refused its configuration" in said[0]


def die_of(made, launcher, home, times, code=70, **fields):
    """The newest process ends with the same fatal report, ``times`` times."""
    for n in range(times):
        report(home, **fields)
        launcher.started[-1].ends(code)
        made.tick(100.0 * (n + 1))
        made.tick(100.0 * (n + 1) + 50.0)


def test_same_fatal_three_times_restarts_without_that_app(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher)
    die_of(made, launcher, tmp_path, 3)

    assert [APPS, APPS, APPS, ("infer", "park")] == [p.apps for p in launcher.started]


@pytest.mark.parametrize("app", ["park", "bury"])
def test_fatal_of_any_app_of_a_role_stops_that_role(tmp_path, app):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher)
    die_of(made, launcher, tmp_path, 3, app=app)

    assert ("core", "infer") == launcher.started[-1].apps


def test_fatal_of_an_unknown_app_stops_nothing(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher)
    die_of(made, launcher, tmp_path, 3, app="newer")

    assert APPS == launcher.started[-1].apps


def test_same_fatal_three_times_names_the_record(tmp_path):
    launcher = FakeLauncher()
    made, said = running(tmp_path, launcher)
    die_of(made, launcher, tmp_path, 3)

    assert "stopping 'core': hole at prompts/3/1042" in said[-1]


def test_same_fatal_in_the_only_app_leaves_nothing_to_start(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher, roles={"core": ("core",)})
    die_of(made, launcher, tmp_path, 3)

    assert (3, False) == (len(launcher.started), made.alive)


@pytest.mark.parametrize("code", [-9, 1])
def test_stale_report_beside_another_exit_code_is_not_counted(tmp_path, code):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher)
    die_of(made, launcher, tmp_path, 4, code=code)

    assert APPS == launcher.started[-1].apps


def test_report_of_an_earlier_life_is_removed_before_the_next(tmp_path):
    path = report(tmp_path)
    running(tmp_path, FakeLauncher())

    assert not path.exists()


def test_fatal_reports_of_two_slots_are_kept_apart(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher, slots=(0, 1), base_s=0.0)
    for slot in (0, 1, 0, 1):
        report(tmp_path, slot)
        next(p for p in reversed(launcher.started) if p.slot == slot).ends(70)
        made.tick(100.0)

    assert {APPS} == {p.apps for p in launcher.started}


def test_report_of_the_engine_is_read_back(tmp_path):
    assert Fatal("hole", "core", "prompts", 3, 1042) == read_report(report(tmp_path))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"app": "core"}', '{"app":1,"reason":2,"topic":3,"partition":"x"}']
)
def test_report_that_cannot_be_read_counts_as_none(tmp_path, text):
    path = tmp_path / "fatal-0.json"
    path.write_text(text)

    assert read_report(path) is None


def test_report_that_is_missing_counts_as_none(tmp_path):
    assert read_report(tmp_path / "fatal-0.json") is None


def test_pids_of_running_workers_follow_restarts(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher, slots=(0, 1), base_s=0.0)
    launcher.started[0].ends(-9)
    made.tick(1.0)

    assert {0: 1002, 1: 1001} == made.pids()


def test_stop_asks_every_worker_once_and_reaps_it(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher, slots=(0, 1))
    asyncio.run(made.stop())

    assert [(["TERM"], True)] * 2 == [(p.signals, p.reaped) for p in launcher.started]


def test_stop_kills_a_worker_that_does_not_end_in_time(tmp_path):
    launcher = FakeLauncher(stubborn=True)
    made, _ = running(tmp_path, launcher)
    asyncio.run(made.stop(grace_s=0.05))

    assert (["TERM", "KILL"], True) == (launcher.started[0].signals, launcher.started[0].reaped)


def test_stopped_supervisor_starts_nothing_again(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher)
    asyncio.run(made.stop())
    made.tick(1000.0)

    assert (1, {}, False) == (len(launcher.started), made.pids(), made.alive)


def test_stop_with_a_worker_waiting_for_its_restart_starts_nothing(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher, base_s=5.0)
    launcher.started[0].ends(-9)
    made.tick(1.0)
    asyncio.run(made.stop())
    made.tick(1000.0)

    assert 1 == len(launcher.started)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([-9, 0, 1, 2, 70])), max_size=30))
def test_any_row_of_exits_never_runs_a_slot_twice(tmp_path_factory, exits):
    launcher, now = FakeLauncher(), 0.0
    made, _ = running(tmp_path_factory.mktemp("home"), launcher, slots=(0, 1, 2))
    for slot, code in exits:
        now += 1.0
        for process in [p for p in launcher.started if p.slot == slot][-1:]:
            process.ends(code)
        made.tick(now)

    assert len(made.pids()) <= 3


def test_fatal_without_a_record_never_stops_an_app(tmp_path):
    launcher = FakeLauncher()
    made, _ = running(tmp_path, launcher)
    die_of(made, launcher, tmp_path, 5, topic=None, partition=None, offset=None)

    assert APPS == launcher.started[-1].apps
