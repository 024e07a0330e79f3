"""What dead letters tell, which of them died of the same, and which of them a person means."""

import doctest
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import letters
from streams.decisions.letters import Wanted, normal
from tests.support.builders import NOW_MS
from tests.support.letters import letter, letter_record
from topics.catalog import Names
from topics.errors import ConfigurationError

NUMBERS = st.integers(0, 10**12).map(str)
WORDS = st.text(" abcdefxyz-:/<>#0123456789", max_size=60)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("at", "dead-letters/3/17"),
        ("short", "3/17"),
        ("buried", "2026-01-31T12:00:00.000Z"),
        ("at_ms", NOW_MS),
        ("size", 32),
        ("id", "a-1"),
        ("kind", "worker_error"),
        ("stage", "infer"),
        ("exception_class", "WorkerError"),
        ("message", "echo: timeout"),
        ("disposition", "exhausted"),
        ("lineage", 2),
        ("session", None),
        ("prompt", True),
        ("readable", True),
    ],
)
def test_letter_tells_what_its_evidence_says(field, told):
    assert told == getattr(letter(lineage=2), field)


def test_letter_that_somebody_else_wrote_tells_nothing():
    told = letters.letter_of(letter_record()._replace(headers=(), value=None), Names())

    assert (None, None, None, 0, 0, False) == (told.id, told.kind, told.session, told.lineage, told.size, told.prompt)


@pytest.mark.parametrize(
    ("value", "session"),
    [(b'{"session": "s-1"}', "s-1"), (b'{"session": 7}', None), (b"[1]", None), (b"{", None), (None, None)],
)
def test_letter_names_the_session_of_its_request(value, session):
    assert session == letter(value=value).session


@pytest.mark.parametrize(
    ("fields", "readable"),
    [
        ({"disposition": "undecodable", "value": b'{"prompt": "hi"}'}, False),
        ({"value": b"just words"}, True),
        ({"gone": b"gone", "value": b'{"id": "a-1"}'}, False),
        ({"gone": b"gone", "value": b'{"messages": []}'}, True),
        ({"gone": b"gone", "value": b'{"prompt": "hi"}'}, True),
        ({"gone": b"gone", "value": b"\xff"}, False),
    ],
)
def test_letter_is_readable_where_its_bytes_are_a_request(fields, readable):
    assert readable == letter(**fields).readable


# -- fingerprints


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("413 bytes, the limit is 400", "99 bytes, the limit is 1"),
        ("waited 2.5 s", "waited 60 s"),
        ("at 12:30:01", "at 1:02"),
        ("request 0xFE12 is gone", "request 0xab is gone"),
        ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "trace 00000000000000000000000000000001"),
        ("job 1d9f8c1e-2f3a-4b5c-8d7e-9f0a1b2c3d4e", "job ffffffff-0000-1111-2222-333333333333"),
    ],
)
def test_messages_that_differ_in_numbers_are_one_cause(one, other):
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("timeout", "refused"), ("model 'a' is unknown", "model 'b' is unknown"), ("defaced", "decade"), ("", "x")],
)
def test_messages_that_differ_in_words_are_two_causes(one, other):
    assert normal(one) != normal(other)


def test_hex_of_the_digits_a_to_f_alone_is_a_word():
    assert "defacedd is facade" == normal("defacedd is facade")


@pytest.mark.parametrize(
    ("message", "id", "left"),
    [
        ("order.x: refused", "order.x", "<id>: refused"),
        ("orderAx: refused", "order.x", "orderAx: refused"),
        ("preorder.x", "order.x", "preorder.x"),
        ("the end", "the", "the end"),
        ("that end", "that", "<id> end"),
        ("wait", None, "wait"),
    ],
)
def test_id_of_the_request_is_left_out_as_a_whole_word(message, id, left):
    assert left == normal(message, id)


@given(WORDS, NUMBERS, NUMBERS, WORDS)
def test_number_anywhere_in_a_message_does_not_matter(before, one, other, after):
    assert normal(f"{before} {one} {after}") == normal(f"{before} {other} {after}")


