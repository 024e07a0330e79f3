"""Where is a drill held? On a broker, a provider and workers of its own, all of which end with it."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from streams import pipeline
from streams.client import KafkaDoor
from streams.drill.crew import Crew, DrillFailed, Process, steady_s
from streams.drill.drills import Drill
from streams.drill.hands import Hands
from streams.drill.load import Load
from streams.drill.served import ServedProvider
from streams.engine import topics
from streams.engine.cluster import Cluster
from streams.engine.connect import Opener, consumer
from streams.engine.publisher import Publisher
from streams.engine.reader import Tail
from streams.settings import Settings
from topics.catalog import Names

READY_S, BOUND_S, LOOK_S = 90.0, 300.0, 0.2
NONCES = re.compile(rb"\[([0-9a-f]{16})\]")
Say = Callable[[str], None]


class Broker(Protocol):
    """A broker to harm, as ``streams.local.kafka.EmbeddedKafka``; ``start`` and ``restart`` keep port and data."""

    @property
    def bootstrap_servers(self) -> str: ...

    def start(self) -> object: ...

    def kill(self) -> None: ...

    def restart(self) -> None: ...

    def pause(self) -> None: ...

    def unpause(self) -> None: ...


class Starting(Protocol):
    """What starts workers and hears of them, as ``hands.Hands``."""

    def __call__(self, slot: int, main: tuple[str, ...]) -> Process: ...

    def run(self, *words: str) -> Process: ...

    async def ready(self, slots: Iterable[int]) -> bool: ...

    def told(self) -> Iterable[Mapping[str, object]]: ...

    def complaint(self) -> str: ...

    @property
    def directory(self) -> Path: ...


Starter = Callable[[Path, str, str, Drill], Starting]


@dataclass(slots=True)
class Site:
    """Everything that a fault can reach; ``planted``: dead letters that are meant to be there."""

    drill: Drill
    broker: Broker
    provider: ServedProvider
    hands: Starting
    crew: Crew
    load: Load
    publisher: Publisher
    names: Names = field(default_factory=Names)
    planted: int = 0

    @property
    def cluster(self) -> Cluster:
        """How it is reached."""
        return Cluster(self.broker.bootstrap_servers)


def hands(directory: Path, brokers: str, url: str, drill: Drill) -> Starting:
    """Workers of `streams worker`."""
    return Hands(directory, brokers, url, drill.size, os.environ)


@contextmanager
def quietly(library: str) -> Iterator[None]:
    """A library says nothing meanwhile: a broker that is harmed on purpose is no news."""
    logger, silent = logging.getLogger(library), logging.NullHandler()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(silent)
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(silent)


@asynccontextmanager
async def held(
    broker: Broker, directory: Path, drill: Drill, say: Say, starter: Starter = hands
) -> AsyncIterator[Site]:
    """A site with topics made and workers ready, on a broker that runs."""
    cluster, names = Cluster(broker.bootstrap_servers), Names()
    async with AsyncExitStack() as ending:
        ending.enter_context(quietly("aiokafka"))
        provider = ServedProvider(directory, drill.script)
        ending.callback(provider.end)
        await provider.start()
        await prepare(cluster, names, drill.size.partitions)
        there = starter(directory, broker.bootstrap_servers, provider.url, drill)
        crew = Crew(there, range(drill.size.workers))
        ending.callback(crew.end)
        crew.start_all()
        publisher = await ending.enter_async_context(Publisher(cluster, names, BOUND_S))
        load = Load(KafkaDoor(cluster, names), drill.asked, drill.rate)
        site = Site(drill, broker, provider, there, crew, load, publisher, names)
        await ready(site)
        say(f"{drill.size.workers} workers are ready")
        yield site


async def prepare(cluster: Cluster, names: Names, partitions: int) -> None:
    """Makes the topics, as `streams topics apply` does."""
    tables = pipeline.tables(pipeline.stages(Settings()))
    await topics.apply(cluster, await topics.plan(cluster, names, topics.Shape(partitions=partitions), tables))


async def ready(site: Site, within_s: float = READY_S) -> None:
    """Returns once every worker that stays is ready; ``DrillFailed`` says what the logs say."""
    end = steady_s() + within_s
    while not await site.hands.ready(site.crew.slots):
        if steady_s() > end:
            raise DrillFailed(f"not every worker was ready within {within_s:g} s: {site.hands.complaint()}")
        site.crew.revive()
        await asyncio.sleep(LOOK_S)


class Physical(Names):
    """Topics by Kafka's own names."""

    def topic(self, name: str) -> str:
        """The name as it is."""
        return name


async def safe(site: Site, via: Opener = consumer) -> dict[str, float]:
    """When the row of each call, named by the nonce of its answer, came into the changelog of ``answers``."""
    found = dict[str, float]()
    async with Tail(site.cluster, Physical(), site.names.changelog("infer", "answers"), via=via) as rows:
        async for row in rows:
            for nonce in NONCES.findall(row.value or b""):
                found.setdefault(nonce.decode(), row.timestamp_ms / 1000)
    return found
