"""Output: tables for people, valid JSON for programs, and no control character that could steer a terminal."""

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli import show
from streams.cli.show import Format
from tests.support.commands import Screen

ROWS = [{"id": "a", "n": 1, "more": True}, {"id": "long-one", "n": 20, "more": None}]
# C0, DEL, C1, and of the format characters those for direction and the tag characters.
DIRECTIONS = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
CONTROLS = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"}
STEERING = CONTROLS | DIRECTIONS | {chr(code) for code in range(0xE0000, 0xE0080)}
HOSTILE = st.sampled_from(sorted(STEERING)) | st.characters(categories=("L", "N", "P", "Z", "S"))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def written(how, rows=ROWS, columns=("id", "n"), terminal=False):
    out = Screen() if terminal else io.StringIO()
    show.rows(rows, how, columns, out)
    return out.getvalue()


def written_one(how, row):
    out = io.StringIO()
    show.one(row, how, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain — text, 中文, 😀", "plain — text, 中文, 😀"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("bell\x07", "bell\\x07"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b2J", "\\x9b2J"),
        ("\x7f", "\\x7f"),
        ("\u202eevil", "\\u202eevil"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("line\u2028sep", "line\\u2028sep"),
        ("\udcff", "\\udcff"),
        ("\u061cx", "\\u061cx"),
        ("a\u200bb", "a\\u200bb"),
        ("\ufeffx", "\\ufeffx"),
        ("hi\U000e0041\U000e007f", "hi\\U000e0041\\U000e007f"),
        ("👨\u200d👩 नि\u200cष", "👨\u200d👩 नि\u200cष"),
    ],
)
def test_text_with_control_characters_has_them_written_out(text, shown):
    assert shown == show.clean(text)


@given(st.text(HOSTILE))
def test_any_output_of_show_is_free_of_what_steers_a_terminal(text):
    """Told from the characters' own properties, not from the expression that finds them."""
    row = {text: text, "list": [text], "nested": {text: text}}
    said = [show.clean(text), show.prose(text), show.cell(text), show.line(row), show.json_text(row)]
    said += [written(how, [row], columns=("list", "nested")) for how in Format]

    assert not STEERING & set("".join(said)) - set("\n\t")


@given(st.text(HOSTILE))
def test_any_row_in_json_reads_back_exactly(text):
    assert [{"text": text}] == json.loads(written(Format.json, [{"text": text}]))


@given(st.text(HOSTILE))
def test_any_prose_keeps_its_lines(text):
    assert [show.clean(line).replace("\\t", "\t") for line in text.split("\n") if "\\" not in line] == [
        line for line, own in zip(show.prose(text).split("\n"), text.split("\n"), strict=True) if "\\" not in own
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("two\nlines\tand a tab", "two\nlines\tand a tab"), ("\x1b[2J\r\n", "\\x1b[2J\\r\n"), ("\u202ex", "\\u202ex")],
)
def test_prose_keeps_line_ends_and_tabs_only(text, shown):
    assert shown == show.prose(text)


@pytest.mark.parametrize(
    ("text", "shown"), [("", ""), ("four", "four"), ("fives", "five… (1 more characters: -o json has all)")]
)
def test_short_text_says_what_it_leaves_out(text, shown):
    assert shown == show.short(text, 4)


@given(st.text(st.characters()))
def test_any_cleaned_text_is_free_of_harmful_characters(text):
    assert show.HARMFUL.search(show.clean(text)) is None


@given(anything)
def test_any_value_as_json_text_reads_back_equal(value):
    assert value == json.loads(show.json_text(value))


@given(anything)
def test_any_value_as_json_text_is_free_of_harmful_characters(value):
    assert show.HARMFUL.search(show.json_text(value)) is None


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (None, None),
        (b'{"a": 1}', {"a": 1}),
        (b'"text"', "text"),
        (b"5", 5),
        (b"NaN", "NaN"),
        (b"not json", "not json"),
        (b"", ""),
        ("中".encode(), "中"),
        (b"\xff\x00a", {"undecodable": "\\xff\x00a"}),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_bytes_decode_to_json_else_text_else_written_out(raw, value):
    assert value == show.decoded(raw)


@given(st.binary())
def test_any_bytes_decode_to_something_that_can_be_printed(raw):
    assert show.HARMFUL.search(show.json_text(show.decoded(raw))) is None


@pytest.mark.parametrize(
    ("raw", "text"), [(None, None), (b"key", "key"), (b"5", "5"), (b"\xfe", {"undecodable": "\\xfe"})]
)
def test_bytes_as_text_are_never_taken_for_json(raw, text):
    assert text == show.as_text(raw)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), ("a\nb", "a\\nb"), (5, "5"), (True, "True"), ({"a": [1]}, '{"a": [1]}'), ([], "[]")],
)
def test_cell_of_a_value_is_one_line(value, shown):
    assert shown == show.cell(value)


def test_line_of_a_row_has_tabs_between_its_cells():
    assert "a\t1\t-" == show.line({"id": "a", "n": 1, "more": None})


def test_table_in_a_pipe_is_aligned_plain_text():
    assert "ID        N\na         1\nlong-one  20\n" == written(Format.table)


def test_table_without_rows_still_has_its_head():
    assert "ID  N\n" == written(Format.table, rows=[])


def test_table_on_a_terminal_shows_every_cell():
    seen = written(Format.table, terminal=True)

    assert all(text in seen for text in ("ID", "long-one", "20"))


def test_table_on_a_terminal_without_colour_has_no_escape_sequences(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")

    assert "\x1b" not in written(Format.table, terminal=True)


def test_table_on_a_terminal_takes_brackets_as_text():
    assert "[bold]x[/bold]" in written(Format.table, rows=[{"id": "[bold]x[/bold]", "n": 1}], terminal=True)


def test_table_cell_with_an_escape_sequence_is_harmless():
    assert "\\x1b[2J" in written(Format.table, rows=[{"id": "\x1b[2J", "n": 1}])


def test_table_row_without_a_column_shows_a_dash():
    assert "ID  N\na   -\n" == written(Format.table, rows=[{"id": "a"}])


def test_json_is_one_list_with_every_field():
    assert ROWS == json.loads(written(Format.json))


def test_json_lines_are_one_object_a_line():
    assert ROWS == [json.loads(line) for line in written(Format.jsonl).splitlines()]


def test_json_of_no_rows_is_an_empty_list():
    assert [] == json.loads(written(Format.json, rows=[]))


@pytest.mark.parametrize("how", [Format.json, Format.jsonl])
def test_one_thing_in_json_is_an_object(how):
    assert ROWS[0] == json.loads(written_one(how, ROWS[0]))


def test_one_thing_as_json_line_is_one_line():
    assert 1 == written_one(Format.jsonl, {"text": "a\nb"}).count("\n")


def test_one_thing_as_table_is_a_line_a_field():
    assert "id    a\nmore  -\n" == written_one(Format.table, {"id": "a", "more": None})


def test_one_thing_without_fields_writes_nothing_as_table():
    assert "" == written_one(Format.table, {})
