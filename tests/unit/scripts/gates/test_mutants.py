"""Are survivors read from the dump, and are the listed equivalents left out?"""

import json
from pathlib import Path

import pytest

from scripts.gates import mutants


def outcome(survived: bool, line: int = 1) -> str:
    return json.dumps({"operator": "core/Not", "line": line, "survived": survived})


def tree(root: Path) -> Path:
    """Rules without tests, and a package and the wire with some."""
    for name, text in {
        "topics/wire.py": "a = 1\n    b = 2\n",
        "streams/decisions/__init__.py": '"""What the package is for."""\n',
        "streams/decisions/retry.py": "a = 1\n",
        "streams/decisions/proof/__init__.py": "def judge(): ...\n",
        "streams/decisions/proof/fold.py": "a = 1\n",
        "tests/unit/topics/test_wire.py": "",
        "tests/unit/streams/decisions/proof/test_init.py": "",
        "tests/property/test_laws.py": "from topics import wire",
        "tests/property/test_words.py": "# of the wire, and of retry",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_targets_of_a_tree_are_rules_at_any_depth_and_the_wire(tmp_path: Path) -> None:
    rules = ["proof/__init__.py", "proof/fold.py", "retry.py"]

    assert [*(f"streams/decisions/{rule}" for rule in rules), "topics/wire.py"] == mutants.targets(tree(tmp_path))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("topics/wire.py", ["tests/unit/topics/test_wire.py", "tests/property/test_laws.py"]),
        ("streams/decisions/proof/__init__.py", ["tests/unit/streams/decisions/proof/test_init.py"]),
        ("streams/decisions/retry.py", []),
    ],
)
def test_tests_of_a_module_are_its_mirror_and_the_laws_that_import_it(
    tmp_path: Path, module: str, expected: list[str]
) -> None:
    assert expected == mutants.tests_of(tree(tmp_path), module)


def test_survivors_among_outcomes_are_named_by_their_line() -> None:
    lines = "\n".join([outcome(False), outcome(True, line=2), outcome(False), ""])

    assert ([("topics/wire.py", "core/Not", "b = 2")], 3) == mutants.survivors(
        lines, "topics/wire.py", "a = 1\n  b = 2"
    )


def test_equivalents_in_the_list_are_read_without_reasons() -> None:
    text = "# head\n\ntopics/wire.py | core/Not | b = 2 | the flag is never read\n"

    assert {("topics/wire.py", "core/Not", "b = 2")} == mutants.equivalents(text)


def test_main_of_a_module_without_tests_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "ROOT", tree(tmp_path))

    assert 1 == mutants.main(["streams/decisions/retry.py"])
    assert "streams/decisions/retry.py" in capsys.readouterr().out


def scored(root: Path, monkeypatch: pytest.MonkeyPatch, *, known: str = "") -> int:
    """The gate on a small tree of its own: nothing of its wire is tested but that it can be imported."""
    tree(root)
    (root / "topics/__init__.py").write_text("")
    (root / "topics/wire.py").write_text("a = 1\nb = 2\n")
    (root / "tests/unit/topics/test_wire.py").write_text(
        "from topics import wire\n\n\ndef test_a():\n    assert wire.a == 1\n"
    )
    (root / "pyproject.toml").write_text("")
    (root / "known.txt").write_text(known)
    for name, path in {"ROOT": root, "WORK": root / "build", "EQUIVALENT": root / "known.txt"}.items():
        monkeypatch.setattr(mutants, name, path)
    return mutants.main(["topics/wire.py"])


def test_module_with_survivors_above_a_tenth_fails_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = scored(tmp_path, monkeypatch)

    assert (
        1,
        ["topics/wire.py: 2 of 4 noticed", *["  survived: topics/wire.py | core/NumberReplacer | b = 2"] * 2],
    ) == (ended, capsys.readouterr().out.splitlines()[:-1])


def test_survivors_that_change_nothing_pass_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = "topics/wire.py | core/NumberReplacer | b = 2 | nobody reads it\n"

    assert 0 == scored(tmp_path, monkeypatch, known=known)
    assert not (tmp_path / "build").exists()
