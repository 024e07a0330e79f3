"""# Engine: calls

Responsibility: keep slow calls alive by key, above records and generations.
Guarantees: one call at a time under a key, whoever asks
    (tests/unit/streams/engine/test_calls.py::test_shared_two_askers_one_key_start_one_call);
    a call outlives the record that began it, and a redelivered record attaches to it
    (tests/unit/streams/engine/test_calls.py::test_shared_asker_cancelled_call_runs_on_and_next_attaches);
    calls of partitions that moved away are cancelled and counted
    (tests/unit/streams/engine/test_calls.py::test_keep_partition_moved_call_is_cancelled_and_counted).
NOT Responsible For: what a call does, and writing its result down (the stage).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Call:
    """One running or finished call; kept until the record that asked for it is done."""

    partition: int
    task: "asyncio.Task[Any]"


@dataclass(slots=True)
class Calls:
    """The calls of one app in this process, by key. ``moved`` counts those that another worker repeats."""

    running: dict[bytes, Call] = field(default_factory=dict)
    moved: int = 0

    async def shared(self, key: bytes, partition: int, call: Callable[[], Awaitable[Any]]) -> Any:
        """The result of the one call under ``key``: starts it or attaches; it runs on when the asker is cancelled."""
        known = self.running.get(key)
        if known is None:
            task = asyncio.get_running_loop().create_task(_run(call))
            task.add_done_callback(_seen)
            known = self.running[key] = Call(partition, task)
        return await asyncio.shield(known.task)

    def forget(self, key: bytes) -> None:
        """The record that asked for this call is done with it: its result is written down, or its failure answered."""
        self.running.pop(key, None)

    def keep(self, partitions: set[int]) -> int:
        """Drop the calls of partitions not among ``partitions``, running or not yet written down; says how many."""
        gone = [key for key, call in self.running.items() if call.partition not in partitions]
        for key in gone:
            self.running.pop(key).task.cancel()
        self.moved += len(gone)
        return len(gone)

    async def stop(self) -> int:
        """Cancel everything and wait until it has ended. Returns how many were still running."""
        tasks = [call.task for call in self.running.values() if not call.task.done()]
        self.running.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        return len(tasks)


async def _run(call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


def _seen(task: "asyncio.Task[Any]") -> None:
    """A failure that nobody waits for is no news for asyncio's log, which would print its text."""
    if not task.cancelled():
        task.exception()
