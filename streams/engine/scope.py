"""# Engine: scope

Responsibility: what a handler is given with one record: its rows, its clock, its shared call.
Guarantees: ``settled`` returns only after every table write so far is acknowledged
    (tests/unit/streams/engine/test_scope.py::test_settled_unacknowledged_write_keeps_waiting);
    no call is begun while the group may have given the partition away
    (tests/unit/streams/engine/test_scope.py::test_shared_call_under_a_lease_that_is_over_is_not_begun).
NOT Responsible For: the record's outputs and acknowledgement (loop).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from streams.engine.calls import Calls
from streams.engine.delivery import Delivery
from streams.engine.lease import Lease
from streams.engine.tables import NoRows, Rows
from streams.ports import Clock
from streams.stage import Record, Table
from topics.errors import OrchestratorError

T = TypeVar("T")
Failpoint = Callable[[str], None]


class RecordScope:
    """The scope of one record; ``calling``: it waits for what runs on without it, or can be waited for elsewhere."""

    __slots__ = ("_calls", "_clock", "_delivery", "_failpoint", "_lease", "_record", "asked", "calling", "rows")

    def __init__(
        self,
        record: Record,
        rows: Rows | NoRows,
        clock: Clock | None,
        calls: Calls,
        delivery: Delivery,
        lease: Lease,
        failpoint: Failpoint,
    ) -> None:
        self._record, self.rows, self._clock, self._calls = record, rows, clock, calls
        self._delivery, self._lease, self._failpoint = delivery, lease, failpoint
        self.calling = False
        self.asked: list[bytes] = []

    @property
    def table(self) -> Table:
        """The rows of the record's partition."""
        return self.rows

    def derived(self, build: Callable[[Table], T]) -> T:
        """What was made of the partition's rows since it came here."""
        return self.rows.derived(build)

    @property
    def now_ms(self) -> int:
        """The record's append time, or the clock for a stage that reads it."""
        return self._record.timestamp_ms if self._clock is None else self._clock.now_ms()

    async def settled(self) -> None:
        """Send the table writes made so far and wait for their acknowledgement; raises the broker's refusal."""
        parcels = self.rows.taken(_unasked)
        if not parcels:
            return
        done = Countdown(len(parcels), asyncio.get_running_loop().create_future())
        for parcel in parcels:
            parcel.settled = done
        self._failpoint("row-written")
        await self._lease.held(lambda: False)  # a record that is given up meanwhile is cancelled here
        await self._delivery.send_in_order(parcels)
        self._failpoint("row-sent")
        refused = await done.future
        if isinstance(refused, OrchestratorError):
            raise refused
        self._failpoint("row-acknowledged")

    async def shared(self, key: bytes, call: Callable[[], Awaitable[T]]) -> T:
        """The one running call under ``key``, started or attached to; none is started under a lease that is over."""
        self.asked.append(key)
        self.calling = True
        try:
            if not self._lease.valid():
                await self._lease.held(lambda: False)  # who slept past the session would buy what another one buys now
            result: Any = await self._calls.shared(key, self._record.partition, call)
        finally:
            self.calling = False
        self._failpoint("call-returned")
        return result

    async def idle(self, awaited: Awaitable[T]) -> T:
        """Awaits something for which the record need not be held."""
        self.calling = True
        try:
            return await awaited
        finally:
            self.calling = False

    def close(self) -> None:
        """The record is done: its calls need not be kept for a redelivery."""
        for key in self.asked:
            self._calls.forget(key)


def _unasked(error: OrchestratorError | None) -> None:
    """Replaced before a parcel is sent."""


class Countdown:
    """Resolves ``future`` once as many deliveries were told, with the first refusal among them, if there was one."""

    __slots__ = ("_left", "_refused", "future")

    def __init__(self, left: int, future: "asyncio.Future[OrchestratorError | None]") -> None:
        self._left, self.future = left, future
        self._refused: OrchestratorError | None = None

    def __call__(self, error: OrchestratorError | None) -> None:
        """One delivery was told."""
        self._left -= 1
        self._refused = self._refused or error
        if not self._left and not self.future.done():
            self.future.set_result(self._refused)
