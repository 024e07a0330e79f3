"""A group that is set back to the beginning, on fakes."""

from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import UnknownMemberIdError

from streams.engine.cluster import Cluster
from streams.engine.rewind import rewind
from tests.support.aio import in_virtual_time, now_s
from tests.support.fake_kafka import Log
from topics.errors import TopicMissing, TransportError

CLUSTER = Cluster("127.0.0.1:9092")


class Members:
    """Opens members of a group that only commit; ``occupied``: how often the group refuses, as somebody is in it."""

    def __init__(self, occupied=0, **topics):
        self.occupied, self.commits, self.open, self.tries = occupied, {}, 0, 0
        self._client, self.assigned = Log(topics or {"a": 2, "b": 1}), []

    @asynccontextmanager
    async def __call__(self, cluster, group):
        self.open, self.group = self.open + 1, group
        try:
            yield self
        finally:
            self.open -= 1

    def assign(self, places):
        self.assigned = places

    async def commit(self, offsets):
        assert set(self.assigned) == set(offsets)
        self.tries += 1
        if self.tries <= self.occupied:
            raise UnknownMemberIdError
        self.commits[self.group] = offsets


@in_virtual_time
async def test_every_partition_of_every_topic_is_set_to_the_beginning():
    members = Members()
    await rewind(CLUSTER, "g", ["a", "b"], via=members)

    assert {"g": {TopicPartition("a", 0): 0, TopicPartition("a", 1): 0, TopicPartition("b", 0): 0}} == members.commits


@in_virtual_time
async def test_other_topics_of_the_cluster_are_left_alone():
    members = Members(a=1, b=1)
    await rewind(CLUSTER, "g", ["b"], via=members)

    assert [TopicPartition("b", 0)] == members.assigned


@in_virtual_time
async def test_group_that_is_not_left_yet_is_waited_for():
    members, began = Members(occupied=4), now_s()
    await rewind(CLUSTER, "g", ["a"], via=members)

    assert ({"g"}, 5) == (set(members.commits), members.tries)
    assert 1.5 < now_s() - began < 3.0


@in_virtual_time
async def test_group_that_is_never_left_is_a_transport_error():
    began = now_s()

    with pytest.raises(TransportError, match="setting back the group g"):
        await rewind(CLUSTER, "g", ["a"], 5.0, Members(occupied=10_000))
    assert 5.0 <= now_s() - began < 6.0


@in_virtual_time
async def test_topic_that_does_not_exist_is_named():
    with pytest.raises(TopicMissing, match="nowhere"):
        await rewind(CLUSTER, "g", ["nowhere"], via=Members())


@pytest.mark.parametrize("occupied", [0, 10_000])
@in_virtual_time
async def test_connection_is_closed_whatever_happened(occupied):
    members = Members(occupied)
    with suppress(TransportError):
        await rewind(CLUSTER, "g", ["a"], 2.0, members)

    assert 0 == members.open
