"""When a breaker opens, who may probe, and when it closes again."""

from dataclasses import FrozenInstanceError, fields, replace
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import breaker
from streams.decisions.breaker import (
    TRANSITIONS,
    BreakerPolicy,
    CircuitBreaker,
    Event,
    Grant,
    Seen,
    State,
    asked,
    heard,
    reset,
    tripped,
)

NOW = 1_000_000
POLICY = BreakerPolicy(
    consecutive=3, rate=0.5, minimum=6, window_n=10, window_s=10.0, open_s=1.0, cap_s=1000.0, probe_interval_s=0.5
)


def after(outcomes: str, now_ms: int = NOW, policy: BreakerPolicy = POLICY) -> CircuitBreaker:
    """A fresh breaker after these calls."""
    return heard(CircuitBreaker(), outcomes, 0, now_ms, policy)


def opened(level: int = 0, now_ms: int = NOW) -> CircuitBreaker:
    """One that opened, and relapsed so often."""
    found = replace(after("fff", now_ms), level=level)
    return replace(found, until_ms=now_ms + POLICY.wait_ms(level))


def half_open(level: int = 0, now_ms: int = NOW) -> CircuitBreaker:
    """One with its first probe granted, to ``w``."""
    found = opened(level, now_ms)
    return asked(found, "w", found.epoch, found.until_ms, POLICY)


def probed(found: CircuitBreaker, outcomes: str, **knobs: Any) -> CircuitBreaker:
    """After so many probes."""
    policy = replace(POLICY, **knobs)
    return heard(found, outcomes, found.epoch, NOW + 9000, policy, probe=True)


# -- the table


@pytest.mark.parametrize(("pair", "to"), TRANSITIONS.items())
def test_transition_of_the_table_leads_to_its_state(pair: tuple[State, Event], to: State) -> None:
    state, event = pair

    assert to == breaker._step(CircuitBreaker(state, 4, 7, 8), event, NOW, POLICY).state


@pytest.mark.parametrize("pair", sorted({*product(get_args(State), get_args(Event))} - set(TRANSITIONS)))
def test_transition_outside_the_table_is_an_error(pair: tuple[State, Event]) -> None:
    state, event = pair

    with pytest.raises(KeyError):
        breaker._step(CircuitBreaker(state), event, NOW, POLICY)


@pytest.mark.parametrize(("pair", "to"), TRANSITIONS.items())
def test_transition_begins_an_epoch_unless_it_grants(pair: tuple[State, Event], to: State) -> None:
    state, event = pair

    assert 4 + (event != "granted") == breaker._step(CircuitBreaker(state, 4), event, NOW, POLICY).epoch


def test_states_of_the_table_are_three() -> None:
    assert {"closed", "open", "half-open"} == {*TRANSITIONS.values()} == {state for state, _ in TRANSITIONS}


# -- closed: bad calls in a row


def test_failures_below_the_threshold_then_a_success_leave_it_closed() -> None:
    """B26."""
    found = after("ffo")

    assert ("closed", 0, 0) == (found.state, found.streak, found.epoch)


@pytest.mark.parametrize("outcomes", ["fff", "sss", "fsf", "offf", "ffofff", "fflf"])
def test_threshold_of_bad_calls_in_a_row_opens_it(outcomes: str) -> None:
    """B27, B28: a timeout is told as failed, a slow answer is as bad."""
    found = after(outcomes)

    assert ("open", 1, NOW, NOW + 1000) == (found.state, found.epoch, found.since_ms, found.until_ms)


@pytest.mark.parametrize("outcomes", ["", "o", "ff", "ffoff", "lll", "iii", "ffl", "ffi", "ooooo"])
def test_calls_short_of_the_threshold_leave_it_closed(outcomes: str) -> None:
    """B37: what is limited or ignored does not count."""
    assert "closed" == after(outcomes).state


@pytest.mark.parametrize("outcomes", ["l", "i", "lil", "?", ""])
def test_calls_that_do_not_count_change_nothing_at_all(outcomes: str) -> None:
    before = after("ff")

    assert before is heard(before, outcomes, 0, NOW + 1, POLICY)


def test_calls_after_the_one_that_opened_it_are_late() -> None:
    assert after("fff") == after("fffooof")


# -- closed: the rate


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ("offof", "closed"),  # five calls: too few for a rate
        ("ooffof", "open"),
        ("oooffo", "closed"),
        ("offoff", "open"),
        ("offoso", "closed"),  # half of six, but a good one never opens
        ("offosof", "open"),
        ("offolllllf", "closed"),
        ("oooooofofof", "closed"),  # four of ten
        ("ooooofofofofof", "open"),  # five of the last ten
    ],
)
def test_rate_of_bad_calls_from_the_minimum_on_opens_it(outcomes: str, state: State) -> None:
    assert state == after(outcomes).state


