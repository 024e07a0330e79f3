"""Scopes for handlers: rows in a dict, a clock that is a number, acknowledgements by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from streams.adapters.memory import Rows
from streams.stage import Output, Record, Stage, Table
from tests.support.builders import NOW_MS

T = TypeVar("T")


class NotingRows(Rows):
    """Rows that remember which keys were written, in order."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        super().__init__(rows)
        self.puts = list[bytes]()

    def put(self, key: bytes, value: bytes) -> None:
        self.puts.append(key)
        super().put(key, value)


class FakeScope:
    """What a handler is given; ``acknowledged`` is unset by a test that wants ``settled`` to wait."""

    def __init__(self, rows: dict[bytes, bytes] | None = None, now_ms: int = NOW_MS) -> None:
        self.rows = {} if rows is None else rows
        self.now_ms = now_ms
        self.table = NotingRows(self.rows)
        self.made: list[object] = []  # empty it, and the partition has come here anew
        self.acknowledged = asyncio.Event()
        self.acknowledged.set()
        self.settled_with: list[dict[bytes, bytes]] = []
        self.calls: dict[bytes, asyncio.Task[object]] = {}
        self.naps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """For who is given a way to sleep: time passes at once."""
        self.naps.append(seconds)
        self.now_ms += round(seconds * 1000)
        await asyncio.sleep(0)

    def derived(self, build: Callable[[Table], T]) -> T:
        if not self.made:
            self.made.append(build(self.table))
        return self.made[0]  # type: ignore[return-value]  # what the one builder of a test gives

    async def settled(self) -> None:
        self.settled_with.append(dict(self.rows))
        await self.acknowledged.wait()

    async def shared(self, key: bytes, call: Callable[[], Awaitable[T]]) -> T:
        task = self.calls.get(key) or self.calls.setdefault(key, asyncio.ensure_future(call()))  # type: ignore[arg-type]  # any call
        return await task  # type: ignore[return-value]  # the call's own type

    async def idle(self, awaited: Awaitable[T]) -> T:
        return await awaited


async def handled(stage: Stage, record: Record, scope: FakeScope) -> list[Output]:
    """The outputs of one record, whether the stage awaits or not; undressed."""
    outputs = stage.handle(record, scope)
    return list(await outputs if isawaitable(outputs) else outputs)


def run(stage: Stage, record: Record, scope: FakeScope | None = None) -> list[Output]:
    """The same in a loop of its own."""

    async def once() -> list[Output]:
        return await handled(stage, record, scope or FakeScope())

    return asyncio.run(once())


async def until(true: Callable[[], object], turns: int = 1000) -> None:
    """Lets other tasks run until something holds; fails after so many turns of the loop."""
    for _ in range(turns):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"still not true after {turns} turns")


async def turns(count: int = 5) -> None:
    """Lets other tasks run for so many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)
