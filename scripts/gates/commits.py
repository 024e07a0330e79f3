"""Does a commit message have the agreed form, and are the figures in its last line those of its own diff?"""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from scripts.gates.lines import code_lines
from scripts.gates.ratio import side_of

SUBJECT = re.compile(r"\[(feat|fix|test|refactor|perf|docs|infra)\] \S.*")
SUBJECT_LENGTH = 72
LAST_LINE = re.compile(r"Test coverage: \+(\d+) lines production, \+(\d+) lines tests \(ratio: (\d+\.\d\d:1|n/a)\)")
HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")
NO_COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's name for the empty tree
SCISSORS = "# ------------------------ >8 ------------------------"
USAGE = "usage: commit_msg_check.sh MESSAGE_FILE | --range A..B (as for git rev-list) | --fill MESSAGE_FILE [BASE]"


class Added(NamedTuple):
    """Code lines that a diff adds to either side."""

    production: int
    tests: int

    @property
    def line(self) -> str:
        ratio = f"{self.tests * 100 // self.production / 100:.2f}:1" if self.production else "n/a"
        return f"Test coverage: +{self.production} lines production, +{self.tests} lines tests (ratio: {ratio})"


def git(*arguments: str, root: Path | None = None) -> str:
    """What git prints; its complaint goes to the terminal."""
    command = ["git", "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout.decode("utf-8", "replace")


def added_lines(diff: str) -> dict[str, set[int]]:
    """For each file of a diff without context, the numbers of its new lines."""
    files: dict[str, set[int]] = {}
    lines: set[int] = set()
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            lines = files.setdefault(line.removeprefix("+++ b/").rstrip("\t"), set())
        elif found := HUNK.match(line):
            start, length = int(found[1]), int(found[2] or 1)
            lines.update(range(start, start + length))
    return files


def measure(base: str, commit: str | None = None, root: Path | None = None) -> Added:
    """Code lines added from ``base`` to ``commit``, or to the index where no commit is given."""
    versions = [base, commit] if commit else ["--cached", base]
    diff = git(
        "diff", "--no-ext-diff", "--no-color", "--no-prefix", "--dst-prefix=b/", "-M", "-U0", *versions, root=root
    )
    totals = {"production": 0, "tests": 0}
    for path, new in added_lines(diff).items():
        if side := side_of(path):
            totals[side] += len(new & code_lines(git("show", f"{commit or ''}:{path}", root=root)))
    return Added(**totals)


def clean(message: str) -> list[str]:
    """The lines that git will keep."""
    kept = [line.rstrip() for line in message.split(SCISSORS)[0].splitlines() if not line.startswith("#")]
    return "\n".join(kept).strip().splitlines()


def faults(message: str) -> list[str]:
    """What is wrong with the form of a message; empty when nothing is."""
    lines = clean(message) or [""]
    found = []
    if not SUBJECT.fullmatch(lines[0]):
        found.append("the first line must be `[feat|fix|test|refactor|perf|docs|infra] short description`")
    if len(lines[0]) > SUBJECT_LENGTH:
        found.append(f"the first line has {len(lines[0])} characters, {SUBJECT_LENGTH} are allowed")
    if len(lines) > 1 and lines[1]:
        found.append("the second line must be empty")
    if not any(line and not LAST_LINE.fullmatch(line) for line in lines[1:]):
        found.append("the body must say why")
    if not LAST_LINE.fullmatch(lines[-1]):
        found.append("the last line must be `Test coverage: …`; the hook writes it (./scripts/hooks.sh)")
    return found


def fill(message: str, added: Added) -> str:
    """The message with its last line written anew, before the comments of git's template."""
    lines = [line for line in message.splitlines() if not LAST_LINE.fullmatch(line.rstrip())]
    own = next((at for at, line in enumerate(lines) if line.startswith("#")), len(lines))
    text = "\n".join(lines[:own]).rstrip()
    return "\n".join([text, "", added.line, *([""] if own < len(lines) else []), *lines[own:]]) + "\n"


def commit_faults(commit: str, root: Path | None = None) -> list[str]:
    """Form and figures of one commit; merges say nothing themselves, a cut-off history has no figures."""
    parents = git("rev-list", "--parents", "-1", commit, root=root).split()[1:]
    if len(parents) > 1:
        return []
    message = git("log", "-1", "--format=%B", commit, root=root)
    found = faults(message)
    cut_off = not parents and git("rev-parse", "--is-shallow-repository", root=root).strip() == "true"
    if not found and not cut_off:
        expected = measure(parents[0] if parents else NO_COMMIT, commit, root).line
        if clean(message)[-1] != expected:
            found.append(f"the figures are not those of its diff, which are `{expected}`")
    return found


def commits_in(*which: str, root: Path | None = None) -> list[str]:
    """Commits of a range, oldest first; arguments as for ``git rev-list``."""
    return git("rev-list", "--reverse", *which, root=root).split()


def main(arguments: list[str]) -> int:
    """The command line; see USAGE."""
    match arguments:
        case ["--range", *which] if which:
            listed = commits_in(*which)
            wrong = [(commit[:10], fault) for commit in listed for fault in commit_faults(commit)]
            summary = f"Commit messages: {len(listed)} commits, {len(wrong)} faults"
        case ["--fill", path, *base]:
            file = Path(path)
            file.write_text(fill(file.read_text("utf-8"), measure(base[0] if base else head())), "utf-8")
            return 0
        case [path] if not path.startswith("-"):
            wrong = [("message", fault) for fault in faults(Path(path).read_text("utf-8"))]
            summary = f"Commit message: {len(wrong)} faults"
        case _:
            print(USAGE, file=sys.stderr)
            return 2
    for where, fault in wrong:
        print(f"{where}: {fault}")
    print(summary)
    return 1 if wrong else 0


def head() -> str:
    """The newest commit, or the empty tree before the first one."""
    found = subprocess.run(["git", "rev-parse", "-q", "--verify", "HEAD"], check=False, capture_output=True, text=True)
    return found.stdout.strip() or NO_COMMIT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
