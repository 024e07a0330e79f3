import signal
import time
from pathlib import Path

import pytest

from streams.local import child
from topics.errors import LocalKafkaError


def shell(folder: Path, script: str) -> child.Child:
    return child.start("the child", ["/bin/sh", "-c", script], log=folder / "logs" / "child.log", cwd=folder)


def state_of(process: child.Child) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_for_state(process: child.Child, wanted: str) -> str:
    end = time.monotonic() + 5
    while state_of(process) not in wanted and time.monotonic() < end:
        time.sleep(0.01)  # why: polls, bounded by a deadline
    return state_of(process)


def test_child_that_writes_the_line_is_waited_for(tmp_path: Path) -> None:
    running = shell(tmp_path, "sleep 0.1; echo now ready; sleep 100")

    running.wait_for_line("now ready", 5)

    assert running.alive
    running.end(signal.SIGKILL, 5)


def test_child_that_writes_to_standard_error_is_logged(tmp_path: Path) -> None:
    running = shell(tmp_path, "echo broken >&2")
    running.process.wait(5)

    assert "broken\n" == running.log.read_text()


def test_child_that_ends_before_the_line_raises_with_its_exit_code(tmp_path: Path) -> None:
    with pytest.raises(LocalKafkaError, match="the child ended with 3 on start"):
        shell(tmp_path, "exit 3").wait_for_line("ready", 5)


def test_child_that_is_silent_too_long_raises_and_goes_on(tmp_path: Path) -> None:
    running = shell(tmp_path, "echo almost; sleep 100")

    with pytest.raises(LocalKafkaError, match=r"the child was not ready within 0\.2 s"):
        running.wait_for_line("ready", 0.2)

    assert running.alive
    running.end(signal.SIGKILL, 5)


def test_complaint_of_child_with_errors_quotes_them_and_names_the_log(tmp_path: Path) -> None:
    running = shell(tmp_path, "echo fine; echo 12:00 ERROR no disk; echo at java.Thing; echo java.io.IOException: full")
    running.process.wait(5)

    assert (
        f"12:00 ERROR no disk | java.io.IOException: full | full log: {tmp_path}/logs/child.log" == running.complaint()
    )


def test_complaint_of_child_without_errors_quotes_its_last_lines(tmp_path: Path) -> None:
    running = shell(tmp_path, "for i in 1 2 3 4 5 6 7; do echo line $i; done")
    running.process.wait(5)

    assert running.complaint().startswith("line 3 | line 4 | line 5 | line 6 | line 7 | full log")


def test_second_start_keeps_the_log_of_the_first(tmp_path: Path) -> None:
    shell(tmp_path, "echo first").process.wait(5)
    shell(tmp_path, "echo second").process.wait(5)

    assert ("first\n", "second\n") == tuple(
        (tmp_path / "logs" / name).read_text() for name in ("child.log.1", "child.log")
    )


def test_end_of_child_returns_its_exit_code(tmp_path: Path) -> None:
    running = shell(tmp_path, "trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done")
    running.wait_for_line("up", 5)

    assert 9 == running.end(signal.SIGTERM, 5)


def test_end_of_child_that_ignores_the_request_kills_it(tmp_path: Path) -> None:
    running = shell(tmp_path, "trap '' TERM; echo up; while :; do sleep 0.01; done")
    running.wait_for_line("up", 5)

    assert -signal.SIGKILL == running.end(signal.SIGTERM, 0.1)


def test_end_of_stopped_child_wakes_it_to_end_in_order(tmp_path: Path) -> None:
    running = shell(tmp_path, "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done")
    running.wait_for_line("up", 5)
    running.signal(signal.SIGSTOP)

    assert 0 == running.end(signal.SIGTERM, 5)


def test_end_of_child_that_already_ended_returns_its_code(tmp_path: Path) -> None:
    running = shell(tmp_path, "exit 4")
    running.process.wait(5)

    assert 4 == running.end(signal.SIGTERM, 5)


def test_stop_signal_when_sent_freezes_the_child(tmp_path: Path) -> None:
    running = shell(tmp_path, "sleep 100")
    running.signal(signal.SIGSTOP)

    assert "T" == wait_for_state(running, "T")
    running.end(signal.SIGKILL, 5)


def test_memory_of_running_child_is_positive(tmp_path: Path) -> None:
    running = child.start(
        "python", ["python3", "-c", "print('up', flush=True); input()"], log=tmp_path / "l", cwd=tmp_path
    )

    assert 0 <= running.rss_mb < 100
    running.end(signal.SIGKILL, 5)


def test_program_that_does_not_exist_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(LocalKafkaError, match="the child cannot be started"):
        child.start("the child", [str(tmp_path / "nothing")], log=tmp_path / "log", cwd=tmp_path)
