"""Each rule at its bound and one beyond, what a violation says, and that all are said at once (B64, B73, B93)."""

import pytest

from streams.decisions.limits import FEATURES, OWNED, AdmissionPolicy, Violation, inspect, told
from topics.errors import ConfigurationError

SMALL = AdmissionPolicy(
    max_prompt_bytes=60,
    max_messages=2,
    max_params=2,
    max_depth=5,
    max_metadata_bytes=20,
    max_id_bytes=7,
    max_timeout_s=30,
    max_k=3,
    max_filters=2,
)
NO_SCALAR = "is neither text, number nor boolean (or a list of these, of which one is enough)"
USUAL = AdmissionPolicy()
HELLO = {"role": "user", "content": "h"}


def said(data, policy=USUAL):
    """The texts of all violations; a prompt is there unless given otherwise."""
    whole = data if {"prompt", "messages"} & set(data) else {"prompt": "hi", **data}
    return [str(violation) for violation in inspect(whole, policy)[1]]


def nested(levels):
    """A value with so many levels, the innermost empty."""
    value = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "data",
    [
        {"prompt": "hi"},
        {"prompt": "hi", "messages": None},
        {"messages": [HELLO], "prompt": None},
        {"prompt": "x" * 60},
        {"prompt": "é" * 30},
        {"messages": [{"role": "user", "content": "x" * 30}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": 1}]}]},
        {"id": "abcdefg"},
        {"id": "éééa"},
        {"model": "m"},
        {"tenant": "t", "id": None},
        {"params": {"a": 1, "b": None}},
        {"retrieve": {"k": 3, "filter": {"a": "x", "b": [True]}}},
        {"retrieve": {"k": 1, "filter": {"a": [1, 2.5]}}},
        {"params": {"user": "u-1", "stop": ["n"]}},
        {"metadata": {"a": "xxxxxxxxxxxx"}},
        {"metadata": nested(4)},
        {"params": {"a": [{"b": []}]}},
        {"timeout_s": 30},
        {"timeout_s": 1e-9},
        {"timeout_s": None},
        {
            "session": None,
            "stream": False,
            "reply_to": None,
            "retrieve": None,
            "template": None,
            "dedup": True,
            "sample": 0,
        },
        {"priority": "CRITICAL"},
    ],
)
def test_inspect_request_at_the_bounds_finds_nothing(data):
    assert [] == said(data, SMALL)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"prompt": ""}, "prompt: is empty"),
        ({"prompt": " \r\n\t"}, "prompt: is empty"),
        ({"messages": []}, "messages: is empty"),
        ({"messages": [HELLO, {"role": "assistant"}]}, "messages.1.content: is empty"),
        ({"messages": [{"role": "assistant", "tool_calls": []}]}, "messages.0.content: is empty"),
        ({"prompt": None}, "prompt, messages: neither is given (a request needs exactly one of them)"),
        (
            {"prompt": "hi", "messages": [HELLO]},
            "prompt, messages: both are given (a request needs exactly one of them)",
        ),
        ({"prompt": "x" * 61}, "prompt: 61 bytes, the limit is 60"),
        ({"prompt": "é" * 31}, "prompt: 62 bytes, the limit is 60"),
        ({"messages": [{"role": "user", "content": "x" * 31}]}, "messages: 61 bytes, the limit is 60"),
        ({"params": {"a": 1, "b": 2, "c": 3}}, "params: 3 parameters, the limit is 2"),
        ({"metadata": {"a": "xxxxxxxxxxxxx"}}, "metadata: 21 bytes, the limit is 20"),
        ({"metadata": nested(5)}, "metadata: too many levels of nesting, the limit is 5"),
        ({"params": {"a": [{"b": [[]]}]}}, "params: too many levels of nesting, the limit is 5"),
        ({"surprise": nested(5)}, "surprise: too many levels of nesting, the limit is 5"),
        ({"id": "abcdefgh"}, "id: 8 bytes, the limit is 7"),
        ({"id": "éééé"}, "id: 8 bytes, the limit is 7"),
        ({"tenant": "abcdefgh"}, "tenant: 8 bytes, the limit is 7"),
        ({"model": "abcdefgh"}, "model: 8 bytes, the limit is 7"),
        ({"id": ""}, 'id = "": is empty or holds control or tag characters'),
        ({"id": "a\n"}, 'id = "a\\n": is empty or holds control or tag characters'),
        ({"tenant": "\x85"}, 'tenant = "\\u0085": is empty or holds control or tag characters'),
        ({"model": ""}, 'model = "": is empty or holds control or tag characters'),
        ({"timeout_s": 0}, "timeout_s = 0.0: should be above 0 (null means no deadline)"),
        ({"timeout_s": -1.5}, "timeout_s = -1.5: should be above 0 (null means no deadline)"),
        ({"timeout_s": 30.5}, "timeout_s: 30.5 seconds, the limit is 30"),
        ({"priority": "urgent"}, "priority = \"urgent\": should be 'critical', 'high', 'normal' or 'low'"),
        ({"priority": None}, "priority: should be 'critical', 'high', 'normal' or 'low'"),
        ({"session": "s"}, 'session = "s": is not supported yet (leave it out)'),
        ({"stream": True}, "stream = true: is not supported yet (leave it out)"),
        ({"reply_to": "r"}, 'reply_to = "r": is not supported yet (leave it out)'),
        ({"retrieve": {"k": 4}}, "retrieve.k: 4 passages, the limit is 3"),
        ({"retrieve": {"k": 0}}, "retrieve.k = 0: should be greater than or equal to 1"),
        ({"retrieve": {"q": "x"}}, "retrieve.q: unknown field"),
        ({"retrieve": {"k": 1, "filter": {"a": [1, 2, 3]}}}, "retrieve.filter: 3 values, the limit is 2"),
        ({"retrieve": {"k": 1, "filter": {"a": 1, "b": [1, 2]}}}, "retrieve.filter: 3 values, the limit is 2"),
        ({"retrieve": {"k": 1, "filter": {"a": None}}}, f"retrieve.filter.a: {NO_SCALAR}"),
        ({"retrieve": {"k": 1, "filter": {"a": {"b": 1}}}}, f"retrieve.filter.a: {NO_SCALAR}"),
        ({"retrieve": {"k": 1, "filter": {"a": []}}}, f"retrieve.filter.a: {NO_SCALAR}"),
        ({"retrieve": {"k": 1, "filter": {"a": ["x", None]}}}, f"retrieve.filter.a: {NO_SCALAR}"),
        ({"retrieve": {"k": 1, "filter": {"z\n" * 40: None}}}, f"retrieve.filter.{'z?' * 20}: {NO_SCALAR}"),
        ({"template": "t"}, 'template = "t": there is no such template (assemble.templates_dir names no templates)'),
        ({"id": "a\U000e0041"}, 'id = "a\\udb40\\udc41": is empty or holds control or tag characters'),
        ({"tenant": "\U000e007f"}, 'tenant = "\\udb40\\udc7f": is empty or holds control or tag characters'),
        ({"promt": "hi"}, "promt: unknown field (did you mean prompt?)"),
        ({"zzz": "hi"}, "zzz: unknown field"),
        ({"z\n" * 40: "hi"}, "z?" * 20 + ": unknown field"),
        ({"messages": [{**HELLO, "modle": 1}]}, "messages.0.modle: unknown field"),
        ({"params": []}, "params: should be a valid dictionary"),
        ({"stream": "yes"}, 'stream = "yes": should be a valid boolean'),
        ({"prompt": 17}, "prompt: should be a valid string"),
        ({"timeout_s": "x" * 50}, f'timeout_s = "{"x" * 40}": should be a valid number'),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages.0.content: should be text, or a list of parts that each have a 'type'",
        ),
        (
            {"params": {"n": 2}},
            "params.n: is set by the pipeline (send several requests with distinct `sample` numbers instead)",
        ),
    ],
)
def test_inspect_request_beyond_a_bound_says_what_and_where(data, text):
    assert [text] == said(data, SMALL)


