"""Who imports a module when it is imported, and who only might, later?"""

from pathlib import Path

import pytest

from scripts.gates import imports


def tree(root: Path, **files: str) -> dict[str, Path]:
    """Modules below ``a``, by the name of their file."""
    for name, text in {"__init__": "", **files}.items():
        path = root / "a" / f"{name.replace('__of__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return imports.modules(root, "a")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import x.y", {"x", "x.y"}),
        ("import x.y as z, v", {"x", "x.y", "v"}),
        ("from x.y import z", {"x", "x.y", "x.y.z"}),
        ("from x import y, z", {"x", "x.y", "x.z"}),
        ("class K:\n    import x", {"x"}),
        ("if True:\n    import x\nelse:\n    import y", {"x", "y"}),
        ("try:\n    import x\nfinally:\n    import y", {"x", "y"}),
        ("def f():\n    import x", set()),
        ("async def f():\n    import x", set()),
        ("if TYPE_CHECKING:\n    import x", set()),
        ("text = 'import x'", set()),
    ],
)
def test_imports_of_a_module_are_those_that_run_with_it(source: str, expected: set[str]) -> None:
    assert {"a", "a.b", *expected} == imports.imported("a.b", source)


@pytest.mark.parametrize(
    ("path", "expected"), [("a/b.py", "a.b"), ("a/__init__.py", "a"), ("a/b/__init__.py", "a.b"), ("b.py", "b")]
)
def test_name_of_a_module_is_that_of_its_import(path: str, expected: str) -> None:
    assert expected == imports.name_of(Path(path))


def test_modules_of_a_tree_are_found_by_dotted_name(tmp_path: Path) -> None:
    found = tree(tmp_path, b="", c__of__d="")

    assert {"a": "__init__.py", "a.b": "b.py", "a.c.d": "d.py"} == {name: path.name for name, path in found.items()}


def test_holders_of_a_module_are_found_through_others(tmp_path: Path) -> None:
    files = tree(tmp_path, b="", c="from a import b", d="import a.c", e="import a", f="def g():\n    import a.b")

    assert {"a.b", "a.c", "a.d"} == imports.holders("a.b", files)


def test_holders_of_a_package_hold_all_below_it(tmp_path: Path) -> None:
    files = tree(tmp_path, p__of____init__="", p__of__b="", c="from a.p.b import thing")

    assert {"a.p", "a.p.b", "a.c"} == imports.holders("a.p", files)


def test_module_below_a_package_that_imports_the_target_is_a_holder(tmp_path: Path) -> None:
    files = tree(tmp_path, b="", p__of____init__="from a import b", p__of__c="")

    assert {"a.b", "a.p", "a.p.c"} == imports.holders("a.b", files)
