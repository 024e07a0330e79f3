"""Reading without a group, on logs in memory."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.offsets import AtEnd, AtOffset, AtTime, BeforeEnd, FromStart, Position
from streams.engine import reader
from streams.engine.cluster import Cluster
from streams.engine.reader import Tail, as_record, partition_of
from streams.stage import Record
from tests.support.fake_kafka import FakeConsumer, Log, Message, through
from tests.support.loops import in_loop
from topics.catalog import RESULTS, Names
from topics.errors import TopicMissing, TransportError

CLUSTER, NAMES = Cluster("a:1"), Names(prefix="mine.")
KAFKA_NAME = NAMES.topic(RESULTS)


def log_of(*counts: int, start: int = 0) -> Log:
    log = Log({KAFKA_NAME: len(counts)})
    for partition, count in enumerate(counts):
        for number in range(count):
            log.append(KAFKA_NAME, partition, b"k%d" % number, b"v%d" % number)
    for tp in list(log.ends):
        log.starts[tp] = start
        log.messages[tp] = log.messages[tp][start:]
    return log


def tail(log: Log, start: Position | None = None, stop: Position | None = None, **more: object) -> Tail:
    return Tail(CLUSTER, NAMES, RESULTS, start, stop, via=through(FakeConsumer(log)), **more)


async def offsets(opened: Tail) -> list[tuple[int, int]]:
    async with opened:
        return sorted([(record.partition, record.offset) async for record in opened])


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (None, None, [0, 1, 2, 3, 4]),
        (FromStart(), AtEnd(), [0, 1, 2, 3, 4]),
        (AtOffset(3), None, [3, 4]),
        (AtOffset(99), None, []),
        (BeforeEnd(1), None, [4]),
        (BeforeEnd(99), None, [0, 1, 2, 3, 4]),
        (AtEnd(), None, []),
        (AtTime(2000), None, [2, 3, 4]),
        (AtTime(2001), None, [3, 4]),
        (AtTime(99_000), None, []),
        (None, AtOffset(2), [0, 1]),
        (None, BeforeEnd(2), [0, 1, 2]),
        (None, AtTime(1000), [0]),
        (AtOffset(1), AtOffset(3), [1, 2]),
        (AtOffset(3), AtOffset(1), []),
        (AtOffset(2), AtOffset(2), []),
    ],
)
@in_loop
async def test_tail_between_positions_reads_half_open_range(
    start: Position | None, stop: Position | None, expected: list[int]
) -> None:
    assert [(0, offset) for offset in expected] == await offsets(tail(log_of(5), start, stop))


@in_loop
async def test_tail_over_partitions_ends_when_the_longest_does() -> None:
    assert [0] * 1 + [2] * 7 == [partition for partition, _ in await offsets(tail(log_of(1, 0, 7)))]


@in_loop
async def test_tail_of_trimmed_log_starts_where_it_does() -> None:
    assert [(0, 3), (0, 4)] == await offsets(tail(log_of(5, start=3), AtOffset(1)))


@in_loop
async def test_tail_ends_at_the_end_as_it_was_when_opened() -> None:
    log, got = log_of(2), list[int]()
    async with tail(log) as opened:
        async for record in opened:
            got.append(record.offset)
            log.append(KAFKA_NAME)

    assert [0, 1] == got


@in_loop
async def test_tail_following_goes_on_behind_the_end() -> None:
    log, got = log_of(1), list[int]()
    async with tail(log, follow=True) as opened:
        async for record in opened:
            got.append(record.offset)
            if len(got) == 4:
                break
            log.append(KAFKA_NAME)

    assert [0, 1, 2, 3] == got


@in_loop
async def test_tail_by_key_assigns_one_partition() -> None:
    log, key = log_of(3, 3, 3), b"some key"

    assert {partition_of(key, (0, 1, 2))} == {partition for partition, _ in await offsets(tail(log, key=key))}


@in_loop
async def test_tail_of_missing_topic_raises_its_kafka_name() -> None:
    with pytest.raises(TopicMissing, match=r"mine\.results"):
        await offsets(tail(Log()))


@in_loop
async def test_tail_with_failing_fetch_raises_transport_error() -> None:
    consumer = FakeConsumer(log_of(1))
    consumer.errors.append(KafkaConnectionError())

    with pytest.raises(TransportError, match=r"reading mine\.results"):
        await offsets(Tail(CLUSTER, NAMES, RESULTS, via=through(consumer)))


@in_loop
async def test_tail_with_silent_broker_ends_in_transport_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "SILENT_S", 0.05)
    consumer = FakeConsumer(log_of(1))
    consumer.silent = True

    with pytest.raises(TransportError, match="silent"):
        await offsets(Tail(CLUSTER, NAMES, RESULTS, via=through(consumer)))


def test_record_of_message_has_catalog_name_and_headers() -> None:
    message = Message("mine.results", 3, 7, 99, b"k", b"v", (("h", b"1"),))

    assert Record(RESULTS, 3, 7, 99, b"k", b"v", (("h", b"1"),)) == as_record(message, RESULTS)


@given(st.binary(min_size=1), st.integers(1, 64))
def test_partition_of_key_is_the_producers_choice(key: bytes, count: int) -> None:
    every = list(range(count))

    assert DefaultPartitioner()(key, every, every) == partition_of(key, tuple(every))


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_partition_of_key_agrees_with_the_java_client(key: bytes, murmur2: int) -> None:
    assert (murmur2 & 0x7FFFFFFF) % 1000 == partition_of(key, tuple(range(1000)))


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, [4]), (3, [3, 3, 4]), (99, [0, 0, 1, 1, 2, 2, 3, 3, 4])])
@in_loop
async def test_last_of_partitions_gives_newest_in_order(count: int, expected: list[int]) -> None:
    got = await reader.last(CLUSTER, NAMES, RESULTS, count, via=through(FakeConsumer(log_of(5, 4))))

    assert expected == [record.offset for record in got]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [(b"k1", None, 1), (b"k1", b"v1", 1), (b"k1", b"other", None), (b"absent", None, None)],
)
@in_loop
async def test_find_gives_first_match_under_key(key: bytes, value: bytes | None, expected: int | None) -> None:
    def match(record: Record) -> bool:
        return value is None or record.value == value

    found = await reader.find(CLUSTER, NAMES, RESULTS, key=key, match=match, via=through(FakeConsumer(log_of(3))))

    assert expected == (found and found.offset)


@in_loop
async def test_find_waits_for_what_comes_later() -> None:
    log = log_of(2)
    waiting = asyncio.ensure_future(
        reader.find(CLUSTER, NAMES, RESULTS, key=b"late", wait_s=20, via=through(FakeConsumer(log)))
    )
    await asyncio.sleep(0.02)  # why: the reader is to be waiting already
    log.append(KAFKA_NAME, key=b"late")
    found = await waiting

    assert 2 == (found and found.offset)


@in_loop
async def test_find_with_short_patience_gives_none() -> None:
    via = through(FakeConsumer(log_of(2)))

    assert (await reader.find(CLUSTER, NAMES, RESULTS, key=b"never", wait_s=0.05, via=via)) is None
