"""Do the imports keep the layers of the design? import-linter checks the contracts of pyproject.toml."""

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.tree import ROOT, production

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]


def test_import_contracts_of_the_project_are_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr


def test_layers_in_the_contract_are_exhaustive() -> None:
    (layers,) = [contract for contract in SETTINGS["contracts"] if contract["type"] == "layers"]
    listed = {name.strip() for row in layers["layers"] for name in row.replace(":", "|").split("|")}
    there = {
        path.relative_to(ROOT / "streams").parts[0].removesuffix(".py")
        for path in production()
        if "streams" in path.parts[len(ROOT.parts)]
    }

    assert layers["exhaustive"] is True
    assert set() == there - listed - {"__init__", *layers["exhaustive_ignores"]}


def test_faust_and_aiokafka_are_imported_in_the_engine_alone() -> None:
    outside = [path for path in production() if "engine" not in path.parts]
    users = [path.name for path in outside if any(is_fenced(line) for line in path.read_text("utf-8").splitlines())]

    assert [] == users


def is_fenced(line: str) -> bool:
    words = line.split()
    return words[:1] in (["import"], ["from"]) and words[1].split(".")[0] in {"faust", "aiokafka", "mode"}
