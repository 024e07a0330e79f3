"""The door model of requests: closed, strict about types, forgiving about the case of a priority only."""

import pytest
from pydantic import ValidationError

from topics.request import ChatMessage, Request, Retrieve
from topics.wire import decode, encode

DEFAULTS = {
    "id": None,
    "prompt": None,
    "messages": None,
    "model": "default",
    "params": {},
    "session": None,
    "tenant": None,
    "priority": "normal",
    "timeout_s": None,
    "retrieve": None,
    "template": None,
    "stream": False,
    "dedup": True,
    "sample": 0,
    "reply_to": None,
    "metadata": {},
}
PARTS = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "https://a.example/b"}}]


def wrong(data):
    """Where a request does not fit."""
    with pytest.raises(ValidationError) as refused:
        Request.model_validate(data)
    return [error["loc"] for error in refused.value.errors()]


def said(content, **fields):
    return Request.model_validate({"messages": [{"role": "user", "content": content, **fields}]})


def test_request_without_fields_has_documented_defaults():
    assert DEFAULTS == Request().model_dump()


@pytest.mark.parametrize("field", DEFAULTS)
def test_request_public_field_is_documented(field):
    assert field in (Request.__doc__ or "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 17),
        ("prompt", ["hi"]),
        ("messages", "hi"),
        ("messages", {"role": "user"}),
        ("model", None),
        ("params", []),
        ("params", None),
        ("session", 1),
        ("tenant", True),
        ("priority", "urgent"),
        ("priority", 1),
        ("priority", None),
        ("timeout_s", "30"),
        ("timeout_s", True),
        ("timeout_s", float("nan")),
        ("timeout_s", float("inf")),
        ("retrieve", 4),
        ("template", {}),
        ("stream", 1),
        ("stream", "true"),
        ("dedup", None),
        ("sample", 1.5),
        ("sample", -1),
        ("sample", False),
        ("reply_to", []),
        ("metadata", "m"),
    ],
)
def test_request_field_of_wrong_type_is_refused_by_name(field, value):
    assert [(field,)] == wrong({field: value})


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({"promt": "hi"}, ("promt",)),
        ({"retrieve": {"top": 3}}, ("retrieve", "top")),
        ({"retrieve": {"k": 0}}, ("retrieve", "k")),
        ({"messages": [{"role": "user", "content": "hi", "text": "x"}]}, ("messages", 0, "text")),
        ({"messages": [{"content": "hi"}]}, ("messages", 0, "role")),
        ({"messages": [{"role": "judge", "content": "hi"}]}, ("messages", 0, "role")),
        ({"messages": [{"role": "user", "content": 5}]}, ("messages", 0, "content")),
        ({"messages": [{"role": "user", "content": []}]}, ("messages", 0, "content")),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, ("messages", 0, "content")),
        ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, ("messages", 0, "content")),
        ({"messages": [{"role": "user", "content": [{"type": 1}]}]}, ("messages", 0, "content")),
        ({"messages": [{"role": "user", "content": "a"}, "b"]}, ("messages", 1)),
    ],
)
def test_request_misfit_inside_a_field_is_named_by_its_path(data, where):
    assert [where] == wrong(data)


def test_request_misfit_text_quotes_no_value():
    with pytest.raises(ValidationError) as refused:
        Request(prompt=["secret"], surprise="secret")

    assert "secret" not in str(refused.value)


def test_request_several_misfits_are_all_named():
    assert [("stream",), ("sample",), ("promt",)] == wrong({"promt": "hi", "stream": 1, "sample": "1"})


@pytest.mark.parametrize("written", ["critical", "Critical", "CRITICAL", "cRiTiCaL"])
def test_priority_in_any_case_is_the_lane(written):
    """B64."""
    assert "critical" == Request(priority=written).priority


@pytest.mark.parametrize("content", ["hi", None, PARTS])
def test_content_as_text_parts_or_null_is_kept(content):
    (message,) = said(content).messages

    assert content == message.model_dump(mode="json")["content"]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_role_of_a_chat_is_accepted(role):
    assert role == ChatMessage(role=role, content="hi").role


def test_tool_fields_of_a_message_are_kept():
    call = {"id": "c-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    (message,) = said(None, name="n", tool_calls=[call], tool_call_id="c-0").messages

    assert ("n", (call,), "c-0") == (message.name, message.tool_calls, message.tool_call_id)


def test_timeout_as_whole_number_is_accepted():
    assert 30.0 == Request(timeout_s=30).timeout_s


def test_retrieve_without_fields_has_defaults():
    assert {"k": 4, "filter": {}} == Retrieve().model_dump()


@pytest.mark.parametrize(
    "request_",
    [
        Request(prompt="hi"),
        Request(messages=[{"role": "user", "content": PARTS}], retrieve=Retrieve(k=2)),
        Request(prompt="hé\n", params={"stop": ["a"], "seed": 1}, metadata={"a": {"b": [1, None]}}, timeout_s=0.5),
    ],
)
def test_request_round_trip_gives_an_equal_one(request_):
    assert request_ == decode(encode(request_), Request)


def test_request_field_once_made_cannot_change():
    with pytest.raises(ValidationError):
        Request(prompt="hi").prompt = "ho"
