"""Rows of a file, of standard input or of arguments: read as often as possible, in bounded memory."""

import asyncio
import io
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.client.source import PIECE, STDIN, Source, aside, lines
from streams.decisions.batch_lines import Bad, Good
from topics.errors import ConfigurationError


def file(tmp_path, text, name="in.jsonl"):
    path = tmp_path / name
    path.write_text(text)
    return path


def stdin(text, **given):
    return Source(STDIN, stdin=lambda: io.BytesIO(text.encode()), **given)


def prompts(source):
    return [row.request["prompt"] for row in source.rows()]


@pytest.mark.parametrize(
    ("name", "text", "column"),
    [
        ("in.jsonl", '"a"\n"b"\n', None),
        ("in.txt", "a\nb\n", None),
        ("in.csv", "prompt\na\nb\n", None),
        ("in.csv", "q\na\nb\n", "q"),
    ],
)
def test_file_is_read_as_its_name_says(tmp_path, name, text, column):
    assert ["a", "b"] == prompts(Source(file(tmp_path, text, name), prompt_field=column))


@pytest.mark.parametrize(("text", "column"), [('"a"\n', None), ("q\na\n", "q")])
def test_standard_input_is_json_lines_unless_a_column_is_named(text, column):
    assert ["a"] == prompts(stdin(text, prompt_field=column))


def test_arguments_are_rows_numbered_from_one():
    assert [Good(1, {"prompt": "a"}), Good(2, {"prompt": "b"})] == list(Source(texts=["a", "b"]).rows())


def test_fields_are_set_where_the_row_has_none_of_its_own(tmp_path):
    source = Source(file(tmp_path, '"a"\n{"prompt": "b", "model": "own"}\n{\n'), fields={"model": "m"})

    good, own, bad = source.rows()

    assert ("m", "own", Bad) == (good.request["model"], own.request["model"], type(bad))


def test_file_can_be_read_twice(tmp_path):
    source = Source(file(tmp_path, '"a"\n'))

    assert prompts(source) == prompts(source)


def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize(
    ("made", "again", "piece"),
    [
        (lambda tmp_path: Source(file(tmp_path, "")), True, PIECE),
        (lambda tmp_path: Source(texts=["a"]), True, PIECE),
        (lambda tmp_path: stdin(""), False, 1),
        (lambda tmp_path: Source(pipe(tmp_path)), False, 1),
    ],
)
def test_what_comes_through_a_pipe_is_read_once_and_row_by_row(tmp_path, made, again, piece):
    source = made(tmp_path)

    assert (again, piece) == (source.again, source.piece)


@pytest.mark.parametrize(
    ("made", "size"),
    [
        (lambda tmp_path: Source(file(tmp_path, '"a"\n"b"\n')), 2),
        (lambda tmp_path: Source(file(tmp_path, "")), 0),
        (lambda tmp_path: Source(texts=["a"]), 1),
        (lambda tmp_path: stdin('"a"\n'), None),
    ],
)
def test_size_is_known_where_it_can_be_counted_beforehand(tmp_path, made, size):
    assert size == made(tmp_path).size()


@pytest.mark.parametrize("look", [lambda source: list(source.rows()), lambda source: source.again, Source.size])
def test_file_that_is_not_there_is_named(tmp_path, look):
    with pytest.raises(ConfigurationError, match="No such file") as found:
        look(Source(tmp_path / "none"))

    assert ("-f", str(tmp_path / "none")) == (found.value.field, found.value.value)


def test_directory_instead_of_a_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="Is a directory"):
        list(Source(tmp_path).rows())


@given(st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line), max_size=9), st.integers(1, 8))
def test_lines_of_any_file_are_as_many_and_never_much_above_the_limit(parts, limit):
    found = list(lines(io.BytesIO(b"".join(part + b"\n" for part in parts)), limit))

    assert [(part + b"\n")[: limit + 1] for part in parts] == found


def test_line_at_the_limit_is_read_whole():
    assert [b"12345"] == list(lines(io.BytesIO(b"12345"), 5))


def test_call_aside_brings_back_its_result():
    assert 5 == asyncio.run(aside(lambda: 5))


def test_call_aside_brings_back_its_error():
    def fails():
        raise ConfigurationError("-f", "x", "mend it")

    with pytest.raises(ConfigurationError, match="mend it"):
        asyncio.run(aside(fails))


def test_call_aside_that_never_returns_holds_up_nobody():
    never = threading.Event()

    async def given_up():
        async with asyncio.timeout(0.01):
            await aside(never.wait)

    try:
        with pytest.raises(TimeoutError):
            asyncio.run(given_up())
    finally:
        never.set()
