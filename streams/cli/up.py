"""`streams up`: broker, topics and workers on this machine, in one command."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import config, connect
from streams.cli.options import Brokers, PropertiesFile, Property
from topics.errors import ConfigurationError, LocalKafkaError

if TYPE_CHECKING:
    from streams.settings import Loaded

PROVIDERS = ("echo", "openai", "anthropic")
EMBEDDED = "embedded"


def up(
    ctx: typer.Context,
    demo: Annotated[bool, typer.Option("--demo/--no-demo", help="Submit a few prompts and show the answers.")] = False,
    workers: Annotated[int, typer.Option(help="How many worker processes.", min=1, max=64)] = 1,
    provider: Annotated[str | None, typer.Option(metavar="KIND", help="Who answers: echo, openai, anthropic.")] = None,
    port: Annotated[int, typer.Option(help="Port of the embedded Kafka; 0: the last one.", min=0, max=65535)] = 0,
    data: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path(".streams"),
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Start Kafka (embedded unless one is given), its topics and workers; say where everything listens."""
    kind = provider_for(provider, demo)
    flags = {"provider.kind": kind, **connect.connection_flags(brokers, properties, file)}
    loaded = connect.load(ctx, flags)
    config.fit(loaded.settings)  # before anything starts: it would end every worker
    home = (connect.outside(ctx).cwd / data).absolute()
    refuse_second(home)
    passed = [*(["-b", brokers] if brokers else []), *(["-F", str(file)] if file else [])]
    passed += [part for pair in properties or [] for part in ("-X", pair)]
    passed += ["--provider", kind] if kind else []
    with broker(loaded, home, port) as (address, origin):
        from streams.cli.running import Installation, run

        there = connect.connected(ctx, loaded.settings, address, origin)
        own = origin == EMBEDDED
        asyncio.run(run(ctx, there, Installation(home, connect.outside(ctx).cwd, own, workers, demo, tuple(passed))))


def provider_for(asked: str | None, demo: bool) -> str | None:
    """The demo is always answered by echo."""
    if asked is not None and asked not in PROVIDERS:
        raise ConfigurationError("--provider", asked, f"use one of {', '.join(PROVIDERS)}")
    return "echo" if demo else asked


def refuse_second(home: Path) -> None:
    """Two over one directory would fight for its broker and its tables."""
    from streams.local import ready

    if already := ready.read(home):
        raise LocalKafkaError(
            f"`streams up` is already running over {home} (pid {already.pid}, Kafka {already.brokers}): "
            "use it, stop it with Ctrl-C where it runs, or name another directory with --data"
        )


@contextmanager
def broker(loaded: "Loaded", home: Path, port: int) -> Iterator[tuple[str, str]]:
    """Address and origin of the cluster that was given, else of an embedded one that runs while the block does."""
    from streams import settings
    from streams.local.kafka import EmbeddedKafka

    kafka = loaded.settings.kafka
    if kafka.brokers or kafka.properties:
        yield settings.brokers(loaded)
        return
    with EmbeddedKafka(home / "kafka", port, say=_say, log_file=home / "kafka.log") as embedded:
        yield embedded.bootstrap_servers, EMBEDDED


def _say(line: str) -> None:
    typer.echo(line, err=True)
