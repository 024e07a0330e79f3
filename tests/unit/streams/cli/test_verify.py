"""`verify`: what is wrong, by class and with ids; exit code 5 says so to scripts."""

import json

import pytest

from streams.cli.connect import Outside
from streams.cli.verify import COLUMNS
from streams.decisions.admission import AdmissionPolicy
from streams.decisions.proof import OFFENCES
from tests.support.checked import BROKEN, Topics, asked, ran
from tests.support.commands import BROKER, NOWHERE, run_at
from topics.catalog import RESULTS

CLEAN = "2 accepted = 2 completed + 0 failed + 0 rejected + 0 expired + 0 unseen + 0 lost; 0 copies; nothing wrong\n"


def verified(*arguments, line=None, environ=None, offline=False, **short):
    """The command over a pipeline in memory."""
    topics = Topics(line or ran(asked("a"), asked("b", "other")), **short)
    given = Outside(environ or {}, NOWHERE, topics, lambda settings: topics.pipeline.stages)
    patient = () if "--stall" in arguments else ("--stall", "9e9")  # its clock is not that of the command
    return run_at(("verify", *patient, *arguments, *(() if offline else BROKER)), given)


def without_answers(*prompts):
    line = ran(*(prompts or (asked("a"),)))
    line.log.topics[RESULTS][:] = [[] for _ in line.log.topics[RESULTS]]
    return line


def entry(action, key, nonce, by="worker-0", at=1.0):
    return {"action": action, "key": key, "act": "ok", "nonce": nonce, "by": by, "at": at}


def ledger(*ends):
    """Two calls of one key; the first one ended as told."""
    calls = [entry("start", "k", "1"), *(entry(word, "k", "1", at=2.0) for word in ends)]
    return [*calls, entry("start", "k", "2", at=5.0), entry("end", "k", "2", at=6.0)]