@pytest.mark.parametrize("max_depth", [2, 3, 4, 5])
def test_inspect_nesting_one_level_beyond_any_limit_is_refused(max_depth):
    policy = AdmissionPolicy(max_depth=max_depth)
    fits, breaks = said({"metadata": nested(max_depth - 1)}, policy), said({"metadata": nested(max_depth)}, policy)

    assert ([], [f"metadata: too many levels of nesting, the limit is {max_depth}"]) == (fits, breaks)


def test_inspect_messages_beyond_their_number_are_refused():
    assert ["messages: 3 messages, the limit is 2"] == said({"messages": [HELLO] * 3}, AdmissionPolicy(max_messages=2))


@pytest.mark.parametrize("name", OWNED)
def test_inspect_param_that_the_pipeline_owns_is_refused_by_name(name):
    assert [f"params.{name}: is set by the pipeline ({OWNED[name]})"] == said({"params": {name: None}})


def test_owned_params_leave_what_providers_take():
    forwarded = {"temperature", "max_tokens", "stop", "seed", "tools", "response_format", "user", "top_p"}

    assert set() == forwarded & set(OWNED)


def test_features_not_there_yet_are_the_documented_ones():
    documented = {"session": None, "stream": False, "reply_to": None}

    assert documented == FEATURES


