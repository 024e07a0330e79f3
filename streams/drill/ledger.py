"""Which calls did the fake provider get, and what became of each? The truth against which runs are checked."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import orjson

Action = Literal["start", "end", "error", "cancel"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: ``end`` is an answer that left whole, ``error`` one that was spoilt, ``cancel`` a caller that went.

    Tokens are those of the whole answer, at each line; what was paid for is at the lines ``end``. ``by`` is the worker
    that called, where it said so by a key of a drill.
    """

    action: Action
    key: str
    act: str
    nonce: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    by: str = ""
    pid: int = 0
    at: float = 0.0


@dataclass(slots=True)
class Ledger:
    """Entries in memory, and in a file where one is named; each line is one write, so that processes do not mix."""

    path: Path | None = None
    now: Callable[[], float] = time.time
    entries: list[Entry] = field(default_factory=list)

    def note(self, entry: Entry) -> None:
        """Keeps an entry."""
        self.entries.append(entry)
        if self.path is None:
            return
        line = orjson.dumps({**asdict(entry), "pid": os.getpid(), "at": self.now()}, option=orjson.OPT_APPEND_NEWLINE)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def actions(self) -> list[str]:
        """What happened, in order."""
        return [entry.action for entry in self.entries]


def read(path: Path) -> list[Entry]:
    """The entries of a file; a last line that is not whole is left out."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [Entry(**orjson.loads(line)) for line in lines]
