"""Are survivors read from the dump, and are the listed equivalents left out?"""

import json
from pathlib import Path

import pytest

from scripts.gates import mutants


def mutant(outcome: str, line: int = 1) -> str:
    change = {"module_path": "topics/wire.py", "operator_name": "core/Not", "start_pos": [line, 0]}
    return json.dumps([{"mutations": [change]}, {"test_outcome": outcome}])


def tree(root: Path) -> Path:
    for name in ("topics/wire.py", "streams/decisions/retry.py", "streams/decisions/__init__.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("a = 1\n    b = 2\n")
    for name, text in {"unit/topics/test_wire.py": "", "property/test_laws.py": "from topics import wire"}.items():
        (root / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "tests" / name).write_text(text)
    return root


def test_targets_of_a_tree_are_rules_and_the_wire(tmp_path: Path) -> None:
    assert ["streams/decisions/retry.py", "topics/wire.py"] == mutants.targets(tree(tmp_path))


def test_tests_of_a_module_are_its_mirror_and_its_laws(tmp_path: Path) -> None:
    expected = ["tests/unit/topics/test_wire.py", "tests/property/test_laws.py"]

    assert expected == mutants.tests_of(tree(tmp_path), "topics/wire.py")


def test_survivors_in_a_dump_are_named_by_their_line(tmp_path: Path) -> None:
    dump = "\n".join([mutant("killed"), mutant("survived", line=2), mutant("incompetent"), ""])

    assert ([("topics/wire.py", "core/Not", "b = 2")], 3) == mutants.survivors(dump, tree(tmp_path))


def test_equivalents_in_the_list_are_read_without_reasons() -> None:
    text = "# head\n\ntopics/wire.py | core/Not | b = 2 | the flag is never read\n"

    assert {("topics/wire.py", "core/Not", "b = 2")} == mutants.equivalents(text)


def test_main_of_a_module_without_tests_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "ROOT", tree(tmp_path))

    assert 1 == mutants.main(["streams/decisions/retry.py"])
    assert "streams/decisions/retry.py" in capsys.readouterr().out
