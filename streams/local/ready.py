"""Where is the running installation? ``.streams/up.json`` says it, and is believed only while its writer lives."""

import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

FOLDER, FILE = ".streams", "up.json"
CLOCK_SLACK_S = 5.0


@dataclass(frozen=True, slots=True)
class Up:
    """One running ``streams up``: bootstrap servers, process id, metrics address, log directory, RFC 3339 start."""

    brokers: str
    pid: int
    metrics: str
    logs: str
    started: str


def now() -> str:
    """The time for ``started``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write(folder: Path, up: Up) -> Path:
    """Puts ``up.json`` into the folder (``.streams``), whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    part = path.with_name(f"{FILE}.{os.getpid()}.part")
    part.write_bytes(orjson.dumps(asdict(up), option=orjson.OPT_INDENT_2) + b"\n")
    part.replace(path)
    return path


def read(folder: Path) -> Up | None:
    """The installation of this folder; None when there is none, its file is no such thing, or its process is gone."""
    try:
        found = orjson.loads((folder / FILE).read_bytes())
        up = Up(**found)
    except (OSError, ValueError, TypeError):
        return None
    return up if _runs(up) else None


def remove(folder: Path, pid: int) -> None:
    """Removes ``up.json`` when it is this process's, or nobody's any more."""
    up = read(folder)
    if up is None or up.pid == pid:
        (folder / FILE).unlink(missing_ok=True)


def nearest(start: Path) -> Up | None:
    """The running installation of this directory, or of the nearest one above it."""
    here = start.absolute()
    return next((up for place in (here, *here.parents) if (up := read(place / FOLDER))), None)


def _runs(up: Up) -> bool:
    """Whether the process still is the writer: the same id may be another program's after a reboot."""
    try:
        stat = Path(f"/proc/{up.pid}/stat").read_text()
        started_at = datetime.fromisoformat(up.started).timestamp()
    except (OSError, ValueError, TypeError):
        return False
    after_name = stat.rpartition(")")[2].split()
    state, ticks = after_name[0], int(after_name[19])
    return state not in "ZX" and _boot_time_s() + ticks / os.sysconf("SC_CLK_TCK") <= started_at + CLOCK_SLACK_S


def _boot_time_s() -> float:
    lines = Path("/proc/stat").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("btime"))
