"""What stands in for Kafka, RocksDB and the engine's loop in memory? Topics as lists, and tables as dicts."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar, cast
from zlib import crc32

from streams.decisions import corpus, failures
from streams.ports import Clock, Coordinates, Corpus
from streams.stage import Headers, Output, Outputs, Record, Stage, Table, dressed, headers_of
from topics.catalog import CATALOG, EXPENDABLE
from topics.errors import ConfigurationError, RecordTooLarge

T = TypeVar("T")
Shelf = tuple[str, str, int]  # app, table, partition


@dataclass(slots=True, eq=False)
class Reader:
    """How far a stage has come in one partition of a topic; ``kept``: in its rows, where it holds the topic."""

    stage: Stage
    topic: str
    number: int
    partition: Sequence[Record]
    next: int = 0
    kept: int = 0

    def back_to(self, offset: int) -> None:
        """Read again from there, never further on."""
        self.next = min(self.next, max(offset, 0))

    @property
    def done(self) -> int:
        """Up to where nothing is read again when the partition moves, but for what is under way."""
        return self.kept if self.topic in self.stage.holds else self.next

    def covers(self, other: "Reader") -> bool:
        """Whether a record here frees what the other's stage holds."""
        mine = other.stage is self.stage and other.number == self.number
        return mine and other.topic in self.stage.holds and self.topic not in self.stage.holds


class Log:
    """Topics as lists of records, one list a partition; reads records back by their origin.

    ``heard``: who is told of each record of a topic.
    """

    def __init__(self, partitions: int, clock: Clock) -> None:
        self._clock, self._turn = clock, count()
        self.heard: dict[str, Callable[[Record], None]] = {}
        self.topics: dict[str, list[list[Record]]] = {name: [[] for _ in range(partitions)] for name in CATALOG}

    def append(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, at: int | None) -> Record:
        """Writes one record; the key chooses the partition where none is given."""
        partitions = self.topics[topic]
        number = (crc32(key) if key is not None else next(self._turn)) % len(partitions) if at is None else at
        offset = len(partitions[number])
        record = Record(topic, number, offset, self._clock.now_ms(), key, value, headers_of(headers))
        partitions[number].append(record)
        if topic in self.heard:
            self.heard[topic](record)
        return record

    async def fetch(self, place: Coordinates) -> Record | None:
        """The record at these coordinates, or None."""
        partitions = self.topics.get(place.topic, [])
        kept = partitions[place.partition] if place.partition < len(partitions) else []
        return kept[place.offset] if place.offset < len(kept) else None


class Rows:
    """A dict as a table."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self._rows = rows

    def get(self, key: bytes) -> bytes | None:
        """The row, or None."""
        return self._rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Writes a row."""
        self._rows[key] = value

    def delete(self, key: bytes) -> None:
        """Forgets a row, if it is there."""
        self._rows.pop(key, None)

    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """All rows, or those behind a key, in the order of the keys."""
        return iter(sorted(row for row in self._rows.items() if after is None or row[0] > after))


class Documents:
    """Keeps a corpus in step with the records of ``documents``, as a worker does beside its stages."""

    def __init__(self, kept: Corpus) -> None:
        self._kept, self._applied = kept, dict[int, int]()

    def apply(self, record: Record) -> None:
        """What is written is found at once."""
        match corpus.change(record.key, record.value):
            case corpus.Put(document):
                self._kept.put(document)
            case corpus.Drop(id) | corpus.Skip(id):
                self._kept.drop(id or "")
        self._applied[record.partition] = record.offset + 1
        self._kept.commit(corpus.snapshot(self._applied))


@dataclass(slots=True)
class Running:
    """One call, and how many handlers wait for it."""

    task: asyncio.Task[Any]
    partition: int
    attached: int = 0


