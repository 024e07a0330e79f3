"""What a seed draws: equal everywhere, inside the busy time, and no fault forgotten."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.drill import plan
from streams.drill.plan import Planned

SEEDS = st.integers(0, 10_000)
NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=1, max_size=20, unique=True)
BUSY_S = st.floats(1.0, 600.0)


@given(SEEDS, NAMES, BUSY_S)
def test_seed_draws_the_same_again(seed, names, busy_s):
    assert plan.draw(seed, names, busy_s) == plan.draw(seed, names, busy_s)


@given(SEEDS, NAMES, st.randoms())
def test_draw_does_not_depend_on_the_order_of_names(seed, names, chance):
    mixed = chance.sample(names, len(names))

    assert plan.draw(seed, names, 60.0) == plan.draw(seed, mixed, 60.0)


@given(SEEDS, NAMES, BUSY_S, st.integers(1, 6))
def test_each_fault_begins_within_the_busy_time(seed, names, busy_s, count):
    moments = [planned.at_s for planned in plan.draw(seed, names, busy_s, count)]

    assert count == len(moments)
    assert all(busy_s * plan.EDGE - 0.01 <= at_s <= busy_s * (1 - plan.EDGE) + 0.01 for at_s in moments)


@given(SEEDS, NAMES)
def test_faults_of_a_seed_begin_one_after_another(seed, names):
    moments = [planned.at_s for planned in plan.draw(seed, names, 60.0)]

    assert sorted(moments) == moments


@given(SEEDS, NAMES)
def test_only_known_faults_are_drawn(seed, names):
    assert {planned.fault for planned in plan.draw(seed, names, 60.0)} <= set(names)


@given(st.integers(0, 500), st.integers(3, 20))
def test_forty_seeds_in_a_row_play_each_fault_five_times(first, size):
    names = [f"fault-{number}" for number in range(size)]
    played = Counter(planned.fault for seed in range(first, first + 40) for planned in plan.draw(seed, names, 120.0))

    assert min(played[name] for name in names) >= 5


@pytest.mark.parametrize("one", range(5))
def test_next_seed_plays_at_other_moments(one):
    names = ["kill", "stop", "pause"]

    assert [p.at_s for p in plan.draw(one, names, 60.0)] != [p.at_s for p in plan.draw(one + 1, names, 60.0)]


def test_spread_keeps_the_names_in_their_order():
    names = ("kill", "kill", "pause")

    assert names == tuple(planned.fault for planned in plan.spread(3, names, 30.0))


@pytest.mark.parametrize(("count", "share"), [(1, 0.8), (2, 0.4), (4, 0.2)])
def test_fault_begins_in_the_first_half_of_its_share(count, share):
    planned = plan.spread(5, ["kill"] * count, 100.0)

    assert all(
        100 * (plan.EDGE + share * number) <= one.at_s <= 100 * (plan.EDGE + share * (number + 0.5)) + 0.01
        for number, one in enumerate(planned)
    )


def test_plan_without_faults_is_empty():
    assert () == plan.spread(1, [], 60.0)


def test_one_moment_at_least_of_a_busy_time_without_length():
    assert (Planned("kill", 0.0),) == plan.spread(1, ["kill"], 0.0)


def test_chance_of_a_fault_is_its_own():
    drawn = {(seed, number): plan.chance_of(seed, number).random() for seed in range(3) for number in range(3)}

    assert 9 == len(set(drawn.values()))


@given(SEEDS, st.integers(0, 5))
def test_chance_of_a_fault_is_the_same_again(seed, number):
    assert plan.chance_of(seed, number).random() == plan.chance_of(seed, number).random()
