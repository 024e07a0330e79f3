"""What does `streams up` do once there is a broker, and how does it end?"""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import typer

from streams.cli import topics
from streams.cli.banner import Facts, banner
from streams.cli.connect import Connection
from streams.cli.demo import show_demo
from streams.client import Client
from streams.engine.topics import require
from streams.local import ready, workers
from streams.local.ready import Up
from streams.local.supervisor import Supervisor
from streams.pipeline import ROLES
from streams.settings import kinds
from topics.errors import OrchestratorError

READY_S, TICK_S, STOP_SLACK_S = 90.0, 0.1, 15.0


@dataclass(frozen=True, slots=True)
class Installation:
    """What runs here: directories, whether the broker is ours, how many workers, and options passed on to them."""

    home: Path
    cwd: Path
    own_broker: bool
    workers: int
    demo: bool
    passed: tuple[str, ...]

    @property
    def state_dir(self) -> Path:
        """Where the workers keep their tables."""
        return self.home / "state"


class WorkersNotReady(OrchestratorError):
    """No worker became ready, or all ended for good; the message tells what the log ``log`` says, and where it is."""

    kind: ClassVar[str] = "workers_not_ready"

    def __init__(self, what: str, log: Path) -> None:
        super().__init__(f"{what}: {workers.complaint(log)}")
        self.log = log


async def run(
    ctx: typer.Context, there: Connection, here: Installation, starter: workers.Starter = workers.starter
) -> None:
    """Runs until SIGINT or SIGTERM, then stops everything; data stays."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    slots = workers.port_of_each(range(here.workers))
    start = starter(here.home, here.cwd, slots, worker_flags(there, here))
    supervisor = Supervisor(start, _say, here.state_dir, slots, ROLES)
    try:
        await first(stop.wait(), _work(ctx, there, here, supervisor, slots))
    finally:
        ready.remove(here.home, os.getpid())
        _say("stopping; data is kept")
        await supervisor.stop(there.settings.worker.grace_s + STOP_SLACK_S)


async def first(*works: Coroutine[Any, Any, Any]) -> None:
    """Runs all until one ends, then cancels the others; a failure of any is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


def worker_flags(there: Connection, here: Installation) -> tuple[str, ...]:
    """The options of each worker; a line of plain text is a prompt where the broker is our own."""
    own = ("-b", there.address) if here.own_broker else ()
    plain = ("--plain-text",) if here.own_broker and there.settings.admit.plain_text is None else ()
    return (*here.passed, *own, *plain, "--state-dir", str(here.state_dir))


async def _work(
    ctx: typer.Context, there: Connection, here: Installation, supervisor: Supervisor, slots: Mapping[int, int]
) -> None:
    await _topics(ctx, there, here)
    addresses = [workers.address(port) for port in slots.values()]
    await first(supervise(supervisor, here.home), _announce(there, here, addresses))


async def _topics(ctx: typer.Context, there: Connection, here: Installation) -> None:
    """On our own broker topics are made; on anybody else's only asked for."""
    planned = await topics.planned_for(ctx, there)
    if here.own_broker:
        await there.kafka.apply(planned)
    else:
        require(planned)


async def supervise(supervisor: Supervisor, home: Path) -> None:
    """Keeps the workers running; ends only when none is left to start."""
    while supervisor.alive:
        supervisor.tick(time.monotonic())
        await asyncio.sleep(TICK_S)
    raise WorkersNotReady("every worker ended for good", workers.log_path(home, 0))


async def _announce(there: Connection, here: Installation, addresses: list[str]) -> None:
    await all_ready(addresses, here.home)
    ready.write(here.home, Up(there.address, os.getpid(), ",".join(addresses), str(here.home), ready.now()))
    facts = Facts(
        there.address, here.own_broker, here.home, here.cwd, ", ".join(kinds(there.settings)), addresses, tuple(ROLES)
    )
    typer.echo(banner(facts, here.passed))
    if here.demo:
        await show_demo(Client(door=there.kafka))
    await asyncio.Event().wait()


async def all_ready(addresses: list[str], home: Path, within_s: float = READY_S) -> None:
    """Returns once every worker says that it is ready."""
    end = time.monotonic() + within_s
    while not all(await asyncio.gather(*map(workers.is_ready, addresses))):
        if time.monotonic() > end:
            raise WorkersNotReady(f"not every worker was ready within {within_s:g} s", workers.log_path(home, 0))
        await asyncio.sleep(TICK_S)


def _say(line: str) -> None:
    typer.echo(line, err=True)
