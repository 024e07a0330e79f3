"""`streams topics`: what the cluster lacks, and making it so."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from streams.cli import connect, show
from streams.cli.connect import Connection
from streams.cli.options import FAILED, As, Brokers, PropertiesFile, Property

if TYPE_CHECKING:
    from streams.engine.topics import New, Plan, Shape
    from streams.settings import Settings

app = typer.Typer(help="Topics: plan what would be created or altered, apply it.")
COLUMNS = ("action", "topic", "detail")


@app.command()
def plan(
    ctx: typer.Context,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Print what `apply` would do; changes nothing. Exit code 1 when a topic cannot be used as it is."""
    there = connect.connect(ctx, brokers, properties, file)
    planned = asyncio.run(planned_for(ctx, there))
    show.rows(lines(planned), how, COLUMNS)
    if planned.differ:
        raise typer.Exit(FAILED)


@app.command()
def apply(
    ctx: typer.Context,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Create what is missing and alter what differs; prints what was done."""
    there = connect.connect(ctx, brokers, properties, file)
    planned = asyncio.run(_apply(ctx, there))
    show.rows([line for line in lines(planned) if line["action"] != "keep"], how, COLUMNS)
    typer.echo(f"{len(planned.create)} created, {len(planned.alter)} altered, {len(planned.present)} kept", err=True)


async def _apply(ctx: typer.Context, there: Connection) -> "Plan":
    planned = await planned_for(ctx, there)
    await there.kafka.apply(planned)
    return planned


async def planned_for(ctx: typer.Context, there: Connection) -> "Plan":
    """What is missing for the pipeline on this cluster."""
    from streams import pipeline

    tables = pipeline.tables(connect.outside(ctx).flow(there.settings))
    return await there.kafka.plan(shape_of(there.settings), tables)


def shape_of(settings: "Settings") -> "Shape":
    """How topics are made, by the settings."""
    from streams.engine.topics import Shape

    wanted = settings.topics
    return Shape(wanted.partitions, wanted.replication, wanted.retention_d, settings.worker.allow_create_time)


def lines(planned: "Plan") -> list[show.Row]:
    """One row a topic: refuse, create, alter, keep."""
    return [
        *({"action": "refuse", "topic": one.name, "detail": f"{one.what}: {one.fix}"} for one in planned.differ),
        *({"action": "create", "topic": one.name, "detail": _made(one)} for one in planned.create),
        *({"action": "alter", "topic": one.name, "detail": _pairs(one.changes)} for one in planned.alter),
        *({"action": "keep", "topic": name, "detail": None} for name in planned.present),
    ]


def _made(topic: "New") -> str:
    return f"{topic.partitions} partitions, replication {topic.replication}, {_pairs(topic.settings)}"


def _pairs(settings: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())
