"""A file of rows into a file of answers: each row once, whenever it was killed, and bad rows stop nothing."""

import asyncio
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.client import Client
from streams.client.batch import SLACK_MS, Batch
from streams.client.outfile import OutFile
from streams.client.source import STDIN, Source
from tests.support.fake_cluster import NOW_MS, FakeKafka, answer, refusal
from topics.catalog import PROMPTS, RESULTS
from topics.errors import ConfigurationError, OrchestratorError


class Killed(OrchestratorError):
    """The run ends here, as if nothing could be done any more."""


def echoing(but=lambda request: None):
    """Answers all requests but those for which ``but`` gives another answer; ``[]`` is none at all."""

    def answers(request):
        other = but(request)
        return [answer(request)] if other is None else other

    return FakeKafka(answers=answers)


def rows_file(tmp_path, *rows):
    path = tmp_path / "in.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def run(kafka, source, out, timeout_s=5.0, killed_after=None, now_ms=NOW_MS):
    """One run; its totals. ``killed_after`` so many answers were counted, it ends."""

    def told(totals):
        if killed_after is not None and totals.statuses.total() >= killed_after:
            raise Killed

    async def ran(batch):
        async with batch.client:
            await batch.run(now_ms, timeout_s)

    with OutFile(out) as files:
        batch = Batch(Client(door=kafka), source if isinstance(source, Source) else Source(source), files, told)
        asyncio.run(ran(batch))
        return batch.totals


def kill(kafka, source, out, after):
    with pytest.raises(Killed):
        run(kafka, source, out, killed_after=after)


def ids(path):
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def complaints(out):
    return [json.loads(line) for line in OutFile(out).errors.read_text().splitlines()]


def many(count):
    return [{"id": f"a-{n}", "prompt": "x"} for n in range(count)]


def test_each_row_has_its_answer_in_the_file(tmp_path):
    out = tmp_path / "out"
    run(echoing(), rows_file(tmp_path, *many(5)), out)

    assert [f"a-{n}" for n in range(5)] == sorted(ids(out))


def test_second_run_asks_nothing_that_is_answered(tmp_path):
    kafka, rows, out = echoing(), rows_file(tmp_path, '"nameless"', *many(3)), tmp_path / "out"
    run(kafka, rows, out)
    again = run(kafka, rows, out)

    assert (4, 0, 4, 4) == (again.skipped, again.asked, len(kafka.topics[PROMPTS]), len(ids(out)))


def test_rows_that_were_added_are_asked_alone(tmp_path):
    kafka, out = echoing(), tmp_path / "out"
    run(kafka, rows_file(tmp_path, '"one"', '"two"'), out)
    run(kafka, rows_file(tmp_path, '"new"', '"one"', '"two"'), out)

    assert ["one", "two", "new"] == [request["prompt"] for request in kafka.values(PROMPTS)]


def test_answer_that_came_after_the_kill_is_found_and_not_asked_for_again(tmp_path):
    rows, out, late = rows_file(tmp_path, *many(6)), tmp_path / "out", []
    kafka = echoing(lambda request: late.append(request) or [] if request["id"] in ("a-1", "a-4") else None)
    kill(kafka, rows, out, after=2)
    for request in late:
        kafka.put(RESULTS, request["id"].encode(), json.dumps(answer(request)).encode())
    asked = len(kafka.topics[PROMPTS])
    run(kafka, rows, out)

    assert (6, 6, set()) == (asked, len(kafka.topics[PROMPTS]), {f"a-{n}" for n in range(6)} ^ set(ids(out)))


def test_request_that_a_killed_run_left_open_is_asked_again_with_the_same_bytes(tmp_path):
    rows, out, first = rows_file(tmp_path, '"nameless"', '"other"'), tmp_path / "out", []
    kafka = echoing(lambda request: first.append(1) or [] if request["prompt"] == "nameless" and not first else None)
    kill(kafka, rows, out, after=1)
    run(kafka, rows, out)
    asked = [record.value for record in kafka.topics[PROMPTS]]

    assert (3, 2, asked[0]) == (len(asked), len(set(asked)), asked[2])


def test_failure_of_an_earlier_run_is_asked_again_not_found(tmp_path):
    rows, out, first = rows_file(tmp_path, *many(2)), tmp_path / "out", []
    kafka = echoing(lambda request: [refusal(request)] if request["id"] == "a-0" and not first else None)
    kill(kafka, rows, out, after=2)
    first.append("mended")
    run(kafka, rows, out)

    assert ["a-0", "a-1"] == sorted(ids(out))


