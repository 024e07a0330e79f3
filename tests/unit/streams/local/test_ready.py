import json
import os
import re
import subprocess
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.local import ready
from streams.local.ready import Up


def up(**changes: object) -> Up:
    mine = Up("127.0.0.1:19092", os.getpid(), "http://127.0.0.1:9464/metrics", "/p/.streams", ready.now())
    return replace(mine, **changes)  # type: ignore[arg-type] # the caller's


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def ended_pid() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def test_written_installation_is_read_back(tmp_path: Path) -> None:
    ready.write(tmp_path, up())

    assert up(started=ready.read(tmp_path).started) == ready.read(tmp_path)


@given(st.text(), st.text(), st.text())
def test_any_text_of_an_installation_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, brokers: str, metrics: str, logs: str
) -> None:
    folder, mine = tmp_path_factory.mktemp("up"), up(brokers=brokers, metrics=metrics, logs=logs)
    ready.write(folder, mine)

    assert mine == ready.read(folder)


def test_file_has_exactly_the_promised_fields(tmp_path: Path) -> None:
    path = ready.write(tmp_path / ".streams", up())

    assert ["brokers", "pid", "metrics", "logs", "started"] == list(json.loads(path.read_text()))


def test_write_leaves_no_other_file(tmp_path: Path) -> None:
    ready.write(tmp_path, up())
    ready.write(tmp_path, up(brokers="127.0.0.1:1"))

    assert ["up.json"] == names_in(tmp_path)


def test_start_time_is_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ready.now())


def test_installation_of_dead_process_is_ignored(tmp_path: Path) -> None:
    ready.write(tmp_path, up(pid=ended_pid()))

    assert ready.read(tmp_path) is None


def test_installation_of_zombie_is_ignored(tmp_path: Path) -> None:
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    ready.write(tmp_path, up(pid=zombie.pid))
    found = ready.read(tmp_path)
    zombie.wait()

    assert found is None


def test_installation_older_than_the_process_with_its_number_is_ignored(tmp_path: Path) -> None:
    ready.write(tmp_path, up(started=datetime(2020, 1, 1, tzinfo=UTC).isoformat()))

    assert ready.read(tmp_path) is None


@pytest.mark.parametrize("started", ["", "yesterday", 5, None])
def test_installation_with_unreadable_start_is_ignored(tmp_path: Path, started: object) -> None:
    ready.write(tmp_path, up(started=started))

    assert ready.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "null", "{}", '{"brokers": "b"}', '{"pid": 1, "surprise": 2}'])
def test_file_that_is_no_installation_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "up.json").write_text(content)

    assert ready.read(tmp_path) is None


def test_missing_file_is_no_installation(tmp_path: Path) -> None:
    assert ready.read(tmp_path) is None


@pytest.mark.parametrize("below", ["", "a", "a/b/c"])
def test_nearest_installation_is_found_from_below(tmp_path: Path, below: str) -> None:
    ready.write(tmp_path / ".streams", up(brokers="127.0.0.1:1"))
    (tmp_path / below).mkdir(parents=True, exist_ok=True)

    assert "127.0.0.1:1" == ready.nearest(tmp_path / below).brokers


def test_nearest_installation_wins_over_one_above(tmp_path: Path) -> None:
    ready.write(tmp_path / ".streams", up(brokers="far"))
    ready.write(tmp_path / "a" / ".streams", up(brokers="near"))

    assert "near" == ready.nearest(tmp_path / "a" / "b").brokers


def test_dead_installation_nearby_does_not_hide_a_running_one_above(tmp_path: Path) -> None:
    ready.write(tmp_path / ".streams", up(brokers="running"))
    ready.write(tmp_path / "a" / ".streams", up(pid=ended_pid()))

    assert "running" == ready.nearest(tmp_path / "a").brokers


def test_place_without_any_installation_finds_none(tmp_path: Path) -> None:
    assert ready.nearest(tmp_path) is None


def test_own_installation_is_removed(tmp_path: Path) -> None:
    ready.write(tmp_path, up())

    ready.remove(tmp_path, os.getpid())

    assert [] == names_in(tmp_path)


def test_installation_of_another_running_process_stays(tmp_path: Path) -> None:
    ready.write(tmp_path, up(pid=os.getppid()))

    ready.remove(tmp_path, os.getpid())

    assert ["up.json"] == names_in(tmp_path)


def test_installation_of_dead_process_is_removed_by_anyone(tmp_path: Path) -> None:
    ready.write(tmp_path, up(pid=ended_pid()))

    ready.remove(tmp_path, os.getpid())

    assert [] == names_in(tmp_path)


def test_removal_of_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    ready.remove(tmp_path, os.getpid())

    assert [] == names_in(tmp_path)


def test_asdict_of_installation_is_what_is_written(tmp_path: Path) -> None:
    mine = up()

    assert asdict(mine) == json.loads(ready.write(tmp_path, mine).read_text())
