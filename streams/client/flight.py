"""How are many requests on their way at once, in bounded memory and through a broker's restart, each answered once?"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from streams.client.door import Publisher, Sent
from streams.decisions.questions import Question
from streams.stage import ORIGINAL_KEY, Headers, Record
from topics import wire
from topics.answer import Answer
from topics.catalog import MIB, PROMPTS
from topics.errors import TransportError

Failure = asyncio.Future[Answer]
Handed = tuple[Question, Awaitable[Sent]]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Bounds:
    """``in_flight`` requests without an answer, ``unacked_bytes`` of them not yet acknowledged by the broker.

    A broker that was reached once and is away is asked again every ``retry_s`` for ``patience_s``; one that never was
    is told at once, as the address is probably wrong.
    """

    in_flight: int = 5_000
    unacked_bytes: int = 16 * MIB
    patience_s: float = 600.0
    retry_s: float = 0.5


class Flight:
    """Publishes what there is room for, again where the broker went away meanwhile; hands back first answers.

    A request is published at least once, always under the same id: copies are one request to the pipeline. Its answer
    is counted as here, and its place given to another, once it was taken by ``answer``.
    """

    def __init__(
        self, publisher: Publisher, bounds: Bounds, headers: Callable[[str], Headers], clock: Clock = time.monotonic
    ) -> None:
        self._publisher, self._bounds, self._headers, self._clock = publisher, bounds, headers, clock
        self.waiting: dict[bytes, str] = {}
        self._arrived: asyncio.Queue[Answer | Failure | None] = asyncio.Queue()
        self._unacked: asyncio.Queue[Handed] = asyncio.Queue()
        self._bytes, self._room, self._over = 0, asyncio.Event(), False
        self._reached, self._failing_since = False, float("inf")

    @asynccontextmanager
    async def begun(self, questions: AsyncIterator[Question], results: AsyncIterable[Record]) -> AsyncIterator[None]:
        """The work behind it goes on inside the block and is stopped at its end."""
        jobs = (self._publish(questions), self._acknowledge(), self._collect(results))
        tasks = [asyncio.create_task(self._reported(job)) for job in jobs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def answer(self, end: float | None) -> Answer | None:
        """The next answer, None when there are no more; a failure behind it is raised, ``TimeoutError`` at ``end``."""
        while not (self._over and not self.waiting and self._arrived.empty()):
            if self._arrived.empty():
                async with asyncio.timeout(None if end is None else end - self._clock()):
                    item = await self._arrived.get()
            else:
                item = self._arrived.get_nowait()
            self._room.set()
            if item is not None:
                return item if isinstance(item, Answer) else item.result()
        return None

    async def _publish(self, questions: AsyncIterator[Question]) -> None:
        async for question in questions:
            while self._full(len(question.value)):
                self._room.clear()
                await self._room.wait()
            self.waiting[question.key] = question.id  # before sending: the answer may be faster than the broker's word
            self._bytes += len(question.value)
            self._unacked.put_nowait((question, await self._handed(question)))
        self._over = True
        self._arrived.put_nowait(None)  # wakes who waits, as nothing else may come

    def _full(self, size: int) -> bool:
        crowded = len(self.waiting) + self._arrived.qsize() >= self._bounds.in_flight
        return crowded or (self._bytes > 0 and self._bytes + size > self._bounds.unacked_bytes)

    async def _acknowledge(self) -> None:
        while True:
            question, delivery = await self._unacked.get()
            try:
                await delivery
            except TransportError as away:
                await self._pause(away)
                self._unacked.put_nowait((question, await self._handed(question)))
                continue
            self._reached, self._failing_since = True, float("inf")
            self._bytes -= len(question.value)
            self._room.set()

    async def _handed(self, question: Question) -> Awaitable[Sent]:
        while True:
            try:
                return await self._publisher.send(PROMPTS, question.key, question.value, self._headers(question.id))
            except TransportError as away:
                await self._pause(away)

    async def _pause(self, away: TransportError) -> None:
        """Waits before another try; raises what happened where no further one makes sense."""
        now = self._clock()
        self._failing_since = min(self._failing_since, now)
        if not self._reached or now - self._failing_since > self._bounds.patience_s:
            raise away
        await asyncio.sleep(self._bounds.retry_s)

    async def _collect(self, results: AsyncIterable[Record]) -> None:
        """Takes the first answer of each request; copies and other people's answers are passed over."""
        async for record in results:
            if record.key is not None and self.waiting.pop(record.key, None) is not None:
                self._arrived.put_nowait(wire.decode(record.value, Answer))
            elif (key := record.header(ORIGINAL_KEY)) in self.waiting:
                self._take_refused(key or b"", wire.decode(record.value, Answer))

    def _take_refused(self, key: bytes, answer: Answer) -> None:
        """A request whose id was refused is answered under another one; its key tells whose answer it is."""
        if answer.status == "rejected":
            self._arrived.put_nowait(answer.model_copy(update={"id": self.waiting.pop(key)}))

    async def _reported(self, job: Awaitable[None]) -> None:
        try:
            await job
        except Exception as failed:
            self._arrived.put_nowait(_failure(failed))


def _failure(failed: Exception) -> Failure:
    """An error to be raised by whoever asks for the result; marked as seen, as nobody may ask any more."""
    failure: Failure = asyncio.get_running_loop().create_future()
    failure.set_exception(failed)
    failure.exception()
    return failure


__all__ = ["Bounds", "Flight"]
