"""# Engine: rewind

Responsibility: setting a consumer group back to the beginning of what it reads, so that all is delivered again.
Guarantees:
- every partition of every topic is set back:
  tests/unit/streams/engine/test_rewind.py::test_every_partition_of_every_topic_is_set_to_the_beginning
- a group that has members is left alone, within a bound:
  tests/unit/streams/engine/test_rewind.py::test_group_that_is_never_left_is_a_transport_error
NOT Responsible For: stopping the members; which groups there are.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.engine.cluster import Cluster
from streams.engine.connect import answering, member, partitions_of

EMPTY_S, LOOK_S = 30.0, 0.5
Member = Callable[[Cluster, str], AbstractAsyncContextManager[Any]]


async def rewind(
    cluster: Cluster, group: str, topics: Iterable[str], within_s: float = EMPTY_S, via: Member = member
) -> None:
    """Sets a group to offset 0 of Kafka's topics; waits until nobody is in it. ``TransportError``, ``TopicMissing``."""
    async with via(cluster, group) as client:
        numbers = {topic: await partitions_of(client._client, topic) for topic in topics}
        places = [TopicPartition(topic, number) for topic, its in numbers.items() for number in its]
        client.assign(places)
        with answering(f"setting back the group {group}"):
            await _committed(client, dict.fromkeys(places, 0), within_s)


async def _committed(client: Any, wanted: dict[TopicPartition, int], within_s: float) -> None:
    """Commits as soon as the group is empty: the broker refuses it before."""
    end = asyncio.get_running_loop().time() + within_s
    while True:
        try:
            await client.commit(wanted)
        except KafkaError:
            if asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(LOOK_S)
        else:
            return
