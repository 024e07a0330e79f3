"""Are test names claims, unique in their file, and do tests wait for facts and not for time?"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.gates import comments
from scripts.gates.names import Module
from tests.support.tree import ROOT, claims, name_of, suite

EMPTY_WORDS = {"works", "ok", "basic", "misc", "simple"}
WORDS = 3


def is_claim(name: str) -> bool:
    """``test_{what}_{condition}_{expected}``: three words or more, none of them empty."""
    words = [word for word in name.removeprefix("test_").split("_") if word]
    return name.startswith("test_") and len(words) >= WORDS and not EMPTY_WORDS & set(words)


def bare_sleeps(source: str) -> Iterator[int]:
    """Lines that call ``sleep`` without a ``# why:``; ``sleep(0)`` only lets others run and is no wait."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "sleep":
            yields_only = [ast.unparse(argument) for argument in node.args] == ["0"]
            if not yields_only and "# why:" not in lines[node.lineno - 1]:
                yield node.lineno


@pytest.mark.parametrize("name", ["test_parse_empty_fails", "test_key_of_same_prompt_is_equal"])
def test_claim_with_three_words_is_accepted(name: str) -> None:
    assert is_claim(name)


@pytest.mark.parametrize("name", ["test_parse", "test_parse_it", "test_parse_it_works", "test__a__b", "check_a_b_c"])
def test_claim_without_content_is_refused(name: str) -> None:
    assert not is_claim(name)


def test_sleep_without_reason_is_found_by_its_line() -> None:
    source = "sleep(0)\nasyncio.sleep(1)\nsleep(2)  # why: the thing itself\ntext = 'sleep(3)'\n"

    assert [2] == list(bare_sleeps(source))


def test_names_of_all_tests_are_claims() -> None:
    assert [] == [
        f"{name_of(path)}::{test.name}" for path in suite() for test in claims(path) if not is_claim(test.name)
    ]


@pytest.mark.parametrize("path", suite(), ids=name_of)
def test_names_in_each_file_are_unique(path: Path) -> None:
    twice = [name for name, times in Counter(test.name for test in claims(path)).items() if times > 1]

    assert [] == twice


def test_tests_of_the_project_do_not_sleep_without_reason() -> None:
    found = [f"{name_of(path)}:{line}" for path in suite() for line in bare_sleeps(path.read_text("utf-8"))]

    assert [] == found


def test_exemptions_in_tests_have_their_reason_on_the_line() -> None:
    found = [str(finding) for path in suite() for finding in comments.scan(Module.load(ROOT, path))]

    assert [] == [line for line in found if "exemption" in line]
