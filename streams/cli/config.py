"""`streams config`: which settings are in force and who named them, whether they fit, and what there is to set."""

from typing import Annotated

import typer

from streams.cli import connect, show
from streams.cli.options import As, Brokers, PropertiesFile, Property

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
    """Check all settings, and the templates that they name, without connecting; names each that does not fit."""
    from streams import settings
    from streams.adapters import templates

    given = connect.load(ctx, connect.connection_flags(brokers, properties, file)).settings
    settings.check(given)
    templates.load(given.assemble.templates_dir)
    if given.assemble.system_file is not None:
        templates.system_text(given.assemble.system_file)
    typer.echo("settings fit", err=True)


@app.command()
def schema(pretty: Annotated[bool, typer.Option(help="Indented, or on one line.")] = True) -> None:
    """Print the JSON Schema of streams.toml."""
    from streams import settings

    show.one(settings.schema(), show.Format.json if pretty else show.Format.jsonl)