@pytest.mark.parametrize(
    ("field", "value"),
    [("session", "s"), ("stream", True), ("reply_to", "r"), ("retrieve", {}), ("dedup", False), ("sample", 1)],
)
def test_inspect_feature_that_is_ready_is_allowed(field, value):
    assert [] == said({field: value}, AdmissionPolicy(ready=frozenset({field})))


def test_inspect_several_violations_are_all_reported():
    data = {
        "promt": "x",
        "timeout_s": 0,
        "params": {"n": 1},
        "session": "s",
        "id": "",
        "metadata": {"a": "xxxxxxxxxxxxx"},
    }

    assert {
        "promt: unknown field (did you mean prompt?)",
        "prompt, messages: neither is given (a request needs exactly one of them)",
        "metadata: 21 bytes, the limit is 20",
        'id = "": is empty or holds control or tag characters',
        "params.n: is set by the pipeline (send several requests with distinct `sample` numbers instead)",
        'session = "s": is not supported yet (leave it out)',
        "timeout_s = 0.0: should be above 0 (null means no deadline)",
    } == set(said({**data, "prompt": None}, SMALL))


def test_inspect_misshapen_prompt_counts_as_given():
    assert ["prompt: should be a valid string"] == said({"prompt": 5})


def test_inspect_sound_fields_beside_a_wrong_one_are_kept():
    request, _ = inspect({"prompt": "hi", "id": "a-1", "metadata": {"a": 1}, "sample": "x"}, USUAL)

    assert ("a-1", {"a": 1}, 0) == (request.id, request.metadata, request.sample)


@pytest.mark.parametrize(
    ("count", "end"), [(1, "20: r"), (20, "20: r"), (21, "20: r; and 1 more"), (5000, "20: r; and 4980 more")]
)
def test_told_beyond_twenty_gives_their_number(count, end):
    violations = [Violation(str(20 if count == 1 else index + 1), "r") for index in range(count)]

    assert told(tuple(violations)).endswith(end)


