"""Anthropic's messages: conversations and answers translated from and to OpenAI's shape."""

import orjson
import pytest

from streams.adapters.providers.anthropic import VERSION, Anthropic, headers, provider
from streams.adapters.providers.line import LinePolicy, Response
from streams.ports import Call
from topics.messages import Usage
from topics.provider_errors import ProviderEmpty, ProviderMalformed

USER = {"role": "user", "content": "hello"}
TEXT = {"type": "text", "text": "hi"}
TOOL = {"type": "tool_use", "id": "t-1", "name": "lookup", "input": {"of": [1, "é"]}}


def asked(*messages, limit=4096, **params):
    return Anthropic(limit).asked(Call("c", messages or (USER,), "x", params), "m")


def answer(*content, **fields):
    known = {"model": "m-1", "content": list(content or (TEXT,)), "stop_reason": "end_turn"}
    return {**known, "usage": {"input_tokens": 3, "output_tokens": 2}, **fields}


def reply(data):
    return Anthropic().reply(data, "asked", Response("anthropic", 200, b""))


def test_request_without_system_text_has_none():
    assert {"model": "m", "max_tokens": 4096, "messages": [USER]} == asked()


@pytest.mark.parametrize(
    ("above", "system"),
    [
        ([{"role": "system", "content": "be brief"}], [{"type": "text", "text": "be brief"}]),
        ([{"role": "developer", "content": "be brief"}], [{"type": "text", "text": "be brief"}]),
        (
            [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}],
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        ),
        ([{"role": "system", "content": [{"type": "text", "text": "a"}]}], [{"type": "text", "text": "a"}]),
    ],
)
def test_system_text_is_lifted_out_of_the_conversation(above, system):
    body = asked(*above, USER)

    assert (system, [USER]) == (body["system"], body["messages"])


def test_system_text_in_the_midst_is_lifted_out_too():
    body = asked(USER, {"role": "system", "content": "now brief"}, USER)

    assert ([{"type": "text", "text": "now brief"}], [USER, USER]) == (body["system"], body["messages"])


@pytest.mark.parametrize("content", [None, []])
def test_system_message_without_content_is_left_out(content):
    assert "system" not in asked({"role": "system", "content": content}, USER)


@pytest.mark.parametrize(("params", "tokens"), [({}, 99), ({"max_tokens": 7}, 7)])
def test_limit_of_tokens_is_the_request_s_or_the_setting(params, tokens):
    assert tokens == asked(limit=99, **params)["max_tokens"]


def test_parameters_are_passed_as_they_are():
    assert {"top_k": 3, "metadata": {"a": 1}}.items() <= asked(top_k=3, metadata={"a": 1}).items()


@pytest.mark.parametrize("name", ["model", "messages"])
def test_request_is_not_overruled_by_a_parameter(name):
    assert "mine" != asked(**{name: "mine"})[name]


def test_reply_takes_text_model_usage_and_finish():
    found = reply(answer())

    assert ("hi", "stop", "m-1", "anthropic") == (found.text, found.finish_reason, found.model, found.provider)
    assert (Usage(input_tokens=3, output_tokens=2), True, None) == (found.usage, found.usage_known, found.message)


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "something_new"),
        (None, "stop"),
        ("\x1b[2J", "stop"),
    ],
)
def test_stop_reason_is_told_in_the_words_of_openai(told, finish):
    assert finish == reply(answer(stop_reason=told)).finish_reason


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([TEXT, {"type": "text", "text": " there"}], "hi there"),
        ([{"type": "thinking", "thinking": "hm"}, TEXT], "hi"),
        ([{"type": "text"}], ""),
        ([{"type": "text", "text": 7}], ""),
        ([{}], ""),
    ],
)
def test_blocks_of_text_are_joined(content, text):
    assert text == reply(answer(*content)).text


def test_cached_tokens_are_counted_as_read():
    told = {"input_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 10, "output_tokens": 2}

    assert Usage(input_tokens=113, output_tokens=2) == reply(answer(usage=told)).usage


@pytest.mark.parametrize("told", [None, {}, {"input_tokens": 3}, {"input_tokens": "3", "output_tokens": 2}])
def test_reply_without_usage_is_zero_and_flagged(told):
    found = reply(answer(usage=told))

    assert (Usage(), False) == (found.usage, found.usage_known)


@pytest.mark.parametrize(("content", "text"), [((TOOL,), None), ((TEXT, TOOL), "hi")])
def test_tool_use_becomes_a_tool_call_of_openai(content, text):
    message = reply(answer(*content)).message
    (call,) = message["tool_calls"]

    assert ("assistant", text) == (message["role"], message["content"])
    assert ("t-1", "function", "lookup") == (call["id"], call["type"], call["function"]["name"])
    assert {"of": [1, "é"]} == orjson.loads(call["function"]["arguments"])


def test_tool_use_without_input_has_empty_arguments():
    (call,) = reply(answer({"type": "tool_use"})).message["tool_calls"]

    assert ({"name": None, "arguments": "{}"}, None) == (call["function"], call["id"])


def test_answer_without_content_is_empty():
    with pytest.raises(ProviderEmpty):
        reply(answer(content=[]))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        {},
        {"type": "error"},
        {"content": None},
        {"content": "hi"},
        {"content": ["hi"]},
        {"content": [[]]},
    ],
)
def test_answer_of_another_shape_is_malformed(data):
    with pytest.raises(ProviderMalformed):
        reply(data)


@pytest.mark.parametrize(("key", "more"), [("k-1", {"x-api-key": "k-1"}), (None, {})])
def test_headers_hold_the_version_and_the_key(key, more):
    assert {"anthropic-version": VERSION, **more} == headers(key)


def test_provider_of_the_dialect_has_its_name():
    assert "anthropic" == provider(LinePolicy("http://127.0.0.1:1")).name
