"""Laws of continuity: nothing dropped goes unseen, and nothing harmless ends a worker."""

from hypothesis import assume, given
from hypothesis import strategies as st

from streams.decisions.continuity import Hole, InOrder, LaterStart, Verdict, judge

OFFSETS = st.integers(0, 2**63 - 2)
SMALL = st.integers(0, 40)


def verdicts(offsets: list[int], expected: int | None, log_start: int | None = None) -> list[Verdict]:
    """One generation of a partition, up to the first verdict that is not in order."""
    seen: list[Verdict] = []
    for offset in offsets:
        seen.append(verdict := judge(offset, expected, log_start))
        if not isinstance(verdict, InOrder):
            break
        expected = verdict.expect
    return seen


@given(OFFSETS, st.integers(1, 30), st.booleans())
def test_records_without_a_hole_are_all_in_order(first: int, count: int, known: bool) -> None:
    offsets = [first + step for step in range(count)]

    assert [InOrder(offset + 1) for offset in offsets] == verdicts(offsets, first if known else None)


@given(SMALL, st.integers(2, 20), st.data())
def test_dropped_records_are_seen_at_the_next_one(first: int, count: int, data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, count - 2))
    until = data.draw(st.integers(gone, count - 2))
    offsets = [first + step for step in range(count) if not gone <= step <= until]

    assert Hole(first + gone, first + until + 1) == verdicts(offsets, first)[-1]


@given(SMALL, st.lists(st.tuples(st.integers(1, 6), st.integers(0, 40)), max_size=6))
def test_rewinds_of_any_length_are_in_order(committed: int, runs: list[tuple[int, int]]) -> None:
    offsets, due = list[int](), committed
    for length, back in runs:
        first = max(0, due - back)
        offsets += range(first, first + length)
        due = first + length

    assert all(isinstance(verdict, InOrder) for verdict in verdicts(offsets, committed))


@given(SMALL, SMALL, SMALL)
def test_gap_is_named_a_later_start_only_where_the_log_lacks_all_of_it(
    expected: int, offset: int, log_start: int
) -> None:
    assume(offset > expected)
    wanted = LaterStart(expected, offset) if log_start >= offset else Hole(expected, offset)

    assert wanted == judge(offset, expected, log_start)


@given(SMALL, SMALL, st.none() | SMALL)
def test_log_start_is_no_matter_while_nothing_is_missing(expected: int, back: int, log_start: int | None) -> None:
    offset = max(0, expected - back)

    assert InOrder(offset + 1) == judge(offset, expected, log_start)


@given(SMALL, SMALL)
def test_verdict_without_a_log_start_never_claims_one(expected: int, offset: int) -> None:
    assert not isinstance(judge(offset, expected, None), LaterStart)


@given(st.none() | SMALL, SMALL, st.none() | SMALL)
def test_records_named_as_missing_are_those_between(expected: int | None, offset: int, log_start: int | None) -> None:
    match judge(offset, expected, log_start):
        case InOrder(expect):
            assert offset + 1 == expect
        case Hole(due, got) | LaterStart(due, got):
            assert (expected, offset) == (due, got)
            assert due < got
