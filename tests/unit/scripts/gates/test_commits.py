"""Does the check see each breach of a message's form, and are the figures those of the diff?"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.gates import commits
from scripts.gates.commits import Added

LAST = "Test coverage: +2 lines production, +3 lines tests (ratio: 1.50:1)"
Git = Callable[..., str]


def message(subject: str = "[feat] add a thing", body: str = "Because it was missing.", last: str = LAST) -> str:
    return f"{subject}\n\n{body}\n\n{last}\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """An empty repository that takes nothing from the machine's settings."""
    run(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path


def run(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "core.hooksPath=/dev/null"]
    return subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    run(root, "add", name)


def commit(root: Path, text: str) -> str:
    run(root, "commit", "--quiet", "--message", text)
    return run(root, "rev-parse", "HEAD").strip()


@pytest.mark.parametrize(
    ("expected", "added"),
    [
        ("+2 lines production, +3 lines tests (ratio: 1.50:1)", Added(2, 3)),
        ("+3 lines production, +5 lines tests (ratio: 1.66:1)", Added(3, 5)),
        ("+0 lines production, +7 lines tests (ratio: n/a)", Added(0, 7)),
    ],
)
def test_line_of_figures_has_the_agreed_form(expected: str, added: Added) -> None:
    assert f"Test coverage: {expected}" == added.line


@pytest.mark.parametrize("kind", ["feat", "fix", "test", "refactor", "perf", "docs", "infra"])
def test_faults_of_a_good_message_are_none(kind: str) -> None:
    assert [] == commits.faults(message(f"[{kind}] add a thing"))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("the first line must be", message("add a thing")),
        ("the first line must be", message("[chore] add a thing")),
        ("the first line must be", message("[feat]add a thing")),
        ("the first line must be", ""),
        ("has 73 characters", message("[feat] " + "a" * 66)),
        ("the second line must be empty", f"[feat] a\nBecause.\n\n{LAST}\n"),
        ("the body must say why", f"[feat] a\n\n{LAST}\n"),
        ("the body must say why", message(body="# only a comment")),
        ("the last line must be", message(last="Test coverage: lots")),
        ("the last line must be", f"[feat] a\n\n{LAST}\n\nBecause.\n"),
    ],
)
def test_faults_of_a_message_with_a_breach_name_it(fault: str, text: str) -> None:
    assert any(fault in found for found in commits.faults(text))


def test_faults_of_a_subject_with_72_characters_are_none() -> None:
    assert [] == commits.faults(message("[feat] " + "a" * 65))


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (f"[feat] a\n\nWhy.\n\n{LAST}\n", "[feat] a\n\nWhy.\n"),
        (f"[feat] a\n\nWhy.\n\n{LAST}\n", f"[feat] a\n\nWhy.\n\n{LAST.replace('+2', '+99')}\n"),
        (f"[feat] a\n\n{LAST}\n\n# Lines with a hash\n", "[feat] a\n\n# Lines with a hash\n"),
    ],
)
def test_fill_of_a_message_writes_one_last_line(expected: str, text: str) -> None:
    assert expected == commits.fill(text, Added(2, 3))


def test_added_lines_of_a_diff_are_numbered_by_file() -> None:
    diff = "+++ b/topics/a.py\n@@ -0,0 +1,2 @@\n+x\n+y\n@@ -9 +12 @@\n+z\n+++ b/b c.py\t\n@@ -3,2 +3,0 @@\n-q\n"

    assert {"topics/a.py": {1, 2, 12}, "b c.py": set()} == commits.added_lines(diff)


def test_measure_of_staged_files_counts_added_code_lines(repo: Path) -> None:
    write(repo, "topics/a.py", '"""Doc."""\n\nx = 1\n')
    commit(repo, "first")
    write(repo, "topics/a.py", '"""Doc."""\n\nx = 1\ny = 2\n# comment\n\nz = 3\n')
    write(repo, "tests/test_a.py", "def test_a():\n    '''Doc.'''\n    assert 1\n")
    write(repo, "tests/support/b.py", "x = 1\n")
    write(repo, "README.md", "words\n")

    assert Added(2, 2) == commits.measure("HEAD", root=repo)


def test_measure_of_a_moved_file_counts_nothing(repo: Path) -> None:
    write(repo, "topics/a.py", "".join(f"x{n} = {n}\n" for n in range(20)))
    commit(repo, "first")
    run(repo, "mv", "topics/a.py", "topics/b.py")

    assert Added(0, 0) == commits.measure("HEAD", root=repo)


def test_commit_faults_of_true_figures_are_none(repo: Path) -> None:
    write(repo, "topics/a.py", "x = 1\n")
    first = commit(repo, message(last=Added(1, 0).line))
    write(repo, "tests/test_a.py", "x = 1\ny = 2\n")
    second = commit(repo, message(last=Added(0, 2).line))

    assert [first, second] == commits.commits_in("HEAD", root=repo)
    assert [] == commits.commit_faults(first, repo) + commits.commit_faults(second, repo)


def test_commit_faults_of_typed_figures_name_the_true_ones(repo: Path) -> None:
    write(repo, "topics/a.py", "x = 1\n")
    wrong = commit(repo, message())

    assert any(Added(1, 0).line in fault for fault in commits.commit_faults(wrong, repo))


def test_commit_faults_of_a_merge_are_none(repo: Path) -> None:
    write(repo, "a.md", "a\n")
    commit(repo, "first")
    run(repo, "checkout", "--quiet", "-b", "other")
    write(repo, "b.md", "b\n")
    commit(repo, "second")
    run(repo, "checkout", "--quiet", "main")
    run(repo, "merge", "--quiet", "--no-ff", "--message", "merged", "other")

    assert [] == commits.commit_faults("HEAD", repo)


@pytest.mark.parametrize(("code", "text"), [(0, message()), (1, "nothing\n")])
def test_main_of_a_message_file_exits_by_its_form(code: int, text: str, tmp_path: Path) -> None:
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text(text)

    assert code == commits.main([str(file)])


@pytest.mark.parametrize("arguments", [[], ["--range"], ["--what"], ["a", "b"]])
def test_main_without_a_command_says_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == commits.main(arguments)
    assert "usage: " in capsys.readouterr().err
