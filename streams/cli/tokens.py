"""`streams tokens ratio`: which bytes-per-token ratio do the recorded calls speak for?"""

import asyncio
from collections.abc import AsyncIterable
from typing import Annotated

import typer

from streams.cli import connect, show
from streams.cli.options import NOT_FOUND, As, Brokers, PropertiesFile, Property
from streams.decisions import budget
from streams.decisions.budget import Measured, Proposal
from streams.decisions.offsets import AtEnd, FromStart
from streams.stage import Record
from topics import wire
from topics.answer import rfc3339
from topics.catalog import INFERRED
from topics.errors import DecodingError
from topics.messages import Inferred

app = typer.Typer(help="Tokens: what the recorded calls say about estimating them.")
COLUMNS = ("model", "calls", "bytes", "tokens", "ratio", "setting")


@app.callback()
def tokens() -> None:
    """Tokens: what the recorded calls say about estimating them."""


@app.command()
def ratio(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Option(help="Only the calls of this model.")] = None,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Propose `bytes_per_token` from recorded calls: one in twenty of them needs more tokens than it estimates."""
    there = connect.connect(ctx, brokers, properties, file)
    calls, last_ms = asyncio.run(_read(there.kafka, model))
    proposals = budget.propose(calls)
    show.rows(map(view, proposals), how, COLUMNS)
    if not proposals:
        typer.echo("no recorded call tells both bytes and tokens", err=True)
        raise typer.Exit(NOT_FOUND)
    lowest = min(proposals, key=lambda one: one.careful)
    typer.echo(f'[assemble]\n{setting(lowest)}\nratio_version = "measured-{rfc3339(last_ms)[:10]}"', err=True)


def view(proposal: Proposal) -> show.Row:
    """A proposal as people and programs read it."""
    return {
        "model": proposal.model,
        "calls": proposal.calls,
        "bytes": proposal.sent_bytes,
        "tokens": proposal.tokens,
        "ratio": round(proposal.ratio, 2),
        "setting": setting(proposal),
    }


def setting(proposal: Proposal) -> str:
    """The line for `streams.toml`."""
    return f"bytes_per_token = {proposal.careful}"


async def _read(kafka: connect.Kafka, model: str | None) -> tuple[list[Measured], int]:
    async with kafka.tail(INFERRED, FromStart(), AtEnd()) as found:
        return await _measured(found, model)


async def _measured(found: AsyncIterable[Record], model: str | None) -> tuple[list[Measured], int]:
    """Each call once, however often its reply was written, and the time of the last."""
    calls: dict[tuple[str, str], Measured] = {}
    last_ms = 0
    async for record in found:
        try:
            message = wire.decode(record.value, Inferred)
        except DecodingError:
            continue
        if model in (None, message.work.model):
            seen = Measured(message.work.model, message.input_bytes or 0, message.reply.usage.input_tokens)
            calls[message.dedup_key, message.epoch] = seen
            last_ms = max(last_ms, record.timestamp_ms)
    return list(calls.values()), last_ms
