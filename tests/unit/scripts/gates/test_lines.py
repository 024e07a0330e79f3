"""Which lines count as code, whatever surrounds them?"""

from pathlib import Path

import pytest

from scripts.gates.lines import code_lines, python_files


@pytest.mark.parametrize(
    ("expected", "source"),
    [
        (set(), ""),
        (set(), "\n\n# a comment\n"),
        (set(), '"""A module docstring\nover two lines."""\n'),
        ({1}, "x = 1  # with a comment\n"),
        ({1, 3}, "x = 1\n\ny = 2\n"),
        ({1, 3}, 'def f():\n    """Says."""\n    return 1\n'),
        ({1}, 'def f(): "says"\n'),
        ({1}, 'class A:\n    """Says\n\n    more."""\n'),
        ({1}, 'x = 1\n"""What x is."""\n'),
        ({1, 3}, 'x = """a\n\nb"""\n'),
        ({1, 2, 3, 4}, "f(\n    1,\n    2,\n)\n"),
        ({1, 2}, 'x = f"""a\n{1}"""\n'),
        ({1, 3}, "x = [\n    # why\n]\n"),
        ({1}, "def f(): ...\n"),
    ],
)
def test_code_lines_of_a_source_leave_out_blanks_comments_docstrings(expected: set[int], source: str) -> None:
    assert expected == code_lines(source)


def test_python_files_below_folders_are_sorted_without_caches(tmp_path: Path) -> None:
    for name in ("b/two.py", "a/one.py", "a/__pycache__/one.py", "a/data.json", "c/three.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert [tmp_path / "a/one.py", tmp_path / "b/two.py"] == python_files(tmp_path, "a", "b", "missing")
