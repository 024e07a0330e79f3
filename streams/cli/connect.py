"""Which cluster does a command talk to, with which settings? Everything it needs from outside comes through here."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from streams.client import Door, KafkaDoor
from streams.stage import Record, Stage
from topics.catalog import CATALOG, Names
from topics.errors import ConfigurationError

if TYPE_CHECKING:
    from streams.engine.cluster import Cluster
    from streams.engine.heads import Place
    from streams.engine.lag import Lag
    from streams.engine.topics import Plan, Shape
    from streams.local.ready import Up
    from streams.settings import Loaded, Settings


class Kafka(Door, Protocol):
    """What the commands need of a cluster; ``RealKafka`` has it, tests bring a fake."""

    async def last(self, topic: str, n: int) -> tuple[Record, ...]: ...

    async def lags(self, groups: Mapping[str, tuple[str, ...]]) -> "tuple[Lag, ...]": ...

    async def late(self, groups: Mapping[str, tuple[str, ...]], before_ms: int) -> "tuple[Lag, ...]": ...

    async def stamps(self, lags: "Iterable[Lag]") -> "dict[Place, int]": ...

    async def plan(self, shape: "Shape", tables: Mapping[str, tuple[str, ...]]) -> "Plan": ...

    async def apply(self, plan: "Plan") -> None: ...


class RealKafka(KafkaDoor):
    """A cluster through the engine."""

    async def last(self, topic: str, n: int) -> tuple[Record, ...]:
        from streams.engine import reader

        return await reader.last(self.cluster, self.names, topic, n)

    async def lags(self, groups: Mapping[str, tuple[str, ...]]) -> "tuple[Lag, ...]":
        from streams.engine import lag

        return await lag.lags(self.cluster, groups)

    async def late(self, groups: Mapping[str, tuple[str, ...]], before_ms: int) -> "tuple[Lag, ...]":
        """The partitions in which a group has a record before it that is older than a time, epoch milliseconds."""
        from streams.engine import trim

        return await trim.late(self.cluster, groups, before_ms)

    async def stamps(self, lags: "Iterable[Lag]") -> "dict[Place, int]":
        """When the first record that waits in each partition was appended, epoch milliseconds."""
        from streams.engine import heads

        return await heads.stamps(self.cluster, lags)

    async def plan(self, shape: "Shape", tables: Mapping[str, tuple[str, ...]]) -> "Plan":
        from streams.engine import topics

        return await topics.plan(self.cluster, self.names, shape, tables)

    async def apply(self, plan: "Plan") -> None:
        from streams.engine import topics

        await topics.apply(self.cluster, plan)


def flow(settings: "Settings") -> tuple[Stage, ...]:
    """The stages in flow order."""
    from streams import pipeline

    return pipeline.stages(settings)


def work(settings: "Settings", apps: tuple[str, ...]) -> int:
    """Runs one worker until it is told to stop; its exit code."""
    from streams import service

    return service.worker(settings, apps)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a command is given: environment, directory, and ways to Kafka and to the pipeline."""

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path = field(default_factory=Path.cwd)
    kafka: Callable[["Cluster", Names], Kafka] = RealKafka
    flow: Callable[["Settings"], tuple[Stage, ...]] = flow
    work: Callable[["Settings", tuple[str, ...]], int] = work


@dataclass(frozen=True, slots=True)
class Connection:
    """Settings, the address with who named it, and the cluster behind it."""

    settings: "Settings"
    address: str
    origin: str
    names: Names
    kafka: Kafka


def outside(ctx: typer.Context) -> Outside:
    """What this command was given."""
    return ctx.obj if isinstance(ctx.obj, Outside) else Outside()


def load(ctx: typer.Context, flags: Mapping[str, object]) -> "Loaded":
    """All settings, ``flags`` before environment before file."""
    from streams import settings

    given = outside(ctx)
    return settings.load(flags, given.environ, given.cwd)


def connection_flags(brokers: str | None, properties: list[str] | None, file: Path | None) -> dict[str, object]:
    """``-b``, ``-X`` and ``-F`` as settings; a single property wins over the file."""
    return {"kafka.brokers": brokers, "kafka.properties": _properties(properties or [], file) or None}


def connect(ctx: typer.Context, brokers: str | None, properties: list[str] | None, file: Path | None) -> Connection:
    """The cluster that options, environment, file or the nearest running `up` name; ``ConfigurationError`` if none."""
    return connected(ctx, *chosen(ctx, connection_flags(brokers, properties, file)))


def chosen(ctx: typer.Context, flags: Mapping[str, object]) -> "tuple[Settings, str, str]":
    """Settings, the broker's address, and who named it."""
    from streams import settings

    loaded = load(ctx, flags)
    running = nearest(ctx)
    return loaded.settings, *settings.brokers(loaded, running.brokers if running else None)


def connected(ctx: typer.Context, settings: "Settings", address: str, origin: str) -> Connection:
    """A connection to a known address."""
    from streams.engine.cluster import Cluster

    _quiet()
    names = Names(settings.names.namespace, settings.names.prefix)
    kafka = outside(ctx).kafka(Cluster(address, settings.kafka.properties), names)
    return Connection(settings, address, origin, names, kafka)


def _quiet() -> None:
    """A command tells its one error itself; what the client logs on the way there would bury it, or reach stdout."""
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())


def nearest(ctx: typer.Context) -> "Up | None":
    """The `up` that runs here or in a directory above."""
    from streams.local import ready

    return ready.nearest(outside(ctx).cwd)


def topic_called(name: str, names: Names) -> str:
    """The catalog's name of a topic given by that or by Kafka's name; ``ConfigurationError`` names all."""
    found = names.known().get(name, name)
    if found not in CATALOG:
        raise ConfigurationError("topic", name, f"not a topic of the pipeline; there are {', '.join(CATALOG)}")
    return found


def _properties(pairs: list[str], file: Path | None) -> dict[str, str]:
    found = _file(file) if file else {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError("-X", name, "write -X key=value")
        found[name] = value
    return found


def _file(path: Path) -> dict[str, str]:
    from streams.engine.cluster import load_properties

    return load_properties(path)
