"""How does a worker process come out of the settings? The pipeline's stages, the engine, and what runs beside them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from streams import pipeline
from streams.adapters import logs, telemetry, web
from streams.adapters.clock import SystemClock
from streams.engine.app import Tuning
from streams.engine.cluster import Cluster
from streams.engine.lag import LagReader
from streams.engine.originals import BrokerOriginals
from streams.engine.topics import Shape
from streams.engine.worker import Worker, WorkerPlan, run
from streams.settings import Settings
from topics.catalog import Names
from topics.errors import OrchestratorError

LAG_EVERY_S = 5.0


def worker(settings: Settings, roles: tuple[str, ...]) -> int:
    """Run one worker in this process until it is told to stop. Returns its exit code."""
    log = logs.configure()
    metrics = telemetry.Metrics()
    cluster = Cluster(settings.kafka.brokers or "", settings.kafka.properties)
    names = Names(settings.names.namespace, settings.names.prefix)
    originals = BrokerOriginals(cluster, names)
    shape = Shape(**settings.topics.model_dump(), allow_create_time=settings.worker.allow_create_time)
    plan = WorkerPlan(
        cluster,
        names,
        pipeline.stages(settings, originals),
        tuple(app for role in roles for app in pipeline.ROLES[role]),
        settings.worker.state_dir,
        SystemClock(),
        telemetry.Together(metrics, logs.LogObserver(log)),
        shape=shape,
        slot=settings.worker.slot,
        static=settings.worker.static_membership,
        tuning=_tuning(settings),
        beside=lambda running: _beside(settings, running, originals, metrics, log),
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
    settings: Settings, running: Worker, originals: BrokerOriginals, metrics: telemetry.Metrics, log: Any
) -> AsyncIterator[None]:
    """What runs beside the apps: the reader of original bytes, and the worker's page for scrapers and probes."""
    metrics.watch("calls_running", running.calls_running)
    metrics.watch("held_records", running.held)
    metrics.watch("ready", lambda: {(): float(not running.reasons)})
    host, port = settings.worker.http_host, settings.worker.http_port
    behind: dict[tuple[str, ...], float] = {}
    metrics.watch("lag_records", lambda: behind)
    async with originals, web.serve(host, port, metrics.render, lambda: running.reasons) as address:
        log.info("listening", action="listening", address=address)
        watching = asyncio.get_running_loop().create_task(_lag(settings, running, behind))
        try:
            yield
        finally:
            watching.cancel()


async def _lag(settings: Settings, running: Worker, behind: dict[tuple[str, ...], float]) -> None:
    """Keep the lag of this worker's groups, as the broker tells it; while the broker is away the last one stands."""
    cluster = Cluster(settings.kafka.brokers or "", settings.kafka.properties)
    async with LagReader(cluster) as reader:
        while True:
            await asyncio.sleep(LAG_EVERY_S)
            reads = {app.plan.group: tuple(app.intakes) for app in running.apps}
            try:
                seen = await reader.read(reads)
            except OrchestratorError:
                continue
            behind |= {(lag.group, lag.topic, str(lag.partition)): lag.records for lag in seen}
