"""`streams dlq`: what was given up and why, in groups or one by one. It only reads: no group, no commit, no change."""

import asyncio
import base64
import re
import shlex
import time
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from streams.cli import connect, show
from streams.cli.connect import Kafka
from streams.cli.options import NOT_FOUND, As, Brokers, PropertiesFile, Property
from streams.decisions import burial, offsets
from streams.decisions.offsets import AtOffset, FromStart, Position
from streams.stage import CARRIED, Record
from topics.answer import rfc3339
from topics.catalog import DEAD_LETTERS, Names

app = typer.Typer(help="Dead letters: what was given up, and why. Reading changes nothing.")
GROUPED = ("kind", "stage", "disposition", "count", "first", "last", "newest")
EACH = ("place", "id", "kind", "stage", "disposition", "buried")
PLACE = re.compile(r"(?:[^/]+/)?([0-9]{1,9})/([0-9]{1,18})")  # 3/17, or dead-letters/3/17
SHOWN = 4000  # characters of a value on a screen
Cause = tuple[str | None, str | None, str | None]
APART = ("value", "value_base64")  # a screen shows the bytes below
OURS = CARRIED | burial.RESERVED  # headers that the way here added
TOLD = (
    *("id", "kind", "stage", "disposition", "exception_class", "exception_message", "attempts"),
    *("first_failed_at", "failed_at", "group"),
)


@app.command("list")
def listed(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Option(help="Only this kind of error.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only what this stage gave up.")] = None,
    start: Annotated[str, typer.Option("--since", "--from", help="start, end, N, -N, @TIME, @-15m")] = "start",
    stop: Annotated[str, typer.Option("--to", help="The same notation.")] = "end",
    each: Annotated[bool, typer.Option("--each", help="One line a dead letter, not a group.")] = False,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Print how many dead letters there are, by kind, stage and disposition."""
    now_ms = time.time_ns() // 1_000_000
    begin, end = offsets.parse(start, now_ms), offsets.parse(stop, now_ms)
    kafka = connect.connect(ctx, brokers, properties, file).kafka
    wanted = {"kind": kind, "stage": stage}
    count, rows = asyncio.run(_list(kafka, begin, end, wanted, each))
    show.rows(rows, how, EACH if each else GROUPED)
    typer.echo(_closing(count, rows, each), err=True)


@app.command("show")
def shown(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="ID|PARTITION/OFFSET", help="A request's id, or `newest` of a group.")],
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Print one dead letter: the evidence, and the bytes as they came. Exit code 4 when there is none."""
    there = connect.connect(ctx, brokers, properties, file)
    found = asyncio.run(_find(there.kafka, what))
    if not found:
        typer.echo(f"no dead letter for '{show.clean(what)}'; there are: streams dlq list --each", err=True)
        raise typer.Exit(NOT_FOUND)
    *older, newest = found
    letter = view(newest, there.names)
    if how is show.Format.table:
        show.one({name: value for name, value in letter.items() if name not in APART and value is not None}, how)
        typer.echo("\n" + _on_screen(newest.value))
    else:
        show.one(letter, how)
    for line in _hints(letter, older):
        typer.echo(line, err=True)


def view(record: Record, names: Names) -> dict[str, object]:
    """A dead letter as people and programs read it; ``value_base64`` only where the bytes are no text."""
    told = {name.replace("-", "_"): text for name, text in burial.told(record.headers).items()}
    text = show.as_text(record.value)
    origin = [told.get(f"original_{part}") for part in ("topic", "partition", "offset")]
    raw = record.value if isinstance(text, dict) else None
    own = {name: show.as_text(value) for name, value in record.headers if not _ours(name)}
    return {
        "at": f"{names.topic(DEAD_LETTERS)}/{record.partition}/{record.offset}",
        "buried": rfc3339(record.timestamp_ms),
        "id": told.get("request_id"),
        **{name: told.get(name) for name in TOLD if name != "id"},
        "original": "/".join(map(str, origin)) if None not in origin else None,
        "holds": "the request as it was understood" if told.get("original") else "the original bytes",
        "lost_because": told.get("original"),
        "bytes": len(record.value or b""),
        "key": show.as_text(record.key),
        "headers": own or None,
        "value": text,
        "value_base64": base64.b64encode(raw).decode() if raw is not None else None,
    }


