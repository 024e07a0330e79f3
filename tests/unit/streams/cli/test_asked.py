"""What the user asked for: arguments, JSON lines, stdin; and precise words where it is no request."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.asked import STDIN, assigned, requests_in, target
from topics.errors import ConfigurationError


def lines_file(tmp_path, text):
    path = tmp_path / "in.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(call, *arguments):
    with pytest.raises(ConfigurationError) as found:
        call(*arguments)
    return found.value.field, found.value.value


def test_texts_become_one_request_each():
    assert [{"prompt": "a"}, {"prompt": "b c"}] == requests_in(["a", "b c"], None, {})


def test_fields_are_set_on_every_request():
    assert [{"model": "m", "prompt": "a"}, {"model": "m", "prompt": "b"}] == requests_in(
        ["a", "b"], None, {"model": "m"}
    )


def test_field_of_a_line_wins_over_the_option(tmp_path):
    source = lines_file(tmp_path, '{"prompt": "a", "model": "own"}\n"b"\n')

    assert ["own", "m"] == [request["model"] for request in requests_in([], source, {"model": "m"})]


@pytest.mark.parametrize(
    ("text", "requests"),
    [
        ('"a"\n"b"\n', [{"prompt": "a"}, {"prompt": "b"}]),
        ('{"id": "1", "prompt": "a"}', [{"id": "1", "prompt": "a"}]),
        ('\n\n"a"\n   \n', [{"prompt": "a"}]),
        ('"a\\nb"\r\n', [{"prompt": "a\nb"}]),
        ("", []),
    ],
)
def test_file_gives_a_request_for_each_line_that_is_not_empty(tmp_path, text, requests):
    assert requests == requests_in([], lines_file(tmp_path, text), {})


@given(st.lists(st.text(), max_size=10))
def test_any_prompts_written_as_json_lines_come_back_in_order(prompts):
    class Source:
        def read_text(self, encoding):
            return "".join(json.dumps(prompt, ensure_ascii=False) + "\n" for prompt in prompts)

    assert [{"prompt": prompt} for prompt in prompts] == requests_in([], Source(), {})


def test_dash_as_file_reads_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO('"from a pipe"\n'))

    assert [{"prompt": "from a pipe"}] == requests_in([], STDIN, {})


@pytest.mark.parametrize(
    ("text", "line"),
    [("x", "line 1"), ('"a"\n{', "line 2"), ('"a"\n\n5', "line 3"), ("[]", "line 1"), ("[" * 99_999, "line 1")],
)
def test_line_that_is_no_request_is_named_by_its_number(tmp_path, text, line):
    assert ("-f", line) == refused(requests_in, [], lines_file(tmp_path, text), {})


def test_line_that_is_no_request_is_not_quoted(tmp_path):
    with pytest.raises(ConfigurationError) as found:
        requests_in([], lines_file(tmp_path, "my secret prompt"), {})

    assert "secret" not in str(found.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "none.jsonl" if content is None else lines_file(tmp_path, content)

    assert ("-f", str(path)) == refused(requests_in, [], path, {})


@pytest.mark.parametrize(("texts", "source", "given_"), [([], None, "nothing"), (["a"], STDIN, "both")])
def test_texts_and_file_are_needed_exclusively(texts, source, given_):
    assert ("submit", given_) == refused(requests_in, texts, source, {})


def test_id_for_more_than_one_request_is_refused():
    assert ("--id", "a") == refused(requests_in, ["x", "y"], None, {"id": "a"})


def test_id_for_one_request_is_taken():
    assert [{"id": "a", "prompt": "x"}] == requests_in(["x"], None, {"id": "a"})


@pytest.mark.parametrize(
    ("pair", "name", "value"),
    [
        ("temperature=0.5", "temperature", 0.5),
        ("max_tokens=5", "max_tokens", 5),
        ("stop=[1]", "stop", [1]),
        ("flag=true", "flag", True),
        ("name=plain text", "name", "plain text"),
        ("eq=a=b", "eq", "a=b"),
        ("empty=", "empty", ""),
        ('quoted="5"', "quoted", "5"),
    ],
)
def test_assignment_takes_json_as_such_and_all_else_as_text(pair, name, value):
    assert {name: value} == assigned("--param", [pair])


def test_assignments_that_repeat_a_name_keep_the_last():
    assert {"a": 2, "b": 3} == assigned("--param", ["a=1", "a=2", "b=3"])


@pytest.mark.parametrize("pairs", [None, []])
def test_no_assignments_are_no_fields(pairs):
    assert {} == assigned("--param", pairs)


@pytest.mark.parametrize("pair", ["name", "=value", ""])
def test_assignment_without_name_or_sign_is_refused(pair):
    assert ("--metadata", pair) == refused(assigned, "--metadata", [pair])


def test_target_without_a_file_is_stdout(capsys):
    with target(None) as stream:
        stream.write("x")

    assert "x" == capsys.readouterr().out


def test_target_file_is_written_as_utf8(tmp_path):
    with target(tmp_path / "out.jsonl") as stream:
        stream.write("é")

    assert "é".encode() == (tmp_path / "out.jsonl").read_bytes()


def test_target_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "none" / "out.jsonl"

    with pytest.raises(ConfigurationError, match="--out"), target(path):
        raise AssertionError("the block must not run")
