"""What may go from a log that we trim, for any commits and any age; and by when a request has to be answered."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.retention import Held, Log, Trim, ages, keep_ms, trim, unfinished

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
OFFSETS = st.integers(0, 1000)
RETENTIONS = st.integers(1024, 3650 * DAY_MS)


def log(start: int = 0, end: int = 10, aged: int | None = 8, **committed: int | None) -> Log:
    return Log(start, end, committed or {"core": 10}, aged)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    start = draw(OFFSETS)
    end = start + draw(OFFSETS)
    groups = draw(st.dictionaries(st.sampled_from(["core", "infer", "bury", "park"]), st.none() | OFFSETS))
    return Log(start, end, groups, draw(st.none() | OFFSETS))


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (log(core=10), Trim(8, 8)),
        (log(core=8), Trim(8, 8)),
        (log(core=5), Trim(5, 5)),
        (log(core=9, bury=3), Trim(3, 3)),
        (log(start=2, core=5), Trim(5, 3)),
        (log(aged=None, core=10), Trim(10, 10)),
        (log(aged=None, core=12), Trim(10, 10)),
        (log(aged=0, core=10), None),
        (log(core=0), None),
        (log(start=5, core=5), None),
        (log(start=5, core=3), None),
        (log(start=8, core=10), None),
        (log(start=10, aged=None, core=10), None),
        (log(start=0, end=0, aged=None, core=None), None),
        (log(core=None), Held(("core",))),
        (log(core=9, bury=None), Held(("bury",))),
        (log(infer=None, core=4, bury=None), Held(("bury", "infer"))),
        (log(start=2, aged=None, core=None), Held(("core",))),
        (Log(0, 10, {}, 8), Held(())),
    ],
)
def test_old_records_below_the_smallest_commit_may_go(one: Log, expected: Trim | Held | None) -> None:
    assert expected == trim(one)


@given(logs())
def test_nothing_goes_that_a_group_has_not_committed(one: Log) -> None:
    """B83."""
    said = trim(one)

    assert not isinstance(said, Trim) or all(
        committed is not None and said.before <= committed for committed in one.committed.values()
    )


@given(logs())
def test_nothing_goes_that_is_young_or_not_there(one: Log) -> None:
    said = trim(one)

    assert not isinstance(said, Trim) or one.start < said.before <= one.old <= max(one.start, one.end)


@given(logs())
def test_records_told_are_those_between_start_and_cut(one: Log) -> None:
    said = trim(one)

    assert not isinstance(said, Trim) or said.records == said.before - one.start > 0


@given(logs())
def test_log_trimmed_as_said_has_nothing_more_to_trim(one: Log) -> None:
    """Two workers that look at the same time, and one that looks twice, come to the same."""
    said = trim(one)
    after = replace(one, start=said.before) if isinstance(said, Trim) else one

    assert not isinstance(trim(after), Trim)


@given(logs(), st.none() | OFFSETS)
def test_another_reader_never_lets_more_go(one: Log, committed: int | None) -> None:
    said = trim(one)
    more = trim(replace(one, committed={**one.committed, "another": committed}))

    assert not isinstance(more, Trim) or not one.committed or (isinstance(said, Trim) and more.before <= said.before)


@given(logs())
def test_silent_reader_holds_everything(one: Log) -> None:
    assert not isinstance(trim(replace(one, committed={**one.committed, "silent": None})), Trim)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (log(core=10), ()),
        (log(core=8), ()),
        (log(core=7), ("core",)),
        (log(core=0), ("core",)),
        (log(core=None), ("core",)),
        (log(core=8, bury=2, infer=None), ("bury", "infer")),
        (log(aged=None, core=9), ("core",)),
        (log(aged=None, core=10), ()),
        (log(aged=0, core=None), ()),
        (log(start=8, core=None), ()),
        (log(start=0, end=0, aged=None, core=None), ()),
    ],
)
def test_group_with_an_old_record_before_it_is_unfinished(one: Log, expected: tuple[str, ...]) -> None:
    assert expected == unfinished(one)


@given(logs())
def test_finished_log_may_lose_all_that_is_old(one: Log) -> None:
    """The two questions agree: where nobody has old work before it, nothing old stays."""
    said = trim(one)

    assert unfinished(one) or not one.committed or said is None or said == Trim(one.old, one.old - one.start)


@pytest.mark.parametrize(
    ("retention_ms", "expected"),
    [
        (7 * DAY_MS, 7 * DAY_MS - HOUR_MS),
        (2 * HOUR_MS, HOUR_MS),
        (2 * HOUR_MS + 2, HOUR_MS + 2),
        (HOUR_MS, HOUR_MS // 2),
        (3, 2),
        (1, 1),
    ],
)
def test_request_is_answered_an_hour_or_half_the_retention_before_its_end(retention_ms: int, expected: int) -> None:
    assert expected == keep_ms(retention_ms)


@given(RETENTIONS)
def test_request_has_at_least_half_of_the_retention(retention_ms: int) -> None:
    assert retention_ms / 2 <= keep_ms(retention_ms) < retention_ms


@given(RETENTIONS)
def test_ages_rise_to_the_retention_by_fours(retention_ms: int) -> None:
    found = ages(retention_ms)

    assert (6, retention_ms) == (len(found), found[-1])
    assert all(4 * low <= high <= 4 * low + 3 for low, high in itertools.pairwise(found))
