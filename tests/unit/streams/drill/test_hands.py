"""A worker's settings and command, and what its log tells."""

import sys
import tomllib

import pytest

from streams.drill.account import Move
from streams.drill.hands import Hands, Size, command, lines_of, moves, toml
from streams.settings import load
from tests.support.loops import in_loop

URL = "http://127.0.0.1:4711"


def hands(directory, **fields):
    return Hands(directory, "127.0.0.1:9092", URL, Size(**fields), ())


def wrote(directory, slot, *lines):
    (directory / f"worker-{slot}.log").write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("topics", "partitions", 8),
        ("worker", "session_timeout_s", 6),
        ("worker", "static_membership", True),
        ("provider", "kind", "openai"),
    ],
)
def test_settings_of_a_worker_name_what_a_drill_needs(section, name, value):
    assert value == tomllib.loads(toml(0, URL, Size()))[section][name]


@pytest.mark.parametrize("slot", [0, 3])
def test_key_of_a_worker_tells_who_called(slot):
    found = tomllib.loads(toml(slot, URL, Size()))["provider"]["openai"]

    assert (f"worker-{slot}", f"{URL}/v1") == (found["api_key"], found["base_url"])


@pytest.mark.parametrize(("slot", "static"), [(0, True), (1, True), (2, False), (3, False)])
def test_spare_workers_join_and_leave_freely(slot, static):
    assert static == tomllib.loads(toml(slot, URL, Size(workers=2)))["worker"]["static_membership"]


def test_all_workers_ask_for_the_same_model():
    models = {tomllib.loads(toml(slot, URL, Size()))["provider"]["openai"]["model"] for slot in range(4)}

    assert {"drill"} == models


def test_more_settings_go_into_their_sections():
    found = tomllib.loads(toml(0, URL, Size(settings={"worker": "grace_s = 1", "infer": "in_flight = 7"})))

    assert (1, 6, 7) == (found["worker"]["grace_s"], found["worker"]["session_timeout_s"], found["infer"]["in_flight"])


def test_settings_of_a_worker_are_valid_ones(tmp_path):
    (tmp_path / "streams.toml").write_text(toml(1, URL, Size()))
    found = load({}, {}, tmp_path).settings

    assert ("openai", "worker-1") == (found.provider.kind, found.provider.openai.api_key.get_secret_value())


def test_command_keeps_the_settings_of_the_user_out():
    words = command(("streams",), (), ["PATH", "STREAMS_PROVIDER__OPENAI__API_KEY", "KAFKA_BOOTSTRAP_SERVERS"])

    assert ["env", "-u", "KAFKA_BOOTSTRAP_SERVERS", "-u", "STREAMS_PROVIDER__OPENAI__API_KEY", sys.executable] == words[
        :6
    ]


def test_command_without_foreign_settings_unsets_nothing():
    assert "-u" not in command(("streams",), (), ["PATH", "HOME"])


def test_command_runs_the_worker_of_a_module_with_its_flags():
    words = command(("other.module", "--point"), ("--slot", "1"), ())

    assert ["-P", "-m", "other.module", "--point", "worker", "--slot", "1"] == words[2:]


def test_every_slot_has_a_port_of_its_own(tmp_path):
    ports = hands(tmp_path, workers=4, spares=2).ports

    assert (6, 6) == (len(ports), len(set(ports.values())))


def test_started_worker_has_a_directory_log_and_settings_of_its_own(tmp_path):
    process = hands(tmp_path)(1, ("timeit", "-n", "1", "-r", "1"))
    process.wait(30)

    assert (tmp_path / "worker-1" / "streams.toml").exists()
    assert (tmp_path / "worker-1.log").exists()


@in_loop
async def test_worker_that_nobody_started_is_not_ready(tmp_path):
    assert not await hands(tmp_path).ready([0, 1])


@in_loop
async def test_nobody_at_all_is_ready(tmp_path):
    assert await hands(tmp_path).ready([])


def test_lines_of_all_workers_are_told(tmp_path):
    wrote(tmp_path, 0, '{"action": "ready", "slot": 0}')
    wrote(tmp_path, 1, '{"action": "ready", "slot": 1}')

    assert [0, 1] == [line["slot"] for line in hands(tmp_path).told()]


def test_complaint_of_each_worker_is_told(tmp_path):
    wrote(tmp_path, 0, "error: no topics")
    wrote(tmp_path, 1, "fine")
    told = hands(tmp_path).complaint()

    assert "error: no topics" in told
    assert "worker-1.log" in told


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (b"", []),
        (b'{"a": 1}\n', [{"a": 1}]),
        (b'{"a": 1}\n{"a"', [{"a": 1}]),
        (b"Traceback\n" + b'{"a": 1}\n', [{"a": 1}]),
        (b"7\n[1]\nnull\n", []),
        (b'\xff\xfe\n{"a": 1}\n', [{"a": 1}]),
    ],
)
def test_lines_of_a_log_are_the_json_objects_in_it(log, found):
    assert found == list(lines_of(log))


AT = {"time": "2026-01-31T12:00:00.5Z", "worker": "worker-1"}


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        ([], []),
        ([{"action": "rebalanced", "outputs": 3, **AT}, {"action": "rebalanced", "outputs": 2, **AT}], [3, 2]),
        ([{"action": "rebalanced", "outputs": 0, **AT}], []),
        ([{"action": "rebalanced"}], []),
        ([{"action": "cancelled", "outputs": 3, **AT}], []),
        ([{"action": "rebalanced", "outputs": "3", **AT}], []),
    ],
)
def test_moves_are_rebalances_that_took_calls(lines, counts):
    assert counts == [move.count for move in moves(lines)]


def test_move_tells_whose_calls_were_given_up_and_when():
    assert [Move("worker-1", 1769860800.5, 4)] == moves([{"action": "rebalanced", "outputs": 4, **AT}])


def test_lines_of_a_worker_tell_whose_they_are(tmp_path):
    wrote(tmp_path, 1, '{"action": "ready"}')

    assert [{"action": "ready", "worker": "worker-1"}] == list(hands(tmp_path).told())


def test_other_command_is_run_over_the_same_cluster(tmp_path):
    process = hands(tmp_path).run("config", "nonsense")
    process.wait(60)

    assert 2 == process.returncode
    assert "nonsense" in (tmp_path / "config.log").read_text()
