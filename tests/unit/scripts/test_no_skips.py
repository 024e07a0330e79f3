"""In CI, does each way of not running a test become a failure, and is it left alone elsewhere?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT

SUITE = """
import pytest
def test_skips_itself(): pytest.skip("reason")
@pytest.mark.skip(reason="reason")
def test_skipped(): ...
@pytest.mark.xfail(reason="reason")
def test_expected_to_fail(): assert False
@pytest.fixture
def absent(): pytest.skip("reason")
def test_without_its_fixture(absent): ...
def test_runs(): ...
"""


def last_line(tmp_path: Path, ci: str) -> str:
    (tmp_path / "test_suite.py").write_text(SUITE)
    line = [sys.executable, "-m", "pytest", "-p", "tests.support.no_skips", "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[-1].strip("= ").rsplit(" in ", 1)[0]


@pytest.mark.parametrize(
    ("expected", "ci"), [("2 failed, 1 passed, 2 errors", "true"), ("1 passed, 3 skipped, 1 xfailed", "")]
)
def test_suite_with_skips_fails_in_ci_alone(tmp_path: Path, expected: str, ci: str) -> None:
    assert expected == last_line(tmp_path, ci)
