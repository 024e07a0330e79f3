"""What time is it? The wall clock of this machine, and one wound by hand for tests, with its own sleep and timeout."""

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from types import TracebackType

START_MS = 1_769_860_800_000  # 2026-01-31T12:00:00Z


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000


class HandClock:
    """A clock that stands still until it is wound; it wakes who sleeps on it, in order."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self._now_ms = start_ms
        self._numbers = count()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._asleep: set[asyncio.Future[None]] = set()
        self._ending: set[HandTimeout] = set()

    def now_ms(self) -> int:
        """Epoch milliseconds, as wound so far."""
        return self._now_ms

    @property
    def next_ms(self) -> int | None:
        """When the next sleeper or deadline is due."""
        return self._timers[0][0] if self._timers else None

    @property
    def sleepers(self) -> int:
        """How many sleep on it now."""
        return len(self._asleep)

    @property
    def ending(self) -> int:
        """How many timeouts have passed whose bodies have not ended yet: winding on would be too early."""
        return len(self._ending)

    def ends(self, timeout: "HandTimeout", begun: bool) -> None:
        """A timeout has passed (``begun``), or its body has ended."""
        (self._ending.add if begun else self._ending.discard)(timeout)

    async def sleep(self, seconds: float) -> None:
        """Returns once the clock has been wound that far."""
        woken = asyncio.get_running_loop().create_future()
        self._asleep.add(woken)
        forget = self.call_after(seconds, lambda: self._wake(woken))
        try:
            await woken
        finally:
            self._asleep.discard(woken)
            forget()

    def within(self, seconds: float | None) -> "HandTimeout":
        """Like ``asyncio.timeout``, by this clock."""
        return HandTimeout(self, seconds)

    def call_after(self, seconds: float, fire: Callable[[], None]) -> Callable[[], None]:
        """Calls ``fire`` once wound that far; returns what takes it back."""
        timer = (self._now_ms + round(max(seconds, 0.0) * 1000), next(self._numbers), fire)
        heapq.heappush(self._timers, timer)
        return lambda: self._forget(timer)

    def wind_to(self, ms: int) -> None:
        """Sets the time, never back, and fires what is due until then."""
        while self._timers and self._timers[0][0] <= ms:
            due_ms, _, fire = heapq.heappop(self._timers)
            self._now_ms = max(self._now_ms, due_ms)
            fire()
        self._now_ms = max(self._now_ms, ms)

    def _forget(self, timer: tuple[int, int, Callable[[], None]]) -> None:
        if timer in self._timers:
            self._timers.remove(timer)
            heapq.heapify(self._timers)

    def _wake(self, woken: "asyncio.Future[None]") -> None:
        self._asleep.discard(woken)
        if not woken.done():
            woken.set_result(None)


class HandTimeout:
    """Cancels what runs inside it when the hand clock passes its end; then raises ``TimeoutError``."""

    def __init__(self, clock: HandClock, seconds: float | None) -> None:
        self._clock, self._seconds, self._inner = clock, seconds, asyncio.timeout(None)
        self._forget: Callable[[], None] | None = None

    async def __aenter__(self) -> "HandTimeout":
        await self._inner.__aenter__()
        if self._seconds is not None:
            self._forget = self._clock.call_after(self._seconds, self._end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._forget is not None:
            self._forget()
        self._clock.ends(self, begun=False)
        await self._inner.__aexit__(kind, error, trace)

    def _end(self) -> None:
        self._clock.ends(self, begun=True)
        self._inner.reschedule(0.0)

    def expired(self) -> bool:
        """Whether its end has passed."""
        return self._inner.expired()
