"""How many small changes of the rules and the wire do the tests notice? At least nine of ten.

Survivors that change nothing are listed in ``mutants_equivalent.txt``: ``path | operator | source line | reason``.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / f"mutants-{os.getpid()}"  # runs side by side must not share a copy
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.txt")
MINIMUM = 0.9
CONFIG = """\
[cosmic-ray]
module-path = {module!r}
timeout = 60.0
excluded-modules = []
test-command = {command!r}
[cosmic-ray.distributor]
name = "local"
"""


def targets(root: Path) -> list[str]:
    """The modules whose score is gated."""
    rules = sorted((root / "streams/decisions").glob("*.py"))
    return [*(path.relative_to(root).as_posix() for path in rules if path.stem != "__init__"), "topics/wire.py"]


def tests_of(root: Path, module: str) -> list[str]:
    """The unit tests of a module, and the properties that speak of it."""
    path = Path(module)
    unit = root / "tests/unit" / path.parent / f"test_{path.name}"
    laws = [law for law in sorted((root / "tests/property").glob("test_*.py")) if path.stem in law.read_text("utf-8")]
    return [found.relative_to(root).as_posix() for found in [unit, *laws] if found.exists()]


def equivalents(text: str) -> set[tuple[str, str, str]]:
    """The listed survivors that change nothing."""
    rows = [line.split(" | ") for line in text.splitlines() if line and not line.startswith("#")]
    return {(path, operator, line.strip()) for path, operator, line, _ in rows}


def survivors(dump: str, root: Path) -> tuple[list[tuple[str, str, str]], int]:
    """From cosmic-ray's dump: each survivor as (path, operator, source line), and the number of mutants that ran."""
    lived, ran = [], 0
    for line in filter(None, dump.splitlines()):
        item, result = json.loads(line)
        ran += 1
        if result and result["test_outcome"] == "survived":
            (change,) = item["mutations"]
            source = (root / change["module_path"]).read_text("utf-8").splitlines()
            lived.append((change["module_path"], change["operator_name"], source[change["start_pos"][0] - 1].strip()))
    return lived, ran


def mutate(module: str) -> str:
    """Run all mutants of one module on the copy; the dump of the session."""
    name = module.replace("/", ".")
    config, session = WORK / f"{name}.toml", WORK / f"{name}.sqlite"
    command = shlex.join([sys.executable, "-m", "pytest", "-x", "-q", "--no-header", *tests_of(ROOT, module)])
    config.write_text(CONFIG.format(module=module, command=command), "utf-8")
    tree = WORK / "tree"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ray = [sys.executable, "-m", "cosmic_ray.cli"]
    for step in (["baseline", config], ["init", config, session], ["exec", config, session]):
        subprocess.run([*ray, *map(str, step)], cwd=tree, check=True, env=environment, stdout=subprocess.DEVNULL)
    return subprocess.run([*ray, "dump", str(session)], cwd=tree, check=True, stdout=subprocess.PIPE, text=True).stdout


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
        lived, ran = survivors(mutate(module), WORK / "tree")
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
