"""How are passages found in a large corpus? A BM25 index in memory, written by one thread and searched by others.

In memory, as a start from the topic is quick (100,000 documents: 8 s, 280 MB, see benches/bench_retrieval) and nothing
can be stale.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import tantivy
from tantivy import Occur

from streams.decisions import corpus
from streams.ports import Found, Query
from topics.document import Document
from topics.errors import TransportError

WRITER_BYTES, LONGEST_WORD = 64_000_000, 80
THREADS = 2
SPARE, MOST_TIED = 8, 2048  # hits beyond k: equal scores are told apart by id, and the index would take any
RAW = {"tokenizer_name": "raw", "index_option": "basic"}


@dataclass(frozen=True, slots=True)
class View:
    """A state of the corpus that stays as it is while it is searched."""

    searcher: tantivy.Searcher
    snapshot: str


class TantivyRetriever:
    """``clear``, ``put``, ``drop`` and ``commit`` belong to one thread, ``find`` to the event loop."""

    def __init__(self, max_terms: int = 16) -> None:
        fields = tantivy.SchemaBuilder()
        for name in ("id", "owner", "marks"):
            fields.add_text_field(name, **RAW)  # type: ignore[arg-type]  # keywords from a dict of texts
        fields.add_text_field("words", tokenizer_name="words", index_option="freq")
        fields.add_bytes_field("passage", stored=True)
        self._max_terms, self._schema = max_terms, fields.build()
        self._index = tantivy.Index(self._schema)
        self._analyzer = _analyzer()
        self._index.register_tokenizer("words", self._analyzer)
        self._writer = self._index.writer(WRITER_BYTES, 1)
        self._view: View | None = None
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="retrieve")

    def clear(self) -> None:
        """Forgets everything, and is not ready until the next commit."""
        self._view = None
        self._writer.delete_all_documents()

    def put(self, document: Document) -> None:
        """Adds or replaces a document."""
        self.drop(document.id)
        words = corpus.plain(f"{document.title or ''}\n{document.text}")
        made = tantivy.Document(
            id=_name(document.id),
            owner=corpus.owner(document.tenant),
            marks=sorted(corpus.marks(document.metadata)),
            words=words,
        )
        made.add_bytes("passage", orjson.dumps(document.model_dump(exclude={"tenant"})))
        self._writer.add_document(made)

    def drop(self, id: str) -> None:
        """Removes a document, if it is there."""
        self._writer.delete_documents_by_term("id", _name(id))

    def commit(self, snapshot: str) -> None:
        """Shows all changes under that name."""
        self._writer.commit()
        self._index.reload()
        self._view = View(self._index.searcher(), snapshot)

    async def find(self, query: Query) -> Found:
        """The best passages, searched off the loop; ``TransportError`` before the first commit."""
        view = self._view
        if view is None:
            raise TransportError("reading documents", "not at their end yet")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.look_up, view, query)

    def look_up(self, view: View, query: Query) -> Found:
        """The same on the thread that asks."""
        words = set(self._analyzer.analyze(corpus.plain(corpus.excerpt(query.text))))
        known = {word: view.searcher.doc_freq("words", word) for word in words}
        chosen = corpus.rarest(known, self._max_terms)
        if not chosen:
            return Found((), view.snapshot)
        hits = _best(view.searcher, self._built(chosen, query), query.k)
        found = [(score, orjson.loads(view.searcher.doc(at)["passage"][0])) for score, at in hits]
        found.sort(key=lambda hit: (-hit[0], hit[1]["id"]))
        return Found(tuple(_passage(one, score) for score, one in found[: query.k]), view.snapshot)

    def close(self) -> None:
        """Ends the searching threads."""
        self._pool.shutdown(wait=False)

    def _built(self, words: tuple[str, ...], query: Query) -> tantivy.Query:
        """Built of terms: nothing that anybody wrote is parsed as a query."""
        said = [(Occur.Should, tantivy.Query.term_query(self._schema, "words", word, "freq")) for word in words]
        musts = [("owner", corpus.seen_by(query.tenant)), *(("marks", some) for some in corpus.wanted(query.filter))]
        return tantivy.Query.boolean_query(
            [(Occur.Must, tantivy.Query.boolean_query(said)), *((Occur.Must, self._any(*must)) for must in musts)]
        )

    def _any(self, field: str, values: tuple[str, ...]) -> tantivy.Query:
        """One of these, without any weight in the score."""
        return tantivy.Query.const_score_query(tantivy.Query.term_set_query(self._schema, field, values), 0.0)


def _best(searcher: tantivy.Searcher, query: tantivy.Query, k: int) -> list[tuple[float, Any]]:
    """The k best hits and all that score as the last of them."""
    limit = k + SPARE
    while True:
        hits = searcher.search(query, limit, count=False).hits
        if len(hits) <= k:
            return hits
        if len(hits) < limit or hits[-1][0] < hits[k - 1][0] or limit >= MOST_TIED:
            return [hit for hit in hits if hit[0] >= hits[k - 1][0]]
        limit *= 4


def _passage(stored: dict[str, Any], score: float) -> dict[str, Any]:
    return {**{name: stored[name] for name in ("id", "title", "text")}, "score": round(score, 4)} | {
        "metadata": stored["metadata"]
    }


def _name(id: str) -> str:
    """An id of bounded length: the index drops longer words."""
    return corpus.owner(id)


def _analyzer() -> tantivy.TextAnalyzer:
    """Runs of letters and digits, in lower case."""
    words = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    return words.filter(tantivy.Filter.remove_long(LONGEST_WORD)).filter(tantivy.Filter.lowercase()).build()
