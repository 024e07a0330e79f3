import doctest
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import rows
from topics.catalog import INTERNAL_BYTES
from topics.errors import DecodingError


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text("abc-\n"),
    st.binary(),
    st.none() | st.integers(0, 2**53),
    st.integers(0, 1000),
)
def test_row_of_any_bytes_comes_back_as_it_was(at: str, word: str, payload: bytes, ms: int | None, calls: int) -> None:
    row = rows.Row(at, word, payload, ms, calls)

    assert row == rows.unpack(rows.pack(row))


def test_stored_form_of_a_row_is_readable() -> None:
    stored = rows.pack(rows.Row("refined/0/7", "completed", b'{"id":"a"}'))

    assert b'{"v":1,"at":"refined/0/7","word":"completed"}\n{"id":"a"}' == stored


def test_field_of_a_newer_version_is_passed_over() -> None:
    stored = b'{"v":2,"at":"a","word":"b","owner":"c"}\npayload'

    assert rows.Row("a", "b", b"payload") == rows.unpack(stored)


def test_stored_form_of_a_dated_row_begins_with_its_time() -> None:
    stored = rows.pack(rows.Row("assembled.low/0/7", "inferred", b"{}", 1769860800000, 3))

    assert b'{"ms":1769860800000,"v":1,"at":"assembled.low/0/7","word":"inferred","calls":3}\n{}' == stored


def test_row_of_an_earlier_version_has_no_time_and_took_one_call() -> None:
    row = rows.unpack(b'{"v":1,"at":"a","word":"b"}\npayload')

    assert (None, 1) == (row.ms, row.calls)


NO_ROWS = [
    *(b"", b"{}", b"[]\nx", b'{"at": "a"}\nx', b"null\n", b"\xff\n", b'"at word"\n', b"5\n"),
    *(b'{"ms":"x","at":"a","word":"b"}\n', b'{"ms":[],"at":"a","word":"b"}\n', b'{"calls":null,"at":"a","word":"b"}\n'),
]


@pytest.mark.parametrize("stored", NO_ROWS)
def test_bytes_that_are_no_row_are_refused(stored: bytes) -> None:
    with pytest.raises(DecodingError, match="Row"):
        rows.unpack(stored)


def test_refused_row_keeps_its_bytes() -> None:
    with pytest.raises(DecodingError) as refused:
        rows.unpack(b"secret")
    assert (b"secret", False) == (refused.value.raw, "secret" in str(refused.value))


def test_largest_payload_is_a_kibibyte_below_the_internal_limit() -> None:
    assert 4 * 1024 * 1024 - 1024 == rows.PAYLOAD_BYTES


def test_row_that_was_read_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        rows.Row("a", "b", b"").at = "c"  # type: ignore[misc]  # the claim


def test_largest_payload_with_its_head_fits_the_changelog() -> None:
    at = "assembled.critical/1023/9223372036854775807"
    row = rows.Row(at, "completed", b"x" * rows.PAYLOAD_BYTES, 10**15, 10**6)

    assert len(rows.pack(row)) + 256 <= INTERNAL_BYTES


def test_examples_of_the_rule_are_true() -> None:
    ran = doctest.testmod(rows)

    assert (0, True) == (ran.failed, ran.attempted > 0)


# -- age


@given(
    st.sampled_from(["assembled.low/0/7", "admitted/3/1042", "a/b/c", "é/0/1"]),
    st.integers(0, 10**18 - 1),
    st.binary(),
    st.integers(0, 9),
)
def test_age_of_a_row_is_seen_without_its_payload(at: str, ms: int, payload: bytes, calls: int) -> None:
    seen = rows.age(rows.pack(rows.Row(at, "inferred", payload, ms, calls)))

    assert rows.Age(ms, at.partition("/")[0]) == seen


@pytest.mark.parametrize(
    ("stored", "topic"),
    [
        (b'{"ms":5,"v":1,"tries":[]}', ""),
        (b'{"ms":5,"v":12,"at":"no coordinates"}', ""),
        (b'{"ms":5,"v":1,"at":"a\\"b/0/1"}', ""),
        (b'{"ms":5,"v":1,"at":"\xff/0/1"}', "\ufffd"),
    ],
)
def test_row_of_no_lane_has_an_age_all_the_same(stored: bytes, topic: str) -> None:
    assert rows.Age(5, topic) == rows.age(stored)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b'{"v":1,"ms":5}',
        b'{"ms":-5,"v":1}',
        b'{"ms":5.5,"v":1}',
        b'{"ms":5}',
        b' {"ms":5,"v":1',
        b'{"ms":%d,"v":1,' % 10**18,
    ],
)
def test_row_that_does_not_begin_with_its_time_has_no_age(stored: bytes) -> None:
    assert rows.age(stored) is None


@given(st.integers(0, 2**53), st.binary())
def test_row_given_a_time_is_the_same_row_with_it(ms: int, payload: bytes) -> None:
    before = rows.Row("a/0/1", "inferred", payload, calls=2)

    dated = rows.dated(rows.pack(before), ms)

    assert rows.Row("a/0/1", "inferred", payload, ms, 2) == rows.unpack(dated)


@pytest.mark.parametrize("stored", [b"", b"[]", b'{"x":1}', b'{"ms":5,"v":1}'])
def test_bytes_that_no_earlier_version_wrote_are_given_no_time(stored: bytes) -> None:
    assert stored is rows.dated(stored, 7)


@pytest.mark.parametrize(("ms", "used_ms", "after_ms"), [(None, 5, 5), (3, 5, 5), (5, 3, 5), (5, 5, 5)])
def test_row_that_is_used_is_as_young_as_its_last_use(ms: int | None, used_ms: int, after_ms: int) -> None:
    row = rows.Row("a/0/1", "inferred", b"{}", ms, 2)

    assert rows.Row("a/0/1", "inferred", b"{}", after_ms, 2) == rows.used(row, used_ms)


def test_marker_that_is_used_keeps_the_time_that_is_told() -> None:
    row = rows.Row("a/0/1", rows.GONE, b"", 5)

    assert row is rows.used(row, 99)


@given(st.text("abc./0", min_size=1), st.integers(0, 2**53), st.integers(0, 9), st.binary(min_size=1))
def test_marker_is_the_row_without_its_payload(at: str, ms: int, calls: int, payload: bytes) -> None:
    stored = rows.pack(rows.Row(at, "inferred", payload, ms, calls))

    assert rows.Row(at, rows.GONE, b"", ms, calls) == rows.unpack(rows.marker(stored))


def test_marker_of_bytes_that_are_no_row_is_refused() -> None:
    with pytest.raises(DecodingError, match="Row"):
        rows.marker(b"{}")


@pytest.mark.parametrize(("payload", "spent"), [(b"", True), (b"{}", False), (b"\n{}", False)])
def test_row_is_spent_when_its_payload_is_gone(payload: bytes, spent: bool) -> None:
    assert spent is rows.spent(rows.pack(rows.Row("a", "b", payload)))
