"""OpenAI's chat completions: what is asked, and what an answer becomes."""

import pytest

from streams.adapters.providers.line import LinePolicy, Response
from streams.adapters.providers.openai import OpenAI, headers, provider
from streams.ports import Call
from topics.messages import Usage
from topics.provider_errors import ProviderEmpty, ProviderMalformed

CALLS = [{"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}]


def answer(message=None, **fields):
    choice = {"message": message or {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    known = {"model": "m-1", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    return {**known, **fields}


def reply(data):
    return OpenAI().reply(data, "asked", Response("openai", 200, b""))


def test_request_holds_parameters_as_they_are():
    call = Call("c", ({"role": "user", "content": "hello"},), "x", {"seed": 1, "tools": [{"a": 1}], "stop": ["s"]})

    assert {
        "seed": 1,
        "tools": [{"a": 1}],
        "stop": ["s"],
        "model": "m",
        "messages": ({"role": "user", "content": "hello"},),
    } == OpenAI().asked(call, "m")


@pytest.mark.parametrize("name", ["model", "messages"])
def test_request_is_not_overruled_by_a_parameter(name):
    call = Call("c", ({"role": "user", "content": "hello"},), "x", {name: "mine"})

    assert "mine" != OpenAI().asked(call, "m")[name]


def test_reply_takes_text_model_usage_and_finish():
    found = reply(answer())

    assert ("hi", "stop", "m-1", "openai") == (found.text, found.finish_reason, found.model, found.provider)
    assert (Usage(input_tokens=3, output_tokens=2), True, None) == (found.usage, found.usage_known, found.message)


@pytest.mark.parametrize(
    ("fields", "known"),
    [({"usage": None}, False), ({"usage": {"prompt_tokens": -1, "completion_tokens": 2}}, False), ({}, True)],
)
def test_reply_without_usage_is_flagged(fields, known):
    assert known == reply(answer(**fields)).usage_known


@pytest.mark.parametrize(("told", "model"), [("m-2", "m-2"), (None, "asked"), ("a b", "asked")])
def test_reply_names_the_model_that_answered(told, model):
    assert model == reply(answer(model=told)).model


@pytest.mark.parametrize(
    ("choice", "finish"), [({"finish_reason": "length"}, "length"), ({"finish_reason": None}, "stop"), ({}, "stop")]
)
def test_reply_tells_why_it_stopped(choice, finish):
    data = answer(choices=[{"message": {"content": "hi"}, **choice}])

    assert finish == reply(data).finish_reason


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hi", "hi"),
        ("", ""),
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "image"}, "x", {"type": "text", "text": 3}], ""),
        ([], ""),
    ],
)
def test_reply_in_any_shape_of_content_is_text(content, text):
    assert text == reply(answer({"role": "assistant", "content": content})).text


@pytest.mark.parametrize(
    "more", [{"tool_calls": CALLS}, {"refusal": "no"}, {"reasoning_content": "so"}, {"function_call": {"name": "f"}}]
)
def test_message_that_says_more_than_its_text_is_kept_whole(more):
    message = {"role": "assistant", "content": None, **more}

    assert message == reply(answer(message)).message


@pytest.mark.parametrize("more", [{}, {"refusal": None}, {"tool_calls": []}, {"annotations": []}, {"audio": None}])
def test_message_that_is_its_text_is_not_kept_twice(more):
    assert reply(answer({"role": "assistant", "content": "hi", **more})).message is None


@pytest.mark.parametrize("choices", [[], None])
def test_answer_without_choice_is_empty(choices):
    with pytest.raises(ProviderEmpty):
        reply(answer(choices=choices))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        7,
        {},
        {"error": {"message": "x"}},
        {"choices": "abc"},
        {"choices": {}},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "hi"}]},
        {"choices": [{"text": "hi"}]},
        answer({"content": 7}),
        answer({"content": {"text": "hi"}}),
    ],
)
def test_answer_of_another_shape_is_malformed(data):
    with pytest.raises(ProviderMalformed):
        reply(data)


@pytest.mark.parametrize(("key", "found"), [("k-1", {"Authorization": "Bearer k-1"}), (None, {}), ("", {})])
def test_key_is_sent_where_there_is_one(key, found):
    assert found == headers(key)


def test_provider_of_the_dialect_has_its_name():
    assert "openai" == provider(LinePolicy("http://127.0.0.1:1/v1")).name


def test_policy_shown_as_text_hides_its_headers():
    assert "hunter2" not in repr(LinePolicy("http://127.0.0.1:1", headers("hunter2")))
