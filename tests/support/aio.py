"""How does an ``async def`` test run without waiting? In a loop whose time jumps to the next timer once all wait."""

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from typing import Any


class _Jumping(selectors.DefaultSelector):
    """Never blocks: winds the loop's time instead, and fails where no timer is left to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("all tasks wait for something that nobody will do")
        self.now_s += 0.0 if ready or timeout is None else max(0.0, timeout)
        return ready


class VirtualTime(asyncio.SelectorEventLoop):
    """A loop in which an hour passes in no time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The test as a plain function that pytest can run; fixtures and parameters pass through."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            runner.run(test(*args, **kwargs))  # type: ignore[arg-type]  # an async function gives a coroutine

    return run


def now_s() -> float:
    """Seconds on the running loop's clock."""
    return asyncio.get_running_loop().time()


async def pass_s(seconds: float) -> None:
    """That much time passes, at once, and all that is due meanwhile happens."""
    until = now_s() + seconds
    while now_s() < until:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_at(until, timer.set_result, None)
        await timer


async def turns(count: int = 5) -> None:
    """Other tasks run for some turns of the loop; no time passes."""
    for _ in range(count):
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn
