"""`breaker`: what is open, and a person's word on it."""

import asyncio

import pytest

from tests.support.breakers import SERVICE, Handled, asks, order, told
from tests.support.builders import NOW_MS
from tests.support.commands import streams
from tests.support.fake_cluster import FakeKafka
from topics import calls
from topics.catalog import BREAKERS, CALLS


class Stage(FakeKafka):
    """A cluster whose stage `breaker` reads along; with ``deaf`` it does not."""

    def __init__(self, deaf=False):
        super().__init__()
        self.bench, self.deaf = Handled(), deaf

    async def send(self, topic, key, value, headers=()):
        sent = await super().send(topic, key, value, headers)
        if not self.deaf:
            self.hear(key.decode(), value)
        return sent

    def hear(self, service, *messages, now_ms=NOW_MS):
        for message in messages:
            for said in self.bench.enter(CALLS, message, now_ms, service):
                self.put(BREAKERS, said.key, said.value)


def opened(*services):
    kafka = Stage()
    for service in services or (SERVICE,):
        kafka.hear(service, told("fff"))
    return kafka


def test_list_without_breakers_is_a_head_alone():
    assert ["SERVICE  STATE  SINCE  UNTIL  RELAPSES  ORDER"] == streams("breaker", "list", kafka=Stage()).lines


def test_list_shows_each_breaker_with_its_times():
    _, line = streams("breaker", "list", kafka=opened()).lines

    assert [SERVICE, "open", "2026-01-31T12:00:00.000Z", "2026-01-31T12:00:01.000Z", "0", "-"] == line.split()


def test_list_shows_services_in_order():
    ran = streams("breaker", "list", "-o", "jsonl", kafka=opened("c:1", "a:1", "b:1"))

    assert ["a:1", "b:1", "c:1"] == [row["service"] for row in ran.jsonl]


def test_list_shows_the_newest_word_though_an_older_one_comes_after():
    kafka = opened()
    kafka.hear(SERVICE, order("reset"))
    first, *_ = kafka.topics[BREAKERS]
    kafka.put(BREAKERS, first.key, first.value)

    assert ["closed"] == [row["state"] for row in streams("breaker", "list", "-o", "json", kafka=kafka).json]


def test_list_passes_over_what_is_no_word():
    kafka = opened()
    kafka.put(BREAKERS, b"x", b"{")
    kafka.put(BREAKERS, b"x", None)

    assert [SERVICE] == [row["service"] for row in streams("breaker", "list", "-o", "json", kafka=kafka).json]


def test_list_names_who_holds_the_probe():
    kafka = opened()
    kafka.hear(SERVICE, asks(1, "w-7"), now_ms=NOW_MS + 1000)

    [row] = streams("breaker", "list", "-o", "json", kafka=kafka).json
    assert ("half-open", "w-7", 1) == (row["state"], row["probing"], row["epoch"])


def test_list_of_a_hostile_name_writes_its_control_characters_out():
    assert "\\x1b[2J:x" in streams("breaker", "list", kafka=opened("\x1b[2J:x")).out


@pytest.mark.parametrize(("verb", "state"), [("trip", "open"), ("reset", "closed")])
def test_order_is_in_force_when_the_command_ends(verb, state):
    """B40."""
    kafka = Stage()
    ran = streams("breaker", verb, SERVICE, "--why", "maintenance", "-o", "json", kafka=kafka)

    assert (0, state) == (ran.code, ran.json["state"])
    assert state == streams("breaker", "list", "-o", "json", kafka=kafka).json[0]["state"]


@pytest.mark.parametrize(
    ("environ", "more", "who"),
    [({"USER": "ann"}, (), "ann"), ({"USER": "ann"}, ("--who", "bob"), "bob"), ({}, (), "unknown")],
)
def test_order_records_who_gave_it_and_why(environ, more, who):
    kafka = Stage()
    streams("breaker", "trip", SERVICE, "--why", "billing", *more, kafka=kafka, environ=environ)

    [record] = kafka.topics[CALLS]
    given = calls.read(record.value)
    assert (SERVICE.encode(), "trip", who, "billing") == (record.key, given.order, given.who, given.why)


def test_order_shows_on_the_list_with_its_reason():
    kafka = Stage()
    streams("breaker", "trip", SERVICE, "--why", "billing", "--who", "ann", kafka=kafka)

    [row] = streams("breaker", "list", "-o", "json", kafka=kafka).json
    assert "trip by ann at 2026-01-31T12:00:00.000Z: billing" == row["order"]


@pytest.mark.parametrize(
    ("given", "until"), [((), "12:00:01"), (("--for", "90"), "12:01:30"), (("--for", "0"), "12:00:00")]
)
def test_trip_lasts_as_long_as_asked(given, until):
    ran = streams("breaker", "trip", SERVICE, "--why", "x", *given, "-o", "json", kafka=Stage())

    assert f"2026-01-31T{until}.000Z" == ran.json["until"]


@pytest.mark.parametrize("verb", ["trip", "reset"])
def test_order_that_nobody_takes_up_is_partly_done(verb):
    kafka = Stage(deaf=True)
    ran = streams("breaker", verb, SERVICE, "--why", "x", "--wait", "0.01", kafka=kafka)

    assert (3, "", 1) == (ran.code, ran.out, len(kafka.topics[CALLS]))
    assert "recorded, but no worker has taken it up in 0.01 s" in ran.err


def test_order_is_not_taken_for_an_older_one():
    kafka = Stage()
    streams("breaker", "trip", SERVICE, "--why", "x", kafka=kafka)
    kafka.deaf = True

    assert 3 == streams("breaker", "trip", SERVICE, "--why", "x", "--wait", "0.01", kafka=kafka).code


@pytest.mark.parametrize("service", ["openai", "openai:", ":gpt-5", ""])
def test_order_for_no_service_is_refused_and_not_recorded(service):
    kafka = Stage()
    ran = streams("breaker", "trip", service, "--why", "x", kafka=kafka)

    assert (2, {}) == (ran.code, kafka.topics)
    assert "name a provider and a model" in ran.err


@pytest.mark.parametrize("verb", ["trip", "reset"])
def test_order_without_a_reason_is_refused(verb):
    assert 2 == streams("breaker", verb, SERVICE, kafka=Stage()).code


def test_breaker_alone_prints_its_commands():
    ran = streams("breaker")

    assert all(verb in ran.out + ran.err for verb in ("list", "trip", "reset"))


def test_cluster_of_these_tests_answers_like_the_stage():
    kafka = Stage()
    asyncio.run(kafka.send(CALLS, SERVICE.encode(), b'{"what":"told","worker":"w","epoch":0,"outcomes":"fff"}'))

    assert 1 == len(kafka.topics[BREAKERS])