def written(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("how", ["table", "jsonl"])
def test_clean_pipeline_is_told_in_one_line_and_no_data(how):
    found = verified("-o", how)

    assert (0, "", CLEAN) == (found.code, found.out, found.err)


def test_clean_pipeline_as_json_has_its_counts():
    found = verified("-o", "json").json

    assert (True, True, 2, {}) == (found["clean"], found["settled"], found["counts"]["accepted"], found["classes"])


@pytest.mark.parametrize("how", ["table", "json", "jsonl"])
def test_anything_wrong_ends_with_code_five(how):
    assert 5 == verified("-o", how, line=without_answers()).code


def test_table_has_a_line_a_class_with_its_meaning_and_ids():
    head, line = verified(line=without_answers(asked("a"), asked("b"))).lines

    assert [name.upper() for name in COLUMNS] == head.split()
    assert (True, True, True) == (line.startswith("lost"), OFFENCES["lost"] in line, line.endswith(("a, b", "b, a")))


def test_table_shows_five_ids_and_how_many_more():
    found = verified(line=without_answers(*(asked(f"a{number}", f"{number}") for number in range(7))))

    assert found.lines[1].endswith("and 2 more")


def test_findings_as_lines_have_class_id_and_detail():
    [row] = verified("-o", "jsonl", line=without_answers()).jsonl

    assert {"class": "lost", "wrong": True, "id": "a"} == {name: row[name] for name in ("class", "wrong", "id")}
    assert row["detail"].endswith("last seen on refined")


def test_findings_as_json_stand_under_their_class():
    lost = verified("-o", "json", line=without_answers()).json["classes"]["lost"]

    assert (1, ["a"]) == (lost["count"], [item["id"] for item in lost["findings"]])


def test_what_is_only_noted_is_printed_and_no_failure():
    found = verified("-o", "jsonl", line=ran(asked("a"), asked("a", "other")))

    assert (0, [("two-bodies", False)]) == (found.code, [(row["class"], row["wrong"]) for row in found.jsonl])


def test_work_on_its_way_is_no_failure():
    found = verified("-o", "json", line=without_answers(), assembled_normal=1)

    assert (0, False, 1) == (found.code, found.json["settled"], found.json["counts"]["unseen"])


@pytest.mark.parametrize(
    ("options", "accepted"),
    [(("--to", "0"), 0), (("--from", "end"), 0), (("--from", "0"), 2), (("--from", "@2026-01-01"), 2)],
)
def test_range_is_that_of_the_prompts(options, accepted):
    found = verified("-o", "json", *options)

    assert (0, accepted) == (found.code, found.json["counts"]["accepted"])


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_range_that_is_none_is_a_usage_error(option):
    found = verified(option, "yesterday")

    assert (2, True) == (found.code, "write start, end, N" in found.err)


def test_export_is_checked_again_without_kafka(tmp_path):
    live = verified("--export", tmp_path / "kept", "-o", "json", line=without_answers(asked("a"), BROKEN))
    again = verified("--files", tmp_path / "kept", "-o", "json", offline=True)

    assert (5, live.out) == (again.code, again.out)


def test_files_that_are_none_are_a_usage_error(tmp_path):
    found = verified("--files", tmp_path, offline=True)

    assert (2, True) == (found.code, "prompts.jsonl" in found.err)


def test_stall_is_as_long_as_is_asked_for():
    line = ran(asked("a"), delay_s=30.0)

    assert "stalled" in verified("--stall", "20", line=line).err


def test_client_log_tells_what_was_promised(tmp_path):
    log = written(tmp_path / "log", {"id": "a", "outcome": "ok"}, {"id": "gone", "outcome": "ok"})

    assert ["gone"] == [row["id"] for row in verified("--client", log, "-o", "jsonl").jsonl]


def test_client_log_with_several_tries_of_an_id_takes_all(tmp_path):
    tries = [{"id": "a", "outcome": "failed"}, {"id": "a", "outcome": "unknown"}]

    assert 0 == verified("--client", written(tmp_path / "log", *tries)).code


@pytest.mark.parametrize("line", [{"id": "a"}, {"id": "a", "outcome": "maybe"}, {"outcome": "ok"}])
def test_client_log_that_is_none_is_a_usage_error(tmp_path, line):
    found = verified("--client", written(tmp_path / "log", line))

    assert (2, True) == (found.code, "ok|unknown|failed" in found.err)


@pytest.mark.parametrize(
    ("ends", "kills", "code"),
    [
        ((), [], 5),
        (("end",), [], 5),
        (("cancel",), [], 0),
        (("error",), [], 5),
        ((), [{"worker": "worker-0", "at": 3.0}], 0),
        (("end",), [{"worker": "worker-0", "at": 1.5}], 0),
        ((), [{"worker": "worker-1", "at": 3.0}], 5),
        ((), [{"worker": "worker-0", "at": 0.5}], 5),
    ],
)
def test_calls_made_again_need_a_cause(tmp_path, ends, kills, code):
    """I5."""
    calls, dead = written(tmp_path / "calls", *ledger(*ends)), written(tmp_path / "kills", *kills)

    assert code == verified("--calls", calls, "--kills", dead).code


def test_call_without_a_cause_is_named_by_its_key(tmp_path):
    calls = written(tmp_path / "calls", *ledger("end"))

    assert [("repeated", "k")] == [(row["class"], row["id"]) for row in verified("--calls", calls, "-o", "jsonl").jsonl]


@pytest.mark.parametrize("option", ["--client", "--kills"])
@pytest.mark.parametrize(("content", "words"), [(None, "can be read"), ("{", "JSON object a line")])
def test_log_that_cannot_be_read_is_a_usage_error(tmp_path, option, content, words):
    path = tmp_path / "log"
    if content is not None:
        path.write_text(content)
    calls = written(tmp_path / "calls", *ledger("end"))
    found = verified(option, path, "--calls", calls)

    assert (2, True) == (found.code, words in found.err)


def test_ids_cannot_steer_a_terminal():
    found = verified(line=without_answers(asked("\x1b[31mred")))

    assert "\x1b" not in found.out


def test_settings_of_the_workers_decide_what_is_a_request():
    line = ran(b"plain words", admission=AdmissionPolicy(plain_text=True))
    found = verified("-o", "json", line=line, environ={"STREAMS_ADMIT__PLAIN_TEXT": "true"})

    assert (True, 1) == (found.json["clean"], found.json["counts"]["completed"])


def test_settings_other_than_those_of_the_workers_find_strangers():
    line = ran(b"plain words", admission=AdmissionPolicy(plain_text=True))

    assert 5 == verified(line=line).code
