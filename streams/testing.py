"""How does a pipeline behave, without Kafka and without waiting?

The real stages over topics that are lists and tables that are dicts, with the rule for errors of the engine and a clock
wound by hand. Meant for your own tests too; a provider that sleeps on the pipeline's clock costs no real time.

>>> async def main():
...     pipeline = Pipeline()
...     await pipeline.submit({"id": "a-1", "prompt": "hello"})
...     await pipeline.settle()
...     return [(answer.id, answer.status, answer.text) for answer in pipeline.answers()]
>>> asyncio.run(main())
[('a-1', 'completed', 'echo: hello')]
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import orjson

from streams.adapters.clock import HandClock
from streams.adapters.memory import Log, Rows
from streams.adapters.providers.echo import EchoProvider
from streams.decisions import failures
from streams.decisions.limits import AdmissionPolicy
from streams.pipeline import Parts, compose
from streams.ports import Provider
from streams.stage import Headers, Output, Outputs, Record, Stage, dressed
from topics.answer import Answer
from topics.catalog import CATALOG, PROMPTS, RESULTS
from topics.errors import ConfigurationError, RecordTooLarge, TransportError

T = TypeVar("T")

POLL_S = 0.005  # between two looks at a provider that waits for something real
Place = tuple[str, str, int]  # stage, topic, partition


@dataclass(slots=True)
class Fault:
    """An error that a stage raises instead of handling, so many times."""

    stage: str
    error: Exception
    left: int
    topic: str | None


class Pipeline:
    """All stages in memory. ``settle`` runs them until nothing is left to do, winding the clock where all wait for it.

    ``provider`` defaults to ``echo`` on the pipeline's clock; ``wired`` makes the stages from their parts.
    """

    def __init__(
        self,
        provider: Provider | None = None,
        *,
        clock: HandClock | None = None,
        admission: AdmissionPolicy | None = None,
        partitions: int = 2,
        wired: Callable[[Parts], Sequence[Stage]] = compose,
    ) -> None:
        self.clock = clock or HandClock()
        self.log = Log(partitions, self.clock)
        answering = provider or EchoProvider(sleep=self.clock.sleep)
        policy = admission or AdmissionPolicy()
        self.stages = tuple(wired(Parts(answering, self.log, policy, within=self.clock.within)))
        self.tables: dict[tuple[str, str, int], dict[bytes, bytes]] = defaultdict(dict)
        self.calls: dict[tuple[str, bytes], asyncio.Task[Any]] = {}
        self.attached = 0
        self._next: dict[Place, int] = defaultdict(int)
        self._faults: list[Fault] = []
        self._tasks: dict[asyncio.Task[None], str] = {}

    async def submit(
        self, value: bytes | str | Mapping[str, Any] | None, key: bytes | None = None, headers: Headers = ()
    ) -> Record:
        """Writes one record to ``prompts``; a mapping becomes JSON. Returns it with its coordinates."""
        raw = value.encode() if isinstance(value, str) else value
        data = raw if isinstance(raw, bytes | None) else orjson.dumps(raw)
        return self.log.append(PROMPTS, key, data, headers, None)

    async def settle(self, limit_s: float = 30.0) -> None:
        """Handles all there is; ``TimeoutError`` after ``limit_s`` real seconds."""
        async with asyncio.timeout(limit_s):
            while self._step() or self._tasks:
                await self._turn()

    async def wind(self, seconds: float) -> None:
        """Winds the clock and handles all that comes of it, but nothing that is due later."""
        end_ms = self.clock.now_ms() + round(seconds * 1000)
        while self._step() or self._busy() > 0 or self._due(end_ms):
            await self._turn(end_ms)
        self.clock.wind_to(end_ms)

    def records(self, topic: str) -> list[Record]:
        """Everything written to a topic, by partition and offset."""
        return [record for partition in self._topic(topic) for record in partition]

    def answers(self) -> list[Answer]:
        """Everything written to ``results``, copies included, in the order of writing within a partition."""
        return [Answer.model_validate_json(record.value or b"") for record in self.records(RESULTS)]

    def redeliver(self, topic: str, partition: int, from_offset: int) -> None:
        """Makes all readers of a partition read it again from there, as after a crash; state is kept."""
        self._topic(topic)
        for stage in self.stages:
            place = (stage.name, topic, partition)
            self._next[place] = min(self._next[place], from_offset)

    def fail(self, stage: str, error: Exception, times: int = 1, topic: str | None = None) -> None:
        """Lets a stage raise instead of handling its next records (of ``topic`` only, where that is given)."""
        if stage not in {known.name for known in self.stages}:
            raise ConfigurationError("stage", stage, f"use one of {', '.join(known.name for known in self.stages)}")
        self._faults.append(Fault(stage, error, times, topic))

    def _topic(self, topic: str) -> list[list[Record]]:
        if topic not in self.log.topics:
            raise ConfigurationError("topic", topic, f"use one of {', '.join(self.log.topics)}")
        return self.log.topics[topic]

    def _busy(self) -> int:
        """Tasks that move by themselves: neither attached to a call nor asleep on the clock."""
        return len(self._tasks) - self.attached + len(self.calls) - self.clock.sleepers

    async def _turn(self, end_ms: int | None = None) -> None:
        """Lets tasks run; when all of them wait for the clock, winds it to what is due next."""
        await asyncio.sleep(0)
        if self._step():
            return
        if self._busy() > 0:
            await asyncio.wait({*self._tasks, *self.calls.values()}, timeout=POLL_S, return_when="FIRST_COMPLETED")
        elif self._due(end_ms):
            self.clock.wind_to(self.clock.next_ms or 0)

    def _due(self, end_ms: int | None) -> bool:
        due_ms = self.clock.next_ms
        return due_ms is not None and (end_ms is None or due_ms <= end_ms)

    def _step(self) -> bool:
        """Hands each stage at most one record of each partition it reads; False when there was none."""
        places = [(stage, topic) for stage in self.stages for topic in stage.reads]
        return sum(self._hand(stage, part) for stage, topic in places for part in self._topic(topic)) > 0

    def _hand(self, stage: Stage, partition: Sequence[Record]) -> bool:
        full = stage.slots > 0 and sum(name == stage.name for name in self._tasks.values()) >= stage.slots
        if full or not partition:
            return False
        place = (stage.name, partition[0].topic, partition[0].partition)
        if self._next[place] >= len(partition):
            return False
        record = partition[self._next[place]]
        self._next[place] += 1
        self._handle(stage, record)
        return True

    def _handle(self, stage: Stage, record: Record) -> None:
        scope = MemoryScope(self, stage, record)
        if stage.slots:
            task = asyncio.get_running_loop().create_task(self._in_task(stage, record, scope))
            self._tasks[task] = stage.name
            task.add_done_callback(self._ended)
            return
        self._write(self._handled(stage, record, scope))

    def _handled(self, stage: Stage, record: Record, scope: "MemoryScope") -> list[Output]:
        error = self._fault_of(stage, record)
        if error is None:
            try:
                return _checked(stage, record, cast(Outputs, stage.handle(record, scope)))
            except Exception as raised:
                error = raised
        return [_refused(stage, record, error, scope.now_ms)]

    def _ended(self, task: "asyncio.Task[None]") -> None:
        del self._tasks[task]

    async def _in_task(self, stage: Stage, record: Record, scope: "MemoryScope") -> None:
        outputs = None
        while outputs is None:
            outputs = await self._tried(stage, record, scope)
        self._write(outputs)

    async def _tried(self, stage: Stage, record: Record, scope: "MemoryScope") -> list[Output] | None:
        """None where Kafka did not answer: nothing was decided, so a stage that awaits is tried again."""
        error = self._fault_of(stage, record)
        if error is None:
            try:
                return _checked(stage, record, await cast(Awaitable[Outputs], stage.handle(record, scope)))
            except Exception as raised:
                error = raised
        if isinstance(error, TransportError):
            await asyncio.sleep(POLL_S)
            return None
        return [_refused(stage, record, error, scope.now_ms)]

    def _write(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self.log.append(output.topic, output.key, output.value, output.headers, output.partition)

    def _fault_of(self, stage: Stage, record: Record) -> Exception | None:
        for fault in self._faults:
            if fault.left and fault.stage == stage.name and fault.topic in (None, record.topic):
                fault.left -= 1
                return fault.error
        return None


class MemoryScope:
    """What a handler is given with one record."""

    def __init__(self, pipeline: Pipeline, stage: Stage, record: Record) -> None:
        self._pipeline, self._stage, self._record = pipeline, stage, record

    @property
    def table(self) -> Rows:
        """The rows of the record's partition."""
        stage = self._stage
        if stage.table is None:
            raise ConfigurationError("table", None, f"name one in the stage {stage.name}, which asks for its rows")
        return Rows(self._pipeline.tables[stage.app, stage.table, self._record.partition])

    @property
    def now_ms(self) -> int:
        """The record's time, or the clock's for a stage that reads it."""
        return self._pipeline.clock.now_ms() if self._stage.reads_clock else self._record.timestamp_ms

    async def settled(self) -> None:
        """At once: a dict has no changelog."""

    async def shared(self, key: bytes, call: Callable[[], Awaitable[T]]) -> T:
        """The result of the one running call under ``key``."""
        calls, place = self._pipeline.calls, (self._stage.name, key)
        task = calls.get(place) or calls.setdefault(place, asyncio.ensure_future(call()))
        self._pipeline.attached += 1
        try:
            return cast(T, await task)
        finally:
            self._pipeline.attached -= 1
            calls.pop(place, None)


def _checked(stage: Stage, record: Record, outputs: Outputs) -> list[Output]:
    ready = [dressed(record, stage.name, output) for output in outputs]
    for output in ready:
        size, limit = len(output.value or b"") + len(output.key or b""), CATALOG[output.topic].max_bytes
        if size > limit:
            raise RecordTooLarge(output.topic, size, limit)
    return ready


def _refused(stage: Stage, record: Record, error: Exception, now_ms: int) -> Output:
    refusal = failures.refusal(record, stage.name, error, now_ms=now_ms)
    output = Output(refusal.topic, refusal.key, refusal.value, "failed", refusal.partition, refusal.headers)
    return dressed(record, stage.name, output)


__all__ = ["HandClock", "Pipeline"]
