"""What shows that a run got to where it is worth something."""

import json

import pytest

from streams.drill import reach
from streams.stage import Record
from topics.catalog import BREAKERS, CATALOG, INFERRED, PARKED, RESULTS


def record(topic, decision="", value=b"{}"):
    return Record(topic, 0, 0, 0, b"k", value, ((reach.DECISION, decision.encode()),))


def opened(level):
    return record(BREAKERS, "open", json.dumps({"level": level}).encode())


@pytest.mark.parametrize(
    ("topic", "decision", "word"),
    [
        (BREAKERS, "open", "breaker opened"),
        (BREAKERS, "half-open", "probe granted"),
        (BREAKERS, "closed", "breaker closed again"),
        (INFERRED, "answered-before", "finished call found again"),
        (INFERRED, "called", None),
        (RESULTS, "cached", "dedup hit"),
        (RESULTS, "coalesced", "dedup hit"),
        (RESULTS, "copy", "answer sent again"),
        (RESULTS, "answered", None),
        *((topic, "parked", "request parked") for topic in PARKED),
    ],
)
def test_decision_on_a_topic_shows_what_came_to_pass(topic, decision, word):
    assert word == reach.of_record(record(topic, decision))


@pytest.mark.parametrize(("level", "word"), [(0, "breaker opened"), (1, "probe failed"), (3, "probe failed")])
def test_breaker_that_opens_again_had_a_failed_probe(level, word):
    assert word == reach.of_record(opened(level))


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"level": "x"}', b"7"])
def test_breaker_word_that_cannot_be_read_counts_as_opened(value):
    assert "breaker opened" == reach.of_record(record(BREAKERS, "open", value))


def test_record_without_a_decision_shows_nothing():
    assert reach.of_record(Record(RESULTS, 0, 0, 0, b"k", b"{}")) is None


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ({"action": "rebalanced", "outputs": 0}, "rebalance"),
        ({"action": "rebalanced", "outputs": 2}, "rebalance during a call"),
        ({"action": "ready"}, None),
        ({}, None),
    ],
)
def test_line_of_a_log_shows_rebalances(line, word):
    assert word == reach.of_line(line)


def test_everything_is_counted_by_its_word():
    records = [record(RESULTS, "cached"), record(RESULTS, "coalesced"), record(INFERRED, "called"), opened(0)]
    found = reach.reached(records, [{"action": "rebalanced", "outputs": 1}])

    assert {"breaker opened": 1, "dedup hit": 2, "rebalance during a call": 1} == found


def test_nothing_at_all_reaches_nothing():
    assert {} == reach.reached([], [])


def test_topics_that_are_read_are_those_of_the_catalog():
    assert set(reach.READ) <= set(CATALOG)
    assert {topic for topic, _ in reach.BY_DECISION} <= set(reach.READ)
