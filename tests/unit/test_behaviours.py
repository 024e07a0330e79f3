"""Does the catalogue of behaviours, faults and invariants agree with what tests and contracts cite?"""

import ast
import re

from tests.support.tree import ROOT, name_of, parsed, production, suite

NUMBER = re.compile(r"\b([BFI][1-9]\d{0,2})\b")
ENTRY = re.compile(r"^- \*\*([BFI][1-9]\d{0,2})\*\*", re.MULTILINE)
CATALOGUE = ENTRY.findall((ROOT / "tests/BEHAVIOURS.md").read_text("utf-8"))


def cited() -> dict[str, list[str]]:
    """Each number with the places whose docstring cites it."""
    places: dict[str, list[str]] = {}
    for path in [*production(), *suite()]:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for number in NUMBER.findall(ast.get_docstring(node) or ""):
                    places.setdefault(number, []).append(f"{name_of(path)}::{getattr(node, 'name', '')}")
    return places


def test_numbers_in_the_catalogue_stand_once() -> None:
    assert sorted(set(CATALOGUE)) == sorted(CATALOGUE)


def test_numbers_cited_by_tests_stand_in_the_catalogue() -> None:
    assert {} == {number: places for number, places in cited().items() if number not in CATALOGUE}


def test_entries_of_the_catalogue_are_cited_by_a_test() -> None:
    places = cited()

    assert [] == [number for number in CATALOGUE if number not in places]
