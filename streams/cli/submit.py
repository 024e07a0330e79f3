"""`streams submit`: publish prompts, and print their answers where they are waited for."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TextIO

import typer

from streams.cli import connect, show
from streams.cli.asked import assigned, requests_in, target
from streams.cli.options import FAILED, OK, PARTIAL, As, Brokers, PropertiesFile, Property
from streams.client import AnswersMissing, Client, Row
from topics.answer import Answer
from topics.messages import Lane


def submit(
    ctx: typer.Context,
    text: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Prompts, one an argument.")] = None,
    source: Annotated[
        Path | None, typer.Option("-f", metavar="IN.jsonl", help="A request or a string a line; - is stdin.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="OUT.jsonl", help="Wait, and write answers there.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Print the answers as they come.")] = False,
    wait_timeout: Annotated[float, typer.Option(help="Stop waiting after that many seconds.", min=0.0)] = 300.0,
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
    """Publish prompts; with --wait print each answer when it arrives.

    Exit codes: 0 all answered, 3 some failed or missing, 1 none answered.
    """
    given = {"id": id, "model": model, "priority": priority, "timeout_s": timeout, "tenant": tenant}
    fields = {**given, "params": assigned("--param", param), "metadata": assigned("--metadata", metadata)}
    rows = requests_in(text or [], source, {name: value for name, value in fields.items() if value not in (None, {})})
    client = Client(door=connect.connect(ctx, brokers, properties, file).kafka)
    if out is None and not wait:
        asyncio.run(_publish(client, rows, how))
        return
    with target(out) as stream:
        tally = asyncio.run(_ask(client, rows, wait_timeout, Printer(stream, how, out is not None, len(rows) == 1)))
    typer.echo(tally.line, err=True)
    raise typer.Exit(tally.exit_code)


@dataclass(slots=True)
class Tally:
    """What the closing line says."""

    asked: int
    statuses: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0

    def count(self, answer: Answer) -> None:
        """Adds one answer."""
        self.statuses[answer.status] += 1
        if answer.usage:
            self.input_tokens += answer.usage.input_tokens
            self.output_tokens += answer.usage.output_tokens

    @property
    def answered(self) -> int:
        """How many requests have the answer that was asked for."""
        return self.statuses["completed"]

    @property
    def exit_code(self) -> int:
        """0 all answered, 3 some, 1 none."""
        return OK if self.answered == self.asked else PARTIAL if self.answered else FAILED

    @property
    def line(self) -> str:
        """``2 answered, 1 failed, tokens: 9 in, 20 out``; what did not happen is left out, but for failures."""
        failed = self.statuses["failed"]
        others = [f"{n} {status}" for status, n in self.statuses.items() if status not in ("completed", "failed")]
        missing = self.asked - self.statuses.total()
        waited = [f"{missing} without an answer yet"] if missing else []
        tokens = f"tokens: {self.input_tokens} in, {self.output_tokens} out"
        return ", ".join([f"{self.answered} answered", f"{failed} failed", *others, *waited, tokens])


@dataclass(frozen=True, slots=True)
class Printer:
    """Writes one answer: to a file as JSON, one alone as its text, several as a line each."""

    stream: TextIO
    how: show.Format
    to_file: bool
    alone: bool

    def write(self, answer: Answer) -> None:
        """One answer, at once."""
        if self.to_file or self.how is not show.Format.table:
            show.one(answer.model_dump(mode="json"), self._json, self.stream)
        else:
            self.stream.write(self._plain(answer) + "\n")
            self.stream.flush()

    @property
    def _json(self) -> show.Format:
        """A list could only be closed at the end, so several answers are a line each in both JSON formats."""
        pretty = self.how is show.Format.json and self.alone and not self.to_file
        return show.Format.json if pretty else show.Format.jsonl

    def _plain(self, answer: Answer) -> str:
        text = answer.text if answer.error is None else f"{answer.error.kind}: {answer.error.message}"
        if not self.alone:
            return show.line({"id": answer.id, "status": answer.status, "text": text})
        if answer.error is not None:
            return show.clean(f"{answer.status}: {text}")
        return "\n".join(map(show.clean, (text or "").split("\n"))) if self.stream.isatty() else text or ""


async def _publish(client: Client, rows: list[Row], how: show.Format) -> None:
    async with client:
        found = [{"id": sent.id, "at": sent.at} async for sent in client.submit(rows)]
    show.rows(found, how, ("id", "at"))


async def _ask(client: Client, rows: list[Row], timeout_s: float, printer: Printer) -> Tally:
    tally = Tally(len(rows))
    async with client:
        try:
            async for answer in client.ask(rows, timeout_s):
                tally.count(answer)
                printer.write(answer)
        except AnswersMissing as late:
            typer.echo(f"error: {late}; ask again with `streams get ID --wait`", err=True)
    return tally
