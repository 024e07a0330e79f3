"""Which workers run, and what befell each? Processes in slots: started, killed, put to sleep, and started again."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from typing import ClassVar, Protocol

from streams.drill.account import Blow
from streams.local import supervisor
from topics.errors import OrchestratorError

POLL_S = 0.1
STOP_S = 30.0
PLAIN = ("streams",)


class Process(supervisor.Process, Protocol):
    """A worker's process; ``subprocess.Popen`` is one."""

    def send_signal(self, number: int, /) -> None: ...


Start = Callable[[int, tuple[str, ...]], Process]  # by slot and Python module with its first arguments


class DrillFailed(OrchestratorError):
    """The drill could not be held: what it needs did not start, or did not do its part in time."""

    kind: ClassVar[str] = "drill_failed"


def name_of(slot: int) -> str:
    """What a worker is called in the provider's ledger."""
    return f"worker-{slot}"


class Crew:
    """Workers by slot. What ends by itself is started again by ``revive``, as a supervisor does."""

    def __init__(self, start: Start, slots: Iterable[int], now: Callable[[], float] = time.time) -> None:
        self._start, self._now = start, now
        self.slots = tuple(slots)
        self.processes: dict[int, Process] = {}
        self.blows: list[Blow] = []
        self.fallen = 0

    def start(self, slot: int, main: tuple[str, ...] = PLAIN) -> None:
        """Starts the worker of a slot, under another module where one is named."""
        self.processes[slot] = self._start(slot, main)

    def start_all(self) -> None:
        """Starts every slot's worker."""
        for slot in self.slots:
            self.start(slot)

    def kill(self, slot: int, main: tuple[str, ...] = PLAIN) -> None:
        """Without warning, and started again at once."""
        killed(self.processes[slot])
        self._befell(slot)
        self.start(slot, main)

    async def leave(self, slot: int, within_s: float = STOP_S) -> None:
        """Asks a worker to end, and waits for that; one that does not is killed."""
        process = self.processes.pop(slot)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        if not await ended(process, within_s):
            process.kill()
            await ended(process, within_s)
        self._befell(slot)  # what it handed back unfinished is called again

    def pause(self, slot: int) -> None:
        """Puts a worker to sleep, with all its connections."""
        self.processes[slot].send_signal(signal.SIGSTOP)
        self._befell(slot)

    def resume(self, slot: int) -> None:
        """Wakes it."""
        self.processes[slot].send_signal(signal.SIGCONT)
        self._befell(slot)  # what it lost meanwhile it only gives up now

    def revive(self) -> None:
        """Starts again what has ended by itself."""
        for slot, process in list(self.processes.items()):
            if process.poll() is not None:
                self.fallen += 1
                self._befell(slot)
                self.start(slot)

    async def leave_all(self, within_s: float = STOP_S) -> None:
        """Asks all workers to end, at the same time."""
        await asyncio.gather(*(self.leave(slot, within_s) for slot in list(self.processes)))

    def end(self) -> None:
        """Nobody is left behind, however the drill ended."""
        while self.processes:
            killed(self.processes.popitem()[1])

    def _befell(self, slot: int) -> None:
        self.blows.append(Blow(name_of(slot), self._now()))


def killed(process: Process) -> None:
    """Ends a process without warning; it is reaped on return."""
    process.kill()
    while process.poll() is None:
        time.sleep(POLL_S / 10)


def steady_s() -> float:
    """Seconds on the running loop's clock."""
    return asyncio.get_running_loop().time()


async def ended(process: Process, within_s: float) -> bool:
    """Whether a process has ended in time."""
    return await until(lambda: process.poll() is not None, within_s)


async def until(holds: Callable[[], bool], within_s: float, meanwhile: Callable[[], None] = lambda: None) -> bool:
    """Whether it held in time; ``meanwhile`` is done at each look."""
    end = steady_s() + within_s
    while not holds() and steady_s() < end:
        meanwhile()
        await asyncio.sleep(POLL_S)
    return holds()
