"""Which file do rows come from? Lines of bounded length, of a file, of standard input, or given as arguments."""

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, TypeVar

from streams.decisions import batch_lines
from streams.decisions.batch_lines import LINE_BYTES, Good, Read
from topics.errors import ConfigurationError

T = TypeVar("T")

STDIN = Path("-")
PIECE = 500  # rows read at once where reading never waits


@dataclass(frozen=True, slots=True)
class Source:
    """Rows, read anew by each call of ``rows``; ``fields`` are set on each request, but a field of the row wins.

    ``path``: a file, or ``-``; ``texts``: prompts instead of a file; ``prompt_field``: the prompt's column in CSV.
    """

    path: Path | None = None
    texts: Sequence[str] = ()
    prompt_field: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    stdin: Callable[[], BinaryIO] = lambda: os.fdopen(sys.stdin.fileno(), "rb", closefd=False)

    @property
    def again(self) -> bool:
        """Whether it can be read more than once, and without waiting."""
        return self.path is None or (self.path != STDIN and stat.S_ISREG(self._mode()))

    @property
    def piece(self) -> int:
        """Rows to read at once: what comes through a pipe is not kept back."""
        return PIECE if self.again else 1

    def size(self) -> int | None:
        """About how many rows there are; None where only reading could tell."""
        if self.path is None:
            return len(self.texts)
        if not self.again:
            return None
        with self._open() as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))

    def rows(self) -> Iterator[Read]:
        """Each row as a request or as what is wrong with it; ``ConfigurationError`` for a file that cannot be read."""
        for row in self._read():
            yield Good(row.line, {**self.fields, **row.request}) if isinstance(row, Good) else row

    def _read(self) -> Iterator[Read]:
        if self.path is None:
            yield from (Good(number, {"prompt": text}) for number, text in enumerate(self.texts, start=1))
            return
        kind = batch_lines.kind_of(str(self.path), self.prompt_field)
        with self._open() as file:
            yield from READERS[kind](lines(file), self.prompt_field or "prompt")

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        if self.path == STDIN:
            yield self.stdin()
            return
        with reading(self.path or STDIN):
            file = (self.path or STDIN).open("rb")
        with file, reading(self.path or STDIN):
            yield file

    def _mode(self) -> int:
        with reading(self.path or STDIN):
            return (self.path or STDIN).stat().st_mode


async def aside(call: Callable[[], T]) -> T:
    """The result of a call that may wait for ever, as reading a pipe may; its thread does not hold up the exit."""
    result: Future[T] = Future()
    Thread(target=_settle, args=(result, call), daemon=True).start()
    return await asyncio.wrap_future(result)


def _settle(result: "Future[T]", call: Callable[[], T]) -> None:
    result.set_running_or_notify_cancel()
    try:
        result.set_result(call())
    except Exception as failed:
        result.set_exception(failed)


READERS: Mapping[batch_lines.Kind, Callable[[Iterator[bytes], str], Iterator[Read]]] = {
    "csv": batch_lines.csv_rows,
    "jsonl": lambda lines, _: batch_lines.json_lines(lines),
    "text": lambda lines, _: batch_lines.text_lines(lines),
}


def lines(file: BinaryIO, limit: int = LINE_BYTES) -> Iterator[bytes]:
    """Lines with their ends; of one above the limit only its beginning, which is longer than the limit too."""
    while line := file.readline(limit + 1):
        yield line
        while len(line) > limit and not line.endswith(b"\n"):
            line = file.readline(limit + 1)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """An error of the file system as a ``ConfigurationError`` that names the file."""
    try:
        yield
    except OSError as bad:
        raise ConfigurationError("-f", str(path), f"cannot be read: {bad.strerror}") from bad
