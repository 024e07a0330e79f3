"""How tokens are estimated, what counts towards them, and which ratio recorded calls propose."""

import doctest
import math

import pytest

from streams.decisions import budget
from streams.decisions.budget import BudgetPolicy, Measured, Proposal, limit, propose, tokens, tools_weight, weight
from topics.errors import ConfigurationError


def user(content, **fields):
    return {"role": "user", "content": content, **fields}


def calls(*ratios, model="m"):
    """Calls of ten tokens each with those bytes per token."""
    return [Measured(model, round(ratio * 10), 10) for ratio in ratios]


def test_doctests_of_the_module_hold():
    assert 0 == doctest.testmod(budget).failed


@pytest.mark.parametrize(
    ("model", "given", "allowed"),
    [
        ("m", {}, None),
        ("m", {"m": 5}, 5),
        ("m", {"n": 5}, None),
        ("m", {"*": 7}, 7),
        ("m", {"m": 5, "*": 7}, 5),
        ("default", {"m": 5, "*": 7}, 7),
        ("*", {"*": 7}, 7),
    ],
)
def test_limit_of_a_model_is_its_own_or_that_of_the_others(model, given, allowed):
    assert allowed == limit(model, BudgetPolicy(max_input_tokens=given))


@pytest.mark.parametrize(
    ("sent", "ratio", "estimate"),
    [(0, 4.0, 0), (1, 4.0, 1), (4, 4.0, 1), (5, 4.0, 2), (8, 4.0, 2), (3, 0.5, 6), (10, 2.5, 4), (1, 100.0, 1)],
)
def test_tokens_of_bytes_are_rounded_up(sent, ratio, estimate):
    assert estimate == tokens(sent, BudgetPolicy(bytes_per_token=ratio))


@pytest.mark.parametrize("ratio", [0, -1, -0.0, math.nan])
def test_ratio_that_is_not_above_zero_is_refused_by_name(ratio):
    with pytest.raises(ConfigurationError, match=r"assemble\.bytes_per_token"):
        BudgetPolicy(bytes_per_token=ratio)


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (user(""), 0),
        (user("abc"), 3),
        (user("né"), 3),
        (user(None), 0),
        ({"role": "assistant"}, 0),
        (user([{"type": "text", "text": "ab"}, {"type": "text", "text": "é"}]), 4),
        (user([{"type": "image_url", "image_url": {"url": "data:" + "x" * 99}}]), 0),
        (user([{"type": "text", "text": "ab"}, {"type": "image_url", "image_url": {}}]), 2),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}, len('[{"id":"a"}]')),
        ({"role": "assistant", "content": "hm", "tool_calls": [{"id": "a"}]}, 2 + len('[{"id":"a"}]')),
        ({"role": "assistant", "content": "hm", "tool_calls": []}, 2),
    ],
)
def test_weight_of_a_message_is_its_text_and_tool_calls(message, size):
    assert size == weight(message)


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({}, 0),
        ({"temperature": 1}, 0),
        ({"tools": None}, 0),
        ({"tools": []}, 0),
        ({"tools": [{"b": 1, "a": 2}]}, 15),
        ({"tools": [{"a": 2, "b": 1}]}, 15),
    ],
)
def test_weight_of_params_is_that_of_the_tools(params, size):
    assert size == tools_weight(params)


def test_proposal_of_one_call_is_its_ratio():
    (found,) = propose(calls(3.5))

    assert Proposal("m", 1, 35, 10, 3.5) == found


@pytest.mark.parametrize(
    ("ratios", "careful"),
    [
        ([4.0, 2.0, 3.0], 2.0),
        ([2.0] + [4.0] * 18, 2.0),
        ([2.0] + [4.0] * 19, 4.0),
        ([2.0, 3.0] + [4.0] * 38, 4.0),
        ([2.0, 3.0] + [4.0] * 37, 3.0),
    ],
)
def test_careful_ratio_underestimates_at_most_one_call_in_twenty(ratios, careful):
    (found,) = propose(calls(*ratios))

    assert careful == found.careful


def test_careful_ratio_is_rounded_down_to_hundredths():
    (found,) = propose([Measured("m", 2999, 1000)])

    assert 2.99 == found.careful


def test_careful_ratio_of_tiny_texts_stays_above_zero():
    (found,) = propose([Measured("m", 1, 100_000)])

    assert 0.01 == found.careful


def test_ratio_of_a_proposal_is_over_all_bytes_and_tokens():
    (found,) = propose([Measured("m", 10, 10), Measured("m", 50, 10)])

    assert (3.0, 60, 20, 2) == (found.ratio, found.sent_bytes, found.tokens, found.calls)


@pytest.mark.parametrize("useless", [Measured("m", 0, 10), Measured("m", 10, 0), Measured("m", -1, 3)])
def test_call_without_bytes_or_tokens_says_nothing(useless):
    assert propose(calls(2.0)) == propose([useless, *calls(2.0)])


def test_proposals_of_several_models_stand_by_name():
    found = propose([*calls(2.0, model="z"), *calls(3.0, model="a"), *calls(4.0, model="z")])

    assert [("a", 1, 3.0), ("z", 2, 2.0)] == [(one.model, one.calls, one.careful) for one in found]


def test_proposals_without_calls_are_none():
    assert () == propose([])


def test_call_of_one_byte_and_one_token_counts():
    (found,) = propose([Measured("m", 1, 1)])

    assert (1, 1.0) == (found.calls, found.careful)
