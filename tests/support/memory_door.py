"""The door of a pipeline in memory, so that what works through a door can be told as a story without a broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from streams.decisions.offsets import Position, resolve
from streams.stage import Headers, Record
from streams.testing import Pipeline
from topics.catalog import Names


@dataclass(frozen=True)
class MemoryDoor:
    """``publisher`` and ``tail`` as the client has them; who follows looks again whenever others had their turn."""

    pipeline: Pipeline
    names: Names = field(default_factory=Names)

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator["MemoryDoor"]:
        yield self

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Any:
        written = asyncio.get_running_loop().create_future()
        written.set_result(self.pipeline.write(topic, value, key, headers))
        return written

    @asynccontextmanager
    async def tail(
        self, topic: str, start: Position, stop: Position | None = None, *, follow: bool = False
    ) -> AsyncIterator[AsyncIterator[Record]]:
        yield self._records(topic, start, follow)

    async def _records(self, topic: str, start: Position, follow: bool) -> AsyncIterator[Record]:
        ends = [len(partition) for partition in self.pipeline.log.topics[topic]]
        places = [resolve(start, 0, end, 0) for end in ends]
        while True:
            for number, partition in enumerate(self.pipeline.log.topics[topic]):
                while places[number] < (len(partition) if follow else ends[number]):
                    places[number] += 1
                    yield partition[places[number] - 1]
            if not follow:
                return
            await asyncio.sleep(0)  # why: lets whoever writes have a turn
