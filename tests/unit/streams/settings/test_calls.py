"""The bounds of the settings of calls, and what is told of a route that cannot be."""

import pytest
from pydantic import TypeAdapter, ValidationError

from streams.decisions.attempts import CascadePolicy
from streams.decisions.flood_guard import GuardPolicy
from streams.decisions.retry import RetryPolicy
from streams.decisions.thinning import KeepPolicy
from streams.settings.calls import FREE, KINDS, Infer, Retry, Routes, split
from streams.settings.section import Section

ROUTES: TypeAdapter[dict[str, tuple[str, ...]]] = TypeAdapter(Routes)


@pytest.mark.parametrize(
    ("section", "given"),
    [
        (Infer, {"guard_ratio": 0}),
        (Infer, {"guard_ratio": 1.01}),
        (Infer, {"guard_minimum": 0}),
        (Infer, {"guard_minimum": 101}),
        (Infer, {"guard_window": 19}),
        (Infer, {"guard_window": 10_001, "guard_minimum": 1}),
        (Retry, {"in_process_s": 0}),
        (Retry, {"in_process_s": 61}),
        (Retry, {"growth": "quadratic"}),
        (Retry, {"attempts": 1.5}),
    ],
)
def test_value_outside_its_kind_is_refused(section: type[Section], given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        section.model_validate(given)


@pytest.mark.parametrize(
    "tiers",
    [
        *((1, 2, 3), (1, 2, 3, 4, 5), (), (5, 5, 30, 120), (30, 5, 120, 600), (0, 5, 30, 120), (-1, 5, 30, 120)),
        *((1, 2, 3, 604_801), ("a", "b", "c", "d"), (1, 2, 3, float("nan")), (1, 2, 3, float("inf"))),
    ],
)
def test_tiers_that_are_not_four_ascending_times_are_refused(tiers: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError, match="tiers_s"):
        Retry.model_validate({"tiers_s": tiers})


def test_wrong_tiers_are_told_what_they_should_be() -> None:
    with pytest.raises(ValidationError, match="should be 4 numbers above 0, in ascending order"):
        Retry.model_validate({"tiers_s": (1, 2)})


@pytest.mark.parametrize("given", [(1, 2, 3, 4), "1,2,3,4", " 1 , 2, 3 ,4", [1.0, 2.0, 3.0, 4.0]])
def test_tiers_may_be_a_list_or_one_text(given: object) -> None:
    assert (1.0, 2.0, 3.0, 4.0) == Retry.model_validate({"tiers_s": given}).policy().tiers_s


def test_default_knobs_are_those_of_the_rules() -> None:
    assert (RetryPolicy(), GuardPolicy(), CascadePolicy().dead_key_s, KeepPolicy()) == (
        Retry().policy(),
        Infer().guard(),
        Infer().dead_key_s,
        Infer().keep(KeepPolicy().marked_ms),
    )


@pytest.mark.parametrize(("seconds", "whole_ms"), [(1, 1000), (1.5, 1500), (7200, 7_200_000)])
def test_seconds_for_which_answers_are_kept_reach_the_policy(seconds: float, whole_ms: int) -> None:
    assert KeepPolicy(whole_ms, 9) == Infer(keep_answers_s=seconds).keep(9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("attempts", 7), ("base_s", 1.5), ("growth", "linear"), ("cap_s", 9.0), ("budget_s", 60.0)),
        *(("in_process_s", 1.0), ("tiers_s", (1.0, 2.0, 3.0, 4.0))),
    ],
)
def test_retry_setting_reaches_the_policy(field: str, value: object) -> None:
    assert value == getattr(Retry.model_validate({field: value}).policy(), field)


@pytest.mark.parametrize(("field", "value"), [("consecutive", 3), ("ratio", 0.25), ("window", 500), ("minimum", 7)])
def test_guard_setting_reaches_the_policy(field: str, value: float) -> None:
    assert value == getattr(Infer.model_validate({f"guard_{field}": value}).guard(), field)


@pytest.mark.parametrize(
    "routes",
    [
        {},
        {"default": ("openai:gpt-5-mini", "anthropic:claude-haiku-4-5")},
        {"default": ("echo:a",), "gpt-4.1": ("openai:gpt-4.1", "openai:gpt-4o")},
        {"local": ("openai:llama3:8b",)},
        {"a": tuple(f"echo:{number}" for number in range(32))},
    ],
)
def test_routes_of_known_providers_are_taken_as_they_are(routes: dict[str, tuple[str, ...]]) -> None:
    assert routes == ROUTES.validate_python({alias: list(route) for alias, route in routes.items()})


@pytest.mark.parametrize(
    ("route", "told"),
    [
        (["oracle:x"], "there is no provider 'oracle': use one of echo, openai, anthropic"),
        (["OpenAI:x"], "there is no provider 'OpenAI'"),
        ([":x"], "there is no provider ''"),
        (["gpt-5"], 'should be "provider:model"'),
        (["openai:"], 'should be "provider:model"'),
        (["openai: gpt-5"], 'should be "provider:model"'),
        (["openai:gpt-5 "], 'should be "provider:model"'),
        ([""], 'should be "provider:model"'),
        ([], "should name 1 to 32 candidates"),
        (["echo:a", "echo:b", "echo:a"], "'echo:a' stands in it twice"),
        ([f"echo:{number}" for number in range(33)], "should name 1 to 32 candidates"),
        ("openai:gpt-5", "valid tuple"),
        ([5], "valid string"),
        (None, "valid tuple"),
    ],
)
def test_route_that_cannot_be_is_told_why(route: object, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ROUTES.validate_python({"default": route})

    assert told in str(refused.value)


@pytest.mark.parametrize("alias", ["", "a" * 257])
def test_name_of_a_route_that_no_request_can_have_is_refused(alias: str) -> None:
    with pytest.raises(ValidationError):
        ROUTES.validate_python({alias: ["echo:a"]})


def test_same_candidate_may_stand_in_two_routes() -> None:
    assert 2 == len(ROUTES.validate_python({"a": ["echo:m"], "b": ["echo:m"]}))


@pytest.mark.parametrize(
    ("candidate", "parts"),
    [("openai:gpt-5", ("openai", "gpt-5")), ("openai:llama3:8b", ("openai", "llama3:8b")), ("gpt-5", ("gpt-5", ""))],
)
def test_candidate_is_split_at_its_first_colon(candidate: str, parts: tuple[str, str]) -> None:
    assert parts == split(candidate)


def test_free_kind_is_one_of_the_kinds() -> None:
    assert FREE in KINDS
