"""The bar is for people: on a terminal it moves, anywhere else there is none."""

import io
from collections import Counter
from contextlib import redirect_stderr

import pytest

from streams.cli.progress import bar, counting, described, ended
from streams.decisions.totals import Totals
from tests.support.commands import Screen


def shown(stream, rows, *told):
    with redirect_stderr(stream), bar(rows) as tell:
        for totals in told:
            tell(totals)
    return stream.getvalue()


def totals(completed=0, failed=0, **counts):
    return Totals(statuses=Counter(completed=completed, failed=failed), **counts)


def test_bar_in_a_pipe_writes_nothing():
    assert "" == shown(io.StringIO(), 5, totals(5))


@pytest.mark.parametrize(("rows", "text"), [(5, "5/5"), (None, "50/?")])
def test_bar_on_a_terminal_says_how_far_it_is(rows, text):
    assert text in shown(Screen(), rows, totals(rows or 50))


def test_bar_on_a_terminal_tells_what_went_wrong():
    assert "2 wrong" in shown(Screen(), 5, totals(3, failed=1, bad=1))


@pytest.mark.parametrize(
    ("made", "rows"), [(totals(), 0), (totals(3, failed=2), 5), (totals(1, bad=2, skipped=3), 6), (totals(asked=9), 0)]
)
def test_ended_rows_are_those_with_any_end(made, rows):
    assert rows == ended(made)


@pytest.mark.parametrize(("made", "text"), [(totals(9), ""), (totals(9, failed=1200), "1,200 wrong")])
def test_description_is_empty_while_all_is_well(made, text):
    assert text == described(made)


@pytest.mark.parametrize(("stream", "seen"), [(io.StringIO, False), (Screen, True)])
def test_count_of_things_is_shown_on_a_terminal_only(stream, seen):
    out = stream()
    with redirect_stderr(out), counting(7) as tell:
        tell(3)

    assert seen == ("3/7" in out.getvalue())
    assert seen or "" == out.getvalue()
