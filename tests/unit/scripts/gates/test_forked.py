"""Does each mutant meet the tests in a process of its own, and is it the mutant that they meet?"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scripts.gates import forked
from scripts.gates.forked import Finder, Limits, Mutant, Order

ROOT = Path(forked.__file__).resolve().parents[2]
RULE = "def least(one, other):\n    return one if one < other else other\n"
BETWEEN = "from topics.rule import least\n\n\ndef of(*numbers):\n    return least(*numbers)\n"
TEST = "from topics import between, rule\n\n\ndef test_least_is_the_smaller():\n    assert 1 == {call}(1, 2)\n"


def outcome(root: Path, *, rule: str = RULE, test: str = TEST.format(call="between.of")) -> Any:
    """All mutants of a tree of two modules and one test."""
    files = {"__init__.py": "", "rule.py": rule, "between.py": BETWEEN, "../tests/test_rule.py": test}
    for name, text in files.items():
        (root / "topics" / name).parent.mkdir(exist_ok=True)
        (root / "topics" / name).write_text(text)
    command = [sys.executable, "-m", "scripts.gates.forked", "topics/rule.py", "tests/test_rule.py"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(ROOT)])}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def spec_of(source: str, name: str = "topics.wire") -> Any:
    return Finder("topics.wire", source).find_spec(name, [str(ROOT / "topics")])


def test_mutant_is_what_the_importers_of_its_module_see(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in outcome(tmp_path).stdout.splitlines()]
    survived = {one["operator"].rpartition("_")[2] for one in lines if one["survived"]}

    assert {"LtE", "NotEq", "IsNot"} == survived
    assert (len(list(forked.mutants(RULE))), {2}) == (len(lines), {one["line"] for one in lines})


def test_tests_that_fail_without_a_mutant_prove_nothing(tmp_path: Path) -> None:
    ended = outcome(tmp_path, rule=RULE.replace("<", ">"))

    assert (2, "") == (ended.returncode, ended.stdout)
    assert "topics/rule.py: the tests fail on the unchanged module" in ended.stderr


def test_tests_that_never_import_the_module_prove_nothing(tmp_path: Path) -> None:
    ended = outcome(tmp_path, test="def test_nothing_of_the_rule():\n    assert min(1, 2) == 1\n")

    assert (2, "") == (ended.returncode, ended.stdout)
    assert "topics/rule.py: the tests do not import it" in ended.stderr


def test_mutants_are_all_that_the_operators_make() -> None:
    made = list(forked.mutants("a = 1 < 2\n\nb = not a\n"))

    assert {1: 9, 3: 1} == Counter(one.line for one in made)
    assert len(made) == len(set(made))


def test_code_of_a_mutant_differs_by_one_operator() -> None:
    assert "a = 1 <= 2\n" == Mutant("core/ReplaceComparisonOperator_Lt_LtE", 0, 1).code("a = 1 < 2\n")


def test_code_of_a_mutant_that_is_not_there_is_none() -> None:
    assert None is Mutant("core/ReplaceComparisonOperator_Lt_LtE", 1, 1).code("a = 1 < 2\n")


def test_finder_gives_its_module_another_source() -> None:
    spec = spec_of("answer = 42")
    found: dict[str, Any] = {}
    exec(spec.loader.get_code(spec.name), found)

    assert 42 == found["answer"]
    assert "wire.py" == Path(spec.origin).name


@pytest.mark.parametrize("name", ["topics.catalog", "topics.nowhere", "topics"])
def test_finder_leaves_other_modules_to_others(name: str) -> None:
    assert None is spec_of("answer = 42", name)


class Item:
    def __init__(self, nodeid: str, duration: float = 0.0) -> None:
        self.nodeid, self.duration = nodeid, duration


def test_order_of_tests_puts_the_quick_and_the_new_first() -> None:
    order: Any = Order({"slow": 9.0, "quick": 0.1})
    items = [Item("slow"), Item("quick"), Item("new")]
    order.pytest_collection_modifyitems(items)

    assert ["new", "quick", "slow"] == [item.nodeid for item in items]


def test_order_of_tests_adds_up_the_phases_of_each() -> None:
    order: Any = Order({})
    for report in (Item("a", 1.0), Item("a", 0.5), Item("b", 0.25)):
        order.pytest_runtest_logreport(report)

    assert {"a": 1.5, "b": 0.25} == order.seconds


def spinning() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("limits", "hang", "signal_number"),
    [(Limits(cpu_s=1, wall_s=60), spinning, signal.SIGXCPU), (Limits(wall_s=1), signal.pause, signal.SIGALRM)],
)
def test_fork_that_hangs_is_ended_by_its_limits(limits: Limits, hang: Any, signal_number: int) -> None:
    if not (pid := os.fork()):
        try:
            forked.limit(limits)
            hang()
        finally:
            os._exit(0)

    assert signal_number == os.WTERMSIG(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(("status", "passed"), [(0, True), (1, False), (2, False)])
def test_end_of_a_fork_tells_whether_it_passed(status: int, passed: bool) -> None:
    if not (pid := os.fork()):
        os._exit(status)

    assert passed is forked.wait(pid).passed


def test_module_that_is_nowhere_is_not_shared() -> None:
    forked.attempt("topics.nowhere")

    assert "topics.nowhere" not in sys.modules