@pytest.mark.parametrize(("apart_ms", "state"), [(1000, "open"), (3000, "closed")])
def test_rate_counts_calls_of_the_last_seconds_only(apart_ms: int, state: State) -> None:
    found = CircuitBreaker()
    for number, letter in enumerate("offoof"):
        found = heard(found, letter, 0, NOW + number * apart_ms, POLICY)

    assert state == found.state


def test_window_keeps_the_newest_calls() -> None:
    found = after("o" * 12)

    assert (10, {Seen(NOW, False)}) == (len(found.window), {*found.window})


@pytest.mark.parametrize(("later_ms", "kept"), [(10_000, 3), (10_001, 1)])
def test_window_drops_calls_that_are_too_old(later_ms: int, kept: int) -> None:
    found = heard(after("oo"), "o", 0, NOW + later_ms, POLICY)

    assert kept == len(found.window)


def test_streak_is_counted_beyond_the_window() -> None:
    found = CircuitBreaker()
    for number in range(3):
        found = heard(found, "f", 0, NOW + number * 60_000, POLICY)

    assert "open" == found.state


# -- late, and not ours


@pytest.mark.parametrize("epoch", [0, 2, 9])
@pytest.mark.parametrize("outcomes", ["o", "f", "ffff"])
@pytest.mark.parametrize("probe", [False, True])
def test_calls_of_another_epoch_change_nothing(epoch: int, outcomes: str, probe: bool) -> None:
    """B36."""
    for found in (opened(), half_open()):
        assert found is heard(found, outcomes, epoch, NOW, POLICY, probe=probe)


@pytest.mark.parametrize(("found", "probe"), [(after("ff"), True), (opened(), False), (opened(), True)])
def test_calls_of_the_wrong_kind_change_nothing(found: CircuitBreaker, probe: bool) -> None:
    assert found is heard(found, "f", found.epoch, NOW, POLICY, probe=probe)


def test_plain_call_while_half_open_changes_nothing() -> None:
    """B35: only probes count for the recovery."""
    found = half_open()

    assert found is heard(found, "ooooo", found.epoch, NOW, POLICY)


# -- open


@pytest.mark.parametrize("before_ms", [1, 999, 1000])
def test_ask_before_the_wait_is_over_is_not_granted(before_ms: int) -> None:
    """B29."""
    found = opened()

    assert found is asked(found, "w", 1, found.until_ms - before_ms, POLICY)


@pytest.mark.parametrize("later_ms", [0, 1, 100_000])
def test_ask_after_the_wait_is_granted_to_the_one_who_asked(later_ms: int) -> None:
    found = opened()
    at_ms = found.until_ms + later_ms

    granted = asked(found, "w", 1, at_ms, POLICY, sent_ms=at_ms - 3)

    assert ("half-open", Grant(1, "w", at_ms, at_ms - 3), at_ms + 500) == (
        granted.state,
        granted.grant,
        granted.until_ms,
    )


def test_ask_of_another_epoch_is_not_granted() -> None:
    found = opened()

    assert found is asked(found, "w", 0, NOW + 99_000, POLICY)


def test_ask_of_a_closed_one_changes_nothing() -> None:
    found = after("ff")

    assert found is asked(found, "w", 0, NOW, POLICY)


# -- half-open


@pytest.mark.parametrize(("later_ms", "number"), [(0, 1), (499, 1), (500, 2), (5000, 2)])
def test_second_probe_is_granted_after_the_interval(later_ms: int, number: int) -> None:
    """B30, B31: whoever holds the first, alive or not."""
    found = half_open()
    assert found.grant is not None

    granted = asked(found, "other", 1, found.grant.at_ms + later_ms, POLICY)

    assert granted.grant is not None
    assert number == granted.grant.number


def test_granting_keeps_the_count_of_probes() -> None:
    found = probed(half_open(), "o")

    granted = asked(found, "w", 1, NOW + 50_000, POLICY)

    assert (1, 0) == (granted.good, granted.bad)


def test_history_before_half_open_is_not_counted_in_the_rate() -> None:
    """B35."""
    found = half_open()

    assert ((), 0, 0, 0) == (found.window, found.streak, found.good, found.bad)


@pytest.mark.parametrize(
    ("outcomes", "min_probes", "state"),
    [
        ("o", 1, "closed"),
        ("o", 3, "half-open"),
        ("oo", 3, "half-open"),
        ("ooo", 3, "closed"),
        ("olioo", 3, "closed"),
        ("f", 1, "open"),
        ("f", 5, "open"),
        ("s", 5, "open"),
        ("of", 5, "open"),
        ("oof", 5, "open"),
        ("ooof", 5, "open"),
        ("oooof", 5, "closed"),  # four of five
        ("oooof", 6, "half-open"),
        ("oooofo", 6, "closed"),
        ("l", 1, "half-open"),
        ("i", 1, "half-open"),
    ],
)
def test_recovery_takes_enough_probes_at_the_success_rate(outcomes: str, min_probes: int, state: State) -> None:
    """B32, B34."""
    assert state == probed(half_open(), outcomes, min_probes=min_probes).state


