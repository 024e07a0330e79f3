"""How does a worker process come out of the settings? The pipeline's stages, the engine, and what runs beside them."""

import asyncio
import platform
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from streams import board, pipeline, providers
from streams.adapters import logs, telemetry, web
from streams.adapters.clock import SystemClock
from streams.adapters.retriever.tantivy import TantivyRetriever
from streams.board import BoardKeeper
from streams.corpus import CorpusKeeper, following
from streams.engine import trim
from streams.engine.cluster import Cluster
from streams.engine.intake import TopicIntake
from streams.engine.lag import LagReader
from streams.engine.originals import BrokerOriginals
from streams.engine.plan import Tuning
from streams.engine.tier import Tier
from streams.engine.topics import Shape
from streams.engine.trim import Trimmer
from streams.engine.worker import Worker, WorkerPlan, run
from streams.ports import Observer, Provider
from streams.settings import Settings, check
from streams.stage import Stage
from topics.catalog import DAY_MS, EXPENDABLE, Names
from topics.errors import OrchestratorError

LAG_EVERY_S = 5.0


def worker(settings: Settings, roles: tuple[str, ...]) -> int:
    """Run one worker in this process until it is told to stop. Returns its exit code."""
    if "infer" in roles:
        check(settings)
    log = logs.configure()
    metrics = telemetry.Metrics()
    cluster = Cluster(settings.kafka.brokers or "", settings.kafka.properties)
    names = Names(settings.names.namespace, settings.names.prefix)
    originals = BrokerOriginals(cluster, names)
    called = providers.providers_of(settings)
    retriever = TantivyRetriever(settings.retrieve.max_terms) if "core" in roles else None
    keeper = CorpusKeeper(following(cluster, names), retriever) if retriever else None
    shape = Shape(**settings.topics.model_dump(), allow_create_time=settings.worker.allow_create_time)
    boards = _boards(settings, cluster, names) if "infer" in roles else None
    stages = pipeline.stages(settings, originals, retriever, called, boards.board if boards else None)
    observer = telemetry.Together(metrics, logs.LogObserver(log))
    trims = _trims(settings, cluster, names, stages, observer) if "park" in roles else nullcontext()
    plan = WorkerPlan(
        cluster,
        names,
        stages,
        _apps(stages, roles),
        settings.worker.state_dir,
        SystemClock(),
        observer,
        shape=shape,
        slot=settings.worker.slot,
        static=settings.worker.static_membership,
        take_over=settings.worker.take_over,
        tuning=_tuning(settings),
        beside=lambda running: _both(_beside(settings, running, originals, metrics, keeper, called, boards), trims),
        page=lambda running: _page(settings, running, metrics, log),
    )
    return run(plan, lambda _: log.info("ready", action="ready", slot=settings.worker.slot, roles=roles))


def _boards(settings: Settings, cluster: Cluster, names: Names) -> BoardKeeper:
    """The board of this life of the worker: a grant to an earlier one is none to this."""
    worker = f"{platform.node()}-{settings.worker.slot}-{uuid4().hex[:8]}"
    return BoardKeeper(worker, board.real(cluster, names), settings.breaker.policy(), SystemClock())


def _trims(
    settings: Settings, cluster: Cluster, names: Names, stages: Iterable[Stage], observer: Observer
) -> AbstractAsyncContextManager[None]:
    """Old records go while the worker runs."""
    trimmer = Trimmer(cluster, names, trim.reads(stages, names), round(settings.topics.retention_d * DAY_MS))
    return trim.trimming(trimmer, observer, SystemClock(), settings.worker.slot)


@asynccontextmanager
async def _both(
    first: AbstractAsyncContextManager[None], second: AbstractAsyncContextManager[None]
) -> AsyncIterator[None]:
    async with first, second:
        yield


def _apps(stages: Sequence[Stage], roles: Iterable[str]) -> tuple[str, ...]:
    """The apps of these roles that have a stage to run."""
    staged = {stage.app for stage in stages}
    return tuple(app for role in roles for app in pipeline.ROLES[role] if app in staged)


def _tuning(settings: Settings) -> Tuning:
    asked = settings.worker
    return Tuning(
        session_s=asked.session_timeout_s,
        grace_s=asked.grace_s,
        partitions=settings.topics.partitions,
        skip_lost_offsets=asked.lost_offsets == "skip",
        tiers_s=settings.retry.tiers_s,
    )


@asynccontextmanager
async def _beside(
    settings: Settings,
    running: Worker,
    originals: BrokerOriginals,
    metrics: telemetry.Metrics,
    keeper: CorpusKeeper | None = None,
    called: Mapping[str, Provider] = MappingProxyType({}),
    boards: BoardKeeper | None = None,
) -> AsyncIterator[None]:
    """What runs beside the apps: corpus, board, reader of original bytes, the lag."""
    if keeper is not None:
        running.others.append(lambda: keeper.reasons)
    if boards is not None:
        running.others.append(lambda: boards.reasons)
        metrics.watch("breaker_state", boards.states)
    metrics.watch("calls_running", running.calls_running)
    metrics.watch("held_records", running.held)
    behind: dict[tuple[str, ...], float] = {}
    metrics.watch("lag_records", lambda: behind)
    keeping = keeper.running() if keeper else nullcontext()
    watched = boards.running() if boards else nullcontext()
    async with keeping, watched, originals:
        watching = asyncio.get_running_loop().create_task(_lag(settings, running, behind))
        try:
            yield
        finally:
            watching.cancel()
            await providers.close(called)


@asynccontextmanager
async def _page(settings: Settings, running: Worker, metrics: telemetry.Metrics, log: Any) -> AsyncIterator[None]:
    """The page for scrapers and probes; its port is the place's, as long as that is held."""
    metrics.watch("ready", lambda: {(): float(not running.reasons)})
    host, port = settings.worker.http_host, settings.worker.http_port
    async with web.serve(host, port, metrics.render, lambda: running.reasons) as address:
        log.info("listening", action="listening", address=address)
        yield


def _work(intakes: Iterable[TopicIntake | Tier]) -> tuple[str, ...]:
    """Kafka's names of the topics in which work waits."""
    return tuple(intake.physical for intake in intakes if intake.topic not in EXPENDABLE)


async def _lag(settings: Settings, running: Worker, behind: dict[tuple[str, ...], float]) -> None:
    """Keep the lag of this worker's groups, as the broker tells it; while the broker is away the last one stands."""
    cluster = Cluster(settings.kafka.brokers or "", settings.kafka.properties)
    async with LagReader(cluster) as reader:
        while True:
            await asyncio.sleep(LAG_EVERY_S)
            reads = {app.plan.group: _work(app.intakes.values()) for app in running.apps}
            try:
                seen = await reader.read(reads)
            except OrchestratorError:
                continue
            behind |= {(lag.group, lag.topic, str(lag.partition)): lag.records for lag in seen}
