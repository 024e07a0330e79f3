import doctest
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import rows
from topics.catalog import INTERNAL_BYTES
from topics.errors import DecodingError


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text("abc-\n"), st.binary())
def test_row_of_any_bytes_comes_back_as_it_was(at: str, word: str, payload: bytes) -> None:
    row = rows.Row(at, word, payload)

    assert row == rows.unpack(rows.pack(row))


def test_stored_form_of_a_row_is_readable() -> None:
    stored = rows.pack(rows.Row("refined/0/7", "completed", b'{"id":"a"}'))

    assert b'{"v":1,"at":"refined/0/7","word":"completed"}\n{"id":"a"}' == stored


def test_field_of_a_newer_version_is_passed_over() -> None:
    stored = b'{"v":2,"at":"a","word":"b","owner":"c"}\npayload'

    assert rows.Row("a", "b", b"payload") == rows.unpack(stored)


@pytest.mark.parametrize("stored", [b"", b"{}", b"[]\nx", b'{"at": "a"}\nx', b"null\n", b"\xff\n", b'"at word"\n'])
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
    row = rows.Row("assembled.critical/1023/9223372036854775807", "completed", b"x" * rows.PAYLOAD_BYTES)

    assert len(rows.pack(row)) + 256 <= INTERNAL_BYTES


def test_examples_of_the_rule_are_true() -> None:
    ran = doctest.testmod(rows)

    assert (0, True) == (ran.failed, ran.attempted > 0)
