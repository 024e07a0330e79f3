"""The pipeline as people meet it, twice: as a process over a real broker, and in memory. The same claims hold of both.

Both give a ``line`` (publish, read, answers, what waits) and the provider's own log, ``calls``.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from streams import pipeline, settings
from streams.adapters.clock import HandClock
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.pipeline import Parts
from streams.stage import Record, Stage
from streams.testing import Pipeline
from tests.support.running import PARTITIONS, WITHIN_S, Calls, Headers, Line, Seen, running
from topics.catalog import EXPENDABLE, PROMPTS, Names

MEMORY, KAFKA = "memory", "kafka"
PLACES = [pytest.param(MEMORY, id=MEMORY), pytest.param(KAFKA, id=KAFKA, marks=pytest.mark.broker)]


class Driver(Protocol):
    """What the claims need."""

    @property
    def line(self) -> Line: ...

    @property
    def calls(self) -> Calls: ...


@dataclass(frozen=True)
class SeenInMemory:
    """A record as a plain client would see it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, record: Record) -> "SeenInMemory":
        place = (record.topic, record.partition, record.offset, record.timestamp_ms)
        return cls(*place, record.key, record.value, tuple(record.headers))


@dataclass(frozen=True)
class LineInMemory(Line):
    """A line whose topics are lists: who reads winds the clock."""

    brokers: str = ""
    names: Names = field(default_factory=Names)
    pipeline: Pipeline = None  # type: ignore[assignment]  # always given: the fields above have defaults

    async def prepare(self) -> None:
        """The topics are there."""

    async def publish(
        self, *values: bytes | None, key: bytes | None = None, headers: Headers = (), topic: str = PROMPTS
    ) -> list[Seen]:
        """Writes records; nothing is handled before somebody reads."""
        return [SeenInMemory.of(self.pipeline.write(topic, value, key, tuple(headers))) for value in values]

    async def read(self, topic: str, until: Callable[[list[Seen]], object], within_s: float = WITHIN_S) -> list[Seen]:
        """All records of a topic, as soon as ``until`` holds of them; ``within_s`` is the hand clock's."""
        end_ms = self.pipeline.clock.now_ms() + round(within_s * 1000)
        await self.pipeline.settle()
        while not until(found := [SeenInMemory.of(record) for record in self.pipeline.records(topic)]):
            if self.pipeline.clock.now_ms() >= end_ms:
                raise TimeoutError(f"not within {within_s:.0f} s on {topic}; there are {len(found)} records")
            await self.pipeline.advance(1.0)
        return found

    async def all(self, topic: str) -> list[Seen]:
        return await self.read(topic, lambda found: True)

    async def waiting(self, *apps: str) -> dict[str, int]:
        """Records that no reader has taken, by app and topic, also of stages that are not there."""
        await self.pipeline.settle()
        read = {(reader.stage.name, id(reader.partition)): reader.next for reader in self.pipeline._readers}
        counted: dict[str, int] = {}
        for stage in pipeline.stages(settings.Settings()):
            for topic in (set(stage.reads) - EXPENDABLE) if not apps or stage.app in apps else ():
                partitions = self.pipeline.log.topics[topic]
                left = sum(len(one) - read.get((stage.name, id(one)), 0) for one in partitions)
                counted[f"{stage.app}:{topic}"] = counted.get(f"{stage.app}:{topic}", 0) + left
        return {place: records for place, records in counted.items() if records}


@dataclass(frozen=True)
class WorkerInMemory:
    """The pipeline in memory where a worker process would be."""

    line: LineInMemory
    calls: Calls

    @property
    def pipeline(self) -> Pipeline:
        return self.line.pipeline


def in_memory(
    directory: Path,
    *,
    wired: Callable[[Parts], Sequence[Stage]] = pipeline.compose,
    settings: Mapping[str, object] | None = None,
    **echo: object,
) -> WorkerInMemory:
    """The pipeline that a worker with these settings would be; ``echo`` are the provider's knobs."""
    calls = Calls(directory / "calls.log")
    calls.path.touch()
    flags = {
        **{f"provider.echo.{knob}": value for knob, value in echo.items()},
        **(settings or {}),
        "provider.echo.log_path": calls.path,
    }
    told, clock = loaded(flags, directory), HandClock()
    provider = EchoProvider(EchoPolicy(**told.provider.echo.model_dump()), sleep=clock.sleep)

    def rewired(parts: Parts) -> Sequence[Stage]:
        whole = pipeline.parts_of(told, parts.originals)
        ours = {name: getattr(parts, name) for name in ("provider", "retriever", "within", "sleep", "board")}
        return wired(replace(whole, **ours))

    made = Pipeline(provider, clock=clock, partitions=PARTITIONS, wired=rewired, breaker=told.breaker.policy())
    return WorkerInMemory(LineInMemory(pipeline=made), calls)


def loaded(flags: Mapping[str, object], directory: Path) -> settings.Settings:
    return settings.load(flags, {}, directory).settings


@contextmanager
def driven(place: str, request: pytest.FixtureRequest, directory: Path, **asked: Any) -> Iterator[Driver]:
    """The pipeline at that place, running."""
    directory.mkdir(parents=True, exist_ok=True)
    if place == MEMORY:
        yield in_memory(directory, **asked)
        return
    broker = request.getfixturevalue("broker")
    with running(Line(broker.bootstrap_servers), directory, **asked) as worker:
        yield worker


def at_once(look: Callable[[], Any]) -> Any:
    """The value of a coroutine function, in a loop of its own."""
    return asyncio.run(look())
