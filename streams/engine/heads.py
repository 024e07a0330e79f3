"""# Engine: heads

Responsibility: when the first record that a group has before it was appended, in each partition where there is one.
Guarantees:
- it is the record at the committed offset, or the first that is left behind it:
  tests/unit/streams/engine/test_heads.py::test_stamp_is_that_of_the_first_record_before_the_group
- partitions in which nothing waits are not read:
  tests/unit/streams/engine/test_heads.py::test_partitions_without_waiting_records_are_not_read
- it is the stamp by which the record comes back when it is parked:
  tests/integration/test_circuit_breaker_recovery.py::test_status_in_the_outage_tells_when_the_parked_request_is_due
- a broker that gives nothing is a TransportError, within a bound:
  tests/unit/streams/engine/test_heads.py::test_broker_that_stays_silent_is_told_in_time
NOT Responsible For: what the lag is (lag), when a record is due (decisions), the tiers at work (park, tier).
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import TopicPartition

from streams.engine.cluster import Cluster
from streams.engine.connect import Opener, answering, consumer
from streams.engine.lag import Lag
from topics.errors import TransportError

Place = tuple[str, int]  # Kafka's name of a topic, and a partition

WITHIN_S, POLL_MS = 10.0, 200
# One partition after the other, and of each no more than its first batch: a record wider than a fetch is only handed
# out in the first partition of a request, and nobody needs the megabytes behind it.
NARROW: dict[str, Any] = {"max_partition_fetch_bytes": 1, "fetch_max_wait_ms": 50, "auto_offset_reset": "earliest"}


async def stamps(
    cluster: Cluster, lags: Iterable[Lag], *, within_s: float = WITHIN_S, via: Opener = consumer
) -> dict[Place, int]:
    """Append times, epoch milliseconds, by Kafka's topic and partition. ``TransportError`` after ``within_s``."""
    waiting = [lag for lag in lags if lag.records]
    if not waiting:
        return {}
    async with via(cluster, **NARROW) as client:
        end = asyncio.get_running_loop().time() + within_s
        return {(lag.topic, lag.partition): await _stamp(client, lag, end) for lag in waiting}


async def _stamp(client: Any, lag: Lag, end: float) -> int:
    place, doing = TopicPartition(lag.topic, lag.partition), f"reading {lag.topic}"
    client.assign([place])
    client.seek(place, max(lag.start, lag.committed or 0))
    while asyncio.get_running_loop().time() < end:
        with answering(doing):
            batches = await client.getmany(place, timeout_ms=POLL_MS, max_records=1)
        if batches:
            return int(batches[place][0].timestamp)
    raise TransportError(doing, "no record in time, though some wait")
