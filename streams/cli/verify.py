"""`streams verify`: was every accepted prompt answered once, and nothing invented? Exit code 5 where not."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from streams.cli import connect, show
from streams.cli.options import WRONG, As, Brokers, PropertiesFile, Property
from streams.decisions import offsets
from streams.decisions.proof import NOTED, OFFENCES, Calls, Demands, Verdict, Word
from topics.errors import ConfigurationError

COLUMNS = ("class", "count", "meaning", "ids")
SHOWN = 5
WORDS: dict[str, Word] = {"ok": "ok", "unknown": "unknown", "failed": "failed"}
NOTATION = "start, end, N, -N, @TIME, @-15m"


def verify(
    ctx: typer.Context,
    start: Annotated[str, typer.Option("--from", help=f"First prompt to judge: {NOTATION}")] = "start",
    stop: Annotated[str, typer.Option("--to", help="Judge prompts before that; the same notation.")] = "end",
    files: Annotated[Path | None, typer.Option(metavar="DIR", help="Check exported files, without Kafka.")] = None,
    export: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep what is read, to check it again.")] = None,
    client: Annotated[
        Path | None, typer.Option(help='A produce log: lines {"id", "outcome"}, ok|unknown|failed.')
    ] = None,
    calls: Annotated[Path | None, typer.Option(help="The ledger of a drill's provider.")] = None,
    kills: Annotated[Path | None, typer.Option(help='Workers that were killed: lines {"worker", "at"}.')] = None,
    stall: Annotated[float, typer.Option(help="Seconds without any answer that are too many.", min=0.0)] = 900.0,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Read all topics and print what is wrong, by class, with ids; exit code 5 when anything is. It changes nothing."""
    demands = Demands(stall_s=stall, client=_client(client), calls=_calls(calls, kills))
    if files is not None:
        verdict = _offline(ctx, files, demands)
    else:
        now_ms = time.time_ns() // 1_000_000
        between = offsets.parse(start, now_ms), offsets.parse(stop, now_ms)
        there = connect.connect(ctx, brokers, properties, file)
        verdict = asyncio.run(_live(ctx, there, between, export, replace(demands, now_ms=now_ms)))
    _print(verdict, how)
    if not verdict.clean:
        raise typer.Exit(WRONG)


def _offline(ctx: typer.Context, files: Path, demands: Demands) -> Verdict:
    from streams import pipeline
    from streams.verify import Exported

    settings = connect.load(ctx, {}).settings
    demands = replace(demands, window_ms=settings.dedup.policy().window_ms)
    return Exported(files).verify(pipeline.door(settings), demands)


async def _live(
    ctx: typer.Context,
    there: connect.Connection,
    between: tuple[offsets.Position, offsets.Position],
    export: Path | None,
    demands: Demands,
) -> Verdict:
    from streams import pipeline
    from streams.verify import exporting, readers
    from streams.verify import verify as verified

    settings, stages = there.settings, connect.outside(ctx).flow(there.settings)
    demands, policy = replace(demands, window_ms=settings.dedup.policy().window_ms), pipeline.door(settings)
    with nullcontext() if export is None else exporting(export) as sink:
        return await verified(there.kafka, there.names, readers(stages), policy, demands, *between, sink)


def _client(path: Path | None) -> dict[str, frozenset[Word]]:
    """Id → how its publishing ended, over all tries."""
    found = dict[str, frozenset[Word]]()
    for line in _lines("--client", path):
        word = WORDS.get(str(line.get("outcome")))
        if word is None or not isinstance(line.get("id"), str):
            raise ConfigurationError("--client", str(path), 'write lines {"id": "…", "outcome": "ok|unknown|failed"}')
        found[line["id"]] = found.get(line["id"], frozenset()) | {word}
    return found


def _calls(path: Path | None, kills: Path | None) -> Calls | None:
    """What the ledger counts; an answer that was spoilt is a retry, which answers have to tell."""
    if path is None:
        return None
    from streams.drill import account, ledger

    blows = [account.Blow(str(line.get("worker")), float(line.get("at", 0))) for line in _lines("--kills", kills)]
    made = account.calls_of(ledger.read(path), {})
    paid = account.account(made, blows)
    excused = sum(call.word != "error" and call.excuses(blows) for call in made)
    return Calls(paid.calls, paid.unique, excused, paid.baseless)


def _lines(option: str, path: Path | None) -> Iterator[dict[str, Any]]:
    if path is None:
        return
    try:
        lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    except OSError as bad:
        raise ConfigurationError(option, str(path), f"name a file that can be read ({bad.strerror})") from bad
    except orjson.JSONDecodeError as bad:
        raise ConfigurationError(option, str(path), f"write a JSON object a line ({bad.msg})") from bad
    yield from (line for line in lines if isinstance(line, dict))


def _print(verdict: Verdict, how: show.Format) -> None:
    if how is show.Format.json:
        show.one(_whole(verdict), how)
    elif how is show.Format.jsonl:
        show.rows(_each(verdict), how, ())
    elif verdict.classes:
        show.rows(_classes(verdict), how, COLUMNS)
    typer.echo(verdict.summary(), err=True)


def _whole(verdict: Verdict) -> show.Row:
    classes = {row["class"]: {"count": row["count"], "findings": []} for row in _classes(verdict)}
    for row in _each(verdict):
        classes[row["class"]]["findings"].append({"id": row["id"], "detail": row["detail"]})
    return {"clean": verdict.clean, "settled": verdict.settled, "counts": dict(verdict.counts), "classes": classes}


def _classes(verdict: Verdict) -> Iterator[dict[str, Any]]:
    for name, meaning in {**OFFENCES, **NOTED}.items():
        found = verdict.found(name)
        if found.count:
            more = f" and {found.count - SHOWN:,} more" if found.count > SHOWN else ""
            yield {"class": name, "count": found.count, "meaning": meaning, "ids": ", ".join(found.ids[:SHOWN]) + more}


def _each(verdict: Verdict) -> Iterator[dict[str, Any]]:
    for name in (*OFFENCES, *NOTED):
        for item in verdict.found(name).items:
            yield {"class": name, "wrong": name in OFFENCES, "id": item.id, "detail": item.detail}
