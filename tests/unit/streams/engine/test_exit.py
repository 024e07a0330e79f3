"""Ending the process, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from streams.engine.exit import EXIT_CODE, Fatal, Reason, report_path
from tests.support.tree import ROOT

ENDING = """
import atexit, json, logging, sys
from pathlib import Path
from streams.engine.exit import Fatal, end_process

class Broken(logging.Handler):
    def emit(self, record): raise OSError(28, "No space left on device")
    def flush(self): raise RuntimeError("no")

kind, report, fatal = json.loads(sys.argv[1])
logging.basicConfig(stream=sys.stderr, level=logging.CRITICAL, format="%(message)s %(action)s")
if kind == "broken log":
    logging.getLogger().addHandler(Broken())
atexit.register(print, "cleaned up", flush=True)
try:
    end_process(Fatal(**fatal), Path(report) if report else None)
except SystemExit:
    print("an exception, which could be caught", flush=True)
finally:
    print("went on", flush=True)
"""
RECORD: dict[str, Any] = {"topic": "prompts.admitted", "partition": 3, "offset": 1042}


def ended(
    reason: str = "hole_in_offsets", report: Path | None = None, kind: str = "", **place: Any
) -> subprocess.CompletedProcess[str]:
    """A process that met something fatal."""
    fatal = {"reason": reason, "app": "core", "detail": "expected 416, got 606", **place}
    given = json.dumps([kind, str(report) if report else None, fatal])
    return subprocess.run([sys.executable, "-c", ENDING, given], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("reason", get_args(Reason))
def test_end_process_any_reason_exits_70_with_report(reason: str, tmp_path: Path) -> None:
    path = report_path(tmp_path, 0)
    code = ended(reason, path, **RECORD).returncode

    expected = {"reason": reason, "app": "core", "detail": "expected 416, got 606", **RECORD}
    assert (70, expected) == (code, json.loads(path.read_text()))


def test_reasons_to_end_a_process_are_a_closed_list() -> None:
    known = {"cannot_deliver", "hole_in_offsets", "log_starts_later", "lost_group", "crashed_consumer"}

    assert (known, 70) == (set(get_args(Reason)), EXIT_CODE)


def test_end_process_runs_no_clean_up_that_could_commit(tmp_path: Path) -> None:
    assert "" == ended(report=report_path(tmp_path, 0)).stdout


def test_end_process_says_so_in_the_log(tmp_path: Path) -> None:
    said = ended(report=report_path(tmp_path, 0)).stderr

    assert "ending the process: hole_in_offsets: expected 416, got 606 fatal\n" == said


def test_end_process_without_a_report_exits_70_too() -> None:
    assert EXIT_CODE == ended().returncode


def test_end_process_without_a_record_reports_none(tmp_path: Path) -> None:
    path = report_path(tmp_path, 0)
    ended("lost_group", path)
    said = json.loads(path.read_text())

    assert [None, None, None] == [said[name] for name in RECORD]


def test_end_process_makes_the_directory_of_its_report(tmp_path: Path) -> None:
    path = report_path(tmp_path / "not" / "there", 0)
    ended(report=path)

    assert path.is_file()


def test_end_process_replaces_the_last_report(tmp_path: Path) -> None:
    path = report_path(tmp_path, 0)
    path.write_text("x" * 5000)
    ended("lost_group", path)

    assert "lost_group" == json.loads(path.read_text())["reason"]


def test_end_process_that_cannot_write_its_report_still_exits_70(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    done = ended(report=report_path(file, 0))

    assert (EXIT_CODE, "", True) == (done.returncode, done.stdout, done.stderr.startswith("ending the process"))


def test_end_process_with_a_log_that_cannot_be_written_still_exits_70(tmp_path: Path) -> None:
    path = report_path(tmp_path, 0)
    done = ended(report=path, kind="broken log")

    assert (EXIT_CODE, "", True) == (done.returncode, done.stdout, path.is_file())


@pytest.mark.parametrize(("slot", "name"), [(0, "fatal-0.json"), (12, "fatal-12.json")])
def test_report_path_is_one_of_each_slot(slot: int, name: str, tmp_path: Path) -> None:
    assert tmp_path / name == report_path(tmp_path, slot)


def test_fatal_cannot_be_changed_after_the_fact() -> None:
    fatal = Fatal("lost_group", "core", "why")

    with pytest.raises(AttributeError):
        fatal.app = "infer"  # type: ignore[misc]  # the claim
