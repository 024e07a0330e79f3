"""Does the ratio gate count the right files, and does it fail just below the law?"""

from pathlib import Path

import pytest

from scripts.gates import ratio


def write(root: Path, **lines: int) -> None:
    """Files of so many code lines; ``__`` in a name stands for a slash."""
    for name, number in lines.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('"""Doc."""\n\n# comment\n' + "x = 1\n" * number)


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ("production", "topics/wire.py"),
        ("production", "streams/engine/loop.py"),
        ("tests", "tests/unit/test_layout.py"),
        ("tests", "benches/bench_hop.py"),
        (None, "tests/support/brokers.py"),
        (None, "scripts/gates/ratio.py"),
        (None, "topics/py.typed"),
    ],
)
def test_side_of_each_path_follows_the_law(expected: str | None, path: str) -> None:
    assert expected == ratio.side_of(path)


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ("topics", "topics/wire.py"),
        ("topics", "tests/unit/topics/test_wire.py"),
        ("engine", "streams/engine/loop.py"),
        ("engine", "tests/unit/streams/engine/test_loop.py"),
        ("streams", "streams/ports.py"),
        ("adapters", "streams/adapters/providers/echo.py"),
        ("tests/integration", "tests/integration/test_lag.py"),
        ("scripts", "tests/unit/scripts/gates/test_ratio.py"),
        ("benches", "benches/bench_hop.py"),
        ("project", "tests/unit/test_layout.py"),
        ("tests", "tests/conftest.py"),
    ],
)
def test_layer_of_a_unit_test_is_that_of_its_module(expected: str, path: str) -> None:
    assert expected == ratio.layer_of(path)


@pytest.mark.parametrize(
    ("expected", "production", "tests"),
    [("1.535:1", 4200, 6450), ("1.499:1", 10000, 14999), ("1.500:1", 2, 3), ("0.000:1", 5, 0), ("n/a", 0, 7)],
)
def test_ratio_text_of_counts_is_cut_and_not_rounded(expected: str, production: int, tests: int) -> None:
    assert expected == ratio.ratio_text(production, tests)


@pytest.mark.parametrize(("expected", "tests"), [(True, 1500), (True, 1501), (False, 1499), (False, 0)])
def test_passes_around_the_limit_is_exact(expected: bool, tests: int) -> None:
    assert expected == ratio.passes(1000, tests)


def test_report_of_a_passing_tree_has_the_agreed_lines(tmp_path: Path) -> None:
    write(tmp_path, topics__wire=4000, streams__engine__loop=200, tests__unit__topics__test_wire=6450)
    write(tmp_path, tests__support__brokers=900)

    lines = list(ratio.report(ratio.count(tmp_path)))

    assert ["Production LOC: 4,200", "Test LOC: 6,450", "Ratio: 1.535:1  ✓ PASS (minimum 1.5:1)", ""] == lines[:4]
    assert ["topics", "4,000", "6,450", "1.612:1"] == lines[6].split()


@pytest.mark.parametrize(("code", "word", "tests"), [(0, "✓ PASS", 15), (1, "✗ FAIL", 14)])
def test_main_around_the_limit_says_and_exits(
    code: int, word: str, tests: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, topics__wire=10, tests__unit__test_wire=tests)

    assert code == ratio.main(tmp_path)
    assert word in capsys.readouterr().out
