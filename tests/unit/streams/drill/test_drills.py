"""The drills as data."""

import json
from dataclasses import replace

import pytest

from streams.drill.drills import DRILLS, LONG_EVERY, request
from streams.drill.faults import FAULTS
from streams.drill.plan import spread
from streams.drill.script import parse

EVERY = sorted(DRILLS)
SHORT = ("crash", "outage", "twins", "rebalance")


@pytest.mark.parametrize("name", SHORT)
def test_each_drill_of_the_command_line_is_there(name):
    assert name == DRILLS[name].name


@pytest.mark.parametrize("name", EVERY)
def test_faults_of_a_drill_are_known(name):
    assert set(DRILLS[name].faults) <= set(FAULTS)


@pytest.mark.parametrize("name", EVERY)
def test_drill_says_what_it_does(name):
    assert DRILLS[name].does


@pytest.mark.parametrize("name", EVERY)
def test_script_of_a_drill_can_be_played_and_has_one_long_call_in_twenty(name):
    drill = DRILLS[name]
    steps = parse(drill.script)

    assert LONG_EVERY == len(steps)
    assert [drill.calls_s] * (LONG_EVERY - 1) + [drill.long_s] == [step.argument for step in steps]


@pytest.mark.parametrize("name", SHORT)
def test_busy_time_and_faults_of_a_drill_leave_room_in_a_minute(name):
    drill = DRILLS[name]
    last = spread(1, drill.faults, drill.busy_s)[-1].at_s

    assert max(drill.busy_s, last + drill.hold_s) <= 35


@pytest.mark.parametrize("number", [0, 7, 1234])
def test_request_of_a_number_is_valid_json_with_its_own_id(number):
    asked = json.loads(DRILLS["crash"].asked(number))

    assert f"drill-{number}" == asked["id"]
    assert str(number) in asked["prompt"]


def test_twins_are_asked_the_same_words():
    drill = DRILLS["twins"]

    assert json.loads(drill.asked(1))["prompt"] == json.loads(drill.asked(2))["prompt"]


def test_twins_are_a_thousand():
    assert 1000 == DRILLS["twins"].rate * DRILLS["twins"].busy_s


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"twins"}))
def test_requests_of_other_drills_are_all_different(name):
    assert 50 == len({json.loads(DRILLS[name].asked(number))["prompt"] for number in range(50)})


def test_warm_up_has_ids_that_the_load_has_not():
    drill = DRILLS["crash"]

    assert not {drill.asked(number) for number in range(20)} & {drill.warm_up(number) for number in range(20)}


def test_request_is_what_anybody_writes():
    assert {"id": "a", "prompt": "hé"} == json.loads(request("a", "hé"))


def test_drill_with_other_seconds_is_the_same_otherwise():
    assert DRILLS["crash"].faults == replace(DRILLS["crash"], busy_s=60.0).faults


def test_long_outage_is_two_minutes_of_five_at_fifty_a_second_with_four_workers():
    drill = DRILLS["outage-long"]

    assert (300.0, 120.0, 50.0, 4) == (drill.busy_s, drill.hold_s, drill.rate, drill.size.workers)
