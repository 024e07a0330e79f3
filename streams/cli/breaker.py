"""`streams breaker`: which services are called, and a person's word on it."""

import asyncio
from typing import Annotated, Literal
from uuid import uuid4

import typer

from streams.cli import connect, show
from streams.cli.connect import Connection
from streams.cli.options import PARTIAL, As, Brokers, PropertiesFile, Property
from streams.decisions.offsets import FromStart
from streams.stage import Record
from topics import wire
from topics.answer import rfc3339
from topics.calls import Breaker, Ordered
from topics.catalog import BREAKERS, CALLS
from topics.errors import ConfigurationError, DecodingError

app = typer.Typer(
    help="Circuit breakers: one for each provider and model that was ever closed off.", no_args_is_help=True
)
COLUMNS = ("service", "state", "since", "until", "relapses", "order")
WAIT_S = 10.0

Service = Annotated[str, typer.Argument(metavar="PROVIDER:MODEL", help="As `list` shows it.")]
Why = Annotated[str, typer.Option("--why", help="The reason, which is recorded.")]
Who = Annotated[str | None, typer.Option("--who", help="Your name, which is recorded; default: $USER.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait until it is in force.")]


@app.command("list")
def listed(
    ctx: typer.Context,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Print the state of each breaker that ever opened, with the latest order."""
    there = connect.connect(ctx, brokers, properties, file)
    show.rows(map(row, asyncio.run(words(there))), how, COLUMNS)


@app.command()
def trip(
    ctx: typer.Context,
    service: Service,
    why: Why,
    for_s: Annotated[float | None, typer.Option("--for", min=0, help="Seconds without any call or probe.")] = None,
    who: Who = None,
    wait_s: Wait = WAIT_S,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Open a breaker: no worker calls the service until probes find it well. Exit code 3 when no worker took it up."""
    there = connect.connect(ctx, brokers, properties, file)
    order = _order(ctx, "trip", why, who, for_s)
    _given(there, service, order, wait_s, how)


@app.command()
def reset(
    ctx: typer.Context,
    service: Service,
    why: Why,
    who: Who = None,
    wait_s: Wait = WAIT_S,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Close a breaker: all workers call the service again. Exit code 3 when no worker took it up."""
    there = connect.connect(ctx, brokers, properties, file)
    _given(there, service, _order(ctx, "reset", why, who), wait_s, how)


def _order(
    ctx: typer.Context, order: Literal["trip", "reset"], why: str, who: str | None, for_s: float | None = None
) -> Ordered:
    name = who or connect.outside(ctx).environ.get("USER") or "unknown"
    return Ordered(order=order, id=uuid4().hex, who=name, why=why, for_s=for_s)


def _given(there: Connection, service: str, order: Ordered, wait_s: float, how: show.Format) -> None:
    if not all(service.partition(":")):
        raise ConfigurationError("PROVIDER:MODEL", service, "name a provider and a model: openai:gpt-5")
    found = asyncio.run(_answered(there, service, order, wait_s))
    if found is None:
        typer.echo(f"recorded, but no worker has taken it up in {wait_s:g} s; one will when it runs", err=True)
        raise typer.Exit(PARTIAL)
    show.one(row(found), how)


async def _answered(there: Connection, service: str, order: Ordered, wait_s: float) -> Breaker | None:
    def ours(record: Record) -> bool:
        word = _word(record)
        return word is not None and word.order is not None and word.order.id == order.id

    async with there.kafka.publisher() as publisher:
        await (await publisher.send(CALLS, service.encode(), wire.encode(order)))
    found = await there.kafka.find(BREAKERS, service.encode(), ours, wait_s)
    return None if found is None else _word(found)


async def words(there: Connection) -> list[Breaker]:
    """The word that stands on each service, by name."""
    found: dict[str, Breaker] = {}
    async with there.kafka.tail(BREAKERS, FromStart()) as records:
        async for record in records:
            word = _word(record)
            known = found.get(word.service) if word else None
            if word and (known is None or (known.epoch, known.number) < (word.epoch, word.number)):
                found[word.service] = word
    return [found[service] for service in sorted(found)]


def _word(record: Record) -> Breaker | None:
    try:
        return wire.decode(record.value, Breaker)
    except DecodingError:
        return None  # not ours: it is passed over, as the workers do


def row(word: Breaker) -> show.Row:
    """One breaker as `list` shows it."""
    order = word.order
    told = None if order is None else f"{order.order} by {order.who} at {rfc3339(order.at_ms)}: {order.why}"
    return {
        "service": word.service,
        "state": word.state,
        "since": rfc3339(word.since_ms) if word.since_ms else None,
        "until": rfc3339(word.until_ms) if word.until_ms else None,
        "relapses": word.level,
        "order": told,
        "epoch": word.epoch,
        "probing": None if word.probing is None else word.probing.worker,
    }
