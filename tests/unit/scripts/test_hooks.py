"""Do the hooks write the figures, measure an amended commit from its parent, and refuse what has not the form?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT

GOOD = "[feat] add a thing\n\nBecause it was missing."


class Checkout:
    """A repository with our hooks switched on; the cheap gates are replaced by ones that a test chooses."""

    def __init__(self, root: Path) -> None:
        self.root = root / "a check out"
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "scripts", self.root / "scripts", ignore=caches)
        shutil.copytree(ROOT / ".githooks", self.root / ".githooks")
        self.gates("true")
        self.git("init", "--quiet", "--initial-branch=main")
        subprocess.run([self.root / "scripts/hooks.sh"], check=True, capture_output=True)

    def gates(self, verdict: str) -> None:
        (self.root / "scripts/pre_commit.sh").write_text(f"#!/usr/bin/env bash\n{verdict}\n")

    def git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment = {**clean, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        line = ["git", *who, *arguments]
        return subprocess.run(line, cwd=self.root, capture_output=True, text=True, check=False, env=environment)

    def stage(self, name: str, lines: int) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text("".join(f"x{n} = {n}\n" for n in range(lines)))
        self.git("add", name)

    def last_line(self) -> str:
        return self.git("log", "-1", "--format=%B").stdout.strip().splitlines()[-1]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_first_commit_with_a_good_message_gets_its_figures(checkout: Checkout) -> None:
    checkout.stage("topics/a.py", 4)
    checkout.stage("tests/test_a.py", 6)
    done = checkout.git("commit", "--message", GOOD)

    assert 0 == done.returncode, done.stderr
    assert "Test coverage: +4 lines production, +6 lines tests (ratio: 1.50:1)" == checkout.last_line()


def test_amended_commit_after_another_is_measured_from_its_parent(checkout: Checkout) -> None:
    checkout.stage("topics/a.py", 1)
    checkout.git("commit", "--message", GOOD)
    checkout.stage("topics/b.py", 2)
    checkout.git("commit", "--message", GOOD)
    checkout.stage("tests/test_b.py", 3)
    checkout.git("commit", "--amend", "--no-edit")

    assert "Test coverage: +2 lines production, +3 lines tests (ratio: 1.50:1)" == checkout.last_line()


def test_commit_with_a_path_given_is_measured_by_that_path(checkout: Checkout) -> None:
    checkout.stage("topics/a.py", 1)
    checkout.stage("topics/b.py", 2)
    checkout.git("commit", "--message", GOOD, "topics/b.py")

    assert "Test coverage: +2 lines production, +0 lines tests (ratio: 0.00:1)" == checkout.last_line()


def test_commit_with_a_bad_message_is_refused(checkout: Checkout) -> None:
    checkout.stage("topics/a.py", 1)
    done = checkout.git("commit", "--message", "stuff")

    assert 0 != done.returncode
    assert "the first line must be" in done.stdout + done.stderr


def test_commit_with_a_red_gate_is_refused(checkout: Checkout) -> None:
    checkout.gates("exit 1")
    checkout.stage("topics/a.py", 1)

    assert 0 != checkout.git("commit", "--message", GOOD).returncode
