"""How are dead letters chosen on the command line, and how do they look: in groups of one cause, or one by one?"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from streams.cli import show
from streams.decisions import letters
from streams.decisions.letters import Letter, Wanted

GROUPED = ("fingerprint", "kind", "stage", "disposition", "state", "count", "first", "last", "newest")
EACH = ("place", "id", "fingerprint", "kind", "stage", "lineage", "state", "buried")

Kind = Annotated[str | None, typer.Option(help="Only this kind of error.")]
StageName = Annotated[str | None, typer.Option("--stage", help="Only what this stage gave up.")]
Session = Annotated[str | None, typer.Option(help="Only requests of this conversation.")]
Fingerprint = Annotated[str | None, typer.Option(help="Only this cause; its first digits are enough.")]
OlderThan = Annotated[str | None, typer.Option(metavar="AGE", help="Only what was buried before: 90s, 15m, 2h, 3d.")]
NewerThan = Annotated[str | None, typer.Option(metavar="AGE", help="Only what was buried since: 90s, 15m, 2h, 3d.")]
Each = Annotated[bool, typer.Option("--each", help="One line a dead letter, not a group.")]

Stated = tuple[Letter, str]


def wanted(
    ids: Sequence[str] = (),
    kind: str | None = None,
    stage: str | None = None,
    session: str | None = None,
    fingerprint: str | None = None,
    older_than: str | None = None,
    newer_than: str | None = None,
) -> Wanted:
    """What the options mean, now."""
    return Wanted(
        frozenset(ids),
        kind,
        stage,
        session,
        fingerprint,
        before_ms=_ago(older_than, "--older-than"),
        after_ms=_ago(newer_than, "--newer-than"),
    )


def now_ms() -> int:
    """Now, epoch milliseconds."""
    return time.time_ns() // 1_000_000


def _ago(age: str | None, option: str) -> int | None:
    return None if age is None else now_ms() - letters.age_ms(age, option)


@dataclass(slots=True)
class Group:
    """Dead letters of one cause and one state; times are those of the broker, ``message`` is that of the newest."""

    fingerprint: str
    kind: str | None
    stage: str | None
    disposition: str | None
    state: str
    exception_class: str | None
    message: str | None = None
    count: int = 0
    first: str = ""
    last: str = ""
    newest: str = ""

    def add(self, letter: Letter) -> None:
        """Counts one; partitions come one after another, so it may be older than the last."""
        self.count += 1
        self.first = min(self.first or letter.buried, letter.buried)
        if (letter.buried, letter.short) > (self.last, self.newest):
            self.last, self.newest, self.message = letter.buried, letter.short, letter.message


def rows(stated: Iterable[Stated], each: bool) -> list[show.Row]:
    """What is printed: the biggest group first, or one after the other."""
    return [_row(letter, state) for letter, state in stated] if each else _groups(stated)


def table(found: list[show.Row], each: bool, how: show.Format) -> None:
    """Prints them."""
    show.rows(found, how, EACH if each else GROUPED)


def _groups(stated: Iterable[Stated]) -> list[show.Row]:
    groups = dict[tuple[str, str | None, str], Group]()
    for letter, state in stated:
        cause = (letter.fingerprint, letter.disposition, state)
        about = (letter.fingerprint, letter.kind, letter.stage, letter.disposition, state, letter.exception_class)
        groups.setdefault(cause, Group(*about)).add(letter)
    biggest_first = sorted(groups.values(), key=lambda one: (-one.count, str(one.kind), str(one.stage), one.state))
    return [asdict(group) for group in biggest_first]


def _row(letter: Letter, state: str) -> show.Row:
    same = ("id", "fingerprint", "kind", "stage", "disposition", "lineage", "session", "size", "buried")
    return {"place": letter.short, "state": state, **{name: getattr(letter, name) for name in same}}
