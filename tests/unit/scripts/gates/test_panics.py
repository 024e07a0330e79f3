"""Does the scan find each forbidden form, at its line, and leave clean code alone?"""

from pathlib import Path

import pytest

from scripts.gates import panics

ERRORS = """
class OrchestratorError(Exception):
    pass
class WorkerError(OrchestratorError):
    pass
"""
HEAD = """import asyncio, contextlib, os, subprocess, sys, time, typer
from contextlib import suppress
from pathlib import Path
from topics import errors
from topics.errors import WorkerError as Ours
"""


def scan(root: Path, body: str, at: str = "streams/engine/it.py") -> list[tuple[int, str]]:
    """Findings in one production file with that body, as (line in the body, rule)."""
    for name, text in {"topics/errors.py": ERRORS, "topics/__init__.py": "", at: HEAD + body}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [(found.line - HEAD.count("\n"), found.rule) for found in panics.scan(root) if found.path == at]


FORBIDDEN = {
    "assert": (1, "assert", "assert x"),
    "bare except": (3, "bare except", "try:\n    f()\nexcept:\n    g()"),
    "base swallowed": (3, "except BaseException", "try:\n    f()\nexcept BaseException:\n    g()"),
    "base in a tuple": (3, "except BaseException", "try:\n    f()\nexcept (OSError, BaseException):\n    g()"),
    "base raised on one way only": (
        3,
        "except BaseException",
        "try:\n    f()\nexcept BaseException:\n    if x:\n        raise\n    g()",
    ),
    "base left by return": (
        4,
        "except BaseException",
        "def f():\n  try:\n    g()\n  except BaseException:\n    if x:\n        return\n    raise",
    ),
    "base raised in a nested function": (
        3,
        "except BaseException",
        "try:\n    f()\nexcept BaseException:\n    def g():\n        raise",
    ),
    "pass": (3, "except: pass", "try:\n    f()\nexcept OSError:\n    pass"),
    "dots": (3, "except: pass", "try:\n    f()\nexcept OSError: ..."),
    "suppress": (1, "suppress", "with suppress(Exception):\n    f()"),
    "suppress by module": (1, "suppress", "with contextlib.suppress(OSError, BaseException):\n    f()"),
    "foreign raise": (1, "foreign raise", "raise RuntimeError('x')"),
    "foreign class": (1, "foreign raise", "raise ValueError"),
    "foreign by condition": (1, "foreign raise", "raise Ours() if x else KeyError()"),
    "value error outside a validator": (2, "foreign raise", "def f():\n    raise ValueError('x')"),
    "key error outside a dunder": (2, "foreign raise", "def f():\n    raise KeyError('x')"),
    "type error in a dunder": (2, "foreign raise", "def __call__():\n    raise TypeError('x')"),
    "unknown variable": (3, "foreign raise", "def f(error):\n    x = error\n    raise error"),
    "class that only looks like ours": (2, "foreign raise", "class Own(Exception): ...\nraise Own()"),
    "framework's exception outside the CLI": (1, "foreign raise", "raise typer.Exit(1)"),
    "sys.exit": (1, "exit", "sys.exit(1)"),
    "os._exit": (1, "exit", "os._exit(1)"),
    "exit": (1, "exit", "exit()"),
    "exit imported": (1, "exit", "from sys import exit as leave"),
    "SystemExit caught": (3, "exit", "try:\n    f()\nexcept SystemExit:\n    g()"),
    "todo": (1, "unfinished", "x = 1  # TO" + "DO later"),
    "fixme in a docstring": (2, "unfinished", 'x = """a\nFIX' + 'ME"""'),
    "hack": (1, "unfinished", "# HA" + "CK"),
    "three x": (1, "unfinished", "# XX" + "X: why"),
    "type ignore": (1, "exemption", "x = 1  # type: ignore[misc]"),
    "noqa": (1, "exemption", "x = 1  # noqa: E501, B006"),
    "no cover": (1, "exemption", "x = 1  # pragma: no cover"),
    "two without reason": (1, "exemption", "x = 1  # type: ignore[misc]  # noqa: E501"),
    "eval": (1, "eval", "eval('1')"),
    "exec": (1, "exec", "exec('1')"),
    "pickle": (1, "pickle", "import pickle"),
    "pickle by name": (1, "pickle", "from pickle import loads"),
    "sleep in async": (2, "blocking", "async def f():\n    time.sleep(1)"),
    "open in async": (2, "blocking", "async def f():\n    with open('x') as file:\n        g(file)"),
    "path in async": (2, "blocking", "async def f():\n    Path('x').read_text()"),
    "process in async": (2, "blocking", "async def f():\n    subprocess.run(['x'])"),
    "files in async": (3, "blocking", "async def f():\n    if x:\n        os.replace('a', 'b')"),
    "dropped task": (2, "dropped task", "async def f():\n    asyncio.create_task(g())"),
    "dropped future": (2, "dropped task", "async def f():\n    asyncio.ensure_future(g())"),
    "dropped by a loop": (2, "dropped task", "def f(loop):\n    loop.create_task(g())"),
    "dropped into nothing": (2, "dropped task", "async def f():\n    _ = asyncio.create_task(g())"),
    "print": (1, "print", "print('x')"),
    "print of another": (2, "print", "from rich import print\nprint('x')"),
}

