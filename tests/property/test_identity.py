"""Laws of identity: framing is injective, form does not count, content always does (B1 to B7)."""

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from streams.decisions.identity import DeduplicationKey, derived_id, framed, identity, normal_text
from topics.wire import canonical

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TRICKY = TEXT | st.text("0123456789:+-{}", max_size=6)
PARAMS = st.dictionaries(TRICKY, st.none() | st.booleans() | st.integers(-99, 99) | TRICKY, max_size=3)
PARTS = st.lists(st.binary(max_size=4) | st.text("01:", max_size=4).map(str.encode), max_size=4)
SCOPES = st.fixed_dictionaries(
    {
        "tenant": st.none() | TRICKY,
        "model": TRICKY,
        "params": PARAMS,
        "sample": st.integers(0, 12),
        "template": st.none() | TRICKY,
        "retrieve": st.none() | PARAMS,
    }
)


def key(prompt, **scope):
    return DeduplicationKey.from_prompt(prompt, **scope)


def read_back(encoded):
    """The parts of a framed encoding."""
    parts = []
    while encoded:
        size, _, rest = encoded.partition(b":")
        parts.append(rest[: int(size)])
        encoded = rest[int(size) :]
    return parts


@given(PARTS)
def test_framed_parts_can_be_read_back(parts):
    """B5: what can be read back is injective."""
    assert parts == read_back(framed(*parts))


@given(PARTS, PARTS)
@example([b"1:", b""], [b"", b"1:"])
def test_framed_distinct_parts_have_distinct_encodings(one, other):
    """B5."""
    assert (one == other) == (framed(*one) == framed(*other))


@given(TRICKY, SCOPES, TRICKY, SCOPES)
def test_key_is_equal_exactly_for_equal_content(prompt, scope, other_prompt, other_scope):
    """B1, B5, B6."""
    same = normal_text(prompt) == normal_text(other_prompt) and canonical(scope) == canonical(other_scope)

    assert same == (key(prompt, **scope) == key(other_prompt, **other_scope))


@given(TRICKY, SCOPES, st.data())
def test_key_with_one_part_of_the_scope_changed_differs(prompt, scope, data):
    """B6."""
    part = data.draw(st.sampled_from(sorted(scope)))
    changed = {**scope, part: data.draw(SCOPES)[part]}

    assert (canonical(scope) == canonical(changed)) == (key(prompt, **scope) == key(prompt, **changed))


@given(TEXT, PARAMS)
def test_key_does_not_depend_on_the_order_of_params(prompt, params):
    """B2."""
    assert key(prompt, params=params) == key(prompt, params=dict(reversed(params.items())))


@given(TEXT, st.text(" \t\r\n\u00a0", max_size=4), st.text(" \t\r\n\u00a0", max_size=4))
def test_key_does_not_depend_on_outer_space(prompt, before, after):
    """B7."""
    assert key(prompt) == key(before + prompt + after)


@given(TEXT, st.sampled_from(["NFC", "NFD"]))
def test_key_does_not_depend_on_the_unicode_form(prompt, form):
    """B7."""
    assert key(prompt) == key(unicodedata.normalize(form, prompt))


@given(st.lists(TEXT), st.sampled_from(["\r", "\r\n"]))
def test_key_does_not_depend_on_line_ends(lines, end):
    """B7."""
    lines = [line.replace("\r", "").replace("\n", "") for line in lines]

    assert key("\n".join(lines)) == key(end.join(lines))


@given(TEXT)
def test_normal_text_is_normal_already(text):
    assert normal_text(text) == normal_text(normal_text(text))


@given(st.text("abcxyz \n", min_size=1).filter(str.strip))
def test_key_depends_on_letter_case(prompt):
    """B7."""
    assert key(prompt) != key(prompt.upper())


@given(*[st.tuples(st.none() | TRICKY, TRICKY, TRICKY, st.integers(0, 11))] * 2)
@example((None, "a", "b", 0), ("", "a", "b", 0))
def test_identity_is_equal_exactly_for_equal_parts(one, other):
    assert (one == other) == (identity(*one) == identity(*other))


@given(TEXT, SCOPES, TEXT)
def test_keys_of_content_and_of_identity_never_meet(prompt, scope, text):
    """B4."""
    alone = DeduplicationKey.from_identity(identity(None, text, text))

    assert ("c:", "i:") == (str(key(prompt, **scope))[:2], str(alone)[:2])


@given(*[st.tuples(st.just("prompts"), st.integers(0, 99), st.integers(0, 9999), st.integers(0, 2**53))] * 2)
def test_derived_id_is_equal_exactly_for_equal_coordinates(one, other):
    assert (one == other) == (derived_id(*one) == derived_id(*other))
