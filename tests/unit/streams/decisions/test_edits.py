"""A request whose fields a person changes: what it becomes, and which changes are refused."""

import doctest
from hashlib import sha256

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import edits
from streams.decisions.edits import Edit
from topics.catalog import PROMPT_BYTES
from topics.errors import ConfigurationError

ASKED = b'{"id": "a-1", "prompt": "hello", "params": {"seed": 1}}'
SAID = b'[{"role": "user", "content": "hi"}]'
JSON = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5), lambda inner: st.lists(inner))


def applied(*texts, value=ASKED, disposition="exhausted"):
    return orjson.loads(edits.apply(value, disposition, [edits.parse(text) for text in texts]).value)


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ('model="small"', Edit(("model",), "small")),
        ("params.max_tokens=256", Edit(("params", "max_tokens"), 256)),
        ("timeout_s=null", Edit(("timeout_s",), None)),
        ('prompt="a=b"', Edit(("prompt",), "a=b")),
        (" model ={}", Edit(("model",), {})),
    ],
)
def test_change_as_text_is_a_field_and_its_value(text, edit):
    assert edit == edits.parse(text)


@pytest.mark.parametrize("text", ["model", "", "=1", ".=1", "a..b=1", "model=small", "model=", "model=NaN", "m='x'"])
def test_change_that_is_badly_written_is_refused_with_the_notation(text):
    with pytest.raises(ConfigurationError, match=r"--edit .*FIELD=JSON"):
        edits.parse(text)


@pytest.mark.parametrize("field", ["id", "tenant", "id.x"])
def test_change_of_what_names_the_request_is_refused(field):
    with pytest.raises(ConfigurationError, match="stays as it was"):
        edits.parse(f'{field}="b"')


def test_change_of_a_secret_word_is_refused_without_quoting_it():
    with pytest.raises(ConfigurationError) as refused:
        edits.parse("prompt=secret words")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("texts", "changed"),
    [
        (['model="small"'], {"model": "small"}),
        (["params.seed=2"], {"params": {"seed": 2}}),
        (["params.top_p=1"], {"params": {"seed": 1, "top_p": 1}}),
        (["params={}"], {"params": {}}),
        (["metadata.a.b=1"], {"metadata": {"a": {"b": 1}}}),
        (["timeout_s=5", "timeout_s=6"], {"timeout_s": 6}),
        (["prompt=null", f"messages={SAID.decode()}"], {"prompt": None, "messages": orjson.loads(SAID)}),
        (['template="any"'], {"template": "any"}),
        (['session="s"'], {"session": "s"}),
    ],
)
def test_change_of_fields_leaves_the_others_as_they_are(texts, changed):
    assert {**orjson.loads(ASKED), **changed} == applied(*texts)


def test_change_of_plain_text_makes_it_a_request():
    assert {"prompt": "just words", "model": "small"} == applied('model="small"', value=b"just words")


def test_change_of_bytes_that_were_no_request_starts_from_nothing():
    assert {"prompt": "hi"} == applied('prompt="hi"', value=b"{broken", disposition="undecodable")


@pytest.mark.parametrize("value", [b"{broken", b"[1]", b"\xff", b"", None])
def test_change_that_makes_no_request_of_such_bytes_is_refused(value):
    with pytest.raises(ConfigurationError, match=r"makes no request"):
        applied('model="small"', value=value, disposition="undecodable")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('surprise="x"', "surprise"),
        ("timeout_s=0", "timeout_s"),
        ('timeout_s="soon"', "timeout_s"),
        ("prompt=null", "prompt"),
        ('messages=[{"role": "user", "content": "hi"}]', "messages"),
        ('priority="urgent"', "priority"),
        ("params.n=2", "params.n"),
    ],
)
def test_change_that_the_door_would_reject_is_refused_by_field(text, why):
    with pytest.raises(ConfigurationError, match=f"makes no request: .*{why}"):
        applied(text)


def test_change_inside_what_is_no_object_is_refused():
    with pytest.raises(ConfigurationError, match=r"prompt\.x.*prompt is no object"):
        applied("prompt.x=1")


def test_change_above_the_limit_of_a_prompt_is_refused():
    with pytest.raises(ConfigurationError, match="limit"):
        applied(f'prompt="{"x" * PROMPT_BYTES}"')


def test_change_into_a_large_escaped_text_is_refused_by_its_bytes():
    many = '\\"' * (PROMPT_BYTES // 2)

    with pytest.raises(ConfigurationError, match=f"bytes, the limit is {PROMPT_BYTES}"):
        applied(f'prompt="{many}"')


def test_change_that_is_refused_quotes_no_word_of_the_prompt():
    with pytest.raises(ConfigurationError) as refused:
        applied('prompt={"secret": "words"}')

    assert "secret" not in str(refused.value)


def test_changed_request_is_told_by_its_hashes_before_and_after():
    made = edits.apply(ASKED, "exhausted", [edits.parse("sample=1")])

    assert (sha256(ASKED).hexdigest(), sha256(made.value).hexdigest()) == (made.before, made.after)


def test_changed_tombstone_has_the_hash_of_nothing_before():
    made = edits.apply(None, "undecodable", [edits.parse('prompt="hi"')])

    assert sha256(b"").hexdigest() == made.before


@given(st.text("abc._", max_size=6), JSON)
def test_change_of_any_field_makes_a_request_or_is_refused(field, value):
    try:
        made = edits.apply(ASKED, "exhausted", [edits.parse(f"{field}={orjson.dumps(value).decode()}")])
    except ConfigurationError:
        return

    assert isinstance(orjson.loads(made.value), dict)


def test_examples_of_edits_are_true():
    ran = doctest.testmod(edits)

    assert (0, True) == (ran.failed, ran.attempted > 0)
