"""What the fake provider says, as OpenAI and as Anthropic would say it."""

import json

import pytest

from streams.drill.dialects import DIALECTS, Anthropic, OpenAI, Said, played, said

USER = {"role": "user", "content": "hello"}


def answer(**fields):
    return Said(**{"text": "hi", "model": "m", "input_tokens": 3, "output_tokens": 2, **fields})


@pytest.mark.parametrize(
    ("body", "nonce", "text", "asked"),
    [
        ({"messages": [USER]}, "", "echo: hello", 2),
        ({"messages": [USER]}, "n7", "echo: hello [n7]", 2),
        ({"messages": [USER, {"role": "assistant", "content": "a"}]}, "", "echo: hello", 3),
        ({"messages": [{"role": "system", "content": "abcd"}, USER]}, "", "echo: hello", 3),
        ({"messages": [USER], "system": "abcd"}, "", "echo: hello", 3),
        ({"messages": [USER], "system": [{"type": "text", "text": "abcd"}]}, "", "echo: hello", 3),
        ({"messages": []}, "", "echo: ", 0),
    ],
)
def test_good_answer_repeats_the_user_and_counts_all_words(body, nonce, text, asked):
    found = said({"model": "m", **body}, nonce)

    assert (text, "m", asked) == (found.text, found.model, found.input_tokens)
    assert -(-len(text) // 4) == found.output_tokens


@pytest.mark.parametrize(
    ("act", "changed"),
    [
        ("ok", {}),
        ("slow", {}),
        ("length", {"finish": "length"}),
        ("tools", {"finish": "tool_calls", "tool": True, "text": ""}),
        ("no-usage", {"usage": "no-usage"}),
        ("wrong-usage", {"usage": "wrong-usage"}),
    ],
)
def test_act_changes_of_an_answer_what_it_names(act, changed):
    assert answer(**changed) == played(answer(), act)


def test_completion_of_openai_has_its_shape():
    assert {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    } == OpenAI().answer(answer())


def test_message_of_anthropic_has_its_shape():
    assert {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    } == Anthropic().answer(answer())


@pytest.mark.parametrize(
    ("finish", "told"), [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use")]
)
def test_finish_is_told_in_each_one_s_words(finish, told):
    assert told == Anthropic().answer(answer(finish=finish))["stop_reason"]
    assert finish == OpenAI().answer(answer(finish=finish))["choices"][0]["finish_reason"]


def test_tool_call_of_openai_stands_beside_no_text():
    message = OpenAI().answer(answer(tool=True))["choices"][0]["message"]

    assert (None, {"of": 1}) == (message["content"], json.loads(message["tool_calls"][0]["function"]["arguments"]))


def test_tool_use_of_anthropic_is_its_only_block():
    (block,) = Anthropic().answer(answer(tool=True))["content"]

    assert ("tool_use", {"of": 1}) == (block["type"], block["input"])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("usage", "there"), [("right", True), ("wrong-usage", True), ("no-usage", False)])
def test_usage_is_told_unless_the_script_leaves_it_out(dialect, usage, there):
    assert there == ("usage" in dialect.answer(answer(usage=usage)))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_wrong_usage_is_no_count(dialect):
    counts = dialect.answer(answer(usage="wrong-usage"))["usage"].values()

    assert {-1, "many"} == set(counts)


@pytest.mark.parametrize(("dialect", "field"), [(OpenAI(), "choices"), (Anthropic(), "content")])
def test_empty_answer_has_no_choice(dialect, field):
    assert [] == dialect.empty(answer())[field]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_refusals_quote_the_prompt_as_real_ones_may(dialect):
    assert "hello" in json.dumps(dialect.error(429, "hello"))
    assert "hello" in json.dumps(dialect.too_long("hello"))


@pytest.mark.parametrize(
    ("dialect", "headers", "key"),
    [
        (OpenAI(), {"Authorization": "Bearer k-1"}, "k-1"),
        (OpenAI(), {}, ""),
        (Anthropic(), {"x-api-key": "k-1"}, "k-1"),
        (Anthropic(), {"Authorization": "Bearer k-1"}, ""),
    ],
)
def test_key_is_read_where_each_one_sends_it(dialect, headers, key):
    assert key == dialect.key(headers)