def test_told_several_are_separated_by_semicolons():
    assert "a: r; b = 1: s (h)" == told((Violation("a", "r"), Violation("b", "s", "1", "h")))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("plain_text", False),
        ("max_prompt_bytes", 1024 * 1024),
        ("max_messages", 1000),
        ("max_params", 64),
        ("max_depth", 64),
        ("max_metadata_bytes", 16384),
        ("max_id_bytes", 256),
        ("max_timeout_s", 604800),
        ("ready", frozenset()),
    ],
)
def test_policy_without_settings_has_documented_defaults(field, value):
    assert value == getattr(USUAL, field)


def test_policy_deeper_than_json_can_be_written_is_refused():
    with pytest.raises(ConfigurationError, match=r"admit\.max_depth = 201: set at most 200"):
        AdmissionPolicy(max_depth=201)


def test_policy_as_deep_as_json_can_be_written_is_allowed():
    assert [] == said({"metadata": nested(199)}, AdmissionPolicy(max_depth=200))


THERE = AdmissionPolicy(templates={"summary": "ab" * 32, "translate": "cd" * 32})


@pytest.mark.parametrize("name", ["summary", "translate", None])
def test_template_that_is_there_is_allowed(name):
    assert [] == said({"template": name}, THERE)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sumary", "did you mean summary? there are summary, translate"),
        ("zzz", "there are summary, translate"),
        ("Summary", "did you mean summary? there are summary, translate"),
    ],
)
def test_template_that_is_not_there_is_refused_with_those_that_are(name, hint):
    """B131."""
    assert [f'template = "{name}": there is no such template ({hint})'] == said({"template": name}, THERE)


def test_refusal_of_a_template_stays_small_with_countless_others():
    many = AdmissionPolicy(templates={f"template-{number}": "ab" for number in range(5000)})

    assert len(said({"template": "x"}, many)[0]) < 600


def test_templates_of_a_policy_are_its_own():
    given = {"a": "v-1"}
    policy = AdmissionPolicy(templates=given)
    given["b"] = "v-2"

    assert {"a": "v-1"} == policy.templates


@pytest.mark.parametrize(
    "char",
    [
        *("\U000e0000", "\U000e0001", "\U000e0041", "\U000e007f", "\u061c", "\u200e", "\u200f"),
        *("\u2028", "\u202a", "\u202e", "\u2066", "\u2069"),
    ],
)
@pytest.mark.parametrize("field", ["id", "model", "tenant"])
def test_name_with_a_hidden_character_is_refused(field, char):
    assert ["is empty or holds control or tag characters"] == [
        text.split(": ", 1)[1] for text in said({field: f"a{char}"})
    ]


@pytest.mark.parametrize("char", ["\U000e0041", "\u202e", "\x00"])
def test_prompt_with_invisible_characters_is_passed_on(char):
    assert [] == said({"prompt": f"a{char}"})


@pytest.mark.parametrize(
    "name", ["\U000dffff", "\U000e0080", "é", "名前", "\u2027", "\u202f", "\u2065", "\u206a", "👩\u200d🚀"]
)
def test_name_beside_the_tags_is_allowed(name):
    assert [] == said({"tenant": name})


@pytest.mark.parametrize(
    ("wanted", "texts"),
    [
        (None, []),
        ({"type": "text"}, []),
        ({"type": "json_object"}, []),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}, []),
        ("json", ["params.response_format: should be an object with a 'type'"]),
        ({"type": "json_schema"}, ["params.response_format.json_schema.schema: is missing"]),
        (
            {"type": "json_schema", "json_schema": {"schema": {"items": {"type": "strng"}}}},
            ["params.response_format.json_schema.schema.items.type: is no valid JSON Schema (draft 2020-12)"],
        ),
    ],
)
def test_inspect_response_format_that_cannot_be_checked_is_refused_by_its_place(wanted, texts):
    assert texts == said({"params": {"response_format": wanted}})


def test_inspect_response_format_without_fault_leaves_other_violations():
    assert ["timeout_s = 0.0: should be above 0 (null means no deadline)"] == said(
        {"params": {"response_format": {"type": "json_object"}}, "timeout_s": 0}
    )
