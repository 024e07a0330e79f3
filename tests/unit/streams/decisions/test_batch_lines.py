"""Each line of a batch file is a request or tells what is wrong: field, value and fix, without prompt text."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.batch_lines import LINE_BYTES, Asked, Bad, Good, asked, csv_rows, json_lines, kind_of, text_lines
from topics.catalog import PROMPT_BYTES
from topics.errors import ConfigurationError
from topics.request import Request

USER = {"role": "user", "content": "hi"}
plain = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\x85\ufeff"), max_size=20
)


def lines(text):
    return io.BytesIO(text if isinstance(text, bytes) else text.encode())


def of_json(text):
    return list(json_lines(lines(text)))


def of_csv(text, *column):
    return list(csv_rows(lines(text), *column))


def openai(**fields):
    line = {"custom_id": "o-1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [USER]}}
    return json.dumps({name: value for name, value in {**line, **fields}.items() if value is not ...})


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ('"hi"', {"prompt": "hi"}),
        ('{"prompt": "hi"}', {"prompt": "hi"}),
        ('{"id": "a", "prompt": "hi", "priority": "low"}', {"id": "a", "prompt": "hi", "priority": "low"}),
        ('\ufeff"hi"\r\n', {"prompt": "hi"}),
        (openai(), {"id": "o-1", "messages": [USER]}),
        (openai(method=...), {"id": "o-1", "messages": [USER]}),
        (openai(body={"model": "m", "messages": [USER]}), {"id": "o-1", "model": "m", "messages": [USER]}),
        (
            openai(body={"messages": [USER], "temperature": 0, "stop": ["."], "stream": False, "n": 1}),
            {"id": "o-1", "messages": [USER], "params": {"temperature": 0, "stop": ["."]}},
        ),
    ],
)
def test_line_of_json_is_the_request_that_it_means(line, request_):
    assert [Good(1, request_)] == of_json(line)


def test_request_of_an_openai_line_is_one_that_the_pipeline_takes():
    [row] = of_json(openai(body={"model": "m", "messages": [USER], "max_tokens": 9}))

    assert ("o-1", "m", {"max_tokens": 9}) == (lambda r: (r.id, r.model, r.params))(Request(**row.request))


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("secret", "line", "not JSON (column 1)"),
        ('{"prompt": "secret"', "line", "not JSON (column 20)"),
        (b'"\xff"', "line", "not JSON (column 1)"),
        ("[" * 9_999, "line", "not JSON (column 1025)"),
        ("NaN", "line", "not JSON (column 1)"),
        ("5", "line", "int"),
        ('["secret"]', "line", "list"),
        ("null", "line", "NoneType"),
        (b'"' + b"x" * LINE_BYTES, "line", f"more than {LINE_BYTES} bytes"),
        (openai(custom_id=...), "custom_id", "NoneType"),
        (openai(custom_id=""), "custom_id", ""),
        (openai(custom_id=5), "custom_id", 5),
        (openai(method="GET"), "method", "GET"),
        (openai(url="/v1/embeddings"), "url", "/v1/embeddings"),
        (openai(url=...), "url", "NoneType"),
        (openai(url="x" * 99), "url", "x" * 40),
        (openai(body="secret"), "body", "str"),
        (openai(body=...), "body", "NoneType"),
        (openai(body={"input": "secret"}), "body.messages", None),
        (openai(body={"messages": [USER], "stream": True}), "body.stream", True),
        (openai(body={"messages": [USER], "n": 2}), "body.n", 2),
        (openai(prompt="secret"), "prompt", "str"),
    ],
)
def test_line_that_cannot_be_asked_tells_field_and_value_but_no_prompt(line, field, value):
    [bad] = of_json(line)

    assert (Bad, 1, field) == (type(bad), bad.line, bad.field)
    assert "secret" not in repr(bad)
    assert bad.fix
    assert value == bad.value or "column" in str(value)  # where a parser stops is its own affair


def test_bad_line_does_not_stop_the_lines_behind_it():
    assert [Good, Bad, Good] == [type(row) for row in of_json('"a"\n{\n"b"\n')]


def test_lines_keep_their_numbers_where_empty_ones_are_passed_over():
    assert [2, 5] == [row.line for row in of_json('\n"a"\n\n  \n"b"')]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_prompts_written_as_json_lines_come_back_in_order(prompts):
    read = of_json("".join(json.dumps(prompt, ensure_ascii=False) + "\n" for prompt in prompts))

    assert prompts == [row.request["prompt"] for row in read]


@given(st.lists(st.binary()))
def test_any_bytes_are_read_without_an_error(found):
    for read in (json_lines, text_lines):
        assert all(isinstance(row, Good | Bad) for row in read(found))


@given(st.lists(plain.filter(str.strip), max_size=8))
def test_prompts_written_as_plain_lines_come_back_in_order(prompts):
    read = text_lines(lines("".join(prompt + "\r\n" for prompt in prompts)))

    assert prompts == [row.request["prompt"] for row in read]


@pytest.mark.parametrize("line", [b"\xffx", b"x" * (LINE_BYTES + 1)])
def test_plain_line_that_cannot_be_read_tells_why(line):
    [bad] = text_lines([line])

    assert (1, "line") == (bad.line, bad.field)


HEAD = "id,prompt,lang\n"


@pytest.mark.parametrize(
    ("row", "request_"),
    [
        ("1,hi,en", {"prompt": "hi", "id": "1", "metadata": {"lang": "en"}}),
        (",hi,en", {"prompt": "hi", "metadata": {"lang": "en"}}),
        (',"a, ""b""\nc",', {"prompt": 'a, "b"\nc', "metadata": {"lang": ""}}),
    ],
)
def test_row_of_a_table_is_prompt_id_and_metadata(row, request_):
    assert [Good(2, request_)] == of_csv(HEAD + row)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_table_of_prompts_alone_has_no_metadata(mark):
    assert [Good(2, {"prompt": "hi"})] == of_csv(f"{mark}prompt\nhi\n")


def test_column_named_for_the_prompt_is_taken():
    assert [Good(2, {"prompt": "hi", "metadata": {"prompt": "no"}})] == of_csv("q,prompt\nhi,no\n", "q")


@pytest.mark.parametrize(("head", "name"), [("prompt,a,a", "a"), ("prompt, prompt", "prompt"), ("prompt,,", "")])
def test_table_with_a_name_that_stands_twice_is_refused_as_a_cell_would_be_lost(head, name):
    with pytest.raises(ConfigurationError, match="two columns are called so") as found:
        of_csv(f"{head}\n1,2,3\n")

    assert ("-f", name) == (found.value.field, found.value.value)


@pytest.mark.parametrize("text", ["", "\n", "question,lang\n"])
def test_table_without_the_column_is_refused_with_what_it_has(text):
    with pytest.raises(ConfigurationError, match="no such column") as found:
        of_csv(text)

    assert ("--prompt-field", "prompt") == (found.value.field, found.value.value)


def test_table_whose_head_is_no_csv_is_refused():
    with pytest.raises(ConfigurationError, match="head"):
        of_csv('"a"b,c\n')


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [
        ("1,secret", "row", "2 cells"),
        ("1,secret,en,more", "row", "4 cells"),
        ("1, ,en", "prompt", ""),
        (b"1,\xff,en", "row", "not UTF-8"),
        ('1,"secret"x,en', "row", "',' expected after '\"'"),
    ],
)
def test_row_that_cannot_be_asked_tells_field_and_value(row, field, value):
    [bad, good] = of_csv(HEAD.encode() + (row if isinstance(row, bytes) else row.encode()) + b"\n2,next,de\n")

    assert (2, field, value) == (bad.line, bad.field, bad.value)
    assert (3, "next") == (good.line, good.request["prompt"])


def test_rows_are_numbered_by_the_line_where_they_begin():
    assert [2, 5] == [row.line for row in of_csv('prompt\n"a\nb"\n\nc\n')]


def test_prompt_longer_than_the_parser_likes_is_read():
    assert 200_000 == len(of_csv("prompt\n" + "x" * 200_000)[0].request["prompt"])


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), max_size=9)


@given(st.lists(st.tuples(cells.filter(str.strip), cells), max_size=6))
def test_any_table_written_by_the_standard_library_comes_back(rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("prompt", "note"), *rows])
    read = of_csv(text.getvalue())

    assert rows == [(row.request["prompt"], row.request["metadata"]["note"]) for row in read]


@pytest.mark.parametrize(
    ("name", "column", "kind"),
    [
        ("in.jsonl", None, "jsonl"),
        ("in.json", None, "jsonl"),
        ("-", None, "jsonl"),
        ("in", None, "jsonl"),
        ("in.csv", None, "csv"),
        ("IN.CSV", "q", "csv"),
        ("-", "q", "csv"),
        ("in.txt", None, "text"),
        ("a.csv.txt", None, "text"),
    ],
)
def test_kind_of_a_file_follows_from_its_name(name, column, kind):
    assert kind == kind_of(name, column)


@pytest.mark.parametrize("name", ["in.jsonl", "in.txt", "csv"])
def test_column_named_for_a_file_without_columns_is_refused(name):
    with pytest.raises(ConfigurationError, match="ends in"):
        kind_of(name, "q")


def test_asked_rows_have_their_ids_and_lines():
    rows = list(asked([Good(3, {"id": "a", "prompt": "x"}), Good(5, {"prompt": "y"})], "mine"))

    assert [(Asked, 3, "a"), (Asked, 5, "r-")] == [(type(one), one.line, one.question.id[:2]) for one in rows]


def test_bad_rows_pass_through_between_asked_ones():
    bad = Bad(2, "line", "int", "mend it")

    assert [bad] == list(asked([bad], "mine"))


@pytest.mark.parametrize(
    ("second", "field", "value"),
    [
        ({"id": "a", "prompt": "other"}, "id", "a"),
        ({"id": 5, "prompt": "other"}, "id", 5),
        ({"prompt": "x" * PROMPT_BYTES}, "row", f"{PROMPT_BYTES + 47} bytes"),
    ],
)
def test_row_that_has_no_place_in_the_batch_is_bad(second, field, value):
    _, bad = asked([Good(1, {"id": "a", "prompt": "x"}), Good(2, second)], "mine")

    assert (2, field, value) == (bad.line, bad.field, bad.value)


def test_row_of_exactly_the_largest_size_is_asked():
    frame = len(b'{"id":"a","prompt":""}')
    [row] = asked([Good(1, {"id": "a", "prompt": "x" * (PROMPT_BYTES - frame)})], "mine")

    assert (Asked, PROMPT_BYTES) == (type(row), len(row.question.value))
