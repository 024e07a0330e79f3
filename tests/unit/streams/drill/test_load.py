"""The client's side: what was asked, what came, and what that means."""

import json

import pytest

from streams.drill.drills import request
from streams.drill.load import Load, Sheet
from tests.support.aio import in_virtual_time, now_s
from tests.support.drill_fakes import soon
from tests.support.fake_cluster import NOW_MS, FakeKafka, answer
from topics.catalog import PROMPTS, RESULTS
from topics.errors import TransportError


def asked(number):
    return request(f"d-{number}", f"words {number}")


def said(id="d-0", **fields):
    return json.dumps(answer({"id": id, "prompt": "p"}, **fields)).encode()


def sheet(*ids, finals=()):
    """A sheet on which these ids were asked and accepted, and these answers came, a second apart."""
    made, kafka = Sheet({id: {b"body"} for id in ids}, {id: {"ok"} for id in ids}), FakeKafka()
    for number, value in enumerate(finals):
        made.take(kafka.put(RESULTS, b"k", value, timestamp_ms=NOW_MS + 1000 * number))
    return made


def load(kafka=None, rate=10.0):
    return Load(kafka or FakeKafka(answers=lambda one: [answer(one)]), asked, rate)


# -- the sheet


def test_accepted_request_without_an_answer_is_waited_for():
    assert {"a"} == sheet("a", "b", finals=[said("b")]).waiting


def test_request_that_nobody_acknowledged_is_not_waited_for():
    made = sheet("a")
    made.told["a"] = {"unknown"}

    assert set() == made.waiting


def test_request_that_was_acknowledged_at_its_second_try_is_accepted():
    made = sheet("a")
    made.told["a"] = {"unknown", "ok"}

    assert {"a"} == made.accepted


def test_second_body_under_an_id_wants_an_answer_of_its_own():
    made = sheet("a", finals=[said("a")])
    made.sent["a"].add(b"other body")
    before = made.waiting
    made.take(FakeKafka().put(RESULTS, b"a", said("a", request_hash="other")))

    assert ({"a"}, set()) == (before, made.waiting)


def test_copies_of_an_answer_are_no_second_answer():
    made = sheet("a", finals=[said("a"), said("a")])
    made.sent["a"].add(b"other body")

    assert {"a"} == made.waiting


def test_silence_is_the_longest_wait_between_two_answers():
    made = sheet("a", "b", finals=[said("a"), said("b")])
    made.came.append(made.came[-1] + 7.5)

    assert 7.5 == made.silence_s()


@pytest.mark.parametrize("finals", [[], [said("a")]])
def test_silence_of_less_than_two_answers_is_none(finals):
    assert 0.0 == sheet("a", finals=finals).silence_s()


def test_copy_of_an_answer_does_not_end_a_silence():
    assert 1 == len(sheet("a", finals=[said("a"), said("a")]).came)


def test_tombstone_on_results_answers_nobody():
    made = sheet("a")
    made.take(FakeKafka().put(RESULTS, b"k", None))

    assert {"a"} == made.waiting


# -- the load


@in_virtual_time
async def test_count_of_requests_is_published_and_accepted():
    made = load(kafka := FakeKafka())
    await made.publish(kafka, 5)

    assert [f"d-{number}" for number in range(5)] == [value["id"] for value in kafka.values(PROMPTS)]
    assert 5 == len(made.sheet.accepted)


@in_virtual_time
async def test_load_keeps_its_rate():
    made, began = load(kafka := FakeKafka(), rate=10.0), now_s()
    await made.publish(kafka, 21)

    assert 2.0 <= now_s() - began < 2.2


@in_virtual_time
async def test_load_without_end_stops_when_it_is_enough():
    made = load(kafka := FakeKafka(), rate=10.0)
    task = await soon(made.publish(kafka), 1.05)
    made.enough()
    await task

    assert 10 <= len(kafka.values(PROMPTS)) <= 12


@in_virtual_time
async def test_later_load_goes_on_with_the_next_number():
    made = load(kafka := FakeKafka())
    await made.publish(kafka, 2)
    await made.publish(kafka, 2)

    assert 4 == len({value["id"] for value in kafka.values(PROMPTS)})


@in_virtual_time
async def test_request_without_acknowledgement_is_unknown():
    made = load()

    async def never():
        raise TransportError("publishing", "TimeoutError")

    await made._note("d-9", never())

    assert ({"d-9": {"unknown"}}, set()) == (made.sheet.told, made.sheet.accepted)


@in_virtual_time
async def test_each_answer_is_collected():
    made = load(kafka := FakeKafka(answers=lambda one: [answer(one)]))
    task = await soon(made.collect())
    await made.publish(kafka, 3)
    await soon(made.settled(), 0.1)
    task.cancel()

    assert set() == made.sheet.waiting
    assert 3 == len(made.sheet.answered)


@in_virtual_time
async def test_reading_that_fails_begins_again():
    kafka, tail = FakeKafka(), FakeKafka.tail
    fails = [TransportError("reading", "away")]

    def refusing(*given, **more):
        if fails:
            raise fails.pop()
        return tail(kafka, *given, **more)

    kafka.tail = refusing
    kafka.put(RESULTS, b"d-0", said("d-0"))
    made = load(kafka)
    task = await soon(made.collect(), 2.0)
    task.cancel()

    assert {"d-0"} == set(made.sheet.answered)


@in_virtual_time
async def test_same_bytes_asked_again_are_one_request():
    made = load(kafka := FakeKafka())
    await made.ask(kafka, asked(1))
    await made.ask(kafka, asked(1))
    await made.settled()

    assert {"d-1": {asked(1)}} == made.sheet.sent
