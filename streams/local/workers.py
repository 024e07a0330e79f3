"""How is a worker process started here, and is it ready? Command, port, log file, and its answer on /ready."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from streams.local import launcher, ports
from streams.local.supervisor import Process, Start
from topics.errors import LocalKafkaError

FIRST_PORT = 9464
ASK_S = 2.0

Starter = Callable[[Path, Path, Mapping[int, int], Sequence[str]], Start]


def command(slot: int, apps: Sequence[str], port: int, flags: Sequence[str]) -> list[str]:
    """The command of one worker; ``-P`` keeps packages of the working directory from standing before ours."""
    its_own = ["--slot", str(slot), "--apps", ",".join(apps), "--http-port", str(port)]
    return [sys.executable, "-P", "-m", "streams", "worker", *its_own, *flags]


def port_of_each(slots: Iterable[int], free: Callable[[int], bool] = ports.is_free) -> dict[int, int]:
    """Slot → port: 9464 for the first, else the next that is free."""
    found: dict[int, int] = {}
    port = FIRST_PORT
    for slot in slots:
        port = next((candidate for candidate in range(port, 65_536) if free(candidate)), 0)
        if not port:
            raise LocalKafkaError(f"no free TCP port from {FIRST_PORT} on for worker {slot}")
        found[slot], port = port, port + 1
    return found


def log_path(home: Path, slot: int) -> Path:
    """Where a worker's output goes."""
    return home / f"worker-{slot}.log"


def complaint(log: Path) -> str:
    """The last error line of a worker's log, and where to read on."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if line.startswith("error: ")]
    return "; ".join([*errors[-1:], f"read {log}"])


def starter(home: Path, cwd: Path, taken: Mapping[int, int], flags: Sequence[str]) -> Start:
    """What the supervisor calls to start a worker; it dies with this process."""

    def start(slot: int, apps: tuple[str, ...]) -> Process:
        home.mkdir(parents=True, exist_ok=True)
        return launcher.spawn(command(slot, apps, taken[slot], flags), log=log_path(home, slot), cwd=cwd)

    return start


def address(port: int) -> str:
    """Where a worker shows its metrics."""
    return f"http://{ports.HOST}:{port}/metrics"


async def is_ready(metrics: str) -> bool:
    """Whether the worker at that metrics address answers /ready with 200."""
    parts = urlsplit(metrics)
    try:
        if parts.hostname is None or parts.port is None:
            return False
        async with asyncio.timeout(ASK_S):
            return await _ask(parts.hostname, parts.port)
    except (OSError, TimeoutError, ValueError):
        return False


async def _ask(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /ready HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        await writer.drain()
        return b" 200 " in await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()
