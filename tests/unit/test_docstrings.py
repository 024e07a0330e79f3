"""Does each module say in one to three sentences which question it answers, and each public name how it is used?"""

import ast
import importlib
import inspect
import re
from pathlib import Path
from types import FunctionType

import pytest

from tests.support.tree import ROOT, name_of, parsed, production

CONTRACTED = {"stages", "engine"}
MAPS = {"__init__", "__main__"}
PLAIN = [path for path in production() if path.parent.name not in CONTRACTED and path.stem not in MAPS]
RULES = [path for path in production() if path.parent.name == "decisions" and path.stem not in MAPS]
SENTENCE_END = re.compile(r"(?<=[.?!])[\"')`]*\s+(?=[\"'(`]*[A-Z])")


def sentences(doc: str) -> int:
    """Sentences of a cleaned docstring; indented blocks (trees, tables) and examples are pictures and not counted."""
    prose = [line for part in doc.split("\n\n") if ">>>" not in part for line in part.splitlines()]
    text = " ".join(line for line in prose if not line.startswith("    "))
    return len([part for part in SENTENCE_END.split(text) if part.strip()])


@pytest.mark.parametrize(
    ("expected", "doc"),
    [
        (0, ""),
        (1, "What is it?"),
        (2, "What is it? A thing (`x.y`), e.g. a small one."),
        (1, "Which errors exist?\n\n    Root. Here\n    Leaf. There"),
        (3, "One. Two! Three."),
        (1, "How is it used?\n\n>>> Pipeline().Run\nA. B. C."),
    ],
)
def test_sentences_of_a_docstring_are_counted_without_pictures(expected: int, doc: str) -> None:
    assert expected == sentences(doc)


# state machines whose tables need a theory of operation
THEORIES = {"streams/decisions/breaker.py", "streams/decisions/dedup.py", "streams/decisions/notes.py"}


@pytest.mark.parametrize("path", PLAIN, ids=name_of)
def test_docstring_of_each_plain_module_has_one_to_three_sentences(path: Path) -> None:
    assert sentences(ast.get_docstring(parsed(path)) or "") in {1, 2, 3} or name_of(path) in THEORIES


def test_package_maps_of_production_open_with_a_docstring() -> None:
    maps = [path for path in production() if path.stem in MAPS]

    assert [] == [name_of(path) for path in maps if not ast.get_docstring(parsed(path))]


@pytest.mark.parametrize("package", ["topics", "streams"])
def test_public_names_of_each_package_have_docstrings(package: str) -> None:
    module = importlib.import_module(package)
    public = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    documented = {name: value for name, value in public.items() if isinstance(value, type | FunctionType)}

    assert [] == [name for name, value in documented.items() if not inspect.getdoc(value)]
    assert [] == [name for name, value in documented.items() if isinstance(value, FunctionType) and unnamed(value)]


def unnamed(function: FunctionType) -> list[str]:
    """Arguments that the docstring does not speak of."""
    return [name for name in inspect.signature(function).parameters if name not in (inspect.getdoc(function) or "")]


@pytest.mark.parametrize("path", RULES, ids=name_of)
def test_public_rules_of_each_decision_module_have_docstrings(path: Path) -> None:
    public = [
        node
        for node in parsed(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]

    assert [] == [node.name for node in public if not ast.get_docstring(node)]


def test_packages_of_production_exist_for_these_checks() -> None:
    assert (ROOT / "streams/decisions").is_dir()
    assert PLAIN
