"""Requests on their way: bounded in number and bytes, published again where the broker went away, answered once."""

import asyncio
import json

import pytest

from streams.client.flight import Bounds, Flight
from streams.decisions.questions import Question
from streams.stage import Record
from tests.support.aio import in_virtual_time, now_s, pass_s, turns
from tests.support.fake_cluster import answer
from topics.errors import RecordTooLarge, TransportError

AWAY = TransportError("publishing", "KafkaConnectionError")


class Broker:
    """Publishes into a list; ``refuses`` and ``loses`` are errors for the next sends and acknowledgements."""

    def __init__(self, refuses=(), loses=()):
        self.sent, self.headers = [], []
        self.refuses, self.loses = list(refuses), list(loses)

    async def send(self, topic, key, value, headers=()):
        if self.refuses and (refused := self.refuses.pop(0)):
            raise refused
        self.sent.append(key.decode())
        self.headers.append(headers)
        delivery = asyncio.get_running_loop().create_future()
        lost = self.loses.pop(0) if self.loses else None
        delivery.set_exception(lost) if lost else delivery.set_result(None)
        return delivery


class Results:
    """Records as a test puts them."""

    def __init__(self):
        self.queue = asyncio.Queue()

    def put(self, *ids):
        for id in ids:
            value = json.dumps(answer({"id": id})).encode()
            self.queue.put_nowait(Record("results", 0, 0, 0, id.encode(), value))

    async def __aiter__(self):
        while True:
            yield await self.queue.get()


async def questions(*ids, size=0):
    for id in ids:
        yield Question(id, b"x" * size)


def flight(broker, **bounds):
    return Flight(broker, Bounds(**bounds), lambda id: (("for", id.encode()),), now_s)


async def taken(flown, count, end=None):
    """The ids of the next answers; None stands for the end of all."""
    found = [await flown.answer(end) for _ in range(count)]
    return [one and one.id for one in found]


async def settle():
    await turns(20)


@in_virtual_time
async def test_answers_end_once_every_request_has_one():
    broker, results = Broker(), Results()
    results.put("b", "a")
    flown = flight(broker)
    async with flown.begun(questions("a", "b"), results):
        await settle()
        results.put("b", "a")

        assert ["b", "a", None] == await taken(flown, 3)


@in_virtual_time
async def test_no_requests_end_at_once():
    flown = flight(Broker())
    async with flown.begun(questions(), Results()):
        assert await flown.answer(None) is None


@in_virtual_time
async def test_requests_beyond_the_bound_wait_for_answers_to_be_taken():
    broker, results = Broker(), Results()
    flown = flight(broker, in_flight=2)
    async with flown.begun(questions(*"abcd"), results):
        await settle()
        results.put("a", "b")
        await settle()
        before = list(broker.sent)
        first = await taken(flown, 1)
        await settle()

        assert (["a", "b"], ["a"], ["a", "b", "c"]) == (before, first, broker.sent)


@pytest.mark.parametrize(("size", "sent"), [(1, 5), (4, 5), (5, 4), (10, 2), (11, 1), (99, 1)])
def test_bytes_that_nobody_acknowledged_are_bounded_but_one_always_goes(size, sent):
    class Silent(Broker):
        async def send(self, topic, key, value, headers=()):
            await super().send(topic, key, value, headers)
            return asyncio.get_running_loop().create_future()

    @in_virtual_time
    async def run():
        broker = Silent()
        async with flight(broker, unacked_bytes=20).begun(questions(*"abcde", size=size), Results()):
            await settle()

            assert sent == len(broker.sent)

    run()


@in_virtual_time
async def test_acknowledged_bytes_make_room_for_more():
    broker = Broker()
    async with flight(broker, unacked_bytes=20).begun(questions(*"abcde", size=20), Results()):
        await settle()

        assert list("abcde") == broker.sent


