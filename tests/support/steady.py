"""Steady load over a line, and what came of it: who was answered when, how long each took, and in which partitions."""

import asyncio
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.support.running import Calls, Line, RunningWorker, request
from topics.catalog import INFERRED, PROMPTS, RESULTS

STEADY_S = 600.0  # a producer's patience: longer than any outage here


class Told(NamedTuple):
    """One request: when its prompt and its answer were written (seconds), and the partitions that it went through."""

    id: str
    asked_s: float
    answered_s: float
    partitions: frozenset[int]

    @property
    def took_s(self) -> float:
        return self.answered_s - self.asked_s


@dataclass
class Load:
    """What was written, by id: partition and the broker's time; and what nobody knows of."""

    sent: dict[str, tuple[int, float]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)


async def feed(line: Line, rate: float, load: Load, name: str = "s") -> None:
    """Writes prompts at a rate until it is cancelled; what is under way is then waited for."""
    reports = set[asyncio.Task[None]]()
    options = {"request_timeout_ms": round(STEADY_S * 1000), "enable_idempotence": True, "acks": "all"}
    async with AIOKafkaProducer(bootstrap_servers=line.brokers, **options) as producer:
        began = time.monotonic()
        try:
            for number in itertools.count():
                reports.add(asyncio.create_task(_one(producer, line, f"{name}-{number}", load)))
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))  # why: paces the load
        finally:
            await asyncio.gather(*reports)


async def _one(producer: Any, line: Line, id: str, load: Load) -> None:
    try:
        told = await producer.send_and_wait(line.names.topic(PROMPTS), request(id, f"words of {id}"), key=id.encode())
    except (KafkaError, OSError):
        load.unknown.add(id)
    else:
        load.sent[id] = (told.partition, told.timestamp / 1000)


@asynccontextmanager
async def fed(line: Line, rate: float) -> Any:
    """Load goes on meanwhile."""
    load = Load()
    feeding = asyncio.create_task(feed(line, rate, load))
    try:
        yield load
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


@dataclass(frozen=True)
class Outcome:
    """All that a run came to; ``repeated``: identities that were called for more than once."""

    told: tuple[Told, ...]
    lost: tuple[str, ...]
    copies: int
    conflicting: tuple[str, ...]
    calls: int
    repeated: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.conflicting or self.repeated)

    def lines(self) -> list[str]:
        worst = max((one.took_s for one in self.told), default=0.0)
        return [
            f"answered {len(self.told)}  lost {len(self.lost)}  conflicting {len(self.conflicting)}",
            f"copies {self.copies}  calls {self.calls}  repeated {len(self.repeated)}",
            f"latency P50 {part(self.told, 0.5):.2f} s  P99 {part(self.told, 0.99):.2f} s  worst {worst:.2f} s",
        ]


async def outcome(line: Line, load: Load, calls: Calls, within_s: float = 120.0) -> Outcome:
    """What became of the load, once it is answered or the time is over."""
    wanted = {id.encode() for id in load.sent}
    try:
        results = await line.read(RESULTS, lambda found: wanted <= {seen.key for seen in found}, within_s)
    except TimeoutError:
        results = await line.all(RESULTS)
    forms, first = defaultdict[str, set[bytes]](set), dict[str, float]()
    for seen in results:
        forms[seen.key.decode()].add(seen.value)
        first.setdefault(seen.key.decode(), seen.timestamp / 1000)
    inner = {json.loads(seen.value)["id"]: seen.partition for seen in await line.all(INFERRED)}
    told = tuple(
        Told(id, at_s, first[id], frozenset({number, inner.get(id, number)}))
        for id, (number, at_s) in load.sent.items()
        if id in first
    )
    starts = Counter(row[1] for row in calls.lines("start"))
    return Outcome(
        told,
        tuple(sorted(set(load.sent) - set(first))),
        len(results) - len(first),
        tuple(sorted(id for id, values in forms.items() if len(values) > 1)),
        sum(starts.values()),
        tuple(sorted(identity for identity, count in starts.items() if count > 1)),
    )


def part(told: Collection[Told], share: float) -> float:
    """The latency below which that share of the requests stayed."""
    took = sorted(one.took_s for one in told)
    return took[min(len(took) - 1, int(share * len(took)))] if took else 0.0


def during(told: Iterable[Told], begin_s: float, end_s: float) -> list[Told]:
    """The requests that were asked in a span."""
    return [one for one in told if begin_s <= one.asked_s < end_s]


def first_after(told: Iterable[Told], at_s: float) -> float | None:
    """Seconds from a moment to the first answer after it."""
    return min((one.answered_s - at_s for one in told if one.answered_s >= at_s), default=None)


def owned(worker: RunningWorker) -> frozenset[int]:
    """The partitions of which a worker has had records in work."""
    return frozenset(int(labels[0]) for (name, labels), _ in worker.metrics().items() if name == "held_records")


def crew(line: Line, directory: Path, size: int, **echo: object) -> list[RunningWorker]:
    """Workers of one machine over one ledger of calls, not started."""
    log = {"provider.echo.log_path": directory / "calls.log"}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "calls.log").touch()
    return [
        RunningWorker(line, directory / f"worker-{slot}", settings={"worker.slot": slot, **log}, **echo)
        for slot in range(size)
    ]


def calls_of(directory: Path) -> Calls:
    """That ledger."""
    return Calls(directory / "calls.log")


@contextmanager
def at_work(line: Line, directory: Path, size: int, **echo: object) -> Iterator[list[RunningWorker]]:
    """Topics made, the workers ready; nobody is left behind."""
    asyncio.run(line.prepare())
    workers = crew(line, directory, size, **echo)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.ready()
        yield workers
    finally:
        for worker in workers:
            worker.kill()
