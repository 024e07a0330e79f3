"""How do processes take turns? Advisory file locks, which the kernel frees when their holder dies."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.02


@contextmanager
def turn(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock while the block runs; calls ``waiting`` once when another process holds it now."""
    lock = try_lock(path)
    if lock is None:
        waiting()
        lock = _open(path)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def try_lock(path: Path, patience_s: float = 0.0) -> int | None:
    """The file descriptor that holds the lock, or None when another process still holds it after ``patience_s``."""
    lock, end = _open(path), time.monotonic() + patience_s
    while not _taken(lock):
        if time.monotonic() >= end:
            os.close(lock)
            return None
        time.sleep(POLL_S)
    return lock


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
