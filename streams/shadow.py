"""Is the package that Python finds under the name ``topics`` ours? Asked before anything of ours is imported.

The error is read from our own file by its path, since ``topics.errors`` may be the foreign one.
"""

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topics.errors import ForeignTopicsPackage

OURS = Path(__file__).resolve().parent.parent / "topics"


def refuse_foreign_topics(find: Callable[[str], ModuleSpec | None] = find_spec, ours: Path = OURS) -> None:
    """Raises ``ForeignTopicsPackage`` where another package or module ``topics`` stands before ours."""
    found = _place(find("topics"))
    if found is None or found.resolve() == ours.resolve():
        return
    raise _refusal(found, ours)


def _refusal(found: Path, ours: Path) -> "ForeignTopicsPackage":
    fix = f"rename it, or put {ours.parent} before it on the import path (PYTHONPATH)"
    make: type[ForeignTopicsPackage] = run_path(str(ours / "errors.py"))["ForeignTopicsPackage"]
    return make("package topics", str(found), fix)


def _place(spec: ModuleSpec | None) -> Path | None:
    if spec is None:
        return None
    places = (*(spec.submodule_search_locations or ()), *filter(None, [spec.origin]))
    return Path(places[0]) if places else None
