"""`streams submit`: publish prompts, and print or keep their answers where they are waited for."""

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TextIO

import typer

from streams.cli import connect, show
from streams.cli.asked import assigned, requests_in, source_of
from streams.cli.options import FAILED, OK, PARTIAL, As, Brokers, PropertiesFile, Property
from streams.cli.progress import bar
from streams.client import AnswersMissing, Client
from streams.client.batch import Batch
from streams.client.outfile import OutFile
from streams.client.source import Source
from streams.decisions.totals import Totals
from topics.answer import Answer
from topics.errors import ConfigurationError, TransportError
from topics.messages import Lane

WAIT_S = 300.0
CODES = {"all": OK, "some": PARTIAL, "none": FAILED}


def submit(
    ctx: typer.Context,
    text: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Prompts, one an argument.")] = None,
    path: Annotated[
        Path | None,
        typer.Option(
            "-f",
            metavar="IN",
            help="Rows: JSON lines (requests, texts, OpenAI Batch), .csv, or .txt (a prompt a line); - is stdin.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT", help="Add answers to this file of JSON lines; run again to go on. Errors beside it."
        ),
    ] = None,
    prompt_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="The prompt's column in CSV [default: prompt].")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Print the answers as they come.")] = False,
    wait_timeout: Annotated[
        float | None,
        typer.Option(help="Stop waiting after that many seconds [default: 300, with --out never].", min=0.0),
    ] = None,
    id: Annotated[str | None, typer.Option(help="Your name for the request; else one is made.")] = None,
    model: Annotated[str | None, typer.Option(help="Which model or route.")] = None,
    priority: Annotated[Lane | None, typer.Option(help="Which lane.", case_sensitive=False)] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which an answer is of no use.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A provider parameter.")] = None,
    tenant: Annotated[str | None, typer.Option(help="On whose behalf.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Comes back as it is.")] = None,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Publish prompts; with --wait print each answer when it arrives, with --out keep it in a file.

    Exit codes: 0 all answered, 3 some failed, missing or bad, 1 none answered.
    """
    given = {"id": id, "model": model, "priority": priority, "timeout_s": timeout, "tenant": tenant}
    fields = {**given, "params": assigned("--param", param), "metadata": assigned("--metadata", metadata)}
    kept = {name: value for name, value in fields.items() if value not in (None, {})}
    if wait_timeout is not None and not wait and out is None:
        raise ConfigurationError("--wait-timeout", wait_timeout, "nothing is waited for: give --wait or --out too")
    source = source_of(text or [], path, kept, prompt_field)
    rows = [] if out else requests_in(source)
    client = Client(door=connect.connect(ctx, brokers, properties, file).kafka)
    begun = time.monotonic()
    if out is not None:
        totals = _into(client, source, out, wait_timeout)
    elif wait:
        printer = Printer(sys.stdout, how, len(rows) == 1)
        totals = asyncio.run(_ask(client, rows, WAIT_S if wait_timeout is None else wait_timeout, printer))
    else:
        asyncio.run(_publish(client, rows, how))
        return
    typer.echo(totals.line(time.monotonic() - begun), err=True)
    raise typer.Exit(CODES[totals.outcome])


@dataclass(frozen=True, slots=True)
class Printer:
    """Writes one answer: one alone as its text, several as a line each."""

    stream: TextIO
    how: show.Format
    alone: bool

    def write(self, answer: Answer) -> None:
        """One answer, at once."""
        if self.how is not show.Format.table:
            show.one(answer.model_dump(mode="json"), self._json, self.stream)
        else:
            self.stream.write(self._plain(answer) + "\n")
            self.stream.flush()

    @property
    def _json(self) -> show.Format:
        """A list could only be closed at the end, so several answers are a line each in both JSON formats."""
        return show.Format.json if self.how is show.Format.json and self.alone else show.Format.jsonl

    def _plain(self, answer: Answer) -> str:
        text = answer.text if answer.error is None else f"{answer.error.kind}: {answer.error.message}"
        if not self.alone:
            return show.line({"id": answer.id, "status": answer.status, "text": text})
        if answer.error is not None:
            return show.clean(f"{answer.status}: {text}")
        return show.prose(text or "")


async def _publish(client: Client, rows: list[dict[str, object]], how: show.Format) -> None:
    async with client:
        found = [{"id": sent.id, "at": sent.at} async for sent in client.submit(rows)]
    show.rows(found, how, ("id", "at"))


async def _ask(client: Client, rows: list[dict[str, object]], timeout_s: float, printer: Printer) -> Totals:
    totals = Totals(len(rows))
    async with client:
        try:
            async for answer in client.ask(rows, timeout_s):
                totals.count(answer)
                printer.write(answer)
        except AnswersMissing as late:
            typer.echo(f"error: {late}; ask again with `streams get ID --wait`", err=True)
    return totals


def _into(client: Client, source: Source, out: Path, timeout_s: float | None) -> Totals:
    """Runs a batch; however it ends, what it did is told, and how to go on."""
    with OutFile(out, source.path) as files, bar(source.size()) as told:
        batch = Batch(client, source, files, told)
        try:
            asyncio.run(_run(batch, timeout_s))
        except (TransportError, KeyboardInterrupt):
            _not_finished(out, batch.totals)
            raise
    if batch.totals.missing:
        _not_finished(out, batch.totals)
    if batch.totals.wrong:
        typer.echo(f"what went wrong, by line: {files.errors}", err=True)
    return batch.totals


def _not_finished(out: Path, totals: Totals) -> None:
    typer.echo(f"not finished: {out} has {totals.answered:,} more answers; run the same again to go on", err=True)


async def _run(batch: Batch, timeout_s: float | None) -> None:
    async with batch.client:
        await batch.run(round(time.time() * 1000), timeout_s)
