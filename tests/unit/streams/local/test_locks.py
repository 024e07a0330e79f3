import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.local import locks

HOLD = """
import sys, pathlib
from streams.local import locks
locks.try_lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield holder
        finally:
            holder.kill()


def test_free_lock_when_tried_is_taken(tmp_path: Path) -> None:
    lock = locks.try_lock(tmp_path / "lock")

    assert lock is not None
    os.close(lock)


def test_lock_below_missing_directory_creates_it(tmp_path: Path) -> None:
    lock = locks.try_lock(tmp_path / "a" / "b" / "lock")

    assert lock is not None
    os.close(lock)


def test_lock_of_another_process_when_tried_is_refused(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path / "lock"):
        assert locks.try_lock(tmp_path / "lock") is None


def test_refused_lock_leaves_no_descriptor_open(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path / "lock"):
        before = len(list(Path("/proc/self/fd").iterdir()))
        locks.try_lock(tmp_path / "lock")

        assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_lock_of_killed_process_when_waited_for_is_taken(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path / "lock") as holder:
        threading.Timer(0.1, holder.kill).start()
        lock = locks.try_lock(tmp_path / "lock", patience_s=5.0)

    assert lock is not None
    os.close(lock)


def test_turn_without_competition_does_not_say_that_it_waits(tmp_path: Path) -> None:
    said: list[str] = []
    with locks.turn(tmp_path / "lock", lambda: said.append("waiting")):
        pass

    assert [] == said


def test_turn_behind_another_process_says_once_that_it_waits(tmp_path: Path) -> None:
    said: list[str] = []
    with held_by_another_process(tmp_path / "lock") as holder:

        def waiting() -> None:
            said.append("waiting")
            holder.kill()

        with locks.turn(tmp_path / "lock", waiting):
            pass

    assert ["waiting"] == said


def test_turn_that_raises_frees_its_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locks.turn(tmp_path / "lock", lambda: None):
        raise KeyError

    lock = locks.try_lock(tmp_path / "lock")

    assert lock is not None
    os.close(lock)
