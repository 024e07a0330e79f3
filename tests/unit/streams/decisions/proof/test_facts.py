"""Names and places: what belongs together has one name, and nothing else has."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.proof import facts
from streams.stage import Record
from streams.stages.admit import origin_of
from tests.support.builders import NOW_MS

TEXTS = st.text(max_size=8)
NAMED = st.tuples(TEXTS, st.text("0123456789abcdef", min_size=4, max_size=4), st.just("2026-01-31T12:00:00.000Z"))


def record(key: bytes | None = b"k", value: bytes | None = b"v") -> Record:
    return Record("prompts", 3, 17, NOW_MS, key, value)


@given(st.integers(0, 2**20), st.integers(0, 2**48 - 1))
def test_place_as_text_names_partition_and_offset(partition: int, offset: int) -> None:
    assert f"results/{partition}/{offset}" == facts.place_text("results", facts.packed(partition, offset))


@given(NAMED, NAMED)
def test_names_are_equal_only_for_equal_parts(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (one == other) == (facts.name_of(*one) == facts.name_of(*other))


def test_name_of_a_lone_surrogate_is_a_name() -> None:
    assert 16 == len(facts.name_of("\ud800", "h", "t"))


@pytest.mark.parametrize("other", [record(key=None), record(key=b""), record(value=b"w"), record(b"kv", b"")])
def test_body_differs_with_key_or_value(other: Record) -> None:
    assert facts.body_of(record()) != facts.body_of(other)


def test_body_without_a_value_is_that_of_no_bytes() -> None:
    """A dead letter holds no bytes where the original had none."""
    assert facts.body_of(record(value=None)) == facts.body_of(record(value=b""))


@pytest.mark.parametrize("value", [b"v", None])
def test_origin_is_the_one_that_the_door_writes(value: bytes | None) -> None:
    assert origin_of(record(value=value)) == facts.origin_of(record(value=value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"id":"a"}', "a"),
        (b'{"id":""}', None),
        (b'{"id":7}', None),
        (b'{"id":"' + b"x" * 256 + b'"}', "x" * 256),
        (b'{"id":"' + b"x" * 257 + b'"}', None),
        (b"[]", None),
        (b"{", None),
        (None, None),
    ],
)
def test_id_of_a_value_is_taken_where_it_is_of_use(value: bytes | None, expected: str | None) -> None:
    assert expected == facts.named(value)


def test_answers_of_a_name_start_with_none_counted() -> None:
    given = facts.Given("a", "2026-01-31T12:00:00.000Z", facts.packed(0, 1), NOW_MS, NOW_MS)

    assert ((), 0) == (given.forms, given.count)


def test_view_of_a_partition_starts_whole_and_without_an_end() -> None:
    view = facts.View(3, 3)

    assert ([], None, None) == (view.holes, view.end, view.first_ms)


def test_examples_of_the_facts_hold() -> None:
    assert 0 == doctest.testmod(facts).failed
