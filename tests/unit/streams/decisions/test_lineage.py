"""A prompt that says it is a dead letter sent again is believed only where that dead letter says the same."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import burial, lineage
from streams.decisions.limits import Violation
from streams.decisions.lineage import DEAD_LETTER, LINEAGE, REQUEST_ID, RUN, Claim, Place
from tests.support.letters import headers
from topics.catalog import DEAD_LETTERS, Names

AT = Place(DEAD_LETTERS, 3, 17)
CLAIM = Claim(AT, "a-1", 1)
TRUE = {LINEAGE: b"1", REQUEST_ID: b"a-1", DEAD_LETTER: b"dead-letters/3/17"}
HEADERS = st.lists(
    st.tuples(st.sampled_from([LINEAGE, REQUEST_ID, DEAD_LETTER, RUN, "own", "prompts.stage"]), st.binary(max_size=30)),
    max_size=8,
).map(tuple)


def said(**changed):
    named = {"lineage": LINEAGE, "request_id": REQUEST_ID, "dead_letter": DEAD_LETTER}
    whole = {**TRUE, **{named[name]: value for name, value in changed.items()}}
    return tuple((name, value) for name, value in whole.items() if value is not None)


def blamed(outcome):
    """The header that is told to be wrong."""
    assert isinstance(outcome, Violation)
    return outcome.path


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("3/17", AT),
        ("dead-letters/3/17", AT),
        ("acme-dead-letters/3/17", AT),
        ("0/0", Place(DEAD_LETTERS, 0, 0)),
        ("3", None),
        ("3/17/", None),
        ("a/b/3/17", None),
        ("-3/17", None),
        ("3/-17", None),
        ("3/x", None),
        ("٣/17", None),
        ("1234567890/1", None),
        ("1/" + "1" * 19, None),
        ("", None),
        ("3/17\n", None),
    ],
)
def test_coordinates_as_text_name_a_dead_letter_or_nothing(text, place):
    assert place == lineage.letter_at(text)


def test_place_of_a_dead_letter_is_written_as_it_is_read():
    assert AT == lineage.letter_at(AT.at)


@pytest.mark.parametrize(
    ("own", "asks"),
    [
        ((), False),
        ((("traceparent", b"00"), (RUN, b"r")), False),
        (((LINEAGE, b"1"),), True),
        (((REQUEST_ID, b"a"),), True),
        (((DEAD_LETTER, b""),), True),
    ],
)
def test_prompt_with_any_of_the_three_headers_claims_something(own, asks):
    assert asks == lineage.asks(own)


def test_claim_with_all_three_headers_is_read():
    assert CLAIM == lineage.read((("own", b"x"), *said()))


def test_claim_with_a_header_twice_is_read_by_the_first():
    assert CLAIM == lineage.read((*said(), (LINEAGE, b"9"), (REQUEST_ID, b"other")))


@pytest.mark.parametrize(
    ("wrong", "header"),
    [
        ({"lineage": None}, LINEAGE),
        ({"request_id": None}, REQUEST_ID),
        ({"dead_letter": None}, DEAD_LETTER),
        ({"dead_letter": b"3-17"}, DEAD_LETTER),
        ({"dead_letter": b"\xff/1"}, DEAD_LETTER),
        ({"lineage": b"0"}, LINEAGE),
        ({"lineage": b"-1"}, LINEAGE),
        ({"lineage": b"01"}, LINEAGE),
        ({"lineage": b"1.0"}, LINEAGE),
        ({"lineage": b"1000000"}, LINEAGE),
        ({"lineage": b""}, LINEAGE),
    ],
)
def test_claim_that_is_badly_written_is_refused_by_its_header(wrong, header):
    assert f"header {header}" == blamed(lineage.read(said(**wrong)))


@pytest.mark.parametrize(("buried", "next_one"), [(0, 1), (1, 2), (41, 42)])
def test_claim_of_one_more_than_the_dead_letter_is_believed(buried, next_one):
    claim = Claim(AT, "a-1", next_one)

    assert claim is lineage.check(claim, headers(lineage=buried))


def test_claim_upon_a_dead_letter_of_before_lineages_counts_from_zero():
    old = tuple(pair for pair in headers() if pair[0] != burial.ERROR + "lineage")

    assert CLAIM is lineage.check(CLAIM, old)


@pytest.mark.parametrize(
    ("letter", "header"),
    [
        (None, DEAD_LETTER),
        ((), DEAD_LETTER),
        ((("own", b"x"),), DEAD_LETTER),
        (headers(request_id="a-0"), REQUEST_ID),
        (headers(request_id="a-2"), REQUEST_ID),
        (headers(lineage=1), LINEAGE),
        (headers(lineage=2), LINEAGE),
    ],
)
def test_claim_that_the_dead_letter_does_not_bear_out_is_refused_by_its_header(letter, header):
    assert f"header {header}" == blamed(lineage.check(CLAIM, letter))


@pytest.mark.parametrize("number", [1, 2, 4, 99])
def test_claim_of_another_number_than_one_more_is_refused(number):
    assert f"header {LINEAGE}" == blamed(lineage.check(Claim(AT, "a-1", number), headers(lineage=2)))


@pytest.mark.parametrize("outcome", [lineage.check(CLAIM, None), lineage.read(said(lineage=b"x"))])
def test_refusal_of_a_claim_says_what_to_do_instead(outcome):
    assert "streams dlq redrive" in str(outcome)


@given(HEADERS)
def test_claim_in_any_headers_is_read_or_refused_without_fault(own):
    outcome = lineage.read(own)

    assert isinstance(outcome, Claim | Violation)


@given(HEADERS, st.integers(1, 99), st.text(min_size=1, max_size=9))
def test_headers_of_a_redrive_are_read_back_as_its_claim(own, number, id):
    claim = Claim(AT, id, number)

    assert claim == lineage.read(lineage.headers_of(claim, "r-1", own))


def test_headers_of_a_redrive_keep_those_of_the_first_prompt_only():
    before = (*said(), (RUN, b"r-0"), ("content-type", b"text/plain"))

    sent = lineage.headers_of(Claim(AT, "a-1", 2), "r-1", headers(own=before))

    assert (
        ("content-type", b"text/plain"),
        ("traceparent", b"00"),
        (LINEAGE, b"2"),
        (REQUEST_ID, b"a-1"),
        (DEAD_LETTER, b"dead-letters/3/17"),
        (RUN, b"r-1"),
    ) == sent


@pytest.mark.parametrize(
    ("told", "prompt"),
    [
        ({"request-id": "a", "original-topic": "acme-prompts"}, True),
        ({"request-id": "a", "original-topic": "prompts"}, False),
        ({"request-id": "a", "original-topic": "x.failed"}, False),
        ({"request-id": "a"}, False),
        ({"original-topic": "acme-prompts"}, False),
        ({}, False),
    ],
)
def test_dead_letter_that_was_no_prompt_of_ours_has_nowhere_to_go(told, prompt):
    assert prompt == lineage.from_prompts(told, Names("x.", "acme-"))


def test_examples_of_lineage_are_true():
    ran = doctest.testmod(lineage)

    assert (0, True) == (ran.failed, ran.attempted > 0)
