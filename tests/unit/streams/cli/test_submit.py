"""`submit`: publishes exactly what was asked, prints answers as they come, and says at the end how it went."""

import json

import pytest

from streams.cli.submit import Tally
from tests.support.commands import streams
from tests.support.fake_cluster import AWAY, FakeKafka, answer, refusal
from topics.answer import Answer
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


def test_submit_with_wait_in_a_pipe_leaves_the_text_as_it_is():
    kafka = FakeKafka(answers=lambda request: [answer(request, text="a\x1bb\nc")])

    assert "a\x1bb\nc\n" == streams("submit", "x", "--wait", kafka=kafka).out


def test_submit_with_wait_on_a_terminal_writes_control_characters_out():
    kafka = FakeKafka(answers=lambda request: [answer(request, text="a\x1bb\nc")])

    assert "a\\x1bb\nc\n" == streams("submit", "x", "--wait", kafka=kafka, terminal=True).out


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

    assert "2 answered, 1 failed, tokens: 4 in, 6 out\n" == ran.err


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


def test_stdin_lines_are_published_as_requests(monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO('"a"\n{"prompt": "b"}\n'))
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


def tally(*answers, asked=3):
    made = Tally(asked)
    for one in answers:
        made.count(Answer(**one))
    return made


REQUEST = {"id": "a", "prompt": "x"}


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        ([], "0 answered, 0 failed, 3 without an answer yet, tokens: 0 in, 0 out"),
        ([answer(REQUEST)] * 3, "3 answered, 0 failed, tokens: 6 in, 9 out"),
        (
            [answer(REQUEST), refusal(REQUEST), refusal(REQUEST, "deadline_exceeded", "expired")],
            "1 answered, 0 failed, 1 rejected, 1 expired, tokens: 2 in, 3 out",
        ),
    ],
)
def test_tally_line_names_only_what_happened(answers, line):
    assert line == tally(*answers).line
