"""# Engine: lag

Responsibility: how many records each group still has before it, asked of the broker.
Guarantees:
- right while the group's worker is blocked or gone:
  tests/integration/test_lag.py::test_lag_of_group_without_member_counts_from_its_commit
- a group that never committed has everything before it:
  tests/integration/test_lag.py::test_lag_of_unknown_group_is_the_whole_log
NOT Responsible For: what the lag decides (decisions), how often it is asked.
"""

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import TopicPartition

from streams.engine.cluster import Cluster
from streams.engine.connect import Opener, admin, consumer, partitions_of, patiently

Reads = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Lag:
    """One partition of one group: ``committed`` None before the first commit; ``start`` and ``end`` of its log."""

    group: str
    topic: str
    partition: int
    committed: int | None
    start: int
    end: int

    @property
    def records(self) -> int:
        """Records not yet acknowledged and still in the log."""
        return max(0, self.end - max(self.start, self.committed or 0))


def total(lags: Iterable[Lag]) -> int:
    """Records over all partitions."""
    return sum(lag.records for lag in lags)


class LagReader:
    """Asks one cluster again and again over the same connections."""

    def __init__(self, cluster: Cluster, *, admins: Opener = admin, consumers: Opener = consumer) -> None:
        self._cluster, self._admins, self._consumers = cluster, admins, consumers
        self._open = AsyncExitStack()
        self._partitions: dict[str, tuple[int, ...]] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            self._admin = await opening.enter_async_context(self._admins(self._cluster))
            self._consumer = await opening.enter_async_context(self._consumers(self._cluster))
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def read(self, reads: Reads) -> tuple[Lag, ...]:
        """The lag of each partition of ``reads``: group → Kafka's topic names. ``TopicMissing``, ``TransportError``."""
        return await patiently("reading lag", lambda: self._read(reads))

    async def _read(self, reads: Reads) -> tuple[Lag, ...]:
        topics = {topic for its in reads.values() for topic in its}
        every = [TopicPartition(topic, number) for topic in sorted(topics) for number in await self._numbers(topic)]
        starts = await self._consumer.beginning_offsets(every)
        # Ends last: a commit is then never ahead of the end that it is compared with by more than its own records.
        commits = {group: await self._committed(group) for group in reads}
        ends = await self._consumer.end_offsets(every)
        return tuple(
            Lag(group, tp.topic, tp.partition, commits[group].get(tp), starts[tp], ends[tp])
            for group, its in reads.items()
            for tp in every
            if tp.topic in its
        )

    async def since(self, times: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int | None]:
        """The first offset at or after a time (epoch milliseconds) of Kafka's topic and partition; None: all older."""
        asked = {TopicPartition(*place): at_ms for place, at_ms in times.items()}
        found = await patiently("looking up times", lambda: self._consumer.offsets_for_times(asked)) if asked else {}
        return {(tp.topic, tp.partition): at and at.offset for tp, at in found.items()}

    async def _numbers(self, topic: str) -> tuple[int, ...]:
        if topic not in self._partitions:
            self._partitions[topic] = await partitions_of(self._consumer._client, topic)
        return self._partitions[topic]

    async def _committed(self, group: str) -> dict[Any, int]:
        stored = await self._admin.list_consumer_group_offsets(group)
        return {tp: meta.offset for tp, meta in stored.items() if meta.offset >= 0}


async def lags(cluster: Cluster, reads: Reads) -> tuple[Lag, ...]:
    """One reading, on connections of its own."""
    async with LagReader(cluster) as reader:
        return await reader.read(reads)