class Store:
    """What workers hold between records: rows, what is made of them, calls that run."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.tables: dict[Shelf, dict[bytes, bytes]] = defaultdict(dict)
        self.derived: dict[Shelf, Any] = {}
        self.calls: dict[tuple[str, bytes], Running] = {}

    @property
    def busy(self) -> int:
        """Calls that run, less the handlers that do nothing but wait for one."""
        running = [call for call in self.calls.values() if not call.task.done()]
        return len(running) - sum(call.attached for call in running)

    async def moved(self, partition: int | None) -> None:
        """All partitions, or the one, went to another worker: rows come along; indexes and running calls do not."""
        for shelf in [shelf for shelf in self.derived if partition in (None, shelf[2])]:
            del self.derived[shelf]
        gone = [place for place, call in self.calls.items() if partition in (None, call.partition)]
        tasks = [self.calls.pop(place).task for place in gone]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def changes(self, stage: Stage, record: Record) -> bool:
        """Whether handling the record would come to anything: tried on a copy of the rows; a stage that awaits may."""
        if stage.slots:
            return True
        draft, shelf = Store(self.clock), shelf_of(stage, record)
        draft.tables[shelf] = dict(self.tables.get(shelf, {}))
        try:
            outputs = list(cast(Outputs, stage.handle(record, MemoryScope(draft, stage, record))))
        except Exception:
            return True
        return bool(outputs) or draft.tables[shelf] != self.tables.get(shelf, {})


class MemoryScope:
    """What a handler is given with one record."""

    def __init__(self, store: Store, stage: Stage, record: Record) -> None:
        self._store, self._stage, self._record = store, stage, record

    @property
    def table(self) -> Rows:
        """The rows of the record's partition."""
        if self._stage.table is None:
            raise ConfigurationError(
                "table", None, f"name one in the stage {self._stage.name}, which asks for its rows"
            )
        return Rows(self._store.tables[shelf_of(self._stage, self._record)])

    def derived(self, build: Callable[[Table], T]) -> T:
        """What was made of the partition's rows, once for as long as it stays here."""
        shelf, derived = shelf_of(self._stage, self._record), self._store.derived
        if shelf not in derived:
            derived[shelf] = build(self.table)
        return cast(T, derived[shelf])

    @property
    def now_ms(self) -> int:
        """The record's time, or the clock's for a stage that reads it."""
        return self._store.clock.now_ms() if self._stage.reads_clock else self._record.timestamp_ms

    async def settled(self) -> None:
        """At once: a dict has no changelog."""

    async def shared(self, key: bytes, call: Callable[[], Awaitable[T]]) -> T:
        """The result of the one running call under ``key``."""
        calls, place = self._store.calls, (self._stage.name, key)
        if place not in calls:
            calls[place] = Running(asyncio.ensure_future(call()), self._record.partition)
        running = calls[place]
        running.attached += 1
        try:
            return cast(T, await asyncio.shield(running.task))
        finally:
            running.attached -= 1
            if not running.attached and calls.get(place) is running:
                del calls[place]

    async def idle(self, awaited: Awaitable[T]) -> T:
        """As it is: nothing is held here."""
        return await awaited


def shelf_of(stage: Stage, record: Record) -> Shelf:
    """Where the rows of a record's partition stand."""
    return (stage.app, stage.table or "", record.partition)


@dataclass(slots=True)
class Fault:
    """An error that a stage raises instead of handling, so many times."""

    stage: str
    error: Exception
    left: int
    topic: str | None


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, stage: str, error: Exception, times: int, topic: str | None) -> None:
        """The stage raises that often (for records of ``topic`` only, where it is given)."""
        self._faults.append(Fault(stage, error, times, topic))

    def next_of(self, stage: Stage, record: Record) -> Exception | None:
        """What the stage raises for this record, or None."""
        for fault in self._faults:
            if fault.left and fault.stage == stage.name and fault.topic in (None, record.topic):
                fault.left -= 1
                return fault.error
        return None


def checked(stage: Stage, record: Record, outputs: Outputs) -> list[Output]:
    """The outputs with their evidence; ``RecordTooLarge`` where a topic would refuse one."""
    ready = [dressed(record, stage.name, output) for output in outputs]
    for output in ready:
        size, limit = len(output.value or b"") + len(output.key or b""), CATALOG[output.topic].max_bytes
        if size > limit:
            raise RecordTooLarge(output.topic, size, limit)
    return ready


def refused(stage: Stage, record: Record, error: Exception, now_ms: int) -> list[Output]:
    """What is written for a record whose handler raised: nothing for one that is nobody's work."""
    if record.topic in EXPENDABLE:
        return []
    refusal = failures.refusal(record, stage.name, error, now_ms=now_ms, app=stage.app)
    output = Output(refusal.topic, refusal.key, refusal.value, "failed", refusal.partition, refusal.headers)
    return [dressed(record, stage.name, output)]
