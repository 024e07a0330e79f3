"""What the provider's ledger shows of breakers: how soon they opened, how often they probed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.breaker import BreakerPolicy
from streams.drill.ledger import Entry
from streams.drill.probing import AWAY, Probing, probing

KNOBS = BreakerPolicy(consecutive=3, open_s=4.0, probe_interval_s=2.0)


def call(at, act=AWAY, lasts_s=0.01, by="worker-0"):
    """A call's two lines."""
    word = "error" if act == AWAY else "end"
    return [Entry("start", "k", act, f"n{at}", by=by, at=at), Entry(word, "k", act, f"n{at}", by=by, at=at + lasts_s)]


def ledger(*moments, act=AWAY):
    return [entry for at in moments for entry in call(at, act)]


def found(*moments):
    return probing(ledger(*moments), KNOBS)


def test_ledger_without_an_outage_shows_no_breaker():
    assert Probing() == probing(ledger(1.0, 2.0, 3.0, act="slow"), KNOBS)


def test_outage_below_the_threshold_shows_no_breaker():
    assert Probing() == found(1.0, 2.0)


def test_breaker_that_opens_at_once_lets_no_call_through():
    assert Probing(0.0, 0, 0) == found(1.0, 1.1, 1.2)


@pytest.mark.parametrize("late_s", [0.2, 0.9, 1.8])
def test_calls_after_the_threshold_tell_how_late_a_worker_opened(late_s):
    assert late_s == pytest.approx(found(1.0, 1.1, 1.19, 1.2 + late_s).open_after_s, abs=0.02)


def test_good_answer_between_failures_begins_the_count_anew():
    entries = [*call(1.0), *call(1.1), *call(1.2, "slow"), *call(1.3), *call(1.4)]

    assert probing(entries, KNOBS).open_after_s is None


def test_calls_after_half_the_wait_are_probes():
    assert 3 == found(1.0, 1.1, 1.2, 5.3, 7.4, 9.5).probes


@pytest.mark.parametrize(("gap_s", "crowded"), [(0.5, 1), (1.8, 1), (1.95, 0), (2.0, 0), (9.0, 0)])
def test_probes_nearer_than_an_interval_are_crowded(gap_s, crowded):
    assert crowded == found(1.0, 1.1, 1.2, 5.3, 5.3 + gap_s).crowded


def test_order_of_the_ledger_does_not_matter():
    entries = ledger(1.0, 1.1, 1.2, 5.3, 7.4)

    assert probing(entries, KNOBS) == probing(reversed(entries), KNOBS)


def test_call_that_was_cancelled_tells_nothing():
    entries = [*ledger(1.0, 1.1), Entry("start", "k", AWAY, "x", at=1.2), Entry("cancel", "k", AWAY, "x", at=1.3)]

    assert Probing() == probing(entries, KNOBS)


@pytest.mark.parametrize(
    ("seen", "crashes", "classes"),
    [
        (Probing(), 0, set()),
        (Probing(0.9, 5, 0), 0, set()),
        (Probing(1.1, 5, 0), 0, {"late"}),
        (Probing(0.1, 5, 1), 0, {"crowded"}),
        (Probing(0.1, 5, 1), 1, set()),
        (Probing(3.0, 5, 4), 3, {"late", "crowded"}),
    ],
)
def test_late_breakers_and_crowded_probes_are_wrong(seen, crashes, classes):
    assert classes == set(seen.wrong(crashes))


@given(st.integers(0, 20))
def test_probes_an_interval_apart_are_never_crowded(count):
    moments = [6.0 + 2.0 * number for number in range(count)]
    seen = found(1.0, 1.1, 1.2, *moments)

    assert (count, 0) == (seen.probes, seen.crowded)


@given(st.lists(st.floats(0, 100), max_size=30))
def test_any_ledger_can_be_read(moments):
    seen = found(*moments)

    assert 0 <= seen.crowded <= max(0, seen.probes - 1)


def test_worker_that_failed_often_enough_crosses_whatever_others_saw():
    others = [one for at in (1.05, 1.15, 1.25) for one in call(at, "slow", by="worker-1")]

    assert 0.0 == probing([*ledger(1.0, 1.1, 1.2), *others], KNOBS).open_after_s
