"""When failures of many requests are one outage, case by case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.flood_guard import FloodGuard, GuardPolicy
from topics import provider_errors as errors
from topics.errors import ConfigurationError, DeadlineExceeded, OrchestratorError, RecordTooLarge, StageFailure

SMALL = GuardPolicy(consecutive=3, ratio=0.5, window=8, minimum=4)
RARE = GuardPolicy(consecutive=100, ratio=0.5, window=8, minimum=4)
DOWN = errors.ProviderUnavailable("openai")


def guard(outcomes: str, policy: GuardPolicy = SMALL) -> FloodGuard:
    """After calls as letters: ``r`` failed, ``f`` and the request with it, ``o`` answered, ``c`` the caller's fault."""
    found = FloodGuard(policy)
    for began_ms, letter in enumerate(outcomes):
        error = {"o": None, "c": errors.ProviderRefused("openai")}.get(letter, DOWN)
        found = found.called(error, began_ms)
        if error is not None and letter != "r":
            found = found.given_up(error)
    return found


@pytest.mark.parametrize(
    ("outcomes", "systemic"),
    [
        ("", False),
        ("ff", False),
        ("fff", True),
        ("ffff", True),
        ("ffof", True),  # three of four: the ratio
        ("ffo", False),
        ("fcfcf", True),
        ("ccccccccc", False),
        ("fffo", True),
        ("fffoooo", False),
        ("rr", False),
        ("rrr", False),
        ("rfrf", True),  # four of four: the ratio
    ],
)
def test_failures_in_a_row_are_an_outage_from_the_limit_on(outcomes: str, systemic: bool) -> None:
    assert systemic == guard(outcomes).systemic()


@pytest.mark.parametrize(
    ("outcomes", "systemic"),
    [
        ("f", False),
        ("fff", False),
        ("ofof", True),
        ("ooof", False),
        ("oofcccf", True),
        ("ofofooo", False),
        ("ffffoooo", True),
        ("ffffooooo", False),
        ("ooooooooffff", True),
        ("ooooooooofff", False),
        ("orororr", True),
        ("oooorrr", False),
    ],
)
def test_failures_among_the_latest_are_an_outage_from_their_part_on(outcomes: str, systemic: bool) -> None:
    assert systemic == guard(outcomes, RARE).systemic()


def test_answer_ends_a_row_at_once() -> None:
    assert (2, 0, 1) == tuple(guard(outcomes).streak for outcomes in ("ff", "ffo", "ffof"))


def test_answer_ends_a_row_that_the_window_has_forgotten() -> None:
    assert 0 == guard("o" * 8 + "f").given_up(DOWN).called(None, 9).streak


def test_call_that_is_tried_again_is_in_the_window_but_not_in_the_row() -> None:
    found = guard("rrf", RARE)

    assert (1, ((0, True), (1, True), (2, True))) == (found.streak, found.calls)


def test_slow_answer_of_a_call_before_an_outage_does_not_hide_it() -> None:
    """Forty answers that come in after the failures began before them: the latest calls all failed."""
    down = guard("o" * 50 + "r" * 25, GuardPolicy())

    for began_ms in range(10, 50):
        down = down.called(None, began_ms)

    assert (25, True) == (down.failed, down.systemic())


def test_slow_failure_of_a_call_before_the_window_is_forgotten() -> None:
    found = guard("f" + "o" * 8, RARE).called(DOWN, 0)

    assert (0, guard("f" + "o" * 8, RARE)) == (found.failed, found)


@given(st.permutations([(ms, ms % 3 == 0) for ms in range(30)]))
def test_calls_count_by_their_beginning_in_whatever_order_they_end(ends: list[tuple[int, bool]]) -> None:
    found = FloodGuard(GuardPolicy(consecutive=100, window=30))
    for began_ms, bad in ends:
        found = found.called(DOWN if bad else None, began_ms)

    assert tuple(sorted(ends)) == found.calls


def test_row_counts_while_every_call_of_the_window_went_well() -> None:
    """A guard that has nothing to note of an answer still ends a row."""
    calm = guard("o" * 8)

    assert (1, 0) == (calm.given_up(DOWN).streak, calm.given_up(DOWN).called(None, 9).streak)


@pytest.mark.parametrize(
    "error",
    [
        errors.ProviderUnavailable("p"),
        errors.ProviderUnreachable("p"),
        errors.ProviderTimeout("p"),
        errors.ProviderEmpty("p"),
        errors.ProviderMalformed("p"),
        errors.ProviderRateLimited("p"),
        errors.ProviderDenied("p"),
        StageFailure("infer", 4, errors.ProviderTimeout("p")),
        errors.WorkerError("echo", "overloaded", retryable=True),
    ],
)
def test_fault_of_a_provider_or_of_its_key_counts(error: OrchestratorError) -> None:
    assert (1, 1) == (FloodGuard().given_up(error).streak, FloodGuard().called(error, 5).failed)


@pytest.mark.parametrize(
    "error",
    [
        errors.ProviderRefused("p"),
        errors.ProviderNotFound("p"),
        errors.ContextTooLong("p"),
        errors.WorkerError("echo", "content_filter", retryable=False),
        StageFailure("infer", 4, errors.ProviderRefused("p")),
        DeadlineExceeded(1, 2),
        RecordTooLarge("inferred", 2, 1),
        KeyError("x"),
    ],
)
@pytest.mark.parametrize("before", ["", "ff", "fo"])
def test_fault_of_the_request_neither_counts_nor_ends_a_row(error: BaseException, before: str) -> None:
    assert guard(before) == guard(before).called(error, 5) == guard(before).given_up(error)


@pytest.mark.parametrize(
    ("knobs", "field"),
    [
        ({"consecutive": 0}, "infer.guard_consecutive"),
        ({"ratio": 0.0}, "infer.guard_ratio"),
        ({"ratio": -0.5}, "infer.guard_ratio"),
        ({"ratio": 1.01}, "infer.guard_ratio"),
        ({"ratio": float("nan")}, "infer.guard_ratio"),
        ({"minimum": 0}, "infer.guard_minimum"),
        ({"minimum": 51}, "infer.guard_minimum"),
        ({"window": 19}, "infer.guard_minimum"),
    ],
)
def test_knob_out_of_its_range_is_refused_by_name(knobs: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        GuardPolicy(**knobs)

    assert field == refused.value.field


@pytest.mark.parametrize("knobs", [{"consecutive": 1}, {"ratio": 1.0}, {"minimum": 1}, {"minimum": 50}, {"window": 20}])
def test_knob_at_the_end_of_its_range_is_taken(knobs: dict[str, float]) -> None:
    assert not FloodGuard(GuardPolicy(**knobs)).systemic()


@pytest.mark.parametrize(
    ("outcomes", "systemic"),
    [
        ("f" * 9, False),
        ("f" * 10, True),
        ("of" * 9, False),
        ("of" * 10, True),
        ("o" * 50 + "r" * 24, False),
        ("o" * 50 + "r" * 25, True),
    ],
)
def test_default_limits_are_ten_in_a_row_or_half_of_twenty_to_fifty(outcomes: str, systemic: bool) -> None:
    assert systemic == guard(outcomes, GuardPolicy()).systemic()
