"""# Engine: tables

Responsibility: RocksDB rows by partition, each write on its way to the changelog before the record is done.
Guarantees: a row above the changelog's limit is refused before it is written
    (tests/unit/streams/engine/test_tables.py::test_put_row_above_limit_is_refused_before_write);
    a data directory of another cluster, or of a partition left for 12 hours, is wiped
    (tests/unit/streams/engine/test_tables.py::test_prepare_other_cluster_wipes_directory);
    the persisted offset never runs ahead of what the broker acknowledged
    (tests/unit/streams/engine/test_tables.py::test_persisted_offsets_flush_writes_highest_acknowledged_once).
NOT Responsible For: what rows mean (stages), when a record is done (loop).
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import faust
from faust.streams import current_event
from faust.tables.manager import TableManager
from faust.types import TP

from streams.engine.delivery import Parcel, Settled
from streams.stage import Table
from topics.catalog import INTERNAL_BYTES
from topics.errors import RecordTooLarge

T = TypeVar("T")

ABANDONED_S = 12 * 3600.0  # below Kafka's 24 h for tombstones: an older copy could keep rows that were deleted since
MARKER = "cluster.id"


def rocksdb_options() -> dict[str, Any]:
    """A fresh dict each time, as Faust takes from it. Per partition; Faust's own default is a cache of 2 GiB."""
    return {
        "driver": "rocksdict",
        "write_buffer_size": 1024 * 1024,
        "max_write_buffer_number": 2,
        "block_cache_size": 2 * 1024 * 1024,
        "max_open_files": 256,
    }


class PromptTableManager(TableManager):
    """Faust waits a second before it recovers tables; all of ours are declared before the app starts."""

    async def on_start(self) -> None:
        """Recover at once."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class DurableTable(faust.Table):
    """Faust's table for state; its changelog writes go to ``outbox``, and from there through our own delivery."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outbox: list[tuple[bytes, bytes | None]] = []
        self.persisted = PersistedOffsets()
        self.derived: dict[int, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        """The row of the current event's partition, straight from its store: keys and values are bytes as they are."""
        value = self._store_here().get(key)
        if value is None:
            raise KeyError(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        """The row, or ``default``; one look where Faust's mapping takes three and an index."""
        value = self._store_here().get(key)
        return default if value is None else value

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write the row to the current event's partition."""
        self.on_key_set(key, value)
        self._store_here().put(key, value)

    def __delitem__(self, key: Any) -> None:
        """Remove the row from the current event's partition."""
        self.on_key_del(key)
        self._store_here().delete(key)

    def rows_of(self, partition: int, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Every row of a partition in the order of the keys, without the offset that Faust keeps among them.

        With ``after`` only those behind that key: the store is asked for the next key there may be.
        """
        rows = self.data._db_for_partition(partition).items(from_key=None if after is None else after + b"\0")
        return ((key, value) for key, value in rows if key != self.data.offset_key)

    def _store_here(self) -> Any:
        return self.data._db_for_partition(current_event().message.partition)

    def on_key_set(self, key: Any, value: Any) -> None:
        """Note the write; the record that made it sends it on."""
        self.outbox.append((key, value))

    def on_key_del(self, key: Any) -> None:
        """Note the deletion as a tombstone."""
        self.outbox.append((key, None))


@dataclass(slots=True)
class PersistedOffsets:
    """How far the changelog is known to hold what the local store holds; written to the store about once a second."""

    acknowledged: dict[int, int] = field(default_factory=dict)

    def landed(self, partition: int, offset: int) -> None:
        """The broker acknowledged a changelog write."""
        if offset > self.acknowledged.get(partition, -1):
            self.acknowledged[partition] = offset

    def flush(self, table: Any) -> None:
        """Write the highest acknowledged offsets to the partitions that are open here, and forget them."""
        topic = table.changelog_topic.get_topic_name()
        for partition, offset in self.acknowledged.items():
            if partition in table.data._dbs:
                table.data.set_persisted_offset(TP(topic, partition), offset)
        self.acknowledged.clear()


class Rows:
    """The rows of one record's partition: Faust finds the partition through the current event."""

    __slots__ = ("_changelog", "_partition", "_table", "parcels")

    def __init__(self, table: DurableTable, changelog: str, partition: int) -> None:
        self._table, self._changelog, self._partition = table, changelog, partition
        self.parcels: list[tuple[bytes, bytes | None]] = []

    def get(self, key: bytes) -> bytes | None:
        """The row's bytes, or None."""
        value = self._table.get(key)
        return value if isinstance(value, bytes) else None

    def put(self, key: bytes, value: bytes) -> None:
        """Write the row here and now; it counts once ``settled``, or with the record."""
        if len(key) + len(value) > INTERNAL_BYTES:
            raise RecordTooLarge(self._changelog, len(key) + len(value), INTERNAL_BYTES)
        self._table[key] = value
        self._noted()

    def delete(self, key: bytes) -> None:
        """Remove the row; a row that is not there stays so."""
        if self._table.get(key) is None:
            self.parcels.append((key, None))  # the store may be ahead of its changelog: the tombstone goes out again
            return
        del self._table[key]
        self._noted()

    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Every row of the partition, or every one behind a key."""
        return self._table.rows_of(self._partition, after)

    def derived(self, build: Callable[[Table], T]) -> T:
        """What was made of the partition's rows since it came here."""
        known: T | None = self._table.derived.get(self._partition)
        if known is None:
            known = self._table.derived[self._partition] = build(self)
        return known

    def _noted(self) -> None:
        self.parcels.extend(self._table.outbox)
        self._table.outbox.clear()

    def taken(self, settled: Settled) -> list[Parcel]:
        """The changelog writes made since the last call, as parcels."""
        writes, self.parcels = self.parcels, []
        landed = self._table.persisted.landed
        return [
            Parcel(self._changelog, key, value, settled, partition=self._partition, landed=landed)
            for key, value in writes
        ]


class NoRows:
    """For stages without a table."""

    def get(self, key: bytes) -> bytes | None:
        """Never a row."""
        return None

    def put(self, key: bytes, value: bytes) -> None:
        """A stage that writes rows must declare its table."""
        raise RecordTooLarge("a stage without a table", len(value), 0)

    def delete(self, key: bytes) -> None:
        """Nothing to remove."""

    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """No rows."""
        return iter(())

    def derived(self, build: Callable[[Table], T]) -> T:
        """Made anew each time: there is no partition that it could belong to."""
        return build(self)

    def taken(self, settled: Settled) -> list[Parcel]:
        """Nothing."""
        return []


def prepare(datadir: Path, cluster_id: str, now_s: Callable[[], float] = time.time) -> list[str]:
    """Make a data directory fit to use. Returns what was wiped, in words."""
    wiped: list[str] = []
    marker = datadir / MARKER
    if marker.exists() and marker.read_text() != cluster_id:
        shutil.rmtree(datadir)
        wiped.append(f"{datadir}: belongs to another cluster")
    for store in sorted(datadir.rglob("*.db")):
        if store.is_dir() and now_s() - _last_change(store) > ABANDONED_S:
            shutil.rmtree(store)
            wiped.append(f"{store}: not used for 12 hours")
    datadir.mkdir(parents=True, exist_ok=True)
    marker.write_text(cluster_id)
    return wiped


def _last_change(store: Path) -> float:
    return max((entry.stat().st_mtime for entry in store.iterdir()), default=store.stat().st_mtime)
