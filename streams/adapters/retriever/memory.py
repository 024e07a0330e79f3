"""How are passages found without an index? By the number of words that a question and a document share."""

import re
from typing import Any, Self

from streams.decisions import corpus
from streams.ports import Found, Query
from topics.document import Document
from topics.errors import TransportError

WORD = re.compile(r"[^\W_]+")


class MemoryRetriever:
    """A corpus as a dict; what is put is found from the next commit on."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._seen: dict[str, Document] = {}
        self._snapshot: str | None = None

    @classmethod
    def of(cls, *documents: Document) -> Self:
        """One that is ready, with these documents."""
        made = cls()
        for document in documents:
            made.put(document)
        made.commit(corpus.snapshot({0: len(documents)} if documents else {}))
        return made

    def clear(self) -> None:
        """Forgets everything, and is not ready until the next commit."""
        self._documents, self._seen, self._snapshot = {}, {}, None

    def put(self, document: Document) -> None:
        """Adds or replaces a document."""
        self._documents[document.id] = document

    def drop(self, id: str) -> None:
        """Removes a document, if it is there."""
        self._documents.pop(id, None)

    def commit(self, snapshot: str) -> None:
        """Shows all changes under that name."""
        self._seen, self._snapshot = dict(self._documents), snapshot

    async def find(self, query: Query) -> Found:
        """The best passages; ``TransportError`` before the first commit."""
        if self._snapshot is None:
            raise TransportError("reading documents", "not at their end yet")
        words, owners, marks = _words(query.text), corpus.seen_by(query.tenant), corpus.wanted(query.filter)
        visible = (one for one in self._seen.values() if corpus.owner(one.tenant) in owners and _has(one, marks))
        scored = ((len(words & _words(f"{one.title or ''} {one.text}")), one) for one in visible)
        best = sorted(((-score, one.id, one) for score, one in scored if score), key=lambda found: found[:2])
        passages = tuple(passage(one, float(-score)) for score, _, one in best[: query.k])
        return Found(passages, self._snapshot)


def passage(document: Document, score: float) -> dict[str, Any]:
    """A document as the stages hand it on."""
    return {"id": document.id, "title": document.title, "text": document.text, "score": score} | {
        "metadata": document.metadata
    }


def _words(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(corpus.plain(corpus.excerpt(text)))}


def _has(document: Document, marks: tuple[tuple[str, ...], ...]) -> bool:
    mine = corpus.marks(document.metadata)
    return all(mine & set(some) for some in marks)
