"""# Engine: follow

Responsibility: a groupless reader of a compacted topic: to its end before readiness, then onwards, for ever.
Guarantees:
- caught up means every record before the end at the start was handed over:
  tests/integration/test_follow.py::test_caught_up_after_compaction_has_last_row_of_each_key
- a restarted broker is followed on:
  tests/integration/test_follow.py::test_follower_after_broker_restart_goes_on
- a failing callback ends the follower and is told to whoever waits:
  tests/unit/streams/engine/test_follow.py::test_failing_callback_is_raised_to_waiter
NOT Responsible For: what the rows mean; being a member of a group; offsets.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.engine.cluster import Cluster
from streams.engine.connect import Opener, consumer, partitions_of, patiently
from streams.engine.reader import as_record
from streams.stage import Record
from topics.errors import TransportError

POLL_MS, PAUSE_S = 200, 0.5


class Follower:
    """Calls ``on_record`` for every record of ``topic`` (Kafka's name), named ``called`` in the records."""

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        on_record: Callable[[Record], None],
        *,
        called: str | None = None,
        via: Opener = consumer,
    ) -> None:
        self._cluster, self._topic, self._on_record = cluster, topic, on_record
        self._called, self._via = called or topic, via
        self._behind: dict[Any, int] = {}
        self._caught_up = asyncio.Event()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            client = self._via(self._cluster, auto_offset_reset="earliest")
            self._consumer = await opening.enter_async_context(client)
            await patiently(f"opening {self._topic}", self._assign)
            self._open = opening.pop_all()
        self._task = asyncio.create_task(self._run(), name=f"follow {self._topic}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # told to those who waited; nobody else is left
        await self._open.aclose()

    async def caught_up(self, timeout_s: float = 60.0) -> None:
        """Returns at the end of the topic as it was at the start; raises what ended the follower, if anything did."""
        reached = asyncio.ensure_future(self._caught_up.wait())
        try:
            await asyncio.wait([reached, self._task], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reached.cancel()
        if self._task.done():
            self._task.result()
        if not self._caught_up.is_set():
            raise TransportError(f"following {self._topic}", f"not at its end after {timeout_s} s")

    async def ended(self) -> None:
        """Waits until the follower ends, which it only does by a failing callback: raises that failure."""
        await asyncio.shield(self._task)

    async def _assign(self) -> None:
        numbers = await partitions_of(self._consumer._client, self._topic)
        every = [TopicPartition(self._topic, number) for number in numbers]
        starts, ends = await self._consumer.beginning_offsets(every), await self._consumer.end_offsets(every)
        self._consumer.assign(every)
        for tp, offset in starts.items():
            self._consumer.seek(tp, offset)
        self._behind = {tp: end for tp, end in ends.items() if end > starts[tp]}

    async def _run(self) -> None:
        while True:
            try:
                batches = await self._consumer.getmany(timeout_ms=POLL_MS)
                await self._note_progress()
            except (KafkaError, OSError):
                await asyncio.sleep(PAUSE_S)  # the client reconnects by itself; positions are kept in it
                continue
            for batch in batches.values():
                for message in batch:
                    self._on_record(as_record(message, self._called))
            if not self._behind:
                self._caught_up.set()

    async def _note_progress(self) -> None:
        self._behind = {tp: end for tp, end in self._behind.items() if await self._consumer.position(tp) < end}
