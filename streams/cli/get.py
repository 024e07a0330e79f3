"""`streams get`: the answer of one request."""

import asyncio
from typing import Annotated

import typer

from streams.cli import connect, show
from streams.cli.options import NOT_FOUND, As, Brokers, PropertiesFile, Property
from streams.client.final import final

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
    key = id.encode(errors="surrogateescape")  # an argument may be any bytes
    record = asyncio.run(final(kafka, key, wait_timeout if wait else 0.0))
    if record is None:
        typer.echo(f"no answer for '{show.clean(id)}'" + (f" within {wait_timeout:g} s" if wait else ""), err=True)
        raise typer.Exit(NOT_FOUND)
    found = show.decoded(record.value)
    answer = found if isinstance(found, dict) else {"id": id, "value": found}
    if how is not show.Format.table:
        show.one(answer, how)
        return
    show.one(facts(answer), how)
    if isinstance(text := answer.get("text"), str):
        typer.echo("\n" + show.prose(text))


def facts(answer: show.Row) -> show.Row:
    """What stands above the text on a screen: all that there is, the text itself once."""
    same = {"role": "assistant", "content": answer.get("text")}
    told = {name: value for name, value in answer.items() if name != "text" and value not in (None, {}, same)}
    error = told.get("error")
    return {**told, "error": f"{error.get('kind')}: {error.get('message')}"} if isinstance(error, dict) else told
