"""# Engine: lease

Responsibility: know whether this process may still speak for its partitions.
Guarantees: a process that slept past its session holds back rows and outputs until the group has confirmed it again
    (tests/unit/streams/engine/test_lease.py::test_held_after_silence_waits_for_renewal);
    a record whose generation ends meanwhile is let go unsent
    (tests/unit/streams/engine/test_lease.py::test_held_given_up_record_returns_false).
NOT Responsible For: leaving the group (aiokafka), duplicates that were on the wire already (the door of final answers).
"""

import asyncio
import time
from collections.abc import Callable

MARGIN = 0.9  # of the session: a record must also arrive before the group may give the partition away


def since_boot() -> float:
    """Seconds since boot, those of a suspended machine included: the group's clock went on meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Renewed by each heartbeat that the group's coordinator confirmed; times in seconds since boot."""

    def __init__(self, session_s: float, now: Callable[[], float] = since_boot) -> None:
        self._for_s, self._now = session_s * MARGIN, now
        self._since = now()
        self._news = asyncio.Event()

    def renewed(self, at: float) -> None:
        """The group confirmed the membership with a request sent ``at``."""
        self._since = max(self._since, at)
        self._news.set()

    def wake(self) -> None:
        """Let those who wait look again."""
        self._news.set()

    def valid(self) -> bool:
        """May this process send now?"""
        return self._now() - self._since < self._for_s

    async def held(self, given_up: Callable[[], bool]) -> bool:
        """Wait until sending is allowed (True) or the record is given up (False)."""
        while not given_up():
            if self.valid():
                return True
            self._news.clear()
            await self._news.wait()
        return False
