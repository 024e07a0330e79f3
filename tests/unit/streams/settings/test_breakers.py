"""The settings of the circuit breakers are the knobs of the rule."""

from dataclasses import fields, replace
from typing import Any

import pytest
from pydantic import ValidationError

from streams.decisions.breaker import BreakerPolicy
from streams.settings.breakers import Breaker


def test_settings_left_alone_are_the_rules_own_knobs() -> None:
    assert BreakerPolicy() == Breaker().policy()


def test_knobs_of_the_rule_can_all_be_set() -> None:
    assert {knob.name for knob in fields(BreakerPolicy)} == set(Breaker.model_fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("consecutive", 9), ("rate", 0.25), ("minimum", 50), ("window_n", 400), ("window_s", 5.0), ("slow_s", 20.0)),
        *(("open_s", 2.0), ("cap_s", 9.0), ("probe_interval_s", 0.5), ("success_rate", 1.0), ("min_probes", 7)),
    ],
)
def test_knob_that_is_set_reaches_the_rule(name: str, value: float) -> None:
    knobs: dict[str, Any] = {name: value}

    assert replace(BreakerPolicy(), **knobs) == Breaker(**knobs).policy()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("consecutive", 0), ("rate", 0), ("rate", 1.1), ("minimum", 0), ("window_n", 0), ("window_n", 1001)),
        *(("window_s", 0), ("slow_s", 0), ("open_s", 0.05), ("cap_s", 0), ("probe_interval_s", 0.05)),
        *(("success_rate", 0), ("success_rate", 1.5), ("min_probes", 0), ("min_probes", 101), ("open_s", float("nan"))),
    ],
)
def test_knob_out_of_its_bounds_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Breaker(**{name: value})


def test_minimum_above_the_window_is_refused_as_it_never_counts() -> None:
    with pytest.raises(ValidationError, match="never counts"):
        Breaker(minimum=30, window_n=20)
