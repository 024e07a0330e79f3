"""The door of a real cluster opens the engine's reader and publisher; nothing connects before it is entered."""

import pytest

from streams.client.door import KafkaDoor
from streams.decisions.offsets import AtEnd, AtTime
from streams.engine.cluster import Cluster
from streams.engine.publisher import Publisher
from streams.engine.reader import Tail
from topics.catalog import RESULTS, Names


def door():
    return KafkaDoor(Cluster("127.0.0.1:1"), Names(prefix="mine-"))


def test_publisher_of_a_cluster_is_the_engines():
    assert isinstance(door().publisher(), Publisher)


@pytest.mark.parametrize(
    ("opened", "start", "follow"),
    [(lambda: door().from_end(RESULTS), AtEnd(), True), (lambda: door().tail(RESULTS, AtTime(5)), AtTime(5), False)],
)
def test_reader_of_a_cluster_starts_where_it_was_told(opened, start, follow):
    tail = opened()

    assert (Tail, start, follow, "mine-results") == (type(tail), tail._start, tail._follow, tail._kafka_name)
