"""What the user asked for: arguments, JSON lines, stdin; and precise words where it is no request."""

import pytest

from streams.cli.asked import STDIN, assigned, requests_in, source_of
from topics.errors import ConfigurationError


def lines_file(tmp_path, text):
    path = tmp_path / "in.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def asked(texts, path, fields, prompt_field=None):
    return requests_in(source_of(texts, path, fields, prompt_field))


def refused(call, *arguments):
    with pytest.raises(ConfigurationError) as found:
        call(*arguments)
    return found.value.field, found.value.value


def test_texts_become_one_request_each():
    assert [{"prompt": "a"}, {"prompt": "b c"}] == asked(["a", "b c"], None, {})


def test_fields_are_set_on_every_request():
    assert [{"model": "m", "prompt": "a"}, {"model": "m", "prompt": "b"}] == asked(["a", "b"], None, {"model": "m"})


def test_field_of_a_line_wins_over_the_option(tmp_path):
    source = lines_file(tmp_path, '{"prompt": "a", "model": "own"}\n"b"\n')

    assert ["own", "m"] == [request["model"] for request in asked([], source, {"model": "m"})]


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
    assert requests == asked([], lines_file(tmp_path, text), {})


def test_dash_as_file_reads_stdin(monkeypatch, tmp_path):
    (tmp_path / "stdin").write_text('"from a pipe"\n')
    with (tmp_path / "stdin").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        found = asked([], STDIN, {})

    assert [{"prompt": "from a pipe"}] == found


@pytest.mark.parametrize(
    ("text", "line"),
    [("x", "line 1"), ('"a"\n{', "line 2"), ('"a"\n\n5', "line 3"), ("[]", "line 1"), ("[" * 99_999, "line 1")],
)
def test_line_that_is_no_request_is_named_by_its_number(tmp_path, text, line):
    assert (f"-f: {line}: line") == refused(asked, [], lines_file(tmp_path, text), {})[0]


def test_line_that_is_no_request_is_not_quoted(tmp_path):
    with pytest.raises(ConfigurationError) as found:
        asked([], lines_file(tmp_path, "my secret prompt"), {})

    assert "secret" not in str(found.value)


def test_file_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "none.jsonl"

    assert ("-f", str(path)) == refused(asked, [], path, {})


@pytest.mark.parametrize(("texts", "source", "given_"), [([], None, "nothing"), (["a"], STDIN, "both")])
def test_texts_and_file_are_needed_exclusively(texts, source, given_):
    assert ("submit", given_) == refused(asked, texts, source, {})


def test_id_for_more_than_one_request_is_refused():
    assert ("--id", "a") == refused(asked, ["x", "y"], None, {"id": "a"})


def test_id_for_one_request_is_taken():
    assert [{"id": "a", "prompt": "x"}] == asked(["x"], None, {"id": "a"})


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
        ("no_number=NaN", "no_number", "NaN"),
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


@pytest.mark.parametrize(("texts", "path"), [(["x"], None), ([], "in.jsonl")])
def test_prompt_column_without_a_table_is_refused(tmp_path, texts, path):
    source = lines_file(tmp_path, '"x"') if path else None

    assert ("--prompt-field", "q") == refused(asked, texts, source, {}, "q")


def test_prompt_column_of_a_table_gives_its_rows(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("q,lang\nhello,en\n")

    assert [{"model": "m", "prompt": "hello", "metadata": {"lang": "en"}}] == asked([], path, {"model": "m"}, "q")
