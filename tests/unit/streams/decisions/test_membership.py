"""Membership in a group, look by look."""

import pytest

from streams.decisions.membership import Membership, lost, seen


def after(*looks: tuple[float, bool, int]) -> Membership:
    """The state after looks at (now, member, evicted)."""
    state = Membership()
    for now, member, evicted in looks:
        state = seen(state, member, evicted, now)
    return state


def test_new_state_knows_nothing_and_is_not_lost() -> None:
    assert (Membership(None, ()), None) == (Membership(), lost(Membership(), 1e9))


def test_member_is_outside_since_never() -> None:
    assert after((5.0, True, 0)).outside_since is None


def test_first_look_outside_is_remembered() -> None:
    assert 5.0 == after((5.0, False, 0)).outside_since


def test_later_looks_outside_keep_the_first() -> None:
    assert 5.0 == after((5.0, False, 0), (9.0, False, 0), (50.0, False, 0)).outside_since


def test_time_zero_outside_is_a_time() -> None:
    assert 0.0 == after((0.0, False, 0), (9.0, False, 0)).outside_since


def test_member_again_forgets_that_it_was_outside() -> None:
    assert after((5.0, False, 0), (9.0, True, 0)).outside_since is None


def test_outside_again_counts_from_the_new_time() -> None:
    assert 20.0 == after((5.0, False, 0), (9.0, True, 0), (20.0, False, 0)).outside_since


def test_eviction_is_remembered_with_its_time() -> None:
    assert (5.0,) == after((5.0, True, 1)).evictions


def test_two_evictions_between_looks_are_both_remembered() -> None:
    assert (5.0, 5.0) == after((5.0, True, 2)).evictions


@pytest.mark.parametrize(("now", "kept"), [(5.0, (0.0,)), (59.9, (0.0,)), (60.0, ()), (600.0, ())])
def test_eviction_of_a_minute_ago_is_forgotten(now: float, kept: tuple[float, ...]) -> None:
    assert kept == after((0.0, True, 1), (now, True, 0)).evictions


@pytest.mark.parametrize("now", [0.0, 30.0, 60.0])
def test_outside_for_up_to_a_minute_is_not_lost(now: float) -> None:
    assert lost(after((0.0, False, 0)), now) is None


@pytest.mark.parametrize("since", [0.0, 5.0, 1e6])
def test_outside_for_more_than_a_minute_is_lost(since: float) -> None:
    assert "not a member of the group for 61 s" == lost(after((since, False, 0)), since + 61.0)


def test_outside_for_up_to_a_minute_is_not_lost_however_late_it_began() -> None:
    assert lost(after((1e6, False, 0)), 1e6 + 60.0) is None


def test_evictions_within_a_minute_are_kept_however_late_they_were() -> None:
    assert (1e6, 1e6 + 59.0) == after((1e6, True, 1), (1e6 + 59.0, True, 1)).evictions


def test_member_after_long_absence_is_not_lost() -> None:
    assert lost(after((0.0, False, 0), (59.0, True, 0)), 600.0) is None


def test_one_eviction_is_not_lost() -> None:
    assert lost(after((0.0, True, 1)), 0.0) is None


def test_two_evictions_in_a_minute_are_lost_even_as_a_member() -> None:
    state = after((0.0, True, 1), (59.0, True, 1))

    assert "thrown out of the group 2 times in 60 s: another process has this identity" == lost(state, 59.0)


def test_evictions_a_minute_apart_are_not_lost() -> None:
    assert lost(after((0.0, True, 1), (60.0, True, 1)), 60.0) is None


def test_fight_is_named_before_absence() -> None:
    why = lost(after((0.0, False, 0), (61.0, False, 3)), 61.0)

    assert why is not None
    assert why.startswith("thrown out of the group 3 times")
