"""Runs one command in this process, against a cluster in memory, and keeps what it wrote and returned."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from streams.cli.app import run
from streams.cli.connect import Outside
from streams.stage import Stage
from tests.support.fake_cluster import FakeKafka

ADDRESS = "127.0.0.1:19092"
BROKER = ("-b", ADDRESS)
NOWHERE = Path("/nonexistent")


@dataclass(frozen=True)
class Ran:
    """Exit code, stdout and stderr of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def jsonl(self):
        return [json.loads(line) for line in self.lines]


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def stage(name, app="core", reads=("prompts",), table=None):
    return Stage(name, app, reads, ("results",), lambda record, scope: (), table)


def two_stages(settings=None):
    return (stage("admit", table="requests"), stage("infer", "infer", ("assembled.high", "assembled.low"), "answers"))


def outside(kafka=None, environ=None, cwd=NOWHERE, work=None):
    return Outside(environ or {}, cwd, kafka or FakeKafka(), two_stages, work or (lambda settings, apps: 0))


def run_at(arguments, given, terminal=False):
    """One command with what it is given from outside."""
    out, err = Screen() if terminal else io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(list(map(str, arguments)), given)
    return Ran(code, out.getvalue(), err.getvalue())


def streams(*arguments, kafka=None, terminal=False, **given):
    """One command; with ``kafka``, that is the cluster at the given broker."""
    return run_at((*arguments, *(BROKER if kafka else ())), outside(kafka, **given), terminal)
