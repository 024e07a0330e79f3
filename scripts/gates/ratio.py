"""Are there at least one and a half lines of test code for each line of production code?"""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from scripts.gates.lines import code_lines, python_files

PRODUCTION = ("topics", "streams")
TESTS = ("tests", "benches")
ROOT = Path(__file__).resolve().parents[2]


def side_of(path: str) -> str | None:
    """``production``, ``tests`` or None for a path relative to the root of the project."""
    top = path.split("/", 1)[0]
    if not path.endswith(".py") or path.startswith("tests/support/"):
        return None
    return "production" if top in PRODUCTION else "tests" if top in TESTS else None


def layer_of(path: str) -> str:
    """The row of the table that a file is counted in: its layer, or the level of test that it belongs to."""
    parts = path.removeprefix("tests/unit/").split("/")
    if parts[0] == "streams":
        return parts[1] if len(parts) > 2 else "streams"
    if parts[0] == "tests":
        return f"tests/{parts[1]}" if len(parts) > 2 else "tests"
    return parts[0] if len(parts) > 1 else "project"


def count(root: Path) -> dict[str, Counter[str]]:
    """Code lines a layer, for each side."""
    totals: dict[str, Counter[str]] = {"production": Counter(), "tests": Counter()}
    for path in python_files(root, *PRODUCTION, *TESTS):
        name = path.relative_to(root).as_posix()
        if side := side_of(name):
            totals[side][layer_of(name)] += len(code_lines(path.read_text("utf-8")))
    return totals


def ratio_text(production: int, tests: int) -> str:
    """Three digits, cut and not rounded, so that 1.4999 is never shown as 1.500."""
    return f"{tests * 1000 // production / 1000:.3f}:1" if production else "n/a"


def passes(production: int, tests: int) -> bool:
    """The law itself, in whole numbers."""
    return 2 * tests >= 3 * production


def report(totals: dict[str, Counter[str]]) -> Iterable[str]:
    """The lines to print."""
    production, tests = totals["production"], totals["tests"]
    whole = production.total(), tests.total()
    verdict = "✓ PASS" if passes(*whole) else "✗ FAIL"
    yield f"Production LOC: {whole[0]:,}"
    yield f"Test LOC: {whole[1]:,}"
    yield f"Ratio: {ratio_text(*whole)}  {verdict} (minimum 1.5:1)"
    yield ""
    yield f"{'layer':<20}{'production':>12}{'tests':>9}{'ratio':>10}"
    for layer in [*sorted(production), *sorted(tests.keys() - production.keys())]:
        yield f"{layer:<20}{production[layer]:>12,}{tests[layer]:>9,}{ratio_text(production[layer], tests[layer]):>10}"


def main(root: Path = ROOT) -> int:
    """Print the report; 0 when the law holds, else 1."""
    totals = count(root)
    print("\n".join(report(totals)))
    return 0 if passes(totals["production"].total(), totals["tests"].total()) else 1


if __name__ == "__main__":
    sys.exit(main())