@pytest.mark.parametrize("lost", [{"refuses": [None, AWAY, AWAY]}, {"loses": [None, AWAY, AWAY]}])
def test_request_is_published_until_acknowledged_once_the_broker_was_there(lost):
    @in_virtual_time
    async def run():
        broker, results = Broker(**lost), Results()
        flown = flight(broker, in_flight=1)
        async with flown.begun(questions("a", "b"), results):
            await settle()
            results.put("a")
            first = await taken(flown, 1)
            await pass_s(10)
            results.put("b")

            assert (["a"], ["b", None]) == (first, await taken(flown, 2))
            assert {"a", "b"} == set(broker.sent)
            assert ("loses" in lost) == (3 == broker.sent.count("b"))

    run()


@pytest.mark.parametrize("lost", [{"refuses": [AWAY]}, {"loses": [AWAY]}])
def test_broker_that_was_never_reached_is_told_at_once(lost):
    @in_virtual_time
    async def run():
        begun = now_s()
        flown = flight(Broker(**lost))
        async with flown.begun(questions("a"), Results()):
            with pytest.raises(TransportError):
                await flown.answer(None)

            assert begun == now_s()

    run()


@in_virtual_time
async def test_broker_that_stays_away_is_told_when_patience_ends():
    broker, results = Broker(refuses=[None, *[AWAY] * 1000]), Results()
    flown = flight(broker, in_flight=1, patience_s=60.0, retry_s=1.0)
    async with flown.begun(questions("a", "b"), results):
        await settle()
        results.put("a")
        await taken(flown, 1)
        begun = now_s()
        with pytest.raises(TransportError):
            await flown.answer(None)

        assert 60 < now_s() - begun < 63


@in_virtual_time
async def test_refusal_that_no_second_try_mends_ends_the_flight():
    flown = flight(Broker(refuses=[None, RecordTooLarge("prompts", 2, 1)]))
    async with flown.begun(questions("a", "b"), Results()):
        with pytest.raises(RecordTooLarge):
            await flown.answer(None)


@in_virtual_time
async def test_time_that_is_over_leaves_the_unanswered_waiting():
    results = Results()
    flown = flight(Broker())
    async with flown.begun(questions("a", "b"), results):
        await settle()
        results.put("a")
        await settle()

        with pytest.raises(TimeoutError):
            await taken(flown, 2, end=now_s() + 5)
        assert ["b"] == list(flown.waiting.values())


@in_virtual_time
async def test_error_of_the_rows_is_raised_by_who_takes_answers():
    async def broken():
        yield Question("a", b"")
        raise RecordTooLarge("rows", 2, 1)

    flown = flight(Broker())
    async with flown.begun(broken(), Results()):
        with pytest.raises(RecordTooLarge):
            await flown.answer(None)


@in_virtual_time
async def test_headers_of_a_record_are_those_of_its_request():
    broker = Broker()
    async with flight(broker).begun(questions("a", "b"), Results()):
        await settle()

        assert [(("for", b"a"),), (("for", b"b"),)] == broker.headers


@in_virtual_time
async def test_flight_that_is_left_stops_its_tasks():
    async with flight(Broker()).begun(questions("a"), Results()):
        await settle()

    assert {asyncio.current_task()} == asyncio.all_tasks()


@pytest.mark.parametrize(("status", "ended"), [("rejected", True), ("completed", False)])
@in_virtual_time
async def test_request_whose_id_was_refused_has_its_answer_by_its_key(status, ended):
    results = Results()
    value = json.dumps(answer({"id": "prompts-1-2-x"}, status=status)).encode()
    under = flight(Broker())
    async with under.begun(questions("bad\u202e"), results):
        headers = (("prompts.original-key", "bad\u202e".encode()),)
        await turns()
        results.queue.put_nowait(Record("results", 0, 0, 0, b"prompts-1-2-x", value, headers))
        await turns()

        assert (not ended) == bool(under.waiting)
        if ended:
            assert "bad\u202e" == (await under.answer(None)).id
