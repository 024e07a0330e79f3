"""Which mutants of one module do its tests notice? One process imports what all share; each mutant runs in a fork.

The mutated source never reaches the disk: a finder hands it to whoever imports the module in the fork, and the shared
part holds no module that imports it. ``python -m scripts.gates.forked MODULE TEST…`` runs in the root of a tree and
prints a line of JSON a mutant.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

import pytest
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from scripts.gates.imports import holders, modules, name_of

SHARED = ("streams", "topics", "tests/support")
MEMORY_BYTES = 2 << 30
BROKEN = "raise RuntimeError('no test may pass')"
PYTEST = ["-x", "-q", "--no-header", "--hypothesis-seed=0", "-W", "ignore::pytest.PytestAssertRewriteWarning"]


class Mutant(NamedTuple):
    """One change that cosmic-ray's operators make."""

    operator: str
    occurrence: int
    line: int

    def code(self, source: str) -> str | None:
        """The changed source."""
        changed: str | None = mutate_code(source, plugins.get_operator(self.operator)(), self.occurrence)
        return changed


class Limits(NamedTuple):
    """What a fork may use before it counts as hung."""

    cpu_s: int = 600
    wall_s: int = 1800


class Ended(NamedTuple):
    """What a fork came to: its tests passed, and the seconds of CPU they took."""

    passed: bool
    cpu_s: float


def mutants(source: str) -> Iterator[Mutant]:
    """All that cosmic-ray makes without a configuration, in its order."""
    tree = get_ast(source)
    for name in plugins.operator_names():
        if not (kind := plugins.get_operator(name)).arguments():
            operator = kind()
            places = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
            yield from (Mutant(name, occurrence, place[0][0]) for occurrence, place in enumerate(places))


class Loader(SourceFileLoader):
    """Loads a module from other source than its file's."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: no cache knows it."""
        return compile(self.source, self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds one module, with other source than its file's."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The usual specification, but for the source."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname == self.name else None
        if spec and spec.origin:
            spec.loader = Loader(fullname, spec.origin, self.source)
        return spec


class Order:
    """A pytest plugin: quick tests first, so that a slow one seldom runs for a mutant that another test notices."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Tests not timed yet come first."""
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Time what runs."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


class Server:
    """Forks of this process, each with its own source of one module."""

    def __init__(self, module: str, tests: list[str]) -> None:
        self.path, self.tests = Path(module), tests
        self.name = name_of(self.path)
        self.limits = Limits()
        self.seconds: dict[str, float] = {}

    def original(self) -> str:
        """The unchanged source."""
        return self.path.read_text("utf-8")

    def start(self, make: Callable[[], str | None], report: int | None = None) -> int:
        """Fork; the process number of the child, which makes the source, runs the tests against it and ends."""
        if pid := os.fork():
            return pid
        try:
            limit(self.limits)
            os._exit(1 if (source := make()) is None else self._tested(source, report))
        finally:  # whatever a mutant raises, the child must not go on as a second parent
            os._exit(1)

    def _tested(self, source: str, report: int | None) -> int:
        silence = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silence, stream)
        sys.meta_path.insert(0, Finder(self.name, source))
        ended = pytest.main([*PYTEST, *self.tests], plugins=[Order(self.seconds)])
        if report is not None:
            os.write(report, json.dumps([list(sys.modules), self.seconds]).encode())
        return int(ended)

    def share(self) -> None:
        """Import what the tests need, but nothing that imports the module."""
        with tempfile.TemporaryFile() as seen:
            wait(self.start(self.original, seen.fileno()))
            seen.seek(0)
            loaded, self.seconds = json.loads(seen.read() or b"[[], {}]")
        files = modules(Path(), *SHARED)
        kept = files.keys() - holders(self.name, files)
        for name in loaded:
            if name in kept or name.partition(".")[0] not in {"streams", "topics", "tests", "conftest", "__main__"}:
                attempt(name)
        gc.freeze()

    def check(self) -> str | None:
        """Why no outcome could be believed, if so; sets the limits by what the unchanged module takes."""
        if self.name in sys.modules:
            return "the shared part holds it"
        sound = wait(self.start(self.original))
        if not sound.passed:
            return "the tests fail on the unchanged module"
        self.limits = Limits(int(sound.cpu_s * 5) + 3, int(sound.cpu_s * 20) + 120)
        return "the tests do not import it" if wait(self.start(lambda: BROKEN)).passed else None

    def outcomes(self, workers: int) -> Iterator[tuple[Mutant, bool]]:
        """Each mutant, and whether it survived."""
        source = self.original()
        running: dict[int, Mutant] = {}
        for mutant in mutants(source):
            if len(running) >= workers:
                yield ended(running)
            running[self.start(partial(mutant.code, source))] = mutant
        while running:
            yield ended(running)


def ended(running: dict[int, Mutant]) -> tuple[Mutant, bool]:
    """The next mutant to end, taken out of those that run."""
    pid, status = os.wait()
    return running.pop(pid), status == 0


def wait(pid: int) -> Ended:
    """The end of one fork."""
    _, status, used = os.wait4(pid, 0)
    return Ended(status == 0, used.ru_utime + used.ru_stime)


def limit(limits: Limits) -> None:
    """Bound this process: the signals' default action ends it."""
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(limits.wall_s)


def attempt(name: str) -> None:
    """Import a module that a test run had; one that only exists there is no loss."""
    with contextlib.suppress(ImportError):  # sharing is a matter of speed alone: the fork imports it again
        importlib.import_module(name)


def main(module: str, *tests: str) -> int:
    """Print the outcome of each mutant; 2 when none could be believed."""
    server = Server(module, list(tests))
    server.share()
    if reason := server.check():
        print(f"{module}: {reason}", file=sys.stderr)
        return 2
    for mutant, survived in server.outcomes(os.cpu_count() or 1):
        print(json.dumps({"operator": mutant.operator, "line": mutant.line, "survived": survived}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
