"""How does an ``async def`` test run? In a loop of its own, bounded in time."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

LONGEST_S = 60.0


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The test as a plain function that pytest can run; fixtures and parameters pass through."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), LONGEST_S))

    return run


async def until(claim: Callable[[], bool], within_s: float = 20.0) -> None:
    """Returns as soon as the claim holds; fails after the deadline."""
    async with asyncio.timeout(within_s):
        while not claim():  # noqa: ASYNC110 (claims are about foreign state, which sets no event)
            await asyncio.sleep(0.02)
