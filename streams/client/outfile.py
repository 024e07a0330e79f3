"""Where do the answers of a batch lie, and what of it is still there after a kill?

OUT has a line of JSON an answer, each in one write, so that a kill tears at most the last, which the next run cuts off;
``OUT.errors.jsonl`` has what went wrong in the newest run, and ``OUT.state`` is there while a run is not finished.
Lines survive the process at once and are forced to disk before ``OUT.state`` changes, so a power cut costs only asking
again.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import orjson

from streams.decisions.questions import digest
from topics import wire
from topics.answer import Answer
from topics.errors import ConfigurationError

HEAD = b'{"id":"'  # of each line that we write


class OutFile:
    """A context in which OUT is ours alone; ``done`` are digests of the ids that have their answer there.

    ``rows``: the file that is read meanwhile, which must not be one of those that are written.
    """

    def __init__(self, path: Path, rows: Path | None = None) -> None:
        self.path, self._rows = path, rows
        self.errors, self._state = beside(path, ".errors.jsonl"), beside(path, ".state")
        self.done: set[int] = set()

    def __enter__(self) -> Self:
        with writing(self.path):
            self._keep_rows()
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._begin()
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def append(self, answer: Answer) -> None:
        """One line, whole or (after a kill) cut off by the next run."""
        with writing(self.path):
            _write(self._file, wire.encode(answer) + b"\n")

    def complain(self, entry: Mapping[str, Any]) -> None:
        """One line in the file of errors, which is made by its first."""
        with writing(self.errors), self.errors.open("ab", buffering=0) as file:
            _write(
                file.fileno(), orjson.dumps({name: value for name, value in entry.items() if value is not None}) + b"\n"
            )

    @property
    def since_ms(self) -> int | None:
        """When the unfinished run that came before began, epoch milliseconds; None without one."""
        try:
            return int(orjson.loads(self._state.read_bytes())["since_ms"])
        except (OSError, ValueError, TypeError, LookupError):
            return None  # not there, or torn: rows are asked again, which is right too

    def begin(self, since_ms: int) -> None:
        """Remembers that a run is under way whose answers are not older than that."""
        self.sync()
        fresh = beside(self._state, ".new")
        with writing(self._state):
            fresh.write_bytes(orjson.dumps({"since_ms": since_ms}) + b"\n")
            fresh.replace(self._state)

    def finish(self) -> None:
        """Nothing is under way any more."""
        self.sync()
        with writing(self._state):
            self._state.unlink(missing_ok=True)

    def sync(self) -> None:
        """Forces to disk what was appended."""
        with writing(self.path):
            os.fsync(self._file)

    def _keep_rows(self) -> None:
        rows = self._rows
        for mine in (self.path, self.errors, self._state):
            if rows is not None and rows.exists() and mine.exists() and mine.samefile(rows):
                raise ConfigurationError("--out", str(self.path), f"{mine} is the file that is read: name another OUT")

    def _begin(self) -> None:
        with writing(self.path):
            about = os.fstat(self._file)
            if not stat.S_ISREG(about.st_mode):
                raise ConfigurationError("--out", str(self.path), "no regular file; use --wait -o jsonl for a pipe")
            self._lock()
            if about.st_size == 0:
                self._state.unlink(missing_ok=True)  # answers of a run whose OUT is gone are not wanted
            self.errors.unlink(missing_ok=True)
            self._read()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            raise ConfigurationError(
                "--out", str(self.path), "another run writes to it; wait, or name another"
            ) from taken

    def _read(self) -> None:
        whole = 0
        with self.path.open("rb") as lines:
            for line in lines:
                id = answered(line)
                if id is not None:
                    self.done.add(digest(id))
                if line.endswith(b"\n"):
                    whole += len(line)
                elif torn(line):
                    os.ftruncate(self._file, whole)
                else:
                    _write(self._file, b"\n")


def beside(path: Path, ending: str) -> Path:
    """``out.jsonl`` → ``out.jsonl.state``."""
    return path.with_name(path.name + ending)


def answered(line: bytes) -> str | None:
    """The id of a line that is a completed answer; None for whatever else people put there, which is left alone."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    complete = isinstance(found, dict) and found.get("status") == "completed" and isinstance(found.get("id"), str)
    return str(found["id"]) if complete else None


def torn(line: bytes) -> bool:
    """Whether a line without its end is the beginning of an answer, not somebody's text."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.startswith(HEAD) or HEAD.startswith(line)
    return False


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An error of the file system as a ``ConfigurationError`` that names the file."""
    try:
        yield
    except OSError as bad:
        raise ConfigurationError("--out", str(path), f"cannot be written: {bad.strerror}") from bad


def _write(file: int, line: bytes) -> None:
    while line:
        line = line[os.write(file, line) :]
