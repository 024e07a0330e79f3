"""`submit`: publishes exactly what was asked, prints answers as they come, and says at the end how it went."""

import json

import pytest

from tests.support.commands import streams
from tests.support.fake_cluster import AWAY, FakeKafka, answer, refusal
from topics.catalog import PROMPTS


def echoing():
    return FakeKafka(answers=lambda request: [answer(request)])


def failing_on(*ids):
    return FakeKafka(answers=lambda r: [refusal(r, "worker_error", "failed") if r["id"] in ids else answer(r)])


def silent_on(*ids):
    return FakeKafka(answers=lambda r: [] if r["id"] in ids else [answer(r)])


def rows_file(tmp_path, *rows):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(*arguments):
    """The one request that a command publishes."""
    kafka = FakeKafka()
    ran = streams("submit", "x", *arguments, kafka=kafka)
    assert ran.code == 0, ran.err
    return kafka.values(PROMPTS)[0]


def test_submit_without_wait_prints_id_and_coordinates():
    kafka = FakeKafka()
    ran = streams("submit", "hello", "--id", "a-1", "-o", "jsonl", kafka=kafka)

    assert [{"id": "a-1", "at": kafka.topics[PROMPTS][0].at}] == ran.jsonl


def test_submit_without_wait_reads_no_results():
    kafka = echoing()
    streams("submit", "hello", kafka=kafka)

    assert ["publisher"] == kafka.opened


def test_submit_of_several_texts_publishes_one_request_each():
    kafka = FakeKafka()
    streams("submit", "a", "b", kafka=kafka)

    assert ["a", "b"] == [request["prompt"] for request in kafka.values(PROMPTS)]


@pytest.mark.parametrize(
    ("option", "field", "value"),
    [
        (["--id", "a-1"], "id", "a-1"),
        (["--model", "m"], "model", "m"),
        (["--priority", "high"], "priority", "high"),
        (["--priority", "HIGH"], "priority", "high"),
        (["--timeout", "2.5"], "timeout_s", 2.5),
        (["--tenant", "t"], "tenant", "t"),
        (["--param", "temperature=0", "--param", "seed=7"], "params", {"temperature": 0, "seed": 7}),
        (["--metadata", "run=5", "--metadata", "who=me"], "metadata", {"run": 5, "who": "me"}),
    ],
)
def test_option_becomes_the_field_of_the_request(option, field, value):
    assert value == asked(*option)[field]


def test_request_without_options_has_only_prompt_and_id():
    assert {"prompt", "id"} == asked().keys()


def test_submit_with_wait_and_one_text_prints_the_answer_alone():
    assert "echo: hello\n" == streams("submit", "hello", "--wait", kafka=echoing()).out


@pytest.mark.parametrize("terminal", [True, False])
def test_submit_with_wait_writes_control_characters_out_as_a_terminal_may_be_behind_a_pipe(terminal):
    kafka = FakeKafka(answers=lambda request: [answer(request, text="a\x1bb\n\tc\u202e")])

    assert "a\\x1bb\n\tc\\u202e\n" == streams("submit", "x", "--wait", kafka=kafka, terminal=terminal).out


def test_submit_with_wait_and_several_texts_prints_a_line_each():
    ran = streams("submit", "a", "b", "--wait", kafka=echoing())

    assert [["completed", "echo: a"], ["completed", "echo: b"]] == [line.split("\t")[1:] for line in ran.lines]


def test_submit_with_wait_and_one_refused_text_prints_status_and_reason():
    ran = streams("submit", "x", "--wait", kafka=FakeKafka(answers=lambda request: [refusal(request)]))

    assert "rejected: invalid_request: no such field\n" == ran.out


def test_submit_with_wait_and_an_empty_answer_prints_an_empty_line():
    kafka = FakeKafka(answers=lambda request: [answer(request, text=None)])

    assert "\n" == streams("submit", "x", "--wait", kafka=kafka).out


@pytest.mark.parametrize("how", ["json", "jsonl"])
def test_submit_with_wait_in_json_prints_the_whole_answer(how):
    ran = streams("submit", "x", "--id", "a", "--wait", "-o", how, kafka=echoing())

    assert ("a", "echo: x", "hash of a") == tuple(ran.json[name] for name in ("id", "text", "request_hash"))


