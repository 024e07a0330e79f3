"""# Engine: slots

Responsibility: give a worker its place on this host: a lock, a directory, and a name in the group that is its alone.
Guarantees: only the holder of a slot's lock is a static member, and anyone else joins as a dynamic one
    (tests/unit/streams/engine/test_slots.py::test_take_slot_held_by_other_process_gives_dynamic_place);
    a successor is all made up, and waits for its predecessor's end
    (tests/unit/streams/engine/test_slots.py::test_successor_takes_the_slot_when_its_holder_has_ended).
NOT Responsible For: restarting workers (streams/local/supervisor), what lies in the directory (tables).
"""

import asyncio
import fcntl
import os
import shutil
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

LOOK_S = 0.02  # between two looks at a lock that another process holds


@dataclass(slots=True)
class Place:
    """A worker's place: ``static`` only while ``lock`` is held; ``label`` and ``dir`` are its own on this host."""

    label: str
    dir: Path
    static: bool
    lock: IO[str] | None

    def instance_id(self, group: str, reads: Iterable[str]) -> str | None:
        """The static member's name in a group; None for a dynamic member.

        A member that comes back under its name gets its old assignment, whatever it now subscribes to; so the topics it
        reads are part of the name, and an upgrade that adds one is another member.
        """
        subscription = sha256("\n".join(sorted(reads)).encode()).hexdigest()[:8]
        return f"{group}-{socket.gethostname()}-{self.label}-{subscription}" if self.static else None

    def canonical_url(self, port: int = 6066) -> str:
        """What Faust's assignor knows this worker by; fixed per slot, so that a restart is the same worker."""
        return f"http://{socket.gethostname()}-{self.label}:{port}"

    def release(self) -> None:
        """Give the place back; a dynamic place's directory goes with it."""
        if self.lock is None:
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            self.lock.close()


def take(state_dir: Path, slot: int, *, static: bool = True) -> Place:
    """Take a slot: its lock, or a dynamic place beside it when another process holds it."""
    lock = _locked(state_dir, slot)
    if lock is None:
        label = f"dynamic-{os.getpid()}"
        return Place(label, _made(state_dir / label), static=False, lock=None)
    return Place(f"slot-{slot}", _made(state_dir / f"slot-{slot}"), static=static, lock=lock)


async def free(state_dir: Path, slot: int, stop: asyncio.Event) -> bool:
    """Whether nobody holds the slot: True at once or when its holder has ended, False where ``stop`` comes first."""
    while not stop.is_set():
        lock = _locked(state_dir, slot)
        if lock is not None:
            lock.close()
            return True
        await asyncio.sleep(LOOK_S)
    return False


def _locked(state_dir: Path, slot: int) -> IO[str] | None:
    state_dir.mkdir(parents=True, exist_ok=True)
    lock = (state_dir / f"slot-{slot}.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
