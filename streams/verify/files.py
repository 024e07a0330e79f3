"""How does what was read become files that can be checked again, elsewhere and without Kafka?

A directory: ``reading.jsonl`` says whose it is and how far the groups had come, ``<topic>.jsonl`` has a record a line.
"""

import base64
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from streams.decisions.admission import AdmissionPolicy
from streams.decisions.proof import READ, Demands, Fold, Mark, Verdict, judge
from streams.stage import Record
from topics.catalog import PROMPTS, Names
from topics.errors import ConfigurationError

READING = "reading.jsonl"
WRITTEN = "write such a directory with `streams verify --export DIR`"


@contextmanager
def exporting(directory: Path) -> Iterator["Export"]:
    """A sink that writes to a new or empty directory; ``ConfigurationError`` for one that holds anything."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        used = any(directory.iterdir())
    except OSError as bad:
        raise ConfigurationError("--export", str(directory), f"name a directory to write to ({bad.strerror})") from bad
    if used:
        raise ConfigurationError("--export", str(directory), "name a directory that is new or empty")
    with ExitStack() as files:
        yield Export(directory, files)


class Export:
    """One file a topic, opened with its first record."""

    def __init__(self, directory: Path, files: ExitStack) -> None:
        self._directory, self._stack = directory, files
        self._files: dict[str, BinaryIO] = {}

    def begin(self, names: Names, marks: Iterable[Mark], since_ms: int, whole: bool) -> None:
        """Writes what is not in the records themselves; ``whole``: all is read from where the logs start."""
        head = {"namespace": names.namespace, "prefix": names.prefix, "since_ms": since_ms, "whole": whole}
        self._write(READING, [head, *(mark._asdict() for mark in marks)])
        for topic in READ:
            self._write(_file_of(topic), ())

    def add(self, record: Record, judged: bool) -> None:
        """Writes one record."""
        self._write(_file_of(record.topic), [{**_told(record), **({} if judged else {"judged": False})}])

    def _write(self, name: str, lines: Iterable[object]) -> None:
        if name not in self._files:
            self._files[name] = self._stack.enter_context((self._directory / name).open("wb"))
        self._files[name].writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


@dataclass(frozen=True, slots=True)
class Exported:
    """A directory that ``exporting`` wrote, or another tool in its form."""

    directory: Path

    def verify(self, policy: AdmissionPolicy | None = None, demands: Demands | None = None) -> Verdict:
        """The verdict on the files; ``ConfigurationError`` names the file and line that cannot be read."""
        names, marks, since_ms, whole = self._head()
        fold = Fold(policy, names, marks)
        if whole:
            fold.open_all()
        for topic in READ:
            for record, judged in self._records(topic):
                fold.add(record, judged=judged)
        return judge(fold, (demands or Demands()).since(since_ms))

    def _head(self) -> tuple[Names, tuple[Mark, ...], int, bool]:
        where = self.directory / READING
        if not where.exists():
            return Names(), (), 0, False
        with _reading(where):
            head, *rest = (orjson.loads(line) for line in where.read_bytes().splitlines())
            names = Names(head["namespace"], head["prefix"])
            return names, tuple(Mark(**line) for line in rest), int(head["since_ms"]), bool(head["whole"])

    def _records(self, topic: str) -> Iterator[tuple[Record, bool]]:
        where = self.directory / _file_of(topic)
        if topic != PROMPTS and not where.exists():
            return
        with _reading(where) as at, where.open("rb") as lines:
            for at.line, line in enumerate(lines, 1):
                data = orjson.loads(line)
                yield _record(data), data.get("judged", True)


@dataclass(slots=True)
class _At:
    """The line that is being read."""

    line: int = 1


@contextmanager
def _reading(where: Path) -> Iterator[_At]:
    at = _At()
    try:
        yield at
    except OSError as bad:
        raise ConfigurationError("--files", str(where), f"{WRITTEN} ({bad.strerror})") from bad
    except (ValueError, LookupError, TypeError, AttributeError) as bad:
        raise ConfigurationError("--files", f"{where}:{at.line}", f"no record of ours; {WRITTEN}") from bad


def _file_of(topic: str) -> str:
    return f"{topic}.jsonl"


def _told(record: Record) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        **_text("key", record.key),
        **_text("value", record.value),
        "headers": [_text("value", value) | {"name": name} for name, value in record.headers],
    }


def _text(name: str, raw: bytes | None) -> dict[str, str | None]:
    """Bytes as text where they are UTF-8, else in base64 under another name."""
    try:
        return {name: None if raw is None else raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(raw or b"").decode()}


def _bytes(name: str, data: dict[str, Any]) -> bytes | None:
    if f"{name}_base64" in data:
        return base64.b64decode(data[f"{name}_base64"], validate=True)
    text = data.get(name)
    return None if text is None else str(text).encode()


def _record(data: dict[str, Any]) -> Record:
    headers = tuple((str(header["name"]), _bytes("value", header) or b"") for header in data.get("headers", ()))
    where = (str(data["topic"]), int(data["partition"]), int(data["offset"]), int(data["timestamp"]))
    return Record(*where, _bytes("key", data), _bytes("value", data), headers)
