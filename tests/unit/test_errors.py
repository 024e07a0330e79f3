"""Is every error of the tree raised somewhere, triggered by a test, and known under a kind of its own?"""

import ast
from collections import Counter

import pytest

from scripts.gates.names import ROOT_ERROR, Module, Names
from tests.support.tree import ROOT, parsed, production, suite

MODULES = [Module.load(ROOT, path) for path in production()]
NAMES = Names(MODULES)
UNNAMEABLE = {"ForeignTopicsPackage"}  # read from our file by its path, so that no test can import the class raised
ERRORS = sorted(NAMES.error_names())


def last_word(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def expected_by_tests() -> set[str]:
    """Class names inside ``pytest.raises(…)``, anywhere in the tests."""
    return {
        last_word(kind)
        for path in suite()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and last_word(node.func) in {"raises", "RaisesExc"} and node.args
        for kind in (node.args[0].elts if isinstance(node.args[0], ast.Tuple) else [node.args[0]])
    }


def used_in_production() -> set[str]:
    """Class names that production code speaks of outside their definition, imports and base classes."""
    bases = {id(base) for module in MODULES for node in ast.walk(module.tree) for base in getattr(node, "bases", ())}
    nodes = [node for module in MODULES for node in ast.walk(module.tree) if id(node) not in bases]
    return {last_word(node) for node in nodes if isinstance(node, ast.Name | ast.Attribute)}


def kinds() -> dict[str, str]:
    """The ``kind`` that each class gives itself."""
    return {
        node.name: line.value.value
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and node.name in ERRORS
        for line in node.body
        if isinstance(line, ast.Assign | ast.AnnAssign)
        and last_word(line.targets[0] if isinstance(line, ast.Assign) else line.target) == "kind"
        and isinstance(line.value, ast.Constant)
        if isinstance(line.value.value, str)
    }


def test_root_of_the_error_tree_lives_in_topics() -> None:
    assert NAMES.is_error(ROOT_ERROR)
    assert ERRORS


@pytest.mark.parametrize("error", ERRORS)
def test_error_of_the_tree_is_triggered_by_a_test(error: str) -> None:
    assert error in expected_by_tests() | UNNAMEABLE


@pytest.mark.parametrize("error", ERRORS)
def test_error_of_the_tree_is_used_by_production(error: str) -> None:
    assert error in used_in_production()


def test_kinds_of_all_errors_are_their_own() -> None:
    found = kinds()

    assert [] == [error for error in ERRORS if error not in found]
    assert [] == [kind for kind, times in Counter(found.values()).items() if times > 1]
