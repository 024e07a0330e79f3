"""The append time of what waits first, on logs in memory."""

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import heads
from streams.engine.cluster import Cluster
from streams.engine.lag import Lag
from tests.support.fake_kafka import FakeConsumer, Log, through
from tests.support.loops import in_loop
from topics.errors import TransportError

HERE, CLUSTER = "prompts.parked.1", Cluster("a:1")


def lag(committed: int | None, partition: int = 0, end: int = 9, start: int = 0, topic: str = HERE) -> Lag:
    return Lag("prompts.park", topic, partition, committed, start, end)


def holding(count: int = 9, partitions: int = 2, topics: tuple[str, ...] = (HERE,)) -> FakeConsumer:
    """Each record is stamped with its offset in seconds."""
    log = Log(dict.fromkeys(topics, partitions))
    for topic in topics:
        for number in range(count * partitions):
            log.append(topic, number % partitions)
    return FakeConsumer(log)


async def stamped(client: FakeConsumer, *lags: Lag, within_s: float = 5.0) -> dict[heads.Place, int]:
    return await heads.stamps(CLUSTER, lags, within_s=within_s, via=through(client))


@pytest.mark.parametrize(
    ("committed", "start", "stamp_ms"),
    [(None, 0, 0), (0, 0, 0), (4, 0, 4000), (8, 0, 8000), (2, 5, 5000), (7, 5, 7000)],
)
@in_loop
async def test_stamp_is_that_of_the_first_record_before_the_group(
    committed: int | None, start: int, stamp_ms: int
) -> None:
    assert {(HERE, 0): stamp_ms} == await stamped(holding(), lag(committed, start=start))


@given(st.integers(0, 8), st.integers(0, 8))
@in_loop
async def test_each_partition_has_the_stamp_of_its_own_commit(one: int, other: int) -> None:
    found = await stamped(holding(), lag(one), lag(other, 1))

    assert {(HERE, 0): one * 1000, (HERE, 1): other * 1000} == found


@in_loop
async def test_topics_are_kept_apart() -> None:
    names = ("prompts.parked.1", "prompts.parked.4")
    found = await stamped(holding(topics=names), lag(2, topic=names[0]), lag(6, topic=names[1]))

    assert {(names[0], 0): 2000, (names[1], 0): 6000} == found


@in_loop
async def test_partitions_without_waiting_records_are_not_read() -> None:
    client = holding()
    found = await stamped(client, lag(9), lag(3, 1))

    assert ({(HERE, 1): 3000}, [TopicPartition(HERE, 1)]) == (found, client.read)


@pytest.mark.parametrize("lags", [(), (lag(9),), (lag(None, end=0),), (lag(2, start=9),)])
@in_loop
async def test_broker_is_not_asked_where_nothing_waits(lags: tuple[Lag, ...]) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise AssertionError("no connection is needed")

    assert {} == await heads.stamps(CLUSTER, lags, via=nobody)  # type: ignore[arg-type]  # must not be called


@in_loop
async def test_only_first_batches_are_fetched() -> None:
    client = holding()
    await stamped(client, lag(2))

    assert 1 == client.options["max_partition_fetch_bytes"]
    assert [TopicPartition(HERE, 0)] == client.read


class Late(FakeConsumer):
    """Gives nothing in its first polls."""

    empty = 3

    async def getmany(self, *tps: TopicPartition, **more: int) -> dict[TopicPartition, object]:
        self.empty -= 1
        return {} if self.empty >= 0 else await super().getmany(*tps, **more)


@in_loop
async def test_fetch_without_a_record_is_made_again() -> None:
    assert {(HERE, 0): 4000} == await stamped(Late(holding().log), lag(4))


@in_loop
async def test_broker_that_stays_silent_is_told_in_time() -> None:
    client = holding()
    client.silent = True

    with pytest.raises(TransportError, match=f"reading {HERE}"):
        await stamped(client, lag(4), within_s=0.02)


@in_loop
async def test_error_of_the_client_is_told_as_ours() -> None:
    client = holding()
    client.errors = [KafkaConnectionError()]

    with pytest.raises(TransportError, match="KafkaConnectionError"):
        await stamped(client, lag(4))
