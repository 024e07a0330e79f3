import doctest
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import requests
from streams.decisions.requests import Deed, Entry, Final, Row, Twin
from topics.catalog import INTERNAL_BYTES
from topics.errors import DecodingError

ENTRY = Entry(
    "prompts/0/1", "cc", 5, 7, "owner", "twin", 9, 3, True, 1, 4, 5, 2, 70, "prompts/0/0", "refined/0/1", 8, "completed"
)
TWIN = Twin("prompts/0/2", "twin", 9, "expired", (("traceparent", "00-ÿ"),))
ROWS = [
    ENTRY,
    TWIN,
    Final("admitted/0/7", "cached", 5),
    Deed("ticked", 5, (("c:ab", 3, ""), ("c:ab", 4, "prompts/0/1"))),
]
KINDS = [Entry, Twin, Final, Deed]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
@given(payload=st.binary())
def test_row_with_any_payload_comes_back_as_it_was(row: Row, payload: bytes) -> None:
    whole = replace(row, payload=payload)

    assert whole == requests.unpack(requests.pack(whole), type(whole))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_field_of_a_newer_version_is_kept_in_the_row(row: Row) -> None:
    newer = requests.pack(row).replace(b'{"v":1,', b'{"v":2,"colour":"red",')

    assert b'"colour":"red"' in requests.pack(requests.unpack(newer, type(row)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "stored", [b"", b"{}", b"[]\nx", b"null\n", b"\xff\n", b"7\n", b'{"acts":7}\n', b'{"headers":[7]}\n']
)
def test_bytes_that_are_no_such_row_are_refused(kind: type[Row], stored: bytes) -> None:
    with pytest.raises(DecodingError, match=kind.__name__):
        requests.unpack(stored, kind)


def test_refused_row_keeps_its_bytes_and_tells_none() -> None:
    with pytest.raises(DecodingError) as refused:
        requests.unpack(b"secret", Entry)
    assert (b"secret", False) == (refused.value.raw, "secret" in str(refused.value))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (requests.entry_key("c:ab"), b"key/c:ab"),
        (requests.old_key("c:ab", "prompts/0/1"), b"old/c:ab/prompts/0/1"),
        (requests.twin_key("c:ab", 12), b"twin/c:ab/12"),
        (requests.final_key("c:ab", "ff"), b"final/c:ab/ff"),
        (requests.deed_key("ticks/0/7"), b"did/ticks/0/7"),
    ],
)
def test_places_of_rows_are_golden(place: bytes, expected: bytes) -> None:
    """What stands in changelogs must be found again."""
    assert expected == place


def test_largest_payload_with_line_and_key_fits_the_changelog() -> None:
    row = replace(TWIN, identity="f" * 64, payload=b"x" * requests.ROW_BYTES)

    assert len(requests.pack(row)) + len(requests.twin_key("c:" + "a" * 64, 10**9)) <= INTERNAL_BYTES


def test_row_that_was_written_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ENTRY.owner = 3  # type: ignore[misc]  # the claim


def test_examples_of_the_layout_are_true() -> None:
    ran = doctest.testmod(requests)

    assert (0, True) == (ran.failed, ran.attempted > 0)
