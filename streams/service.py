"""How does a worker process come out of the settings? The pipeline's stages, the engine, and what runs beside them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from streams import pipeline
from streams.adapters import logs, telemetry, web
from streams.adapters.clock import SystemClock
from streams.adapters.retriever.tantivy import TantivyRetriever
from streams.corpus import CorpusKeeper, following
from streams.engine.cluster import Cluster
from streams.engine.intake import TopicIntake
from streams.engine.lag import LagReader
from streams.engine.originals import BrokerOriginals
from streams.engine.plan import Tuning
from streams.engine.topics import Shape
from streams.engine.worker import Worker, WorkerPlan, run
from streams.ports import Closing
from streams.settings import Settings, check
from topics.catalog import EXPENDABLE, Names
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
    provider = pipeline.provider_of(settings)
    retriever = TantivyRetriever(settings.retrieve.max_terms) if "core" in roles else None
    keeper = CorpusKeeper(following(cluster, names), retriever) if retriever else None
    shape = Shape(**settings.topics.model_dump(), allow_create_time=settings.worker.allow_create_time)
    plan = WorkerPlan(
        cluster,
        names,
        pipeline.stages(settings, originals, retriever, provider),
        tuple(app for role in roles for app in pipeline.ROLES[role]),
        settings.worker.state_dir,
        SystemClock(),
        telemetry.Together(metrics, logs.LogObserver(log)),
        shape=shape,
        slot=settings.worker.slot,
        static=settings.worker.static_membership,
        tuning=_tuning(settings),
        beside=lambda running: _beside(settings, running, originals, metrics, log, keeper, provider),
    )
    return run(plan, lambda _: log.info("ready", action="ready", slot=settings.worker.slot, roles=roles))


def _tuning(settings: Settings) -> Tuning:
    asked = settings.worker
    return Tuning(
        session_s=asked.session_timeout_s,
        grace_s=asked.grace_s,
        partitions=settings.topics.partitions,
        skip_lost_offsets=asked.lost_offsets == "skip",
    )


@asynccontextmanager
async def _beside(
    settings: Settings,
    running: Worker,
    originals: BrokerOriginals,
    metrics: telemetry.Metrics,
    log: Any,
    keeper: CorpusKeeper | None = None,
    provider: object = None,
) -> AsyncIterator[None]:
    """What runs beside the apps: corpus, reader of original bytes, and the worker's page for scrapers and probes."""
    if keeper is not None:
        running.others.append(lambda: keeper.reasons)
    metrics.watch("calls_running", running.calls_running)
    metrics.watch("held_records", running.held)
    metrics.watch("ready", lambda: {(): float(not running.reasons)})
    host, port = settings.worker.http_host, settings.worker.http_port
    behind: dict[tuple[str, ...], float] = {}
    metrics.watch("lag_records", lambda: behind)
    keeping = keeper.running() if keeper else nullcontext()
    async with keeping, originals, web.serve(host, port, metrics.render, lambda: running.reasons) as address:
        log.info("listening", action="listening", address=address)
        watching = asyncio.get_running_loop().create_task(_lag(settings, running, behind))
        try:
            yield
        finally:
            watching.cancel()
            if isinstance(provider, Closing):
                await provider.aclose()


def _work(intakes: Iterable[TopicIntake]) -> tuple[str, ...]:
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
