"""How does a worker's corpus keep in step with `documents`? A follower of the topic on a thread with a loop of its own.

So reading and indexing hold up nothing else, and a slow index slows its own reading down instead of filling memory.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, Self

from streams.decisions import corpus
from streams.engine.cluster import Cluster
from streams.engine.follow import Follower
from streams.ports import Corpus
from streams.stage import Record
from topics.catalog import DOCUMENTS, Names

log = logging.getLogger(__name__)

COMMIT_S, PAUSE_S, STOP_S, YEAR_S = 0.2, 1.0, 5.0, 365 * 86_400.0
TOLD = 20  # skipped records that are logged one by one; of further ones each thousandth


class Following(Protocol):
    """What is needed of a follower."""

    async def caught_up(self, timeout_s: float = 60.0) -> None: ...

    async def ended(self) -> None: ...


Follow = Callable[[Callable[[Record], None]], AbstractAsyncContextManager[Following]]


def following(cluster: Cluster, names: Names) -> Follow:
    """A follower of the real topic."""
    return lambda on_record: Follower(cluster, names.topic(DOCUMENTS), on_record, called=DOCUMENTS)


class CorpusKeeper:
    """Applies every record of ``documents``; ready when it has come to their end once."""

    def __init__(self, follow: Follow, kept: Corpus, *, every_s: float = COMMIT_S, pause_s: float = PAUSE_S) -> None:
        self._follow, self._kept, self._every_s, self._pause_s = follow, kept, every_s, pause_s
        self._stop = threading.Event()
        self._applied: dict[int, int] = {}
        self._dirty = self._ready = False
        self.skipped = 0

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the worker is not ready; empty when it is."""
        return () if self._ready else ("documents: reading to their end",)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """The thread runs inside."""
        loop, stop = asyncio.new_event_loop(), asyncio.Event()
        thread = threading.Thread(target=self._in_thread, args=(loop, stop), name="documents", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            await asyncio.to_thread(thread.join, STOP_S)

    def apply(self, record: Record) -> None:
        """Folds one record into the corpus; one that is no document is counted, told without content, and passed."""
        match corpus.change(record.key, record.value):
            case corpus.Put(document):
                self._kept.put(document)
            case corpus.Drop(id):
                self._kept.drop(id)
            case corpus.Skip(id, reason):
                self._passed_over(record, reason)
                if id is not None:
                    self._kept.drop(id)
        self._applied[record.partition] = record.offset + 1
        self._dirty = True

    def _passed_over(self, record: Record, reason: str) -> None:
        self.skipped += 1
        if self.skipped <= TOLD or self.skipped % 1000 == 0:
            told = {"action": "document-skipped", "skipped": self.skipped}
            log.warning("%s is no document: %s", record.at, reason, extra=told)

    def _in_thread(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        try:
            loop.run_until_complete(self._until(stop))
        finally:
            loop.close()

    async def _until(self, stop: asyncio.Event) -> None:
        work = asyncio.ensure_future(self._kept_up())
        await stop.wait()
        work.cancel()
        await asyncio.wait([work])

    async def _kept_up(self) -> None:
        """Follows for ever; whatever ends it, it begins again with an empty corpus."""
        while True:
            try:
                await self._once()
            except Exception as failed:
                self._ready = False
                log.warning("following documents: %s", type(failed).__name__, extra={"action": "documents-again"})
                await asyncio.sleep(self._pause_s)

    async def _once(self) -> None:
        self._kept.clear()
        self._applied, self._dirty = {}, True
        async with self._follow(self.apply) as follower:
            ended = asyncio.ensure_future(follower.ended())
            reached = asyncio.ensure_future(follower.caught_up(YEAR_S))
            try:
                while True:
                    await asyncio.wait(
                        [ended] if reached.done() else [ended, reached],
                        timeout=self._every_s,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    if ended.done():
                        ended.result()
                    if reached.done():
                        self._show()
            finally:
                ended.cancel()
                reached.cancel()
                await asyncio.gather(ended, reached, return_exceptions=True)

    def _show(self) -> None:
        if self._dirty:
            self._dirty = False
            self._kept.commit(corpus.snapshot(self._applied))
        self._ready = True