@pytest.mark.parametrize(("behind_ms", "found"), [(0, True), (SLACK_MS, True), (SLACK_MS + 1, False)])
def test_answers_are_looked_for_since_a_while_before_the_killed_run(tmp_path, behind_ms, found):
    rows, out, late = rows_file(tmp_path, *many(2)), tmp_path / "out", []
    kafka = echoing(lambda request: late.append(request) or [] if request["id"] == "a-1" and not late else None)
    kill(kafka, rows, out, after=1)
    kafka.put(RESULTS, b"a-1", json.dumps(answer(late[0])).encode(), timestamp_ms=NOW_MS - behind_ms)
    run(kafka, rows, out)

    assert (2 if found else 3) == len(kafka.topics[PROMPTS])


@pytest.mark.parametrize("value", [None, b"{", b"\xff", b'{"id": "a-1", "status": "failed"}'])
def test_record_that_is_no_answer_is_not_taken_for_one(tmp_path, value):
    rows, out, late = rows_file(tmp_path, *many(2)), tmp_path / "out", []
    kafka = echoing(lambda request: late.append(request) or [] if request["id"] == "a-1" and not late else None)
    kill(kafka, rows, out, after=1)
    kafka.put(RESULTS, b"a-1", value)
    run(kafka, rows, out)

    assert ["a-0", "a-1"] == sorted(ids(out))


def test_run_from_a_pipe_asks_again_what_it_cannot_look_for(tmp_path):
    out, text = tmp_path / "out", b'{"id": "a-0", "prompt": "x"}\n{"id": "a-1", "prompt": "x"}\n'
    source, kafka = Source(STDIN, stdin=lambda: io.BytesIO(text)), echoing()
    kill(kafka, source, out, after=1)
    run(kafka, source, out)

    assert ["a-0", "a-1"] == sorted(ids(out))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 5), max_size=4), st.booleans())
def test_any_number_of_kills_leaves_each_id_exactly_once(tmp_path_factory, kills, torn):
    directory = tmp_path_factory.mktemp("kills")
    rows, out, kafka = rows_file(directory, *many(9), '"nameless"'), directory / "out", echoing()
    for after in kills:
        try:
            run(kafka, rows, out, killed_after=after)
        except Killed:
            out.write_bytes(out.read_bytes()[: -9 if torn else None])
    run(kafka, rows, out)

    assert (10, 10) == (len(ids(out)), len(set(ids(out))))


def test_bad_rows_are_told_by_line_and_stop_nothing(tmp_path):
    out = tmp_path / "out"
    totals = run(echoing(), rows_file(tmp_path, "secret", '"a"', "5", '{"id": 5, "prompt": "secret"}', '"b"'), out)

    assert (2, 3, "some") == (totals.answered, totals.bad, totals.outcome)
    assert [(1, "line"), (3, "line"), (4, "id")] == [(bad["line"], bad["field"]) for bad in complaints(out)]
    assert "secret" not in OutFile(out).errors.read_text()


def test_failed_answers_are_told_by_line_and_kind(tmp_path):
    out = tmp_path / "out"
    kafka = echoing(lambda request: [refusal(request, "worker_error", "failed")] if request["id"] == "a-1" else None)
    run(kafka, rows_file(tmp_path, *many(3)), out)
    [told] = complaints(out)

    assert ["a-0", "a-2"] == ids(out)
    assert (2, "a-1", "failed", "worker_error", False) == tuple(
        told[name] for name in ("line", "id", "status", "kind", "retryable")
    )


def test_time_that_is_over_leaves_the_run_open(tmp_path):
    out = tmp_path / "out"
    kafka = echoing(lambda request: [] if request["id"] == "a-1" else None)
    totals = run(kafka, rows_file(tmp_path, *many(3)), out, timeout_s=0.05)

    assert (2, 1, NOW_MS - SLACK_MS) == (totals.answered, totals.missing, OutFile(out).since_ms)


def test_finished_run_leaves_only_its_answers(tmp_path):
    out = tmp_path / "out"
    run(echoing(), rows_file(tmp_path, *many(2)), out)

    assert {"in.jsonl", "out"} == {path.name for path in tmp_path.iterdir()}


def test_source_that_is_not_there_is_an_error_of_the_run(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        run(echoing(), tmp_path / "none", tmp_path / "out")


def test_answer_under_another_id_than_its_key_has_no_line(tmp_path):
    out = tmp_path / "out"
    kafka = FakeKafka()
    foreign = json.dumps(refusal({"id": "theirs"})).encode()
    kafka.answers = lambda request: kafka.put(RESULTS, request["id"].encode(), foreign) and []
    run(kafka, rows_file(tmp_path, *many(1)), out)

    assert [None] == [told.get("line") for told in complaints(out)]