@pytest.mark.parametrize(("level", "factor"), [(0, 2), (1, 4), (2, 8), (4, 32), (5, 64), (6, 64), (40, 64)])
def test_relapse_doubles_the_wait_up_to_sixty_four(level: int, factor: int) -> None:
    """B32."""
    found = probed(half_open(level), "f")

    assert (level + 1, 1000 * factor) == (found.level, found.until_ms - (NOW + 9000))


def test_wait_never_exceeds_its_cap() -> None:
    assert [1000, 2000, 2500, 2500] == [replace(POLICY, cap_s=2.5).wait_ms(level) for level in range(4)]


def test_relapse_keeps_the_time_at_which_it_opened() -> None:
    assert NOW == probed(half_open(), "f").since_ms


def test_relapse_takes_the_grant_away() -> None:
    assert None is probed(half_open(), "f").grant


def test_recovery_begins_anew_with_the_shortest_wait() -> None:
    """B33."""
    recovered = probed(half_open(3), "ooo")
    again = heard(recovered, "fff", recovered.epoch, NOW, POLICY)

    assert (CircuitBreaker(epoch=2), NOW + 1000) == (recovered, again.until_ms)


# -- orders


@pytest.mark.parametrize("found", [CircuitBreaker(), after("ff"), opened(), half_open()])
@pytest.mark.parametrize(("for_s", "wait_ms"), [(None, 1000), (0.0, 0), (600.0, 600_000)])
def test_trip_opens_it_for_as_long_as_asked(found: CircuitBreaker, for_s: float | None, wait_ms: int) -> None:
    """B40."""
    given = tripped(found, NOW + 5, POLICY, for_s)

    assert ("open", found.epoch + 1, NOW + 5 + wait_ms) == (given.state, given.epoch, given.until_ms)


@pytest.mark.parametrize("found", [CircuitBreaker(), after("ff"), opened(3), half_open(3)])
def test_reset_closes_it_and_forgets_all(found: CircuitBreaker) -> None:
    """B40."""
    assert CircuitBreaker(epoch=found.epoch + 1) == reset(found, NOW, POLICY)


@pytest.mark.parametrize("given", [lambda found: tripped(found, NOW, POLICY), lambda found: reset(found, NOW, POLICY)])
def test_call_begun_before_an_order_is_late(given: Any) -> None:
    found = given(after("ff"))

    assert found is heard(found, "f", 0, NOW, POLICY)


# -- what is published


def test_knobs_that_nobody_sets_are_these() -> None:
    """They are documented: five in a row, half of twenty, waits of 5 s to 320 s, three probes 2 s apart."""
    assert (5, 0.5, 20, 100, 60.0, 300.0, 5.0, 320.0, 2.0, 0.8, 3) == tuple(
        getattr(BreakerPolicy(), knob.name) for knob in fields(BreakerPolicy)
    )


def test_breaker_that_is_new_has_seen_and_said_nothing() -> None:
    assert ("closed", 0, 0, 0, 0, None, 0, (), 0, 0) == tuple(
        getattr(CircuitBreaker(), part.name) for part in fields(CircuitBreaker)
    )


@pytest.mark.parametrize("value", [BreakerPolicy(), CircuitBreaker()])
def test_values_of_the_rule_cannot_be_changed(value: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(value)[0].name, 1)


def test_window_keeps_a_call_of_just_that_age_beside_an_older_one() -> None:
    found = CircuitBreaker()
    for later_ms in (0, 1, 10_001):
        found = heard(found, "o", 0, NOW + later_ms, POLICY)

    assert [NOW + 1, NOW + 10_001] == [seen.at_ms for seen in found.window]


def test_grant_stands_for_exactly_its_interval() -> None:
    found = opened()
    granted = asked(found, "w", 1, found.until_ms, replace(POLICY, probe_interval_s=2.0))

    assert (found.until_ms + 2000, 0) == (granted.until_ms, granted.grant.sent_ms if granted.grant else None)


@given(st.text("osflx", max_size=40), st.booleans(), st.integers(1, 12))
def test_outcomes_told_at_once_come_to_what_they_come_to_one_by_one(letters: str, probe: bool, window_n: int) -> None:
    begun = half_open() if probe else CircuitBreaker()
    policy = replace(POLICY, window_n=window_n, minimum=min(POLICY.minimum, window_n))
    one_by_one = begun
    for letter in letters:
        one_by_one = heard(one_by_one, letter, begun.epoch, NOW + 9000, policy, probe=probe)

    assert one_by_one == heard(begun, letters, begun.epoch, NOW + 9000, policy, probe=probe)
