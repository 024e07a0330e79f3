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


def test_get_of_an_answered_request_prints_every_field():
    ran = streams("get", "a", kafka=holding("a"))

    assert {"id": "a", "status": "completed", "text": "echo: x"}.items() <= dict(
        line.split(maxsplit=1) for line in ran.lines
    ).items()


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
