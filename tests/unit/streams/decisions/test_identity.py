"""When two requests are the same request, and when they ask for the same content (B1 to B7)."""

import doctest
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from streams.decisions import identity
from streams.decisions.identity import DeduplicationKey, body_hash, canonical_request, derived_id, framed, normal_text
from topics.request import Request

USUAL = {"tenant": "t", "model": "m", "params": {"seed": 1, "temperature": 0}, "sample": 0, "template": "v1"}
GOLDEN_KEY = "c:af4be27d2651dec21b460fe4c45c98fba3bf5d9c9cb54b552aefad6aff609c92"


def key(prompt="hi", **fields):
    return str(DeduplicationKey.from_prompt(prompt, **{**USUAL, **fields}))


def chat(content, **fields):
    return [{"role": "user", "content": content, **fields}]


def test_doctests_of_the_module_hold():
    assert 0 == doctest.testmod(identity).failed


def test_key_of_golden_content_never_changes():
    """B1: tables and changelogs outlive releases."""
    assert GOLDEN_KEY == key()


def test_key_in_another_process_is_identical():
    """B1: no dependence on hash seeds."""
    code = "from streams.decisions.identity import *; print(DeduplicationKey.from_prompt('a', params={'c': 1, 'b': 2}))"
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert 1 == len(keys)


@pytest.mark.parametrize("params", [{"temperature": 0, "seed": 1}, dict(reversed([("seed", 1), ("temperature", 0)]))])
def test_key_params_in_another_order_is_identical(params):
    """B2."""
    assert key() == key(params=params)


def test_key_nested_params_in_another_order_is_identical():
    """B2."""
    assert key(params={"a": {"b": 1, "c": [{"d": 2, "e": 3}]}}) == key(params={"a": {"c": [{"e": 3, "d": 2}], "b": 1}})


@pytest.mark.parametrize("kind", ["c", "i"])
def test_key_text_is_a_prefix_and_a_digest(kind):
    """B4."""
    text = {"c": key(), "i": str(DeduplicationKey.from_identity("0f" * 32))}[kind]

    assert (kind, 64, set()) == (text[:1], len(text[2:]), set(text[2:]) - set("0123456789abcdef"))


def test_key_of_content_and_of_identity_differ():
    """B4."""
    assert key() != str(DeduplicationKey.from_identity(identity.identity("t", "a-1", "00")))


def test_key_value_equals_one_of_the_same_text():
    assert DeduplicationKey("c:1") == DeduplicationKey("c:1") != DeduplicationKey("c:2")


def test_key_scope_left_out_means_the_defaults():
    scope = {"tenant": None, "model": "default", "params": {}, "sample": 0, "template": None, "retrieve": None}

    assert DeduplicationKey.from_prompt("hi", **scope) == DeduplicationKey.from_prompt("hi")


def test_key_once_made_cannot_change():
    with pytest.raises(FrozenInstanceError):
        DeduplicationKey("c:1").text = "c:2"


@pytest.mark.parametrize(
    "fields",
    [
        {"tenant": None},
        {"tenant": ""},
        {"tenant": "u"},
        {"model": "n"},
        {"params": {}},
        {"params": {"seed": 2, "temperature": 0}},
        {"params": {"seed": 1, "temperature": 0.5}},
        {"params": {"seed": "1", "temperature": 0}},
        {"sample": 1},
        {"template": None},
        {"template": "v2"},
        {"retrieve": {}},
        {"retrieve": {"k": 4}},
    ],
)
def test_key_other_scope_differs(fields):
    """B6."""
    assert key() != key(**fields)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hi", " hi"),
        ("hi", "hi\n\n"),
        ("hi", "\t hi \r\n"),
        ("a\nb", "a\r\nb"),
        ("a\nb", "a\rb"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u212b", "\u00c5"),
        (chat("hi"), "hi"),
        (chat([{"type": "text", "text": "a\r\nb "}]), chat([{"type": "text", "text": "a\nb"}])),
    ],
)
def test_key_prompts_that_differ_in_form_only_are_identical(one, other):
    """B7."""
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hi", "Hi"),
        ("a b", "a  b"),
        ("a\nb", "a\n\nb"),
        ("a\nb", "a b"),
        ("\ufb01", "fi"),
        ("", " \u200b"),
        (chat("hi"), chat("hi", name="n")),
        (chat("hi"), [{"role": "system", "content": "hi"}]),
        (chat("hi"), chat([{"type": "text", "text": "hi"}])),
        (chat("ab"), [*chat("a"), *chat("b")]),
        (chat([{"type": "text", "text": "ab"}]), chat([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])),
        (
            chat([{"type": "image_url", "image_url": {"url": "u"}}]),
            chat([{"type": "image_url", "image_url": {"url": "u "}}]),
        ),
        (chat(None, tool_calls=[{"id": "1"}]), chat(None, tool_calls=[{"id": "2"}])),
    ],
)
def test_key_prompts_that_differ_in_content_differ(one, other):
    """B7."""
    assert key(one) != key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"tenant": "a", "model": "bm"}, {"tenant": "ab", "model": "m"}),
        ({"tenant": "1:a", "model": "m"}, {"tenant": "1", "model": ":am"}),
        ({"tenant": "-", "model": "m"}, {"tenant": None, "model": "m"}),
        ({"template": "+"}, {"template": ""}),
        ({"template": "{}", "retrieve": None}, {"template": None, "retrieve": {}}),
        ({"sample": 11, "template": "1"}, {"sample": 1, "template": "11"}),
    ],
)
def test_key_parts_that_contain_separators_differ(one, other):
    """B5."""
    assert key(**one) != key(**other)


@pytest.mark.parametrize(
    ("parts", "encoded"), [((), b""), ((b"",), b"0:"), ((b"ab", b""), b"2:ab0:"), ((b"1:", b"\x00"), b"2:1:1:\x00")]
)
def test_framed_parts_are_preceded_by_their_lengths(parts, encoded):
    assert encoded == framed(*parts)


@pytest.mark.parametrize(
    "parts",
    [
        (None, "a-1", "00", 1),
        ("", "a-1", "00", 0),
        ("a", "-1", "00", 0),
        (None, "a-10", "0", 0),
        (None, "a-1", "01", 0),
        (None, "A-1", "00", 0),
    ],
)
def test_identity_of_other_parts_differs(parts):
    assert identity.identity(None, "a-1", "00", 0) != identity.identity(*parts)


def test_identity_of_the_same_parts_is_the_golden_digest():
    assert "26e8115f" == identity.identity(None, "a-1", "00")[:8]


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (Request(prompt="hi"), {"messages": chat("hi")}),
        (Request(messages=chat("hi")), {"messages": chat("hi")}),
        (Request(messages=chat("hi", name=None)), {"messages": chat("hi")}),
        (Request(prompt=" hi\r\n"), {"messages": chat(" hi\r\n")}),
        (Request(prompt="hi", id="a-1", tenant="t"), {"messages": chat("hi")}),
        (Request(prompt="hi", priority="Normal", params={}), {"messages": chat("hi")}),
        (Request(prompt="hi", priority="LOW"), {"messages": chat("hi"), "priority": "low"}),
        (Request(prompt="hi", timeout_s=3), {"messages": chat("hi"), "timeout_s": 3.0}),
        (Request(prompt="hi", metadata={"a": 1}), {"messages": chat("hi"), "metadata": {"a": 1}}),
        (Request(prompt="hi", dedup=False, sample=2), {"messages": chat("hi"), "dedup": False, "sample": 2}),
        (
            Request(messages=chat([{"type": "text", "text": "a"}])),
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        ),
    ],
)
def test_canonical_request_is_what_was_asked_without_defaults(request_, body):
    assert body == canonical_request(request_)


@pytest.mark.parametrize("fields", [{"prompt": "ho"}, {"priority": "low"}, {"metadata": {"a": 1}}, {"timeout_s": 3.0}])
def test_body_hash_of_another_body_differs(fields):
    one, other = Request(prompt="hi"), Request(**{"prompt": "hi", **fields})

    assert body_hash(canonical_request(one)) != body_hash(canonical_request(other))


def test_body_hash_of_golden_body_never_changes():
    assert "19e21ad5" == body_hash({"messages": chat("hi")})[:8]


@pytest.mark.parametrize(
    ("coordinates", "text"),
    [
        (("prompts", 3, 1042, 1769860800000), "prompts-3-1042-ml29f9c0"),
        (("prompts", 0, 0, 0), "prompts-0-0-0"),
        (("prompts", 0, 0, 35), "prompts-0-0-z"),
        (("prompts", 0, 0, 36), "prompts-0-0-10"),
        (("prompts", 0, 0, -1), "prompts-0-0-0"),
        (("acme.prompts", 12, 2**40, 1), "acme.prompts-12-1099511627776-1"),
    ],
)
def test_derived_id_is_made_of_coordinates_and_time(coordinates, text):
    assert text == derived_id(*coordinates)


@pytest.mark.parametrize(
    ("text", "normal"), [("", ""), (" \n", ""), ("a\r\r\nb", "a\n\nb"), ("\u00a0a\u2003", "a"), ("e\u0301\r", "\u00e9")]
)
def test_normal_text_has_one_form(text, normal):
    assert normal == normal_text(text)


GOLDEN_IDENTITY = identity.identity("t", "a-1", "00")


def test_identity_without_a_template_is_what_it_was():
    assert GOLDEN_IDENTITY == identity.identity("t", "a-1", "00", template=None)


@pytest.mark.parametrize("template", ["", "v1", "0"])
def test_identity_with_a_template_is_another(template):
    assert GOLDEN_IDENTITY != identity.identity("t", "a-1", "00", template=template)


@pytest.mark.parametrize(
    ("template", "system", "version"),
    [(None, None, None), ("ab", None, "ab"), (None, "cd", "+cd"), ("ab", "cd", "ab+cd")],
)
def test_version_names_what_stands_around_the_words(template, system, version):
    assert version == identity.template_version(template, system)
