"""`get`: the answer by its id, or exit code 4."""

import json

import pytest

from tests.support.commands import streams
from tests.support.fake_cluster import FakeKafka, answer
from topics.catalog import RESULTS


def holding(*ids, **fields):
    kafka = FakeKafka()
    for id in ids:
        kafka.put(RESULTS, id.encode(), json.dumps(answer({"id": id, "prompt": "x"}, **fields)).encode())
    return kafka


def test_get_of_an_answered_request_prints_its_facts_and_then_its_text():
    *facts, empty, text = streams("get", "a", kafka=holding("a")).lines

    assert ["id", "status", "usage", "request_hash", "received_at", "finished_at"] == [
        line.split()[0] for line in facts
    ]
    assert ("", "echo: x") == (empty, text)


def test_get_of_a_long_text_keeps_its_lines():
    assert ["", "one", "\ttwo"] == streams("get", "a", kafka=holding("a", text="one\n\ttwo")).lines[-3:]


def test_get_of_a_hostile_text_writes_its_control_characters_out():
    ran = streams("get", "a", kafka=holding("a", text="\x1b[2J\u202e\x9b\U000e0041"), terminal=True)

    assert "\\x1b[2J\\u202e\\x9b\\U000e0041" == ran.lines[-1]


def test_get_of_a_hostile_text_in_json_is_exact():
    text = "\x1b[2J\u202e\x9b\U000e0041\n"

    ran = streams("get", "a", "-o", "json", kafka=holding("a", text=text))

    assert (text, set()) == (ran.json["text"], {"\x1b", "\u202e", "\x9b", "\U000e0041"} & set(ran.out))


def test_get_of_a_failed_request_tells_its_error_in_words():
    error = {"kind": "too_large", "message": "too big", "retryable": False}

    lines = streams("get", "a", kafka=holding("a", status="failed", text=None, error=error)).lines

    assert ("error         too_large: too big", False) == (lines[-1], any(line.startswith("text") for line in lines))


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"role": "assistant", "content": "hi"}, False),
        ({"role": "assistant", "content": "hi", "tool_calls": [{"id": "c"}]}, True),
    ],
)
def test_get_shows_a_message_that_holds_more_than_its_text(message, shown):
    lines = streams("get", "a", kafka=holding("a", text="hi", message=message)).lines

    assert shown == any(line.startswith("message") for line in lines)


@pytest.mark.parametrize("how", ["json", "jsonl"])
def test_get_in_json_prints_the_answer_as_it_is(how):
    assert answer({"id": "a", "prompt": "x"}) == streams("get", "a", "-o", how, kafka=holding("b", "a")).json


def test_get_keeps_fields_that_a_newer_pipeline_wrote():
    assert 5 == streams("get", "a", "-o", "json", kafka=holding("a", newer=5)).json["newer"]


def test_get_of_an_unknown_id_exits_with_4_and_prints_nothing():
    ran = streams("get", "b", kafka=holding("a"))

    assert (4, "", "no answer for 'b'\n") == (ran.code, ran.out, ran.err)


def test_get_with_wait_says_how_long_it_waited():
    ran = streams("get", "b", "--wait", "--wait-timeout", "0.01", kafka=holding("a"))

    assert (4, "no answer for 'b' within 0.01 s\n") == (ran.code, ran.err)


def test_get_of_a_hostile_id_writes_its_control_characters_out():
    assert "'\\x1b[2J'" in streams("get", "\x1b[2J", kafka=holding()).err


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"\xff", {"undecodable": "\\xff"}), (b"5", {"id": "a", "value": 5}), (None, {"id": "a", "value": None})],
)
def test_get_of_a_value_that_is_no_answer_shows_what_is_there(raw, shown):
    kafka = FakeKafka()
    kafka.put(RESULTS, b"a", raw)

    assert shown == streams("get", "a", "-o", "json", kafka=kafka).json


def test_get_without_an_id_is_a_usage_error():
    assert 2 == streams("get", kafka=holding()).code


def test_get_of_an_id_that_is_no_text_finds_nothing():
    ran = streams("get", "\udcff", kafka=FakeKafka())

    assert (4, "no answer for '\\udcff'\n") == (ran.code, ran.err)
