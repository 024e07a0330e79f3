"""How does a worker's board keep in step with the stage? A follower of `breakers`, and a producer to `calls`.

Evidence that cannot be written is dropped, oldest first: while the broker is away nobody calls for long anyway.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, Self

from streams.adapters.board import EVERY_MS, Board
from streams.decisions.breaker import BreakerPolicy
from streams.engine.cluster import Cluster
from streams.engine.follow import Follower
from streams.engine.publisher import Publisher
from streams.ports import Clock
from streams.stage import Record
from topics.catalog import BREAKERS, CALLS, Names

log = logging.getLogger(__name__)

UNSENT = 10_000  # records that wait to be written
START_S, PAUSE_S, YEAR_S = 15.0, 1.0, 365 * 86_400.0
NUMBERS = {"closed": 0.0, "half-open": 1.0, "open": 2.0}


class Following(Protocol):
    """What is needed of a follower."""

    async def caught_up(self, timeout_s: float = 60.0) -> None: ...

    async def ended(self) -> None: ...


class Publishing(Protocol):
    """What is needed of a publisher."""

    async def send(self, topic: str, key: bytes | None, value: bytes | None) -> object: ...


Follow = Callable[[Callable[[Record], None]], AbstractAsyncContextManager[Following]]
Publish = Callable[[], AbstractAsyncContextManager[Publishing]]


def real(cluster: Cluster, names: Names) -> tuple[Follow, Publish]:
    """A follower of the real topic, and a publisher to the other."""
    return (
        lambda on_record: Follower(cluster, names.topic(BREAKERS), on_record, called=BREAKERS),
        lambda: Publisher(cluster, names),
    )


class BoardKeeper:
    """Runs the board of the worker called ``worker``; ready when it has come to the end of ``breakers`` once."""

    def __init__(
        self,
        worker: str,
        ways: tuple[Follow, Publish],
        policy: BreakerPolicy,
        clock: Clock,
        *,
        start_s: float = START_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._follow, self._publish = ways
        self._clock, self._start_s, self._pause_s = clock, start_s, pause_s
        self._unsent = deque[tuple[str, bytes]](maxlen=UNSENT)
        self._more, self._ready = asyncio.Event(), asyncio.Event()
        self.board = Board(worker, self._later, policy)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the worker is not ready; empty when it is."""
        return () if self._ready.is_set() else ("breakers: reading to their end",)

    def states(self) -> dict[tuple[str, ...], float]:
        """0 closed, 1 half-open, 2 open: for metrics."""
        return {(service,): NUMBERS[state] for service, state in self.board.states.items()}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """In step inside; entered at the end of ``breakers``, or without it when that takes too long."""
        work = asyncio.ensure_future(self._kept_up())
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait([ready], timeout=self._start_s)
            yield self
        finally:
            await _cancelled(ready, work)

    def _later(self, service: str, value: bytes) -> None:
        self._unsent.append((service, value))
        self._more.set()

    async def _kept_up(self) -> None:
        """For ever; whatever ends it, it begins again, and older words change nothing."""
        while True:
            try:
                await self._once()
            except Exception as failed:
                log.warning("following breakers: %s", type(failed).__name__, extra={"action": "breakers-again"})
                await asyncio.sleep(self._pause_s)

    async def _once(self) -> None:
        async with self._publish() as publisher, self._follow(self.board.apply) as follower:
            await _first_end(follower.ended(), self._caught_up(follower), self._sent(publisher), self._flushed())

    async def _caught_up(self, follower: Following) -> None:
        await follower.caught_up(YEAR_S)
        self._ready.set()
        await asyncio.Event().wait()

    async def _sent(self, publisher: Publishing) -> None:
        while True:
            self._more.clear()
            while self._unsent:
                service, value = self._unsent.popleft()
                await publisher.send(CALLS, service.encode(), value)
            await self._more.wait()

    async def _flushed(self) -> None:
        while True:
            await asyncio.sleep(EVERY_MS / 2000)
            self.board.flush(self._clock.now_ms())


async def _first_end(*ways: Coroutine[Any, Any, None]) -> None:
    """Runs all until one ends, which only a failure does: raises it."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _cancelled(*tasks)


async def _cancelled(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
