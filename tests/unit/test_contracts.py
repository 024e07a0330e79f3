"""Do stages and engine modules open with a contract whose every guarantee is proven by a test that exists?"""

import ast
from pathlib import Path

import pytest

from scripts.gates.contracts import parse
from tests.support.tree import ROOT, claims, name_of, parsed, production

TITLES = {"stages": "# Stage: ", "engine": "# Engine: "}
MODULES = [path for path in production() if path.parent.name in TITLES and path.stem != "__init__"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_contract_of_each_stage_and_engine_module_keeps_the_form(path: Path) -> None:
    contract = parse(ast.get_docstring(parsed(path)) or "")

    assert [] == contract.faults
    assert TITLES[path.parent.name] + path.stem == contract.title


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_guarantee_in_each_contract_names_an_existing_test(path: Path) -> None:
    named = parse(ast.get_docstring(parsed(path)) or "").guarantees
    missing = [f"{file}::{test}" for _, file, test in named if not exists(ROOT / file, test)]

    assert [] == missing


def exists(path: Path, test: str) -> bool:
    return path.is_file() and test in {function.name for function in claims(path)}
