"""Positions: the notation people write, and the offset each means."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.offsets import AtEnd, AtOffset, AtTime, BeforeEnd, FromStart, Position, parse, resolve
from topics.errors import ConfigurationError

NOW_MS = 1_800_000_000_000
POSITIONS = st.one_of(
    st.just(FromStart()),
    st.just(AtEnd()),
    st.builds(AtOffset, st.integers(0, 10**12)),
    st.builds(BeforeEnd, st.integers(0, 10**12)),
    st.builds(AtTime, st.integers(0, 10**13)),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("start", FromStart()),
        ("end", AtEnd()),
        ("0", AtOffset(0)),
        ("1042", AtOffset(1042)),
        (" 7 ", AtOffset(7)),
        ("-1", BeforeEnd(1)),
        ("-250", BeforeEnd(250)),
        ("-0", BeforeEnd(0)),
        ("@0", AtTime(0)),
        ("@1769860800000", AtTime(1_769_860_800_000)),
        ("@-30s", AtTime(NOW_MS - 30_000)),
        ("@-15m", AtTime(NOW_MS - 900_000)),
        ("@-2h", AtTime(NOW_MS - 7_200_000)),
        ("@-1d", AtTime(NOW_MS - 86_400_000)),
        ("@-999999d", AtTime(0)),
        ("@2026-01-31T12:00:00Z", AtTime(1_769_860_800_000)),
        ("@2026-01-31T13:00:00+01:00", AtTime(1_769_860_800_000)),
        ("@2026-01-31T12:00:00", AtTime(1_769_860_800_000)),
        ("@2026-01-31T12:00:00.250Z", AtTime(1_769_860_800_250)),
        ("@2026-01-31", AtTime(1_769_817_600_000)),
        ("@1969-12-31T00:00:00Z", AtTime(0)),
    ],
)
def test_parse_of_notation_gives_position(text: str, expected: Position) -> None:
    assert expected == parse(text, NOW_MS)


@pytest.mark.parametrize(
    "text",
    ["", "beginning", "START", "1.5", "--1", "+1", "@", "@-15", "@-15x", "@15m", "@tomorrow", "@2026-13-01", "1" * 19],
)
def test_parse_of_anything_else_names_notation(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write start, end, N") as raised:
        parse(text, NOW_MS)

    assert "offset" == raised.value.field


@given(st.text())
def test_parse_of_any_text_gives_position_or_configuration_error(text: str) -> None:
    try:
        got = parse(text, NOW_MS)
    except ConfigurationError as refused:
        assert refused.value in (text, text.strip())
    else:
        assert isinstance(got, Position)


@given(st.integers(0, 10**17))
def test_parse_of_number_keeps_it(number: int) -> None:
    assert (AtOffset(number), AtTime(number)) == (parse(str(number), NOW_MS), parse(f"@{number}", NOW_MS))


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)))
def test_parse_of_iso_time_is_its_epoch(moment: datetime) -> None:
    exact = moment.replace(tzinfo=UTC)

    assert AtTime(round(exact.timestamp() * 1000)) == parse(f"@{exact.isoformat()}", NOW_MS)


@pytest.mark.parametrize(
    ("position", "at_time", "expected"),
    [
        (FromStart(), None, 95),
        (AtEnd(), None, 100),
        (AtOffset(97), None, 97),
        (AtOffset(3), None, 95),
        (AtOffset(300), None, 100),
        (BeforeEnd(2), None, 98),
        (BeforeEnd(0), None, 100),
        (BeforeEnd(10), None, 95),
        (AtTime(5), 96, 96),
        (AtTime(5), 12, 95),
        (AtTime(5), 200, 100),
        (AtTime(5), None, 100),
    ],
)
def test_resolve_in_partition_gives_offset(position: Position, at_time: int | None, expected: int) -> None:
    assert expected == resolve(position, 95, 100, at_time)


@given(POSITIONS, st.integers(0, 10**9), st.integers(0, 10**6), st.none() | st.integers(0, 10**10))
def test_resolve_never_leaves_the_log(position: Position, start: int, length: int, at_time: int | None) -> None:
    assert start <= resolve(position, start, start + length, at_time) <= start + length
