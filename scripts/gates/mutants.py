"""How many small changes of the rules and the wire do the tests notice? At least nine of ten.

Survivors that change nothing are listed in ``mutants_equivalent.txt``: ``path | operator | source line | reason``.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.gates.imports import imported, name_of

CODE = ROOT = Path(__file__).resolve().parents[2]  # of this gate, and of what it gates
WORK = ROOT / "build" / f"mutants-{os.getpid()}"  # runs side by side must not share a copy
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.txt")
MINIMUM = 0.9


def targets(root: Path) -> list[str]:
    """The modules whose score is gated."""
    rules = sorted(path for path in (root / "streams/decisions").rglob("*.py") if runs(path))
    return [*(path.relative_to(root).as_posix() for path in rules), "topics/wire.py"]


def runs(path: Path) -> bool:
    """Is there more in the module than words about its package?"""
    return path.stem != "__init__" or "def " in path.read_text("utf-8")


def tests_of(root: Path, module: str) -> list[str]:
    """The unit tests of a module, and the properties that import it."""
    path = Path(module)
    unit = root / "tests/unit" / path.parent / f"test_{path.stem.strip('_')}.py"
    name = name_of(path)
    laws = [law for law in sorted((root / "tests/property").glob("test_*.py")) if name in imports(law)]
    return [found.relative_to(root).as_posix() for found in [unit, *laws] if found.exists()]


def imports(test: Path) -> set[str]:
    """The modules that a test file imports."""
    return imported(test.stem, test.read_text("utf-8"))


def equivalents(text: str) -> set[tuple[str, str, str]]:
    """The listed survivors that change nothing."""
    rows = [line.split(" | ") for line in text.splitlines() if line and not line.startswith("#")]
    return {(path, operator, line.strip()) for path, operator, line, _ in rows}


def survivors(lines: str, module: str, source: str) -> tuple[list[tuple[str, str, str]], int]:
    """From the outcomes: each survivor as (path, operator, source line), and the number of mutants that ran."""
    outcomes = [json.loads(line) for line in lines.splitlines()]
    text = source.splitlines()
    lived = [(module, one["operator"], text[one["line"] - 1].strip()) for one in outcomes if one["survived"]]
    return lived, len(outcomes)


def mutate(module: str) -> str:
    """Run all mutants of one module on the copy; a line an outcome."""
    tree = WORK / "tree"
    command = [sys.executable, "-m", "scripts.gates.forked", module, *tests_of(ROOT, module)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": f"{tree}{os.pathsep}{CODE}"}
    return subprocess.run(command, cwd=tree, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


def main(modules: list[str]) -> int:
    """Print the survivors and the score; 0 when it is high enough."""
    modules = modules or targets(ROOT)
    if untested := [module for module in modules if not tests_of(ROOT, module)]:
        print(f"No unit test and no property speaks of: {', '.join(untested)}")
        return 1
    for part in ("topics", "streams", "tests"):
        shutil.copytree(ROOT / part, WORK / "tree" / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", WORK / "tree")
    try:
        return report(modules)
    finally:
        shutil.rmtree(WORK)


def report(modules: list[str]) -> int:
    """Mutate each module and print what survived."""
    known = equivalents(EQUIVALENT.read_text("utf-8"))
    missed = total = 0
    for module in modules:
        lived, ran = survivors(mutate(module), module, (WORK / "tree" / module).read_text("utf-8"))
        real = [mutant for mutant in lived if mutant not in known]
        print(f"{module}: {ran - len(real)} of {ran} noticed", flush=True)
        for path, operator, line in real:
            print(f"  survived: {path} | {operator} | {line}")
        missed, total = missed + len(real), total + ran
    score = 1 - missed / total if total else 1.0
    print(f"Mutation score: {score:.1%} of {total} (minimum {MINIMUM:.0%})")
    return 0 if score >= MINIMUM else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