def test_submit_of_several_in_json_prints_a_line_an_answer():
    ran = streams("submit", "a", "b", "--wait", "-o", "json", kafka=echoing())

    assert ["echo: a", "echo: b"] == [found["text"] for found in ran.jsonl]


def test_closing_line_counts_answers_failures_and_tokens(tmp_path):
    source = rows_file(tmp_path, {"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}, {"id": "c", "prompt": "z"})
    ran = streams("submit", "-f", source, "--wait", kafka=failing_on("b"))

    assert ran.err.startswith("2 answered, 1 failed, 0 saved by dedup, tokens: 4 in, 6 out, cost: $0.00, ")


@pytest.mark.parametrize(
    ("make", "ids", "code"),
    [
        (failing_on, (), 0),
        (failing_on, ("a",), 3),
        (failing_on, ("a", "b"), 1),
        (silent_on, ("a",), 3),
        (silent_on, ("a", "b"), 1),
    ],
)
def test_exit_code_with_wait_says_all_some_or_none(tmp_path, make, ids, code):
    source = rows_file(tmp_path, {"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"})

    assert code == streams("submit", "-f", source, "--wait", "--wait-timeout", "0.05", kafka=make(*ids)).code


def test_answers_that_do_not_come_in_time_are_told_by_id():
    ran = streams("submit", "x", "--id", "a-1", "--wait", "--wait-timeout", "0.05", kafka=silent_on("a-1"))

    assert "1 not answered within 0.05 s: a-1; ask again with `streams get ID --wait`" in ran.err


def test_out_file_gets_a_json_line_an_answer_and_stdout_none(tmp_path):
    out = tmp_path / "out.jsonl"
    ran = streams("submit", "a", "b", "--out", out, kafka=echoing())

    assert ("", ["echo: a", "echo: b"]) == (ran.out, [json.loads(x)["text"] for x in out.read_text().splitlines()])


def test_out_file_that_cannot_be_written_publishes_nothing(tmp_path):
    kafka = echoing()
    ran = streams("submit", "a", "--out", tmp_path / "none" / "out.jsonl", kafka=kafka)

    assert (2, []) == (ran.code, kafka.values(PROMPTS))


def test_stdin_lines_are_published_as_requests(monkeypatch, tmp_path):
    (tmp_path / "stdin").write_text('"a"\n{"prompt": "b"}\n')
    with (tmp_path / "stdin").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        kafka = FakeKafka()
        streams("submit", "-f", "-", kafka=kafka)

    assert ["a", "b"] == [request["prompt"] for request in kafka.values(PROMPTS)]


def test_file_with_a_broken_line_publishes_nothing_at_all(tmp_path):
    kafka, path = FakeKafka(), tmp_path / "in.jsonl"
    path.write_text('"a"\nbroken\n')
    ran = streams("submit", "-f", path, kafka=kafka)

    assert (2, []) == (ran.code, kafka.values(PROMPTS))
    assert "line 2" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["submit", "x", "-f", "in"],
        ["submit", "x", "--priority", "urgent"],
        ["submit", "x", "--param", "bare"],
    ],
)
def test_submit_used_wrongly_exits_with_2_and_publishes_nothing(arguments):
    kafka = FakeKafka()
    ran = streams(*arguments, kafka=kafka)

    assert (2, {}) == (ran.code, kafka.topics)


@pytest.mark.parametrize("wait", [[], ["--wait"]])
def test_submit_with_the_broker_away_exits_with_1_and_says_so(wait):
    ran = streams("submit", "x", *wait, kafka=FakeKafka(refuses=AWAY))

    assert (1, "error: Kafka did not answer while publishing: KafkaConnectionError\n") == (ran.code, ran.err)


