"""`status` on parked tiers: when the first is due, in numbers for programs and in words for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli import parked
from tests.support.fake_cluster import NOW_MS

ONE, TWO = "prompts.parked.1", "prompts.parked.2"
TIERS = {ONE: 5.0, TWO: 30.0}


def row(topic=ONE, lag=3):
    return {"group": "prompts.park", "stage": "park", "topic": topic, "lag": lag, "records": 9}


def dated(due, topic=ONE, now=NOW_MS):
    return parked.with_due(row(topic), TIERS, due, now)


@pytest.mark.parametrize(
    ("stamps", "due"),
    [
        ({}, {}),
        ({(ONE, 0): 1000}, {ONE: 6000}),
        ({(TWO, 0): 1000}, {TWO: 31_000}),
        ({(ONE, 0): 3000, (ONE, 1): 1000, (ONE, 2): 2000}, {ONE: 6000}),
        ({(ONE, 0): 3000, (TWO, 3): 1000}, {ONE: 8000, TWO: 31_000}),
    ],
)
def test_first_due_of_a_topic_is_its_oldest_stamp_and_its_tier(stamps, due):
    assert due == parked.first_due(TIERS, stamps)


@given(st.dictionaries(st.tuples(st.sampled_from([ONE, TWO]), st.integers(0, 9)), st.integers(0, 10**12)))
def test_nothing_that_waits_is_due_before_the_first(stamps):
    due = parked.first_due(TIERS, stamps)
    every = {(topic, stamp + TIERS[topic] * 1000) for (topic, _), stamp in stamps.items()}

    assert {topic for topic, _ in stamps} == set(due)
    assert [] == [at for topic, at in every if at < due[topic]]
    assert set(due.items()) <= every


def test_row_of_a_parked_topic_keeps_what_it_had():
    found = dated({ONE: NOW_MS})

    assert row() == {name: found[name] for name in row()}


@pytest.mark.parametrize(
    ("topic", "due", "shown"),
    [
        (ONE, {ONE: NOW_MS + 2500}, (5.0, "2026-01-31T12:00:02.500Z", 2.5)),
        (TWO, {TWO: NOW_MS - 90_000}, (30.0, "2026-01-31T11:58:30.000Z", -90.0)),
        (ONE, {ONE: NOW_MS}, (5.0, "2026-01-31T12:00:00.000Z", 0.0)),
        (ONE, {TWO: NOW_MS}, (5.0, None, None)),
    ],
)
def test_row_of_a_parked_topic_has_tier_and_time(topic, due, shown):
    found = dated(due, topic)

    assert shown == (found["tier_s"], found["due"], found["due_in_s"])


@pytest.mark.parametrize("topic", ["prompts", "prompts.assembled.low", "prompts.parked.9"])
def test_row_of_another_topic_stays_as_it_is(topic):
    assert row(topic) == dated({ONE: NOW_MS}, topic)


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (0.3, "in 1 s, "),
        (42, "in 42 s, "),
        (59.1, "in 1 min 0 s, "),
        (250, "in 4 min 10 s, "),
        (3600, "in 1 h 0 min, "),
        (0, "now"),
        (-5, "now"),
        (-5.1, "OVERDUE by 6 s: "),
        (-7500, "OVERDUE by 2 h 5 min: "),
    ],
)
def test_time_is_told_in_words_for_people(left_s, words):
    told = parked.in_words(dated({ONE: NOW_MS + round(left_s * 1000)}))

    assert told.startswith(words)


def test_time_to_come_is_told_with_its_moment():
    assert "in 5 s, 2026-01-31T12:00:05.000Z" == parked.in_words(dated({ONE: NOW_MS + 5000}))


def test_overdue_tier_says_whom_to_look_for():
    assert parked.in_words(dated({ONE: NOW_MS - 60_000})).endswith("does a worker with `park` run?")


@pytest.mark.parametrize("quiet", [row(), row("prompts"), dated({})])
def test_row_in_which_nothing_waits_has_no_words(quiet):
    assert parked.in_words(quiet) is None
