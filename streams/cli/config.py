"""`streams config`: which settings are in force and who named them, whether they fit, and what there is to set."""

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import connect, show
from streams.cli.options import As, Brokers, PropertiesFile, Property

if TYPE_CHECKING:
    from streams.settings import Settings

app = typer.Typer(help="Settings: show with origins, check, JSON Schema of streams.toml.")


@app.command("show")
def show_(
    ctx: typer.Context,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Print every setting with its value and origin; secrets are masked."""
    from streams import settings

    loaded = connect.load(ctx, connect.connection_flags(brokers, properties, file))
    found = [{"setting": one.path, "value": one.value, "origin": one.origin} for one in settings.shown(loaded)]
    show.rows(found, how, ("setting", "value", "origin"))


@app.command()
def check(
    ctx: typer.Context, brokers: Brokers = None, properties: Property = None, file: PropertiesFile = None
) -> None:
    """Check all settings, and keys and templates that they name, without connecting; names what does not fit."""
    fit(connect.load(ctx, connect.connection_flags(brokers, properties, file)).settings)
    typer.echo("settings fit", err=True)


def fit(given: "Settings") -> None:
    """Whether a worker could begin with them: providers and their keys, templates, policies; raises what it would."""
    from streams import pipeline, settings

    settings.check(given)
    pipeline.compose(pipeline.parts_of(given, pipeline.Nowhere()))


@app.command()
def schema(pretty: Annotated[bool, typer.Option(help="Indented, or on one line.")] = True) -> None:
    """Print the JSON Schema of streams.toml."""
    from streams import settings

    show.one(settings.schema(), show.Format.json if pretty else show.Format.jsonl)
