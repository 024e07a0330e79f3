"""Which modules import a given one when they are imported, directly or through others?"""

import ast
from collections.abc import Iterator
from pathlib import Path


def modules(root: Path, *packages: str) -> dict[str, Path]:
    """Dotted name and file of each module below the packages."""
    files = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    return {name_of(path.relative_to(root)): path for path in files}


def name_of(path: Path) -> str:
    """The dotted name of a module, from its path in the tree."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported(name: str, source: str) -> set[str]:
    """What its own statements import when the module is: ``a``, ``a.b`` and ``a.b.c`` for ``from a.b import c``."""
    names = {name}
    for node in running(ast.parse(source).body):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(parts[:end]) for one in names if (parts := one.split(".")) for end in range(1, len(parts) + 1)}


def running(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: none of functions, none for the type checker."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from running([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])


def holders(target: str, files: dict[str, Path]) -> set[str]:
    """The target, what lies below it when it is a package, and all modules that import any of these."""
    uses = {name: imported(name, path.read_text("utf-8")) for name, path in files.items()}
    held = {target}
    while more := {name for name, used in uses.items() if name not in held and used & held}:
        held |= more
    return held
