"""Holes in offsets, case by case."""

import pytest

from streams.decisions.continuity import Hole, InOrder, LaterStart, Verdict, judge


@pytest.mark.parametrize("offset", [0, 1, 5, 2**62])
def test_first_offset_of_an_unknown_partition_is_in_order(offset: int) -> None:
    assert InOrder(offset + 1) == judge(offset, None, None)


def test_unknown_partition_with_a_log_start_is_in_order() -> None:
    assert InOrder(10) == judge(9, None, 3)


@pytest.mark.parametrize("offset", [0, 5, 2**62])
def test_expected_offset_is_in_order_and_next_is_due(offset: int) -> None:
    assert InOrder(offset + 1) == judge(offset, offset, None)


@pytest.mark.parametrize(("offset", "expected"), [(0, 1), (4, 5), (0, 500)])
def test_lower_offset_is_a_harmless_redelivery(offset: int, expected: int) -> None:
    assert InOrder(offset + 1) == judge(offset, expected, None)


@pytest.mark.parametrize(("offset", "log_start"), [(5, 5), (5, 3), (900, 900), (900, 0)])
def test_log_trimmed_up_to_the_committed_offset_has_no_gap(offset: int, log_start: int) -> None:
    assert InOrder(offset + 1) == judge(offset, offset, log_start)


@pytest.mark.parametrize("log_start", [0, 4, 5, 900])
def test_lower_offset_is_harmless_wherever_the_log_starts(log_start: int) -> None:
    assert InOrder(5) == judge(4, 5, log_start)


@pytest.mark.parametrize(
    ("offset", "expected", "log_start", "verdict"),
    [
        (6, 5, None, Hole(5, 6)),
        (606, 416, None, Hole(416, 606)),
        (1, 0, None, Hole(0, 1)),
        (9, 5, 0, Hole(5, 9)),
        (9, 5, 5, Hole(5, 9)),
        (9, 5, 8, Hole(5, 9)),
        (9, 5, 9, LaterStart(5, 9)),
        (9, 5, 10, LaterStart(5, 9)),
        (1, 0, 1, LaterStart(0, 1)),
    ],
)
def test_higher_offset_is_a_hole_unless_the_log_starts_there(
    offset: int, expected: int, log_start: int | None, verdict: Verdict
) -> None:
    assert verdict == judge(offset, expected, log_start)


def test_hole_and_later_start_are_different_verdicts() -> None:
    verdicts: list[Verdict] = [Hole(5, 9), LaterStart(5, 9)]

    assert verdicts[0] != verdicts[1]
