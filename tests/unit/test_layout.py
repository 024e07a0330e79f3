"""Is the tree what it is said to be: top level, depth, size of modules, a unit test beside each module?"""

import ast
import re
from pathlib import Path

import pytest

from tests.support.tree import ROOT, functions, name_of, production, project_files

TOP = {"pyproject.toml", "streams", "topics", "tests", "scripts", "infra", "benches"}
PAPERS = {"CLAUDE.md", "README.md", "LICENSE", "ROADMAP.md", "CHANGELOG.md"}
LONGEST = 300
DEEPEST = 3
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
FOREIGN = {
    "machine path": re.compile(r"(?<![\w.])/(?:[w]ork/|[r]oot/|[h]ome/(?!appuser)|[U]sers/)|/[t]mp/w/"),
    "registry host": re.compile(
        r"[p]ypi\.org|[p]ythonhosted\.org|[r]epo1?\.maven|[m]aven\.apache\.org|[r]egistry-1\.docker|[n]pmjs\.|[c]onda\.anaconda"
    ),
    "secret": re.compile(
        r"\b[A]KIA[0-9A-Z]{16}\b|\b[s]k-[A-Za-z0-9]{20,}|-----[B]EGIN [A-Z ]*PRIVATE|\b[g]h[pous]_\w{30}"
    ),
}


def test_top_level_of_the_project_is_fixed() -> None:
    found = {name_of(path).split("/")[0] for path in project_files()}

    assert set() == {name for name in found if not name.startswith(".")} - TOP - PAPERS


@pytest.mark.parametrize("path", production(), ids=name_of)
def test_module_of_production_has_at_most_300_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST


def test_packages_of_production_are_three_levels_deep_at_most() -> None:
    assert [] == [name_of(path) for path in production() if len(Path(name_of(path)).parents) - 1 > DEEPEST]


def test_file_names_in_production_say_what_they_hold() -> None:
    assert [] == [name_of(path) for path in production() if path.stem in VAGUE]


def test_module_with_functions_has_a_unit_test_of_its_name() -> None:
    missing = [name_of(path) for path in production() if has_behaviour(path) and not mirror(path).is_file()]

    assert [] == missing


@pytest.mark.parametrize("what", FOREIGN)
def test_files_of_the_project_name_no_foreign_place_or_secret(what: str) -> None:
    found = [
        f"{name_of(path)}:{number}: {hit[0]}"
        for path in project_files()
        for number, line in enumerate(path.read_text("utf-8", errors="ignore").splitlines(), start=1)
        if (hit := FOREIGN[what].search(line))
    ]

    assert [] == found


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("machine path", "in /" + "root/x"),
        ("machine path", "at '/" + "home/a'"),
        ("registry host", "https://pypi" + ".org/simple"),
        ("secret", "AKIA" + "A" * 16),
        ("secret", "sk-" + "a" * 24),
        ("secret", "-----BEGIN RSA" + " PRIVATE KEY-----"),
    ],
)
def test_pattern_of_foreign_text_finds_its_examples(what: str, text: str) -> None:
    assert FOREIGN[what].search(text)


def has_behaviour(path: Path) -> bool:
    """Functions with a body, outside packages' maps and entry points."""
    return path.stem not in {"__init__", "__main__"} and any(not is_stub(node.body) for node in functions(path))


def is_stub(body: list[ast.stmt]) -> bool:
    return all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in body)


def mirror(path: Path) -> Path:
    return ROOT / "tests/unit" / Path(name_of(path)).parent / f"test_{path.stem}.py"


def test_mirror_of_a_module_stands_at_the_same_place() -> None:
    assert ROOT / "tests/unit/streams/local/test_kafka.py" == mirror(ROOT / "streams/local/kafka.py")


def test_stub_of_a_protocol_counts_as_no_behaviour() -> None:
    protocol, real = ast.parse("def a():\n    '''d'''\n    ...\ndef b():\n    return 1").body

    assert is_stub(getattr(protocol, "body"))  # noqa: B009 - the type of a statement has no body
    assert not is_stub(getattr(real, "body"))  # noqa: B009 - the same
