"""Whose is a data directory? One broker's at a time: the lock is held by it and by the process that started it."""

import os
from pathlib import Path

from streams.local import locks, ports
from topics.errors import LocalKafkaError

PATIENCE_S = 2.0  # a broker whose parent was just killed needs a moment to be gone


class Ownership:
    """The right to run a broker over a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._file = directory, directory / "lock"
        self._lock: int | None = None

    @property
    def to_inherit(self) -> tuple[int, ...]:
        """What the broker must keep open, so that it holds the lock too, should its parent die first."""
        return () if self._lock is None else (self._lock,)

    def take(self, patience_s: float = PATIENCE_S) -> None:
        """Takes the directory; an error names the process that has it."""
        self.free()  # still ours when the broker ended by itself
        self._lock = locks.try_lock(self._file, patience_s)
        if self._lock is None:
            raise LocalKafkaError(
                f"{self._directory} is in use by the broker of {self._owner()}: stop it, or use another directory"
            )
        os.truncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def free(self) -> None:
        """Gives the directory back; nothing happens when it is not ours."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _owner(self) -> str:
        written = self._file.read_text().strip()
        return ports.describe(int(written)) if written.isdigit() else "another process"
