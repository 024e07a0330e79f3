"""Which documents does a directory hold? Text, Markdown and JSON lines, each long text in parts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.decisions import splitting
from topics import wire
from topics.document import Document
from topics.errors import ConfigurationError, DecodingError

TEXT, MARKDOWN, LINES = {".txt", ".text"}, {".md", ".markdown"}, {".jsonl", ".ndjson"}
HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$")
FENCE = re.compile(r" {0,3}(```|~~~)")
LINE_FIX = 'a line is {"id": …, "text": …}, perhaps with title, tenant and metadata'
LONGEST_LINE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """One text: a file, or a line of one; ``name`` is what the ids of its parts begin with."""

    name: str
    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Wrong:
    """What cannot be loaded: where, why, and what to do."""

    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cut:
    """How texts become documents: whose they are where nothing else is said, and characters of a part."""

    tenant: str | None = None
    part_chars: int = 2000


def files_in(directory: Path) -> tuple[Path, ...]:
    """The files to load, in the order of their paths; hidden ones and other kinds are left out."""
    if not directory.is_dir():
        raise ConfigurationError("DIR", str(directory), "it is no directory")
    every = (path for path in directory.rglob("*") if path.suffix.lower() in TEXT | MARKDOWN | LINES)
    shown = (path for path in every if not any(part.startswith(".") for part in path.relative_to(directory).parts))
    found = tuple(sorted(path for path in shown if path.is_file()))
    if not found:
        raise ConfigurationError("DIR", str(directory), "it holds no .txt, .md or .jsonl file")
    return found


def sources_in(path: Path, name: str, cut: Cut) -> Iterator[Source | Wrong]:
    """What one file holds; ``name`` is its path as ids have it."""
    try:
        raw = path.read_bytes()
    except OSError as bad:
        yield Wrong(name, f"cannot be read: {bad.strerror}")
        return
    if path.suffix.lower() in LINES:
        yield from _lines(raw, name, cut)
    else:
        yield _whole(raw, path.suffix.lower() in MARKDOWN, name, cut)


def title_of(text: str) -> str | None:
    """The first heading of a Markdown text outside of code."""
    fenced = False
    for line in text.split("\n"):
        fenced ^= bool(FENCE.match(line))
        heading = None if fenced else HEADING.match(line)
        if heading and heading[1]:
            return heading[1]
    return None


def _whole(raw: bytes, markdown: bool, name: str, cut: Cut) -> Source | Wrong:
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        return Wrong(name, "the name of the file is not UTF-8, and it would be the id: rename it")
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as bad:
        return Wrong(name, f"not UTF-8 (byte {bad.start}): save it as UTF-8")
    title = title_of(text) if markdown else None
    return _source(name, text, cut, {"title": title, "tenant": cut.tenant, "metadata": {"source": name}})


def _lines(raw: bytes, name: str, cut: Cut) -> Iterator[Source | Wrong]:
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            yield _line(line, f"{name}:{number}", cut)


def _line(line: bytes, at: str, cut: Cut) -> Source | Wrong:
    try:
        given = wire.decode(line, Document, LONGEST_LINE)
    except DecodingError as bad:
        return Wrong(at, f"{bad.reason}; {LINE_FIX}")
    tenant = cut.tenant if given.tenant is None else given.tenant
    if not given.text.strip():
        return Wrong(at, f"text: empty; {LINE_FIX}")
    return _source(given.id, given.text, cut, {"title": given.title, "tenant": tenant, "metadata": given.metadata})


def _source(name: str, text: str, cut: Cut, fields: dict[str, Any]) -> Source:
    texts = splitting.split(text, cut.part_chars)
    ids = splitting.named(name, len(texts))
    parts = range(1, len(texts) + 1) if len(texts) > 1 else [None]
    return Source(
        name,
        tuple(
            Document(
                id=id, text=one, **{**fields, "metadata": {**fields["metadata"], **({"part": part} if part else {})}}
            )
            for id, one, part in zip(ids, texts, parts, strict=False)
        ),
    )
