"""What was asked, what came back, and when? A drill's client: a steady load, and all of `results`."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import orjson

from streams.client import Door
from streams.client.door import Publisher, Sent
from streams.decisions.offsets import FromStart
from streams.decisions.proof import Word
from streams.drill.crew import steady_s
from streams.stage import Record
from topics.catalog import PROMPTS, RESULTS
from topics.errors import OrchestratorError

Make = Callable[[int], bytes]  # the request of that number
RETRY_S = 0.5


@dataclass(slots=True)
class Sheet:
    """Who was asked what, how publishing it ended, and the hashes of the requests that each id has answers to."""

    sent: dict[str, set[bytes]] = field(default_factory=dict)
    told: dict[str, set[Word]] = field(default_factory=dict)
    answered: dict[str, set[str]] = field(default_factory=dict)
    came: list[float] = field(default_factory=list)

    @property
    def accepted(self) -> set[str]:
        """Ids of requests that the broker acknowledged."""
        return {id for id, words in self.told.items() if "ok" in words}

    @property
    def waiting(self) -> set[str]:
        """Ids of acknowledged requests without an answer to each of their bodies."""
        return {id for id in self.accepted if len(self.answered.get(id, ())) < len(self.sent[id])}

    def take(self, record: Record) -> None:
        """Notes an answer; a copy changes nothing."""
        answer = orjson.loads(record.value or b"{}")
        known, hash = self.answered.setdefault(str(answer.get("id")), set()), str(answer.get("request_hash"))
        if hash not in known:
            known.add(hash)
            self.came.append(record.timestamp_ms / 1000)

    def silence_s(self) -> float:
        """The longest wait for a next answer."""
        return max((after - before for before, after in itertools.pairwise(sorted(self.came))), default=0.0)


class Load:
    """A client that asks at a steady rate until it is told to stop, and notes what comes."""

    def __init__(self, door: Door, make: Make, rate: float, sheet: Sheet | None = None) -> None:
        self.door, self.make, self.rate = door, make, rate
        self.sheet = sheet or Sheet()
        self.number = 0
        self._told: set[asyncio.Task[None]] = set()
        self._enough = asyncio.Event()

    async def ask(self, publisher: Publisher, value: bytes) -> None:
        """Publishes one request; its acknowledgement is noted when it comes."""
        id = str(orjson.loads(value)["id"])
        self.sheet.sent.setdefault(id, set()).add(value)
        report = await publisher.send(PROMPTS, id.encode(), value)
        task = asyncio.ensure_future(self._note(id, report))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _note(self, id: str, report: Awaitable[Sent]) -> None:
        try:
            await report
        except OrchestratorError:
            self.sheet.told.setdefault(id, set()).add("unknown")
        else:
            self.sheet.told.setdefault(id, set()).add("ok")

    async def publish(self, publisher: Publisher, count: int | None = None) -> None:
        """Asks ``count`` times, else until ``enough``; returns once each acknowledgement is known."""
        start = steady_s()
        for sent in range(count) if count is not None else itertools.count():
            if self._enough.is_set():
                break
            await self.ask(publisher, self.make(self.number))
            self.number += 1
            await asyncio.sleep(max(0.0, start + sent / self.rate - steady_s()) if self.rate else 0.0)
        await self.settled()

    async def settled(self) -> None:
        """Returns once each acknowledgement is known."""
        while self._told:
            await asyncio.wait(self._told)

    def enough(self) -> None:
        """Ends the asking."""
        self._enough.set()

    async def collect(self) -> None:
        """Notes answers until it is cancelled; a broker that goes away is asked again from the start."""
        while True:
            try:
                async with self.door.tail(RESULTS, FromStart(), follow=True) as records:
                    async for record in records:
                        self.sheet.take(record)
            except OrchestratorError:
                await asyncio.sleep(RETRY_S)
