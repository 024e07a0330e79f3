"""What becomes of a record on ``documents``, who may see a document, and which words of a request are looked up?

Pure: the corpus is a fold over the last record of each key, so every worker that read so far holds the same one.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from streams.decisions.identity import framed
from topics import wire
from topics.catalog import DOCUMENT_BYTES
from topics.document import Document
from topics.errors import DecodingError

EVERYBODY = "-"
LOOKED_AT = 8192  # characters of a question: its beginning and its end
PASSAGES_BYTES = 768 * 1024  # of one request: twice that, the prompt twice and the evidence fit into a record
# Scripts that put no spaces between words: each character is a word.
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
INVISIBLE = re.compile(
    "[\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ud800-\udfff\U000e0000-\U000e0fff]"
)


@dataclass(frozen=True, slots=True)
class Put:
    """The document replaces what was there under its id."""

    document: Document


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing is there under this id any more."""

    id: str


@dataclass(frozen=True, slots=True)
class Skip:
    """No document: what was there under the key is gone, as the topic does not keep it either."""

    id: str | None
    reason: str


Change = Put | Drop | Skip


def change(key: bytes | None, value: bytes | None) -> Change:
    """What a record does to the corpus.

    Args:
        key: The record's key, the document's id in UTF-8.
        value: The document as JSON; None deletes.

    Returns:
        ``Put``, ``Drop``, or ``Skip`` with a reason that quotes no content.

    >>> change(b"a", None)
    Drop(id='a')
    """
    try:
        id = (key or b"").decode()
    except UnicodeDecodeError:
        return Skip(None, "the key is not UTF-8")
    if not id:
        return Skip(None, "there is no key")
    if value is None:
        return Drop(id)
    try:
        document = wire.decode(value, Document, DOCUMENT_BYTES)
    except DecodingError as bad:
        return Skip(id, bad.reason)
    return Put(document) if document.id == id else Skip(id, "the key is not the document's id")


def snapshot(applied: Mapping[int, int]) -> str:
    """Names a state of the corpus.

    Args:
        applied: Partition → offset before which every record of it was applied.

    Returns:
        The same name for the same offsets, in whatever order they are given.

    >>> snapshot({1: 98, 0: 123})
    'documents@0:123,1:98'
    """
    return "documents@" + ",".join(f"{partition}:{offset}" for partition, offset in sorted(applied.items()))


def owner(tenant: str | None) -> str:
    """The one word that says whose a document is; no text can be another's word.

    >>> owner(None)
    '-'
    """
    return EVERYBODY if tenant is None else f"={_digest(tenant)}"


def seen_by(tenant: str | None) -> tuple[str, ...]:
    """The owners whose documents a request of this tenant may see: everybody's, and its own."""
    return (EVERYBODY,) if tenant is None else (EVERYBODY, owner(tenant))


def marks(metadata: Mapping[str, Any]) -> frozenset[str]:
    """The words by which a document is filtered, one for each name and scalar value; other values have none."""
    return frozenset(_mark(name, one) for name, value in metadata.items() for one in _values(value) if _scalar(one))


def wanted(filter: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """What a filter asks for.

    Args:
        filter: Metadata name → scalar, or list of scalars of which one is enough.

    Returns:
        For each name the words of which a document must have one.
    """
    return tuple(tuple(_mark(name, one) for one in _values(value)) for name, value in sorted(filter.items()))


def question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The words to look up: those of the last user message.

    >>> question([{"role": "user", "content": "what?"}, {"role": "assistant", "content": "that"}])
    'what?'
    """
    last: Mapping[str, Any] = next((message for message in reversed(messages) if message.get("role") == "user"), {})
    content = last.get("content")
    parts = [content] if isinstance(content, str) else [part.get("text") for part in content or ()]
    return "\n".join(part for part in parts if isinstance(part, str))


def excerpt(text: str) -> str:
    """The beginning and the end of a long question, 8,192 characters together; a shorter one whole."""
    return text if len(text) <= LOOKED_AT else f"{text[: LOOKED_AT // 2]} {text[-LOOKED_AT // 2 :]}"


def plain(text: str) -> str:
    """Text as it is searched: compatible forms folded, what nobody sees left out, unspaced scripts spaced.

    >>> plain("ﬁle 東京")
    'file  東  京 '
    """
    if text.isascii():
        return text
    return UNSPACED.sub(r" \g<0> ", INVISIBLE.sub("", unicodedata.normalize("NFKC", INVISIBLE.sub("", text))))


def rarest(known: Mapping[str, int], most: int) -> tuple[str, ...]:
    """The words that tell most.

    Args:
        known: Word → number of documents that have it.
        most: How many to keep.

    Returns:
        Words that any document has, rarest first, equal ones by alphabet.

    >>> rarest({"the": 90, "log": 3, "xyz": 0}, 2)
    ('log', 'the')
    """
    return tuple(sorted((word for word, count in known.items() if count), key=lambda word: (known[word], word))[:most])


def fitting(passages: Iterable[dict[str, Any]], limit: int = PASSAGES_BYTES) -> tuple[dict[str, Any], ...]:
    """The first passages that have at most so many bytes together, as JSON."""
    kept, size = [], 0
    for passage in passages:
        size += len(wire.canonical(passage))
        if size > limit:
            break
        kept.append(passage)
    return tuple(kept)


def _values(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else (value,)


def _scalar(value: object) -> bool:
    return isinstance(value, str | int | float)


def _mark(name: str, value: object) -> str:
    return _digest(name, f"{type(value).__name__[0]}{value}" if isinstance(value, str | bool) else f"n{_number(value)}")


def _number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _digest(*texts: str) -> str:
    return sha256(framed(*(text.encode("utf-8", "surrogatepass") for text in texts))).hexdigest()


__all__ = [
    "Change",
    "Drop",
    "Put",
    "Skip",
    "change",
    "excerpt",
    "fitting",
    "marks",
    "owner",
    "plain",
    "question",
    "rarest",
    "seen_by",
    "snapshot",
    "wanted",
]
