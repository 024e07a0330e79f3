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
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any, cast

import orjson

from streams.adapters.board import Board
from streams.adapters.clock import HandClock
from streams.adapters.memory import Documents, Faults, Log, MemoryScope, Reader, Store, checked, refused
from streams.adapters.providers.echo import EchoProvider
from streams.adapters.retriever.memory import MemoryRetriever
from streams.decisions import parking
from streams.decisions.limits import AdmissionPolicy
from streams.pipeline import Parts, compose
from streams.ports import Provider
from streams.stage import Headers, Output, Outputs, Record, Stage
from topics.answer import Answer
from topics.catalog import BREAKERS, CALLS, CLOCKS, DOCUMENTS, PARKED, PROMPTS, RESULTS
from topics.errors import ConfigurationError, TransportError

POLL_S = 0.005  # between two looks at a provider that waits for something real
SECOND_MS = 1000
LEAP = 60  # seconds; a longer span in which only time passes is leapt over
TICK = b'{"v":1}'


class Pipeline:
    """All stages in memory. ``settle`` runs them until nothing is left to do, winding the clock where all wait for it.

    ``provider`` defaults to ``echo`` on the pipeline's clock; ``wired`` makes the stages from their parts, ``parts``
    being fields of ``streams.pipeline.Parts``. While a stage reads ticks, each second writes one to each partition of
    them; in a span of more than a minute between two events only those that come to something, found by halving (what
    is due stays due until its tick), and the last one: hours cost milliseconds.
    """

    def __init__(
        self,
        provider: Provider | None = None,
        *,
        clock: HandClock | None = None,
        admission: AdmissionPolicy | None = None,
        partitions: int = 2,
        wired: Callable[[Parts], Sequence[Stage]] = compose,
        **parts: Any,
    ) -> None:
        self.clock = clock or HandClock()
        self.log = Log(partitions, self.clock)
        answering = provider or EchoProvider(sleep=self.clock.sleep)
        policy = admission or AdmissionPolicy()
        retriever = parts.pop("retriever", None) or MemoryRetriever.of()
        if hasattr(retriever, "commit"):
            self.log.heard[DOCUMENTS] = Documents(retriever).apply
        if "board" not in parts:
            parts["board"] = Board("memory", self._tell, parts.get("breaker"), every_ms=0, sleep=self.clock.sleep)
            self.log.heard[BREAKERS] = parts["board"].apply
        timing = {"within": self.clock.within, "sleep": self.clock.sleep}
        made = Parts(answering, self.log, policy, retriever=retriever, **{**timing, **parts})
        self.stages = tuple(wired(made))
        self.store = Store(self.clock)
        self.tables = self.store.tables
        self._readers = [
            Reader(stage, topic, number, partition)
            for stage in self.stages
            for topic in stage.reads
            for number, partition in enumerate(self.log.topics[topic])
        ]
        self._ticked = [reader for reader in self._readers if reader.topic in CLOCKS]
        self._tick_ms = self.clock.now_ms()
        self._tiers_s = dict(zip(PARKED, made.retry.tiers_s, strict=False))
        self._parked = [reader for reader in self._readers if PARKED[0] in reader.stage.reads]
        self._faults = Faults()
        self._tasks: dict[asyncio.Task[None], tuple[Reader, int]] = {}
        self._running = Counter[str]()

    # -- what people do

    async def submit(
        self, value: bytes | str | Mapping[str, Any] | None, key: bytes | None = None, headers: Headers = ()
    ) -> Record:
        """Writes one record to ``prompts``; a mapping becomes JSON. Returns it with its coordinates."""
        return self.write(PROMPTS, value, key, headers)

    def write(
        self, topic: str, value: bytes | str | Mapping[str, Any] | None, key: bytes | None = None, headers: Headers = ()
    ) -> Record:
        """The same to any topic; ``documents`` are searched from now on, where the retriever can be filled."""
        self._topic(topic)
        raw = value.encode() if isinstance(value, str) else value
        data = raw if isinstance(raw, bytes | None) else orjson.dumps(raw)
        return self.log.append(topic, key, data, headers, None)

    def records(self, topic: str) -> list[Record]:
        """Everything written to a topic, by partition and offset."""
        return [record for partition in self._topic(topic) for record in partition]

    def answers(self) -> list[Answer]:
        """Everything written to ``results``, copies included, in the order of writing within a partition."""
        return [Answer.model_validate_json(record.value or b"") for record in self.records(RESULTS)]

    # -- time

    async def settle(self, limit_s: float = 30.0) -> None:
        """Handles all there is; ``TimeoutError`` after ``limit_s`` real seconds."""
        async with asyncio.timeout(limit_s):
            while self._step() or self._tasks or self._back_ms() is not None:
                await self._turn()

    async def advance(self, seconds: float, limit_s: float = 30.0) -> None:
        """Winds the clock and handles all that comes of it, but nothing that is due later."""
        end_ms = self.clock.now_ms() + round(seconds * 1000)
        async with asyncio.timeout(limit_s):
            while self._step() or self._busy() > 0 or self._due_ms(end_ms) is not None:
                await self._turn(end_ms)

    # -- what goes wrong

    def fail(self, stage: str, error: Exception, times: int = 1, topic: str | None = None) -> None:
        """Lets a stage raise instead of handling its next records (of ``topic`` only, where that is given)."""
        if stage not in {known.name for known in self.stages}:
            raise ConfigurationError("stage", stage, f"use one of {', '.join(known.name for known in self.stages)}")
        self._faults.add(stage, error, times, topic)

    def redeliver(self, topic: str, partition: int, from_offset: int) -> None:
        """Makes all readers of a partition read it again from there; state is kept."""
        again = self._topic(topic)[partition]
        for reader in self._readers:
            if reader.partition is again:
                reader.back_to(from_offset)

    async def move(self, partition: int | None = None, again: int = 0) -> None:
        """Gives all partitions, or the one, to another worker, as when this one is killed.

        Rows stay, what was made of them is forgotten, running calls are cancelled. Unfinished records are handed out
        again with all behind them, and the last ``again`` finished ones of each reader, as if not yet committed.
        """
        moved = {reader for reader in self._readers if partition in (None, reader.number)}
        lost = {task: place for task, place in self._tasks.items() if place[0] in moved}
        for task in lost:
            task.cancel()
        await asyncio.gather(*lost, return_exceptions=True)
        await self.store.moved(partition)
        unfinished = {
            reader: min(offset for one, offset in lost.values() if one is reader) for reader, _ in lost.values()
        }
        for reader in moved:
            reader.back_to(min(unfinished.get(reader, reader.done), reader.done) - again)

    # -- how it runs

    def _topic(self, topic: str) -> list[list[Record]]:
        if topic not in self.log.topics:
            raise ConfigurationError("topic", topic, f"use one of {', '.join(self.log.topics)}")
        return self.log.topics[topic]

    def _busy(self) -> int:
        """Tasks that move by themselves: neither attached to a call nor asleep on the clock, or woken by a timeout."""
        return len(self._tasks) + self.store.busy - self.clock.sleepers + self.clock.ending

    async def _turn(self, end_ms: int | None = None) -> None:
        """Lets tasks run; when all of them wait for the clock, winds it to what is due next."""
        await asyncio.sleep(0)
        if self._step():
            return
        due_ms = self._due_ms(end_ms)
        if self._busy() > 0:
            waiting = {*self._tasks, *(call.task for call in self.store.calls.values())}
            await asyncio.wait(waiting, timeout=POLL_S, return_when="FIRST_COMPLETED")
        elif due_ms is not None:
            self._pass_until(due_ms)

    def _due_ms(self, end_ms: int | None) -> int | None:
        """To when the clock may be wound next: the first who sleeps on it or comes back from a tier, or the end."""
        next_ms = min((ms for ms in (self.clock.next_ms, self._back_ms()) if ms is not None), default=None)
        if next_ms is not None and (end_ms is None or next_ms <= end_ms):
            return next_ms
        return end_ms if end_ms is not None and end_ms > self.clock.now_ms() else None

    def _back_ms(self) -> int | None:
        """When the next parked record comes back: in each partition of a tier the first goes first."""
        first = (reader.partition[reader.next] for reader in self._parked if reader.next < len(reader.partition))
        return min(map(self._until_ms, first), default=None)

    def _until_ms(self, record: Record) -> int:
        """Until when a record waits where it is; nowhere but in a tier it does."""
        return parking.due_ms(record.timestamp_ms, self._tiers_s.get(record.topic, 0.0))

    def _pass_until(self, due_ms: int) -> None:
        """Winds the clock to the next tick, or to ``due_ms`` if there is none before."""
        seconds = range(max(self._tick_ms + SECOND_MS, self.clock.now_ms()), due_ms + 1, SECOND_MS)
        if not self._ticked or not seconds:
            self.clock.wind_to(due_ms)
            return
        leapt = bisect_left(seconds, True, key=self._comes_to_something) if len(seconds) > LEAP else 0
        self._tick_ms = seconds[min(leapt, len(seconds) - 1)]
        self.clock.wind_to(self._tick_ms)
        for topic, number in sorted({(reader.topic, reader.number) for reader in self._ticked}):
            self.log.append(topic, None, TICK, (), number)

    def _comes_to_something(self, at_ms: int) -> bool:
        """Whether ticks at that time would change anything."""
        ticks = ((one, Record(one.topic, one.number, len(one.partition), at_ms, None, TICK)) for one in self._ticked)
        return any(self.store.changes(reader.stage, tick) for reader, tick in ticks)

    def _step(self) -> bool:
        """Hands each stage at most one record of each partition it reads; False when there was none."""
        return sum(map(self._hand, self._readers)) > 0

    def _hand(self, reader: Reader) -> bool:
        stage = reader.stage
        if reader.next >= len(reader.partition) or 0 < stage.slots <= self._running[stage.name]:
            return False
        record = reader.partition[reader.next]
        if self._until_ms(record) > self.clock.now_ms():
            return False
        reader.next += 1
        scope = MemoryScope(self.store, stage, record)
        if stage.slots:
            self._running[stage.name] += 1
            task = asyncio.get_running_loop().create_task(self._in_task(stage, record, scope))
            self._tasks[task] = (reader, record.offset)
            task.add_done_callback(self._ended)
        else:
            self._write(self._handled(stage, record, scope))
            for other in filter(reader.covers, self._readers if stage.holds else ()):
                other.kept = other.next
        return True

    def _ended(self, task: "asyncio.Task[None]") -> None:
        reader, _ = self._tasks.pop(task)
        self._running[reader.stage.name] -= 1

    def _handled(self, stage: Stage, record: Record, scope: MemoryScope) -> list[Output]:
        error = self._faults.next_of(stage, record)
        if error is None:
            try:
                return checked(stage, record, cast(Outputs, stage.handle(record, scope)))
            except Exception as raised:
                error = raised
        return refused(stage, record, error, scope.now_ms)

    async def _in_task(self, stage: Stage, record: Record, scope: MemoryScope) -> None:
        outputs = None
        while outputs is None:
            outputs = await self._tried(stage, record, scope)
        self._write(outputs)

    async def _tried(self, stage: Stage, record: Record, scope: MemoryScope) -> list[Output] | None:
        """None where Kafka did not answer: nothing was decided, so a stage that awaits is tried again."""
        error = self._faults.next_of(stage, record)
        if error is None:
            try:
                begun = stage.handle(record, scope)
                return checked(stage, record, await begun if isawaitable(begun) else begun)
            except Exception as raised:
                error = raised
        if isinstance(error, TransportError):
            await asyncio.sleep(POLL_S)
            return None
        return refused(stage, record, error, scope.now_ms)

    def _tell(self, service: str, value: bytes) -> None:
        self.log.append(CALLS, service.encode(), value, (), None)

    def _write(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self.log.append(output.topic, output.key, output.value, output.headers, output.partition)


__all__ = ["HandClock", "Pipeline"]
