"""When a delivery that hangs ends the process, case by case."""

import pytest

from streams.decisions.stall import GiveUp, StallPolicy, Wait, decide

HOUR_S = 3600.0
INFER = StallPolicy(away_s=900.0)


def test_default_policy_waits_a_minute_and_for_ever_without_a_broker() -> None:
    assert StallPolicy(60.0, None) == StallPolicy()


@pytest.mark.parametrize("pending_s", [0.0, 61.0, 24 * HOUR_S, float("inf")])
def test_broker_away_without_limit_always_waits(pending_s: float) -> None:
    assert Wait() == decide(StallPolicy(), pending_s, None)


@pytest.mark.parametrize("pending_s", [0.0, 60.0, 61.0, 899.9, 900.0])
def test_broker_away_within_its_limit_waits(pending_s: float) -> None:
    assert Wait() == decide(INFER, pending_s, None)


def test_broker_away_above_its_limit_gives_up() -> None:
    assert GiveUp("the broker has been away for 901 s") == decide(INFER, 901.0, None)


def test_limit_of_zero_is_a_limit() -> None:
    assert GiveUp("the broker has been away for 1 s") == decide(StallPolicy(away_s=0.0), 1.0, None)


@pytest.mark.parametrize(
    ("pending_s", "answering_s"), [(0.0, 0.0), (60.0, 60.0), (61.0, 60.0), (60.0, 61.0), (HOUR_S, 0.0), (HOUR_S, 59.9)]
)
def test_broker_answering_for_less_than_the_limit_waits(pending_s: float, answering_s: float) -> None:
    assert Wait() == decide(StallPolicy(), pending_s, answering_s)


@pytest.mark.parametrize(("pending_s", "answering_s"), [(60.1, 60.1), (61.0, HOUR_S), (HOUR_S, 61.0)])
def test_broker_answering_while_delivery_hangs_gives_up(pending_s: float, answering_s: float) -> None:
    why = f"the broker answers, and a delivery has hung for {pending_s:.0f} s"

    assert GiveUp(why) == decide(StallPolicy(), pending_s, answering_s)


def test_broker_back_after_a_long_outage_gets_its_time_again() -> None:
    assert Wait() == decide(INFER, HOUR_S, 1.0)


@pytest.mark.parametrize("answering_s", [5.1, 30.0])
def test_stricter_policy_gives_up_sooner(answering_s: float) -> None:
    assert isinstance(decide(StallPolicy(stalled_s=5.0), 30.0, answering_s), GiveUp)
