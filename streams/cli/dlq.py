"""`streams dlq`: what was given up and why, in groups or one by one. `list` and `show` only read."""

import asyncio
import base64
import shlex
from typing import Annotated

import typer

from streams.cli import connect, letters, redrive, show
from streams.cli.connect import Connection, Kafka
from streams.cli.options import NOT_FOUND, As, Brokers, PropertiesFile, Property
from streams.client import letters as reading
from streams.decisions import burial, lineage, offsets
from streams.decisions import letters as rules
from streams.decisions.letters import Wanted
from streams.decisions.notes import Register, Standing
from streams.decisions.offsets import AtOffset, FromStart, Position
from streams.decisions.redrive import DONE
from streams.stage import CARRIED, Record
from topics.answer import rfc3339
from topics.catalog import DEAD_LETTERS, Names

app = typer.Typer(help="Dead letters: what was given up, and why. Send them again, or discard them.")
SHOWN = 4000  # characters of a value on a screen
APART = ("value", "value_base64")  # a screen shows the bytes below
OURS = CARRIED | burial.RESERVED | lineage.OURS | {lineage.RUN}  # headers that the way here added
TOLD = (
    *("id", "kind", "stage", "disposition", "exception_class", "exception_message", "attempts"),
    *("first_failed_at", "failed_at", "group", "lineage"),
)


@app.callback(invoke_without_command=True)
def bare(ctx: typer.Context) -> None:
    """Dead letters: what was given up, and why; send them again or discard them."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("list")
def listed(
    ctx: typer.Context,
    kind: letters.Kind = None,
    stage: letters.StageName = None,
    session: letters.Session = None,
    fingerprint: letters.Fingerprint = None,
    older_than: letters.OlderThan = None,
    newer_than: letters.NewerThan = None,
    start: Annotated[str, typer.Option("--since", "--from", help="start, end, N, -N, @TIME, @-15m")] = "start",
    stop: Annotated[str, typer.Option("--to", help="The same notation.")] = "end",
    every: Annotated[bool, typer.Option("--all", help="Also what was sent again or discarded.")] = False,
    each: letters.Each = False,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Print how many dead letters wait for somebody, by what they died of."""
    begin, end = offsets.parse(start, letters.now_ms()), offsets.parse(stop, letters.now_ms())
    meant = letters.wanted((), kind, stage, session, fingerprint, older_than, newer_than)
    there = connect.connect(ctx, brokers, properties, file)
    stated = asyncio.run(_list(there, begin, end, meant))
    shown = [one for one in stated if every or one[1] not in DONE]
    found = letters.rows(shown, each)
    letters.table(found, each, how)
    typer.echo(_closing(len(shown), len(stated) - len(shown), found, each), err=True)


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
    found, kept = asyncio.run(_find(there.kafka, what))
    if not found:
        typer.echo(f"no dead letter for '{show.clean(what)}'; there are: streams dlq list --each", err=True)
        raise typer.Exit(NOT_FOUND)
    *older, newest = found
    letter = view(newest, there.names, kept.of(f"{DEAD_LETTERS}/{newest.partition}/{newest.offset}"))
    if how is show.Format.table:
        show.one({name: value for name, value in letter.items() if name not in APART and value is not None}, how)
        typer.echo("\n" + _on_screen(newest.value))
    else:
        show.one(letter, how)
    for line in _hints(letter, older):
        typer.echo(line, err=True)


app.command()(redrive.redrive)
app.command()(redrive.discard)


def view(record: Record, names: Names, standing: Standing | None = None) -> dict[str, object]:
    """A dead letter as people and programs read it; ``value_base64`` only where the bytes are no text."""
    told = {name.replace("-", "_"): text for name, text in burial.told(record.headers).items()}
    text = show.as_text(record.value)
    origin = [told.get(f"original_{part}") for part in ("topic", "partition", "offset")]
    raw = record.value if isinstance(text, dict) else None
    own = {name: show.as_text(value) for name, value in record.headers if not _ours(name)}
    return {
        "at": f"{names.topic(DEAD_LETTERS)}/{record.partition}/{record.offset}",
        "buried": rfc3339(record.timestamp_ms),
        "state": _state(standing),
        **_deed(standing),
        "fingerprint": rules.letter_of(record, names).fingerprint,
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


async def _list(there: Connection, start: Position, stop: Position, meant: Wanted) -> list[letters.Stated]:
    kept = await reading.register(there.kafka)
    async with there.kafka.tail(DEAD_LETTERS, start, stop) as records:
        found = [rules.letter_of(record, there.names) async for record in records]
    return [(letter, _state(kept.of(letter.at))) for letter in found if rules.wants(meant, letter)]


def _state(standing: Standing | None) -> str:
    """``open`` is what nobody has done anything about; ``claimed``: a run is at it, or was killed there."""
    return "open" if standing is None else standing.note.did


def _deed(standing: Standing | None) -> dict[str, object]:
    """Who did what with it, where anybody did."""
    if standing is None:
        return {}
    note = standing.note
    edited = {"edited": list(note.edited), "hash_before": note.before, "hash_after": note.after} if note.edited else {}
    return {"by": note.by, "done": rfc3339(standing.at_ms), "run": note.run, "prompt": note.prompt, **edited}


async def _find(kafka: Kafka, what: str) -> tuple[list[Record], Register]:
    """Dead letters at a place, else those of an id, oldest first; and what was done with them."""
    return await _records(kafka, what), await reading.register(kafka)


async def _records(kafka: Kafka, what: str) -> list[Record]:
    if at := lineage.letter_at(what):
        async with kafka.tail(DEAD_LETTERS, AtOffset(at.offset), AtOffset(at.offset + 1)) as records:
            found = [one async for one in records if (one.partition, one.offset) == (at.partition, at.offset)]
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


def _closing(count: int, settled: int, rows: list[show.Row], each: bool) -> str:
    hidden = f" ({settled} sent again or discarded: --all)" if settled else ""
    if not rows:
        return f"no dead letters{hidden}"
    letters = f"{count} dead letter{'s' * (count > 1)}"
    told = letters if each else f"{letters} in {len(rows)} group{'s' * (len(rows) > 1)}"
    return f"{told}{hidden}. Next: streams dlq show {rows[0]['place' if each else 'newest']}"


def _hints(letter: dict[str, object], older: list[Record]) -> list[str]:
    places = ", ".join(f"{record.partition}/{record.offset}" for record in older)
    others = [f"{len(older)} older with this id: {places}"] if older else []
    id = letter["id"]
    return others + ([f"Next: streams get {shlex.quote(show.clean(str(id)))}    the answer that it had"] if id else [])
