"""Documents with defaults, as values and as records; and a retriever of either kind, filled."""

import asyncio
from collections.abc import Callable
from typing import Any

from streams.adapters.retriever.memory import MemoryRetriever
from streams.adapters.retriever.tantivy import TantivyRetriever
from streams.ports import Found, Query
from streams.stage import Record
from tests.support import builders
from topics import wire
from topics.catalog import DOCUMENTS
from topics.document import Document

KINDS = (MemoryRetriever, TantivyRetriever)


def document(id: str = "d-1", text: str = "a log is an ordered sequence", **fields: Any) -> Document:
    return Document(id=id, text=text, **fields)


def written(value: Document | bytes | None, key: str | None = None, partition: int = 0, offset: int = 0) -> Record:
    """A record on ``documents``."""
    raw = wire.encode(value) if isinstance(value, Document) else value
    named = value.id if key is None and isinstance(value, Document) else key
    place = {"topic": DOCUMENTS, "partition": partition, "offset": offset}
    return builders.record(raw, key=None if named is None else named.encode(), **place)


def filled(kind: Any, *documents: Document) -> Any:
    """A retriever that holds these documents, ready."""
    made = kind()
    for one in documents:
        made.put(one)
    made.commit("documents@0:1")
    return made


def ids(found: Found) -> list[str]:
    return [passage["id"] for passage in found.passages]


async def hits(retriever: Any, text: str, k: int = 4, **query: Any) -> list[str]:
    """Ids of what is found for a text."""
    return ids(await retriever.find(Query(text, k, **query)))


class Script:
    """Followers by script: each hands out its records, may fail, and stays open until it is left."""

    def __init__(self, *turns: list[Record], failures: tuple[Exception | None, ...] = ()) -> None:
        self.turns, self.failures = list(turns), list(failures)
        self.opened = 0
        self.on_record: Callable[[Record], None] = lambda _: None
        self.at_end = asyncio.Event()

    def __call__(self, on_record: Callable[[Record], None]) -> "Script":
        self.on_record = on_record
        return self

    async def __aenter__(self) -> "Script":
        self.opened += 1
        for record in self.turns.pop(0) if self.turns else []:
            self.on_record(record)
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def caught_up(self, timeout_s: float = 60.0) -> None:
        await self.at_end.wait()

    async def ended(self) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        await asyncio.Event().wait()
