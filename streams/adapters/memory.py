"""What stands in for Kafka and RocksDB in memory? Topics as lists of records, and a table as a dict."""

from itertools import count
from zlib import crc32

from streams.ports import Clock
from streams.stage import Headers, Record
from topics.catalog import CATALOG
from topics.messages import Origin


class Log:
    """Topics as lists of records, one list a partition; reads records back by their origin."""

    def __init__(self, partitions: int, clock: Clock) -> None:
        self._clock, self._turn = clock, count()
        self.topics: dict[str, list[list[Record]]] = {name: [[] for _ in range(partitions)] for name in CATALOG}

    def append(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, at: int | None) -> Record:
        """Writes one record; the key chooses the partition where none is given."""
        partitions = self.topics[topic]
        number = (crc32(key) if key is not None else next(self._turn)) % len(partitions) if at is None else at
        offset = len(partitions[number])
        record = Record(topic, number, offset, self._clock.now_ms(), key, value, headers)
        partitions[number].append(record)
        return record

    async def fetch(self, origin: Origin) -> Record | None:
        """The record at these coordinates, or None."""
        partitions = self.topics.get(origin.topic, [])
        kept = partitions[origin.partition] if origin.partition < len(partitions) else []
        return kept[origin.offset] if origin.offset < len(kept) else None


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
