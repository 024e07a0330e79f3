"""Laws of membership: a fight or a long absence is always seen, and a quiet member never ends itself."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.membership import FIGHT_WINDOW_S, OUTSIDE_S, Membership, lost, seen


class Look(NamedTuple):
    """One look at the group, ``after_s`` seconds after the last."""

    after_s: float
    member: bool
    evicted: int


STEPS = st.integers(0, 90).map(float)
LOOKS = st.lists(st.builds(Look, STEPS, st.booleans(), st.sampled_from([0, 0, 0, 1, 2])), min_size=1, max_size=20)


def told(looks: list[Look]) -> list[tuple[float, Membership, str | None]]:
    """Time, state and verdict after each look."""
    state, now, found = Membership(), 0.0, list[tuple[float, Membership, str | None]]()
    for look in looks:
        now += look.after_s
        state = seen(state, look.member, look.evicted, now)
        found.append((now, state, lost(state, now)))
    return found


@given(LOOKS)
def test_member_without_evictions_is_never_lost(looks: list[Look]) -> None:
    quiet = [look._replace(member=True, evicted=0) for look in looks]

    assert {None} == {why for _, _, why in told(quiet)}


@given(LOOKS)
def test_lost_exactly_when_thrown_out_twice_in_a_minute_or_outside_for_longer(looks: list[Look]) -> None:
    evictions, outside, now = list[float](), None, 0.0
    for look, (_, _, why) in zip(looks, told(looks), strict=True):
        now += look.after_s
        evictions += [now] * look.evicted
        outside = None if look.member else now if outside is None else outside
        fought = sum(now - at < FIGHT_WINDOW_S for at in evictions) >= 2
        absent = outside is not None and now - outside > OUTSIDE_S

        assert (fought or absent) == (why is not None)


@given(LOOKS, st.floats(0, 59.9), STEPS)
def test_two_evictions_in_a_minute_are_lost_whatever_came_before(
    looks: list[Look], apart_s: float, after_s: float
) -> None:
    fight = [Look(after_s, True, 1), Look(apart_s, True, 1)]

    assert told([*looks, *fight])[-1][2] is not None


@given(LOOKS)
def test_state_keeps_only_evictions_of_the_last_minute(looks: list[Look]) -> None:
    for now, state, _ in told(looks):
        assert all(0 <= now - at < FIGHT_WINDOW_S for at in state.evictions)


@given(LOOKS, STEPS)
def test_absence_once_lost_stays_lost_until_member_again(looks: list[Look], more_s: float) -> None:
    now, state, _ = told([*looks, Look(0.0, False, 0), Look(OUTSIDE_S + 1, False, 0)])[-1]

    assert lost(state, now + more_s) is not None
    assert lost(seen(state, True, 0, now + FIGHT_WINDOW_S), now + FIGHT_WINDOW_S) is None


@given(LOOKS)
def test_look_never_changes_the_state_it_was_given(looks: list[Look]) -> None:
    state = told(looks)[-1][1]
    copy = Membership(state.outside_since, state.evictions)
    seen(state, False, 2, 1e6)

    assert copy == state