@given(WORDS)
def test_message_made_normal_twice_is_the_same(message):
    assert normal(message) == normal(normal(message))


@given(st.text(max_size=200), st.none() | st.text(max_size=20))
def test_any_message_and_id_have_a_normal_form(message, id):
    assert isinstance(normal(message, id), str)


@pytest.mark.parametrize(
    "other", [{"stage": "refine"}, {"kind": "other"}, {"message": "echo: refused"}, {"message": "echo timeout"}]
)
def test_letters_of_another_cause_have_another_fingerprint(other):
    assert letter().fingerprint != letter(**other).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        {"request_id": "b-9"},
        {"lineage": 3},
        {"attempts": 7},
        {"value": b"x"},
        {"at_ms": 1},
        {"partition": 0, "offset": 1},
    ],
)
def test_letters_of_one_cause_have_one_fingerprint(other):
    assert letter().fingerprint == letter(**other).fingerprint


def test_parts_of_a_fingerprint_do_not_run_together():
    assert letters.fingerprint("a", "bc", None, "") != letters.fingerprint("ab", "c", None, "")


def test_fingerprint_is_short_enough_to_type():
    assert 12 == len(letters.fingerprint(None, None, None, "\ud800"))


# -- which are meant


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (Wanted(), True),
        (Wanted(kind="worker_error"), True),
        (Wanted(kind="other"), False),
        (Wanted(stage="infer"), True),
        (Wanted(stage="refine"), False),
        (Wanted(session="s-1"), True),
        (Wanted(session="s-2"), False),
        (Wanted(fingerprint=letter().fingerprint), True),
        (Wanted(fingerprint=letter().fingerprint[:4]), True),
        (Wanted(fingerprint=letter().fingerprint + "0"), False),
        (Wanted(before_ms=NOW_MS + 1), True),
        (Wanted(before_ms=NOW_MS), False),
        (Wanted(before_ms=NOW_MS - 1), False),
        (Wanted(after_ms=NOW_MS - 1), True),
        (Wanted(after_ms=NOW_MS), True),
        (Wanted(after_ms=NOW_MS + 1), False),
        (Wanted(frozenset({"a-1"})), True),
        (Wanted(frozenset({"3/17"})), True),
        (Wanted(frozenset({"acme.dead-letters/3/17"})), True),
        (Wanted(frozenset({"3/18", "b"})), False),
        (Wanted(frozenset({"b", "a-1"})), True),
        (Wanted(frozenset({"a-1"}), kind="other"), False),
        (Wanted(kind="worker_error", stage="refine"), False),
    ],
)
def test_letter_is_meant_where_every_condition_holds(wanted, meant):
    """B77."""
    assert meant == letters.wants(wanted, letter(value=b'{"session": "s-1"}'))


def test_letter_may_be_meant_by_several_names_at_once():
    names = frozenset({"a-1", "3/17", "dead-letters/3/17", "b", "0/0"})

    assert {"a-1", "3/17", "dead-letters/3/17"} == letters.fits(names, letter())


def test_letter_without_an_id_is_meant_by_its_place_only():
    nameless = replace(letter(), id=None)

    assert frozenset({"3/17"}) == letters.fits(frozenset({"3/17", "None", ""}), nameless)


@pytest.mark.parametrize(
    ("text", "ms"), [("0s", 0), ("90s", 90_000), ("15m", 900_000), ("2h", 7_200_000), (" 3d ", 259_200_000)]
)
def test_age_as_text_is_that_many_milliseconds(text, ms):
    assert ms == letters.age_ms(text, "--older-than")


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1w", "1 h", "1h30m", "1234567890s", "٣h"])
def test_age_that_is_none_is_refused_with_the_notation(text):
    with pytest.raises(ConfigurationError, match=r"--older-than = .*15m"):
        letters.age_ms(text, "--older-than")


def test_examples_of_letters_are_true():
    ran = doctest.testmod(letters)

    assert (0, True) == (ran.failed, ran.attempted > 0)
