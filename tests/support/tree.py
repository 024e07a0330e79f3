"""What stands in the checkout? Files, syntax trees and test names, for the tests that read the project itself."""

import ast
import subprocess
from functools import cache
from pathlib import Path

from scripts.gates.lines import python_files

ROOT = Path(__file__).resolve().parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """A path as people write it, from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def production() -> list[Path]:
    return python_files(ROOT, "topics", "streams")


def suite() -> list[Path]:
    """Test modules, their support left out."""
    return [path for path in python_files(ROOT, "tests") if not name_of(path).startswith("tests/support/")]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(path: Path) -> list[Function]:
    """All functions of a file, methods and nested ones too."""
    return [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def claims(path: Path) -> list[Function]:
    return [function for function in functions(path) if function.name.startswith("test_")]


@cache
def project_files() -> list[Path]:
    """Files that belong to the project: tracked by git, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.decode()
    return sorted(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())
