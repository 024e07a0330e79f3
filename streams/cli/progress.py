"""How far is a batch? A bar for people on a terminal, nothing anywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streams.decisions.totals import Totals

if TYPE_CHECKING:
    from rich.progress import Progress

EVERY = 50  # rows between two looks of the bar


@contextmanager
def bar(rows: int | None) -> Iterator[Callable[[Totals], None]]:
    """What is to be told the totals; ``rows``: about how many there are, None where nobody knows."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with _shown() as shown:
        task = shown.add_task("", total=rows)

        def told(totals: Totals) -> None:
            if (done := ended(totals)) % EVERY == 0 or done == rows:
                shown.update(task, completed=done, description=described(totals))

        yield told


@contextmanager
def counting(things: int) -> Iterator[Callable[[int], None]]:
    """What is to be told how many of so many things are done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with _shown() as shown:
        task = shown.add_task("", total=things)
        yield lambda done: shown.update(task, completed=done)


def _shown() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=Console(file=sys.stderr), transient=True)


def ended(totals: Totals) -> int:
    """Rows that have come to their end."""
    return totals.statuses.total() + totals.bad + totals.skipped


def described(totals: Totals) -> str:
    """``3 wrong``, as soon as anything is."""
    return f"{totals.wrong:,} wrong" if totals.wrong else ""
