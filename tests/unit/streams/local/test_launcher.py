import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from streams.local import launcher

PARENT = """
import pathlib, sys, threading
from streams.local import launcher
folder = pathlib.Path(sys.argv[1])
def start():
    print(launcher.spawn(["sleep", "100"], log=folder / "log", cwd=folder).pid, flush=True)
starter = threading.Thread(target=start)
starter.start()
starter.join()
sys.stdin.read()
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < end:
        time.sleep(0.01)  # why: polls, bounded by a deadline
    return not runs(pid)


def sleeper(folder: Path, **more: object) -> "subprocess.Popen[bytes]":
    return launcher.spawn(["sleep", "100"], log=folder / "log", cwd=folder, **more)  # type: ignore[arg-type] # as given


def test_child_of_killed_parent_dies(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], stdin=-1, stdout=-1) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        lived = runs(child)
        parent.kill()

    assert (True, True) == (lived, gone_within(child, 5))


def test_child_whose_starting_thread_ended_lives_on(tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(sleeper(tmp_path)))
    thread.start()
    thread.join()

    assert not gone_within(started[0].pid, 0.2)
    started[0].kill()
    started[0].wait()


def test_children_of_several_threads_share_one_launching_thread(tmp_path: Path) -> None:
    children = [sleeper(tmp_path) for _ in range(3)]
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("launcher")]
    for child in children:
        child.kill()
        child.wait()

    assert 1 == len(threads)


def test_child_in_own_session_is_spared_by_terminal_signals(tmp_path: Path) -> None:
    child = sleeper(tmp_path)
    session = os.getsid(child.pid)
    child.kill()
    child.wait()

    assert child.pid == session


def test_child_inherits_only_the_descriptors_named(tmp_path: Path) -> None:
    kept, other = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    child = sleeper(tmp_path, keep_open=[kept])
    seen = {int(link.name) for link in Path(f"/proc/{child.pid}/fd").iterdir()}
    child.kill()
    child.wait()
    os.close(kept)
    os.close(other)

    assert ({kept}, set()) == ({kept} & seen, {other} & seen)


def test_child_in_forked_process_gets_a_launching_thread_of_its_own(tmp_path: Path) -> None:
    script = (
        f"import os, pathlib; from streams.local import launcher; f = pathlib.Path({str(tmp_path)!r})\n"
        "start = lambda: launcher.spawn(['true'], log=f / 'log', cwd=f).wait()\n"
        "start()\n"
        "pid = os.fork()\n"
        "raise SystemExit(start() if pid == 0 else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )

    assert 0 == subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=20, check=False).returncode


def test_killed_child_reports_its_signal(tmp_path: Path) -> None:
    child = sleeper(tmp_path)
    child.send_signal(signal.SIGKILL)

    assert -signal.SIGKILL == child.wait(5)