CLEAN = {
    "base raised again": "try:\n    f()\nexcept BaseException as bad:\n    g(bad)\n    raise",
    "base raised on both ways": (
        "try:\n    f()\nexcept BaseException as bad:\n    if x:\n        raise bad\n    else:\n        raise"
    ),
    "base raised at last": ("try:\n    f()\nexcept BaseException:\n    try:\n        g()\n    finally:\n        raise"),
    "handled": "try:\n    f()\nexcept OSError:\n    count()",
    "narrow suppress": "with suppress(ProcessLookupError):\n    f()",
    "ours": "raise Ours('x')",
    "ours by module": "raise errors.WorkerError('x') from None",
    "ours derived": "class Mine(Ours): ...\nraise Mine('x')",
    "ours by condition": "raise Ours('a') if x else errors.OrchestratorError()",
    "ours from a function": "def made() -> Ours: ...\ndef f():\n    raise made()",
    "ours from a method": "class A:\n    def made(self) -> Ours: ...\n    def f(self):\n        raise self.made()",
    "ours from a field": "class A:\n    error: Ours\ndef f(a):\n    raise a.error",
    "ours as an argument": "def f(error: Ours):\n    raise error",
    "ours in a variable": "def f():\n    error = Ours('x')\n    raise error",
    "ours by isinstance": "def f(error):\n    if isinstance(error, Ours):\n        raise error",
    "bare raise": "try:\n    f()\nexcept OSError:\n    count()\n    raise",
    "caught raised again": "def f():\n    try:\n        g()\n    except OSError as bad:\n        raise bad",
    "value error in a validator": (
        "from pydantic import field_validator as check\nclass M:\n"
        "    @check('a')\n    def a(cls, v):\n        raise ValueError"
    ),
    "value error in a function handed over": (
        "from pydantic import AfterValidator\ndef check(v):\n    raise ValueError('x')\nT = AfterValidator(check)"
    ),
    "key error in a dunder": "class A:\n    def __getitem__(self, key):\n        raise KeyError(key)",
    "stop in a dunder": "class A:\n    async def __anext__(self):\n        raise StopAsyncIteration",
    "reasoned type ignore": "x = 1  # type: ignore[misc]  # Faust has no types",
    "reasoned noqa": "x = 1  # noqa: E501 - a long address",
    "reasoned no cover": "x = 1  # pragma: no cover - killed on purpose",
    "word that holds another": "TODOS = 1  # HACKNEY, todo",
    "sleep of asyncio": "async def f():\n    await asyncio.sleep(1)",
    "blocking in a nested function": (
        "async def f():\n    def g():\n        time.sleep(1)\n    await asyncio.to_thread(g)"
    ),
    "blocking in a plain function": "def f():\n    time.sleep(1)",
    "text replaced in async": "async def f(x):\n    return x.replace('a', 'b')",
    "task held": "async def f():\n    task = asyncio.create_task(g())\n    await task",
    "task of a group": ("async def f():\n    async with asyncio.TaskGroup() as group:\n        group.create_task(g())"),
    "method of our own called so": "def f(x):\n    x.print('a')\n    x.exit()",
}


@pytest.mark.parametrize("form", FORBIDDEN)
def test_scan_forbidden_form_is_found_at_its_line(form: str, tmp_path: Path) -> None:
    line, rule, body = FORBIDDEN[form]

    assert (line, rule) in scan(tmp_path, body + "\n")


@pytest.mark.parametrize("form", CLEAN)
def test_scan_clean_form_has_no_findings(form: str, tmp_path: Path) -> None:
    assert [] == scan(tmp_path, CLEAN[form] + "\n")


@pytest.mark.parametrize(
    ("at", "body"),
    [
        ("streams/cli/tail.py", "print('x')"),
        ("streams/cli/tail.py", "raise typer.BadParameter('x')"),
        ("streams/cli/__init__.py", "sys.exit(1)"),
        ("streams/cli/__init__.py", "try:\n    f()\nexcept SystemExit:\n    g()"),
        ("streams/engine/exit.py", "os._exit(70)"),
    ],
)
def test_scan_form_at_its_allowed_place_has_no_findings(at: str, body: str, tmp_path: Path) -> None:
    assert [] == scan(tmp_path, body + "\n", at)


@pytest.mark.parametrize(
    ("at", "rule", "body"),
    [
        ("streams/cli/tail.py", "exit", "sys.exit(1)"),
        ("streams/local/kafka.py", "print", "print('x')"),
        ("streams/engine/exit.py", "print", "print('x')"),
        ("topics/wire.py", "foreign raise", "raise typer.Exit(1)"),
    ],
)
def test_scan_form_at_a_neighbouring_place_is_found(at: str, rule: str, body: str, tmp_path: Path) -> None:
    assert [(1, rule)] == scan(tmp_path, body + "\n", at)


def test_scan_error_exported_again_is_followed_to_its_root(tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams/__init__.py").write_text("from topics.errors import WorkerError\n")

    assert [] == scan(tmp_path, "import streams\nraise streams.WorkerError()\n")


def test_scan_relative_import_of_an_error_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "streams/engine").mkdir(parents=True)
    (tmp_path / "streams/engine/own.py").write_text(
        "from topics.errors import OrchestratorError\nclass Gone(OrchestratorError): ...\n"
    )

    assert [] == scan(tmp_path, "from .own import Gone\nraise Gone()\n")


def test_scan_file_that_does_not_parse_is_a_finding(tmp_path: Path) -> None:
    assert ["syntax"] == [rule for _, rule in scan(tmp_path, "def f(:\n")]


@pytest.mark.parametrize(("code", "text"), [(0, "x = 1\n"), (1, "assert x\n")])
def test_main_of_a_tree_prints_findings_and_exits(
    code: int, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan(tmp_path, text)

    assert code == panics.main(tmp_path)
    assert ("streams/engine/it.py:6: assert: " in capsys.readouterr().out) is bool(code)
