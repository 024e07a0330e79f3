"""`streams get`: the answer of one request."""

import asyncio
from typing import Annotated

import typer

from streams.cli import connect, show
from streams.cli.options import NOT_FOUND, As, Brokers, PropertiesFile, Property
from topics.catalog import RESULTS

ID = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]


def get(
    ctx: typer.Context,
    id: ID,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer if it is not there yet.")] = False,
    wait_timeout: Annotated[float, typer.Option(help="At most that many seconds.", min=0.0)] = 300.0,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Print the answer of a request; exit code 4 when there is none."""
    kafka = connect.connect(ctx, brokers, properties, file).kafka
    record = asyncio.run(kafka.find(RESULTS, id.encode(), lambda _: True, wait_timeout if wait else 0.0))
    if record is None:
        typer.echo(f"no answer for '{show.clean(id)}'" + (f" within {wait_timeout:g} s" if wait else ""), err=True)
        raise typer.Exit(NOT_FOUND)
    answer = show.decoded(record.value)
    show.one(answer if isinstance(answer, dict) else {"id": id, "value": answer}, how)
