"""Does each dependency have its reason beside it, and somebody who imports it?"""

import ast
import re
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.support.tree import ROOT, parsed, production

TEXT = (ROOT / "pyproject.toml").read_text("utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
IMPORTED_BY_US = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["local"]]
EVERYTHING = [*IMPORTED_BY_US, *PROJECT["optional-dependencies"]["dev"]]


def distribution(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    return found[0].lower().replace("_", "-") if found else ""


def imported() -> set[str]:
    """Top-level modules that production code imports."""
    nodes = [node for path in production() for node in ast.walk(parsed(path))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}}


@pytest.mark.parametrize("requirement", EVERYTHING, ids=distribution)
def test_dependency_in_pyproject_has_its_reason_above_or_beside(requirement: str) -> None:
    lines = TEXT.splitlines()
    at = next(number for number, line in enumerate(lines) if f'"{requirement}"' in line)

    assert lines[at - 1].strip().startswith("# ") or re.search(r'",\s+# \w', lines[at])


@pytest.mark.parametrize("requirement", IMPORTED_BY_US, ids=distribution)
def test_dependency_of_production_is_imported_there(requirement: str) -> None:
    modules = {
        module
        for module, owners in packages_distributions().items()
        if distribution(requirement) in {owner.lower().replace("_", "-") for owner in owners}
    }

    assert modules & imported()
