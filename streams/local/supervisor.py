"""Which worker processes run, and what happens when one ends? Restarts follow ``decisions.restart``.

``tick`` looks once and never waits, so that any loop can drive it and tests need no clock.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from streams.decisions import restart
from streams.decisions.restart import Exited, Fatal, GiveUp, RestartPolicy, RestartState, StopApp
from streams.engine.exit import EXIT_CODE, report_path


class Process(Protocol):
    """What is needed of a child process; ``subprocess.Popen`` has it. ``poll`` also reaps."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


Start = Callable[[int, tuple[str, ...]], Process]
Say = Callable[[str], None]
Roles = Mapping[str, tuple[str, ...]]  # what a worker may be told to run → the apps of that


@dataclass(slots=True)
class Worker:
    """One slot: its roles, its history, and its process or the time of its next start (seconds, steady clock)."""

    slot: int
    roles: tuple[str, ...]
    state: RestartState
    process: Process | None = None
    due_s: float | None = None

    @property
    def alive(self) -> bool:
        """Whether its process runs or will be started again."""
        return self.process is not None or self.due_s is not None


class Supervisor:
    """Keeps one worker a slot running; ``start`` launches one, ``state_dir`` holds the workers' fatal reports."""

    def __init__(
        self,
        start: Start,
        say: Say,
        state_dir: Path,
        slots: Iterable[int],
        roles: Roles,
        policy: RestartPolicy | None = None,
    ) -> None:
        self._start, self._say, self._state_dir = start, say, state_dir
        self._policy, self._roles = policy or RestartPolicy(), roles
        self.workers = {slot: Worker(slot, tuple(roles), RestartState(0.0), due_s=0.0) for slot in slots}

    def tick(self, now: float) -> None:
        """Starts what is due and decides about what has ended."""
        for worker in self.workers.values():
            if worker.process is not None and (code := worker.process.poll()) is not None:
                self._ended(worker, code, now)
            if worker.due_s is not None and worker.due_s <= now:
                self._launch(worker, now)

    @property
    def alive(self) -> bool:
        """Whether any worker runs or will be started again."""
        return any(worker.alive for worker in self.workers.values())

    def pids(self) -> dict[int, int]:
        """Slot → process id, for the workers that run now."""
        return {w.slot: w.process.pid for w in self.workers.values() if w.process is not None}

    async def stop(self, grace_s: float = 20.0) -> None:
        """Asks every worker to end, waits at most ``grace_s`` seconds, then kills; all are reaped on return."""
        running = [w.process for w in self.workers.values() if w.process is not None]
        for process in running:
            process.terminate()
        if not await _reaped(running, grace_s):
            for process in running:
                process.kill()
            await _reaped(running, 10.0)
        for worker in self.workers.values():
            worker.process, worker.due_s = None, None

    def _launch(self, worker: Worker, now: float) -> None:
        report_path(self._state_dir, worker.slot).unlink(missing_ok=True)
        worker.process, worker.due_s = self._start(worker.slot, worker.roles), None
        worker.state = RestartState(now, worker.state.exits, worker.state.seen)

    def _ended(self, worker: Worker, code: int, now: float) -> None:
        fatal = read_report(report_path(self._state_dir, worker.slot)) if code == EXIT_CODE else None
        decision = restart.step(worker.state, Exited(code, fatal), self._policy, now)
        worker.process = None
        if isinstance(decision, StopApp):
            worker.roles = tuple(role for role in worker.roles if decision.app not in self._roles[role])
        if not isinstance(decision, GiveUp):
            worker.state = decision.state
            worker.due_s = now + decision.after_s if worker.roles else None
        self._say(f"worker {worker.slot} ended ({_how(code)}): {restart.explain(decision)}")


def read_report(path: Path) -> Fatal | None:
    """The fatal report at ``path``; None when there is none that can be read."""
    try:
        seen = orjson.loads(path.read_bytes())
        return Fatal(
            str(seen["reason"]), str(seen["app"]), str(seen["topic"]), int(seen["partition"]), int(seen["offset"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _reaped(processes: list[Process], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while [process for process in processes if process.poll() is None]:
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
