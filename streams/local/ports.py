"""Which port may a broker take, and who holds the one it wants?"""

import random
import socket
from pathlib import Path

from topics.errors import LocalKafkaError

HOST = "127.0.0.1"
LISTENING = "0A"
LOWEST, SPAN = 1025, 12_000


def free(*but: int, host: str = HOST) -> int:
    """A free port below the ephemeral range, other than ``but``.

    One inside it could be taken by any outgoing connection while the broker is down for a restart.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(max(LOWEST, low - SPAN), low), 200):
        if port not in but and is_free(port, host):
            return port
    raise LocalKafkaError(f"no free TCP port below {low} on {host}: end some of the programs that listen there")


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def demand(port: int, host: str = HOST) -> int:
    """The wanted port when it is free; else an error that names who holds it."""
    if is_free(port, host):
        return port
    raise LocalKafkaError(f"port {port} is taken by {holder(port)}: stop that, or ask for another port")


def holder(port: int) -> str:
    """Who listens on a port, as far as this user may see: process id, program, working directory."""
    inodes = _listening_inodes(port)
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        if _target(link) in inodes:
            return describe(int(link.parts[2]))
    return "a process of another user"


def describe(pid: int) -> str:
    """A process in words; never its whole command line, which may hold a password."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except OSError:
        return f"pid {pid}"
    return f"pid {pid} ({Path(command).name}, started in {_target(Path(f'/proc/{pid}/cwd')) or 'an unknown directory'})"


def _listening_inodes(port: int) -> set[str]:
    rows = [line.split() for table in ("tcp", "tcp6") for line in _lines(Path("/proc/net") / table)[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port}


def _lines(table: Path) -> list[str]:
    return table.read_text().splitlines() if table.exists() else []


def _target(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:  # gone meanwhile, or another user's
        return None