def test_out_file_is_gone_on_with_and_nothing_asked_twice(tmp_path):
    kafka, out = echoing(), tmp_path / "out.jsonl"
    source = rows_file(tmp_path, {"id": "a", "prompt": "x"}, {"prompt": "nameless"})
    codes = [streams("submit", "-f", source, "--out", out, kafka=kafka).code for _ in range(2)]

    assert ([0, 0], 2, 2) == (codes, len(kafka.values(PROMPTS)), len(out.read_text().splitlines()))


def test_out_with_a_bad_row_exits_with_3_and_names_the_file_of_errors(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('"a"\nbroken\n')
    ran = streams("submit", "-f", source, "--out", out, kafka=echoing())

    assert (3, f"what went wrong, by line: {out}.errors.jsonl") == (ran.code, ran.err.splitlines()[0])
    assert "1 answered, 0 failed, 1 bad rows" in ran.err


def test_out_with_a_table_takes_the_named_column(tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("id,question,lang\n1,hello,en\n")
    streams("submit", "-f", source, "--prompt-field", "question", "--out", out, kafka=echoing())

    found = json.loads(out.read_text())
    assert ("1", "echo: hello", {"lang": "en"}) == (found["id"], found["text"], found["metadata"])


def test_out_when_the_time_is_over_says_how_to_go_on(tmp_path):
    source, out = rows_file(tmp_path, {"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}), tmp_path / "out.jsonl"
    ran = streams("submit", "-f", source, "--out", out, "--wait-timeout", "1", kafka=silent_on("b"))

    assert (3, f"not finished: {out} has 1 more answers; run the same again to go on") == (
        ran.code,
        ran.err.splitlines()[0],
    )


def test_out_with_the_broker_away_says_how_to_go_on_and_exits_with_1(tmp_path):
    ran = streams("submit", "x", "--out", tmp_path / "out.jsonl", kafka=FakeKafka(refuses=AWAY))

    assert (1, ["not finished", "error"]) == (ran.code, [line.split(":")[0] for line in ran.err.splitlines()])


def test_out_with_a_column_that_is_not_there_exits_with_2(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("question\nhello\n")
    ran = streams("submit", "-f", source, "--out", tmp_path / "out.jsonl", kafka=echoing())

    assert (2, "error: --prompt-field = 'prompt': no such column; the file has: question\n") == (ran.code, ran.err)


def test_out_on_a_terminal_leaves_only_the_closing_line(tmp_path):
    ran = streams("submit", "x", "--out", tmp_path / "out.jsonl", kafka=echoing(), terminal=True)

    assert ["1 answered"] == [line.split(",")[0] for line in ran.err.splitlines()]


def test_waiting_time_without_waiting_exits_with_2():
    kafka = FakeKafka()
    ran = streams("submit", "x", "--wait-timeout", "5", kafka=kafka)

    assert (2, {}) == (ran.code, kafka.topics)
    assert ran.err.startswith("error: --wait-timeout = 5.0: nothing is waited for")


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"id": "a", "prompt": "y"}, "-f: line 2: id = 'a': it is taken by an earlier row"),
        ({"id": "b", "prompt": "y" * 1_048_576}, "-f: line 2 = '1048598 bytes': a request has at most 1048576"),
    ],
)
@pytest.mark.parametrize("option", [[], ["--wait"]])
def test_row_that_cannot_be_asked_publishes_none_of_the_rows(tmp_path, second, told, option):
    kafka = FakeKafka()
    ran = streams("submit", "-f", rows_file(tmp_path, {"id": "a", "prompt": "x"}, second), *option, kafka=kafka)

    assert (2, {}, f"error: {told}") == (ran.code, kafka.topics, ran.err.rstrip()[: len(told) + 7])


def test_text_that_is_too_large_is_told_by_its_number():
    ran = streams("submit", "a", "b" * 1_048_576, "--wait", kafka=FakeKafka())

    assert (2, "error: TEXT 2 = ") == (ran.code, ran.err[:16])


def test_out_that_is_the_file_of_rows_is_refused_and_left_as_it_is(tmp_path):
    source = rows_file(tmp_path, {"id": "a", "prompt": "x"})
    before = source.read_bytes()
    ran = streams("submit", "-f", source, "--out", source, kafka=echoing())

    assert (2, before) == (ran.code, source.read_bytes())
