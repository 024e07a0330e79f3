"""`streams worker`: one worker process against a given cluster."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli import connect
from streams.cli.options import Brokers, PropertiesFile, Property


def worker(
    ctx: typer.Context,
    apps: Annotated[str | None, typer.Option(help="Which parts of the flow it runs: core,infer,park.")] = None,
    slot: Annotated[int | None, typer.Option(help="Its number on this machine.")] = None,
    take_over: Annotated[
        bool | None,
        typer.Option("--take-over", help="Wait until the slot's worker has ended, then go on in its place."),
    ] = None,
    http_port: Annotated[int | None, typer.Option(help="Port of /metrics, /ready and /live.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where its tables are kept.")] = None,
    provider: Annotated[str | None, typer.Option(help="Who answers: echo, openai, anthropic.")] = None,
    plain_text: Annotated[
        bool | None, typer.Option("--plain-text/--no-plain-text", help="Whether a line of text is a prompt.")
    ] = None,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Run one worker until it is told to stop (SIGTERM, Ctrl-C)."""
    flags = {
        "worker.apps": apps,
        "worker.slot": slot,
        "worker.take_over": take_over,
        "worker.http_port": http_port,
        "worker.state_dir": state_dir,
        "provider.kind": provider,
        "admit.plain_text": plain_text,
    }
    settings, address, _ = connect.chosen(ctx, {**connect.connection_flags(brokers, properties, file), **flags})
    found = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"brokers": address})})
    raise typer.Exit(connect.outside(ctx).work(found, found.worker.apps))
