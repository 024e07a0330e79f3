"""Following a topic, on logs in memory."""

import asyncio
from collections.abc import Callable

import pytest
from aiokafka.errors import KafkaConnectionError

from streams.engine.cluster import Cluster
from streams.engine.follow import Follower
from streams.stage import Record
from tests.support.fake_kafka import FakeConsumer, Log, through
from tests.support.loops import in_loop, until
from topics.errors import DecodingError, TopicMissing, TransportError

TOPIC = "prompts.core-breakers-changelog"


def consumer(*counts: int) -> FakeConsumer:
    log = Log({TOPIC: len(counts)})
    for partition, count in enumerate(counts):
        for _ in range(count):
            log.append(TOPIC, partition)
    return FakeConsumer(log)


def follower(client: FakeConsumer, on_record: Callable[[Record], None], called: str | None = None) -> Follower:
    return Follower(Cluster("a:1"), TOPIC, on_record, called=called, via=through(client))


def failing(record: Record) -> None:
    raise DecodingError("row", "bad", record.value)


@pytest.mark.parametrize("counts", [(0,), (1,), (7,), (0, 3, 5)])
@in_loop
async def test_caught_up_means_every_earlier_record_was_handed_over(counts: tuple[int, ...]) -> None:
    seen: list[Record] = []
    async with follower(consumer(*counts), seen.append) as opened:
        await opened.caught_up(5)
        got = len(seen)

    assert sum(counts) == got


@in_loop
async def test_records_of_a_partition_arrive_in_order() -> None:
    seen: list[Record] = []
    async with follower(consumer(7), seen.append) as opened:
        await opened.caught_up(5)

    assert list(range(7)) == [record.offset for record in seen]


@pytest.mark.parametrize(("called", "name"), [(None, TOPIC), ("breakers", "breakers")])
@in_loop
async def test_records_are_called_as_asked(called: str | None, name: str) -> None:
    seen: list[Record] = []
    async with follower(consumer(1), seen.append, called) as opened:
        await opened.caught_up(5)

    assert [name] == [record.topic for record in seen]


@in_loop
async def test_follower_starts_where_a_trimmed_log_does() -> None:
    client, seen = consumer(5), list[Record]()
    [tp] = client.log.messages
    client.log.starts[tp] = 3
    async with follower(client, seen.append) as opened:
        await opened.caught_up(5)

    assert [3, 4] == [record.offset for record in seen]


@in_loop
async def test_later_records_are_handed_over_too() -> None:
    client, seen = consumer(1), list[Record]()
    async with follower(client, seen.append) as opened:
        await opened.caught_up(5)
        client.log.append(TOPIC)
        await until(lambda: len(seen) == 2)

    assert [0, 1] == [record.offset for record in seen]


@pytest.mark.parametrize("error", [KafkaConnectionError(), ConnectionResetError()])
@in_loop
async def test_failing_fetch_is_tried_again(error: Exception) -> None:
    client, seen = consumer(2), list[Record]()
    client.errors = [error]
    async with follower(client, seen.append) as opened:
        await opened.caught_up(5)

    assert 2 == len(seen)


@in_loop
async def test_failing_callback_is_raised_to_waiter() -> None:
    async with follower(consumer(1), failing) as opened:
        with pytest.raises(DecodingError):
            await opened.caught_up(5)


@in_loop
async def test_failing_callback_later_ends_the_follower() -> None:
    client = consumer(0)
    async with follower(client, failing) as opened:
        await opened.caught_up(5)
        client.log.append(TOPIC)
        with pytest.raises(DecodingError):
            await asyncio.wait_for(opened.ended(), 5)


@in_loop
async def test_leaving_after_a_failure_does_not_raise() -> None:
    async with follower(consumer(1), failing) as opened:
        await until(lambda: opened._task.done())

    assert opened._task.done()


@in_loop
async def test_not_caught_up_in_time_is_a_transport_error() -> None:
    client = consumer(3)
    client.silent = True
    async with follower(client, failing) as opened:
        with pytest.raises(TransportError, match="not at its end"):
            await opened.caught_up(0.05)


@in_loop
async def test_waiting_for_the_end_does_not_stop_it_when_cancelled() -> None:
    seen: list[Record] = []
    client = consumer(0)
    async with follower(client, seen.append) as opened:
        waiting = asyncio.ensure_future(opened.ended())
        await asyncio.sleep(0)
        waiting.cancel()
        client.log.append(TOPIC)
        await until(lambda: bool(seen))

    assert 1 == len(seen)


@in_loop
async def test_missing_topic_is_named_at_once() -> None:
    with pytest.raises(TopicMissing, match=TOPIC):
        async with follower(FakeConsumer(Log()), failing):
            pass