async def _list(
    kafka: Kafka, start: Position, stop: Position, wanted: dict[str, str | None], each: bool
) -> tuple[int, list[show.Row]]:
    rows, groups, count = list[show.Row](), dict[Cause, Group](), 0
    async with kafka.tail(DEAD_LETTERS, start, stop) as records:
        async for row in _wanted(records, wanted):
            cause, count = (row["kind"], row["stage"], row["disposition"]), count + 1
            if each:
                rows.append(row)
            else:
                groups.setdefault(cause, Group(*cause)).add(row["buried"] or "", row["place"] or "")
    biggest_first = sorted(groups.values(), key=lambda group: (-group.count, str(group.kind), str(group.stage)))
    return count, rows if each else [asdict(group) for group in biggest_first]


async def _wanted(
    records: AsyncIterable[Record], wanted: dict[str, str | None]
) -> AsyncIterator[dict[str, str | None]]:
    async for record in records:
        row = _row(record)
        if all(value is None or row[name] == value for name, value in wanted.items()):
            yield row


def _row(record: Record) -> dict[str, str | None]:
    told = burial.told(record.headers)
    place, id = f"{record.partition}/{record.offset}", told.get("request-id")
    facts = {name: told.get(name) for name in ("kind", "stage", "disposition")}
    return {"place": place, "id": id, **facts, "buried": rfc3339(record.timestamp_ms)}


@dataclass(slots=True)
class Group:
    """Dead letters of one cause; times are those of the broker."""

    kind: str | None
    stage: str | None
    disposition: str | None
    count: int = 0
    first: str = ""
    last: str = ""
    newest: str = ""

    def add(self, at: str, place: str) -> None:
        """Counts one; partitions come one after another, so it may be older than the last."""
        self.count += 1
        self.first = min(self.first or at, at)
        self.last, self.newest = max((self.last, self.newest), (at, place))


async def _find(kafka: Kafka, what: str) -> list[Record]:
    """Dead letters at a place, else those of an id, oldest first."""
    if at := PLACE.fullmatch(what):
        partition, offset = int(at[1]), int(at[2])
        async with kafka.tail(DEAD_LETTERS, AtOffset(offset), AtOffset(offset + 1)) as records:
            found = [record async for record in records if (record.partition, record.offset) == (partition, offset)]
        if found:
            return found
    async with kafka.tail(DEAD_LETTERS, FromStart()) as records:
        found = [record async for record in records if burial.told(record.headers).get("request-id") == what]
    return sorted(found, key=lambda record: (record.timestamp_ms, record.partition, record.offset))


def _ours(name: str) -> bool:
    return name in OURS or name.startswith(burial.ERROR)


def _on_screen(raw: bytes | None) -> str:
    """The bytes as text that cannot steer a terminal; what is no UTF-8 is written out."""
    if raw is None:
        return "(a null value)"
    return show.short(show.prose(raw.decode(errors="backslashreplace")), SHOWN) if raw else "(no bytes)"


def _closing(count: int, rows: list[show.Row], each: bool) -> str:
    if not rows:
        return "no dead letters"
    letters = f"{count} dead letter{'s' * (count > 1)}"
    told = letters if each else f"{letters} in {len(rows)} group{'s' * (len(rows) > 1)}"
    return f"{told}. Next: streams dlq show {rows[0]['place' if each else 'newest']}"


def _hints(letter: dict[str, object], older: list[Record]) -> list[str]:
    places = ", ".join(f"{record.partition}/{record.offset}" for record in older)
    others = [f"{len(older)} older with this id: {places}"] if older else []
    id = letter["id"]
    return others + ([f"Next: streams get {shlex.quote(show.clean(str(id)))}    the answer that it had"] if id else [])
