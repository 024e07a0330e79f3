"""Do the commands make their environment once, say what is missing, and pass on what they are given, from anywhere?"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.tree import ROOT

TOOLS = ("bash", "cat", "chmod", "cut", "dirname", "flock", "grep", "mkdir", "sha256sum")
PYTHON = r"""#!/usr/bin/env bash
echo "$*" >>"$CALLS"
case "$*" in
  "-m venv --clear .venv") mkdir -p .venv/bin && cat "$0" >.venv/bin/python && chmod +x .venv/bin/python ;;
  -V) echo "Python 3.12.0" ;;
esac
"""
WITHOUT_VENV = '#!/usr/bin/env bash\ncase "$*" in *ensurepip*) exit 1 ;; esac\n'
TOO_OLD = '#!/usr/bin/env bash\nif [ "$1" = -V ]; then echo "Python 3.9.2"; else exit 1; fi\n'


class Machine:
    """A checkout under a path with spaces, and a PATH that holds only what a test puts there."""

    def __init__(self, home: Path) -> None:
        self.root, self.bin, self.calls = home / "a check out", home / "bin", home / "calls"
        self.calls.touch()
        self.bin.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts", ignore=shutil.ignore_patterns("gates", "__pycache__"))
        (self.root / "pyproject.toml").write_text("one\n")
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)

    def has(self, name: str, text: str = PYTHON) -> "Machine":
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)
        return self

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run from a directory that is not the checkout."""
        line = ["bash", str(self.root / "scripts" / command), *arguments]
        environment = {"PATH": str(self.bin), "CALLS": str(self.calls)}
        return subprocess.run(line, cwd="/", env=environment, capture_output=True, text=True, check=False)

    def called(self) -> list[str]:
        """What the interpreters were asked to do since the last question, checks of their version left out."""
        lines = [line for line in self.calls.read_text().splitlines() if not line.startswith(("-c ", "-V"))]
        self.calls.write_text("")
        return lines


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def install(extras: str) -> str:
    return f"-m pip install --quiet --disable-pip-version-check --no-compile -e .[{extras}]"


def test_up_on_a_bare_machine_makes_the_environment_and_starts(machine: Machine) -> None:
    done = machine.has("python3.12").run("up.sh")

    assert ["-m venv --clear .venv", install("local"), "-P -m streams up --demo"] == machine.called()
    assert 0 == done.returncode


def test_up_with_a_ready_environment_only_starts(machine: Machine) -> None:
    machine.has("python3").run("up.sh")
    machine.called()
    done = machine.run("up.sh")

    assert ["-P -m streams up --demo"] == machine.called()
    assert "" == done.stdout


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ("up --demo --workers 2", ["--workers", "2"]),
        ("up --no-demo", ["--no-demo"]),
        ("up --provider echo --demo", ["--provider", "echo", "--demo"]),
    ],
)
def test_up_with_arguments_passes_them_on(machine: Machine, expected: str, arguments: list[str]) -> None:
    machine.has("python3.11").run("up.sh", *arguments)

    assert f"-P -m streams {expected}" == machine.called()[-1]


def test_environment_after_a_change_of_pyproject_is_installed_anew(machine: Machine) -> None:
    machine.has("python3.11").run("up.sh")
    machine.called()
    (machine.root / "pyproject.toml").write_text("two\n")
    machine.run("up.sh")

    assert install("local") == machine.called()[0]


@pytest.mark.parametrize(
    ("expected", "first", "second"),
    [(install("local,dev"), "up.sh", "test.sh"), ("-P -m streams up --demo", "test.sh", "up.sh")],
)
def test_environment_for_tests_holds_that_of_up(machine: Machine, expected: str, first: str, second: str) -> None:
    machine.has("python3.11").run(first)
    machine.called()
    machine.run(second)

    assert expected == machine.called()[0]


def test_environment_of_a_moved_checkout_is_made_anew(machine: Machine, tmp_path: Path) -> None:
    machine.has("python3.11").run("up.sh")
    machine.called()
    machine.root = machine.root.rename(tmp_path / "elsewhere")
    machine.run("up.sh")

    assert "-m venv --clear .venv" == machine.called()[0]


def test_install_that_fails_is_tried_again_next_time(machine: Machine) -> None:
    failing = PYTHON.replace("esac", '  *"pip install"*) exit 1 ;;\nesac')
    failed = machine.has("python3.11", failing).run("up.sh")
    shutil.rmtree(machine.root / ".venv")
    machine.called()
    machine.has("python3.11").run("up.sh")

    assert 1 == failed.returncode
    assert install("local") in machine.called()


@pytest.mark.parametrize(
    ("expected", "name", "text"),
    [
        ("Missing: Python 3.11, 3.12 or 3.13 (found: Python 3.9.2)", "python3", TOO_OLD),
        ("apt-get install python3.12-venv", "python3.12", WITHOUT_VENV),
        ("Missing: the venv module of python3.", "python3", WITHOUT_VENV),
    ],
)
def test_up_without_a_usable_python_says_what_is_missing(machine: Machine, expected: str, name: str, text: str) -> None:
    done = machine.has(name, text).run("up.sh")

    assert 1 == done.returncode
    assert expected in done.stderr


def test_streams_without_an_environment_names_the_command(machine: Machine) -> None:
    done = machine.run("streams", "status")

    assert 1 == done.returncode
    assert "./scripts/up.sh" in done.stderr


def test_streams_with_an_environment_passes_everything_on(machine: Machine) -> None:
    machine.has("python3.11").run("up.sh")
    machine.run("streams", "submit", "two words", "--wait")

    assert "-P -m streams submit two words --wait" == machine.called()[-1]


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("scripts/*.sh")), ROOT / ".ci/run"], ids=lambda path: path.name)
def test_script_of_the_project_parses_and_has_its_mode(path: Path) -> None:
    sourced = path.read_text("utf-8").startswith("# Sourced")

    assert 0 == subprocess.run(["bash", "-n", path], check=False).returncode
    assert os.access(path, os.X_OK) is not sourced
