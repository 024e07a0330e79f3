"""Lag from what a broker says, on fakes."""

from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.cluster import Cluster
from streams.engine.lag import Lag, LagReader, total
from tests.support.fake_kafka import FakeAdmin, FakeConsumer, Log, through
from tests.support.loops import in_loop
from topics.errors import TopicMissing, TransportError

OFFSETS = st.integers(0, 10**9)


def one(committed: int | None = 0, start: int = 0, end: int = 10) -> Lag:
    return Lag("g", "t", 0, committed, start, end)


def log_of(**counts: int) -> Log:
    log = Log(dict.fromkeys(counts, 2))
    for topic, count in counts.items():
        for number in range(count):
            log.append(topic, number % 2)
    return log


def reader(log: Log, commits: Mapping[str, dict[TopicPartition, int]] | None = None) -> LagReader:
    admins = through(FakeAdmin(commits=dict(commits or {})))
    return LagReader(Cluster("a:1"), admins=admins, consumers=through(FakeConsumer(log)))


@pytest.mark.parametrize(
    ("lag", "records"),
    [
        (one(), 10),
        (one(None), 10),
        (one(None, start=4), 6),
        (one(10), 0),
        (one(9), 1),
        (one(2, start=4), 6),
        (one(12), 0),
        (one(None, end=0), 0),
    ],
)
def test_records_before_group_are_counted(lag: Lag, records: int) -> None:
    assert records == lag.records


@given(st.none() | OFFSETS, OFFSETS, OFFSETS)
def test_records_are_never_negative_nor_more_than_the_log(committed: int | None, start: int, length: int) -> None:
    assert 0 <= one(committed, start, start + length).records <= length


@given(st.lists(st.builds(one, st.none() | OFFSETS, st.just(0), OFFSETS)))
def test_total_is_the_sum_of_partitions(lags: list[Lag]) -> None:
    assert sum(lag.records for lag in lags) == total(lags)


@in_loop
async def test_read_of_unknown_group_has_no_commits() -> None:
    async with reader(log_of(a=5)) as opened:
        got = await opened.read({"g": ("a",)})

    assert (Lag("g", "a", 0, None, 0, 3), Lag("g", "a", 1, None, 0, 2)) == got


@in_loop
async def test_read_of_group_has_its_commits() -> None:
    commits = {"g": {TopicPartition("a", 0): 3, TopicPartition("a", 1): -1}}
    async with reader(log_of(a=5), commits) as opened:
        got = await opened.read({"g": ("a",)})

    assert [3, None] == [lag.committed for lag in got]


@in_loop
async def test_read_of_several_groups_keeps_them_apart() -> None:
    commits = {"g": {TopicPartition("a", 0): 2}, "h": {TopicPartition("b", 0): 1}}
    async with reader(log_of(a=4, b=2), commits) as opened:
        got = await opened.read({"g": ("a",), "h": ("a", "b")})

    assert {"g": 2, "h": 4 + 1} == {group: total(lag for lag in got if lag.group == group) for group in ("g", "h")}


@in_loop
async def test_read_of_nothing_is_empty() -> None:
    async with reader(log_of()) as opened:
        assert () == await opened.read({})


@in_loop
async def test_read_of_missing_topic_names_it() -> None:
    async with reader(log_of()) as opened:
        with pytest.raises(TopicMissing, match="absent"):
            await opened.read({"g": ("absent",)})


class Fresh(FakeAdmin):
    """A broker whose group coordinator is not there yet."""

    async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, object]:
        if len(self.asked) < 2:
            self.asked.append(group)
            raise GroupCoordinatorNotAvailableError
        return {}


@in_loop
async def test_fresh_broker_is_asked_again() -> None:
    opened = LagReader(Cluster("a:1"), admins=through(Fresh()), consumers=through(FakeConsumer(log_of(a=2))))
    async with opened:
        got = await opened.read({"g": ("a",)})

    assert 2 == total(got)


@in_loop
async def test_broker_that_is_away_is_a_transport_error() -> None:
    class Away(FakeAdmin):
        async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, object]:
            raise ConnectionResetError

    opened = LagReader(Cluster("a:1"), admins=through(Away()), consumers=through(FakeConsumer(log_of(a=2))))
    async with opened:
        with pytest.raises(TransportError, match="reading lag"):
            await opened.read({"g": ("a",)})
