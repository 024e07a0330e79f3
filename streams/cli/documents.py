"""`streams documents`: bringing a corpus to the topic that requests retrieve from."""

import asyncio
import sys
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from streams.cli import connect, show
from streams.cli.connect import Kafka
from streams.cli.files import Cut, Source, Wrong, files_in, sources_in
from streams.cli.options import FAILED, OK, PARTIAL, Brokers, PropertiesFile, Property
from streams.decisions import splitting
from streams.decisions.offsets import FromStart
from topics import wire
from topics.catalog import DOCUMENTS
from topics.errors import ConfigurationError, RecordTooLarge

app = typer.Typer(help="Documents: the corpus that requests retrieve from.")
ON_THEIR_WAY = 1000  # records sent and not yet acknowledged
TAKEN = "the id was there before in this directory: give each its own"


@app.callback()
def documents() -> None:
    """Documents: the corpus that requests retrieve from."""


@app.command()
def load(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Text, Markdown and JSONL files, at any depth.")],
    tenant: Annotated[str | None, typer.Option(help="Only requests of this tenant may see them.")] = None,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Publish the texts of a directory; what the topic has already is left as it is, so it can be run again.

    Exit codes: 0 all loaded, 3 some could not be, 1 none.
    """
    if tenant == "":
        raise ConfigurationError("--tenant", tenant, "no request has an empty one; name it, or leave it out for all")
    there = connect.connect(ctx, brokers, properties, file)
    files, cut = files_in(directory), Cut(tenant, there.settings.retrieve.part_chars)
    with bar(len(files)) as done:
        tally = asyncio.run(loaded(there.kafka, directory, files, cut, done))
    typer.echo(tally.line, err=True)
    raise typer.Exit(tally.exit_code)


@dataclass(slots=True)
class Tally:
    """What the closing line says."""

    files: int = 0
    written: int = 0
    unchanged: int = 0
    removed: int = 0
    wrong: int = 0

    @property
    def exit_code(self) -> int:
        """0 all, 3 some, 1 none."""
        return OK if not self.wrong else PARTIAL if self.written + self.unchanged else FAILED

    @property
    def line(self) -> str:
        """``12 documents loaded, 3 unchanged, 1 removed, 2 wrong, from 9 files``."""
        counts = f"{self.written} documents loaded, {self.unchanged} unchanged, {self.removed} removed"
        return f"{counts}, {self.wrong} wrong, from {self.files} files"


@dataclass(slots=True)
class Known:
    """What the topic holds now: the hash of each document, and the ids by the text that they are parts of."""

    hashes: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def note(self, id: str, value: bytes | None) -> None:
        """One more record of the topic."""
        text = splitting.text_of(id)
        self.parts[text].discard(id)
        if value is None:
            self.hashes.pop(id, None)
            return
        self.hashes[id] = sha256(value).digest()
        self.parts[id].add(id)
        if text != id and _says_part(id, value):
            self.parts[text].add(id)


async def loaded(kafka: Kafka, directory: Path, files: Sequence[Path], cut: Cut, done: Callable[[], None]) -> Tally:
    """Publishes what is new or changed, and removes the parts that a text no longer has."""
    known, tally, seen = await _known(kafka), Tally(), set[str]()
    async with kafka.publisher() as publisher:
        sending: deque[Awaitable[object]] = deque()
        for path in files:
            tally.files += 1
            for source in sources_in(path, path.relative_to(directory).as_posix(), cut):
                for id, value in _changes(source, known, seen, tally):
                    try:
                        sending.append(await publisher.send(DOCUMENTS, id.encode(), value))
                    except RecordTooLarge as large:
                        _complain(Wrong(id, f"{large}: make its metadata smaller"), tally)
                        tally.written -= 1
                    while len(sending) > ON_THEIR_WAY:
                        await sending.popleft()
            done()
        for delivery in sending:
            await delivery
    return tally


async def _known(kafka: Kafka) -> Known:
    known = Known()
    async with kafka.tail(DOCUMENTS, FromStart()) as records:
        async for record in records:
            known.note((record.key or b"").decode(errors="replace"), record.value)
    return known


def _changes(source: Source | Wrong, known: Known, seen: set[str], tally: Tally) -> Iterator[tuple[str, bytes | None]]:
    """The records that bring the topic from what it holds to this text."""
    if isinstance(source, Source):
        ids = {source.name, *(document.id for document in source.documents)}
        source = Wrong(source.name, TAKEN) if ids & seen else source
    if isinstance(source, Wrong):
        _complain(source, tally)
        return
    seen |= ids
    for document in source.documents:
        value = wire.encode(document)
        if known.hashes.get(document.id) == sha256(value).digest():
            tally.unchanged += 1
            continue
        tally.written += 1
        yield document.id, value
    for id in splitting.left_over(source.name, len(source.documents), sorted(known.parts.get(source.name, ()))):
        tally.removed += 1
        yield id, None


def _says_part(id: str, value: bytes) -> bool:
    """Whether the document itself says that it is a part; others may have chosen an id that looks so."""
    found = show.decoded(value)
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return isinstance(metadata, dict) and id.endswith(f"#{metadata.get('part')}")


def _complain(wrong: Wrong, tally: Tally) -> None:
    tally.wrong += 1
    typer.echo(f"error: {show.clean(wrong.at)}: {show.clean(wrong.reason)}", err=True)


@contextmanager
def bar(files: int) -> Iterator[Callable[[], None]]:
    """What is to be called after each file; shows a bar on a terminal, and nothing anywhere else."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as shown:
        task = shown.add_task("files", total=files)
        yield lambda: shown.advance(task)
