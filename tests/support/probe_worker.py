"""A worker on the bare engine with stages that tests steer by files: a gate to open, a crash to plant.

python -m tests.support.probe_worker '{"brokers": …, "stages": ["pass"], …}'
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from streams.engine import app as engine_app
from streams.engine.cluster import Cluster
from streams.engine.plan import Tuning
from streams.engine.topics import Shape
from streams.engine.worker import Worker, WorkerPlan, run
from streams.ports import Observation
from streams.stage import Output, Record, Scope, Stage
from topics.catalog import ADMITTED, DEDUPED, INFERRED, REFINED, RETRIEVED, Names

GATED = "assembled.normal"
TABLE = "counts"
LOOK_S = 0.05


class SystemClock:
    def now_ms(self) -> int:
        return int(time.time() * 1000)


class Loud:
    """Prints what is seldom: all but handled records, one JSON object a line."""

    def observe(self, seen: Observation) -> None:
        if seen.action != "handled":
            print(json.dumps(seen._asdict()), flush=True)


def passes(record: Record, scope: Scope) -> list[Output]:
    return [Output(INFERRED, record.key, record.value, "passed")]


def counts(record: Record, scope: Scope) -> list[Output]:
    """A row a key: the coordinates of every record that came, in order; written again when one comes again."""
    key = record.key or b""
    came = json.loads(scope.table.get(key) or b"[]")
    if record.at not in came:
        came.append(record.at)
    scope.table.put(key, json.dumps(came).encode())
    return [Output(INFERRED, key, record.value, "counted")]


def swells(record: Record, scope: Scope) -> list[Output]:
    """A row and no output, as many bytes as the record says."""
    scope.table.put(record.key or b"", b"x" * int(record.value or b"0"))
    return []


def tells(record: Record, scope: Scope) -> list[Output]:
    """The row of the record's key, as it stands."""
    return [Output(REFINED, record.key, scope.table.get(record.key or b""), "told", record.partition)]


def waits_for(gate: Path) -> Callable[[Record, Scope], Any]:
    async def handle(record: Record, scope: Scope) -> list[Output]:
        while not gate.exists():  # noqa: ASYNC110 (a file sets no event)
            await asyncio.sleep(LOOK_S)
        return [Output(INFERRED, record.key, record.value, "let through")]

    return handle


def calls(begun: Path) -> Callable[[Record, Scope], Any]:
    """A shared call as long as the record says, in seconds."""

    async def handle(record: Record, scope: Scope) -> list[Output]:
        async def call() -> bytes:
            with begun.open("ab") as file:
                file.write(b".")
            await asyncio.sleep(float(record.value or b"0"))
            return b"answer"

        return [Output(INFERRED, record.key, await scope.shared(record.key or b"", call), "called")]

    return handle


def stages(asked: dict[str, Any]) -> tuple[Stage, ...]:
    directory, app = Path(asked["directory"]), asked["app"]
    known = (
        Stage("pass", app, (ADMITTED,), (INFERRED,), passes),
        Stage("count", app, (ADMITTED,), (INFERRED,), counts, table=TABLE),
        Stage("tell", app, (DEDUPED,), (REFINED,), tells, table=TABLE),
        Stage("swell", app, (RETRIEVED,), (), swells, table=TABLE),
        Stage("gate", app, (GATED,), (INFERRED,), waits_for(directory / "gate"), slots=4),
        Stage("call", app, (GATED,), (INFERRED,), calls(directory / "begun"), slots=64),
    )
    return tuple(stage for stage in known if stage.name in asked["stages"])


def beside(asked: dict[str, Any]) -> Callable[[Worker], Any]:
    """Writes down how the group sees this worker, and crashes the consumer when told to."""
    state, crash = Path(asked["state"]), Path(asked["directory"]) / "crash"

    async def look(worker: Worker) -> None:
        while True:
            if worker.apps:
                _note(worker, state)
                if crash.exists():
                    _plant(worker)
            await asyncio.sleep(LOOK_S)

    @asynccontextmanager
    async def around(worker: Worker) -> AsyncIterator[None]:
        looking = asyncio.get_running_loop().create_task(look(worker))
        try:
            yield
        finally:
            looking.cancel()

    return around


def _note(worker: Worker, state: Path) -> None:
    app = worker.apps[0]
    consumer = app._consumer and app.consumer._thread._consumer
    generation = getattr(consumer._coordinator, "generation", -1) if consumer else -1  # no coordinator before its start
    known = {
        "generation": generation,
        "rebalances": app.rebalances,
        "ready": not worker.reasons,
        "reasons": worker.reasons,
        "static": app.plan.place.static,
        "partitions": sorted({tp.partition for tp in app.consumer.assignment()}) if generation > 0 else [],
    }
    fresh = state.with_suffix(".new")
    fresh.write_text(json.dumps(known))
    fresh.replace(state)


def _plant(worker: Worker) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("planted")

    worker.apps[0].consumer._thread._consumer._fetcher.fetched_records = broken


def hurry(producer_timeout_s: float) -> None:
    """The client's own patience with a topic is 30 s; tests have less."""
    measured = engine_app.faust_settings
    engine_app.faust_settings = lambda plan: {**measured(plan), "producer_request_timeout": producer_timeout_s}


def main() -> int:
    asked = json.loads(sys.argv[1])
    if "producer_timeout_s" in asked:
        hurry(asked["producer_timeout_s"])
    logging.basicConfig(level=logging.WARNING)
    plan = WorkerPlan(
        Cluster(asked["brokers"]),
        Names(*asked["names"]),
        stages(asked),
        (asked["app"],),
        Path(asked["state_dir"]),
        SystemClock(),
        Loud(),
        shape=Shape(partitions=asked["partitions"]),
        slot=asked["slot"],
        static=asked["static"],
        tuning=Tuning(partitions=asked["partitions"], **asked["tuning"]),
        beside=beside(asked),
    )
    return run(plan)


if __name__ == "__main__":
    sys.exit(main())
