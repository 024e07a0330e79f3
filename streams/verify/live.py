"""How is a cluster read for the checker, while work goes on? Commits first, then results, then back to `prompts`."""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from streams.decisions.admission import AdmissionPolicy
from streams.decisions.offsets import AtEnd, AtTime, FromStart, Position
from streams.decisions.proof import READ, Demands, Fold, Mark, Verdict, judge
from streams.decisions.proof.case import SKEW_MS
from streams.engine import lag
from streams.engine.cluster import Cluster
from streams.engine.lag import Lag
from streams.engine.reader import Tail
from streams.stage import Record, Stage
from topics.catalog import PROMPTS, Names

Readers = Mapping[str, tuple[str, ...]]


class Sink(Protocol):
    """Keeps what was read, so that it can be checked again."""

    def begin(self, names: Names, marks: Iterable[Mark], since_ms: int, whole: bool) -> None: ...

    def add(self, record: Record, judged: bool) -> None: ...


class Source(Protocol):
    """What the checker needs of a cluster."""

    def tail(
        self, topic: str, start: Position, stop: Position | None = None
    ) -> AbstractAsyncContextManager[AsyncIterable[Record]]: ...

    async def lags(self, groups: Mapping[str, tuple[str, ...]]) -> tuple[Lag, ...]: ...


class Live:
    """A real cluster."""

    def __init__(self, cluster: Cluster, names: Names) -> None:
        self.cluster, self.names = cluster, names

    def tail(
        self, topic: str, start: Position, stop: Position | None = None
    ) -> AbstractAsyncContextManager[AsyncIterable[Record]]:
        """The records of a topic between two positions."""
        return Tail(self.cluster, self.names, topic, start=start, stop=stop)

    async def lags(self, groups: Mapping[str, tuple[str, ...]]) -> tuple[Lag, ...]:
        """Commits and logs, by group."""
        return await lag.lags(self.cluster, groups)


def readers(stages: Iterable[Stage]) -> Readers:
    """App → the topics that it reads, of those through which requests travel."""
    found = dict[str, tuple[str, ...]]()
    for stage in stages:
        topics = tuple(topic for topic in stage.reads if topic in READ)
        if topics:
            found[stage.app] = (*found.get(stage.app, ()), *topics)
    return found


async def check(
    cluster: Cluster,
    names: Names,
    stages: Iterable[Stage],
    *,
    policy: AdmissionPolicy | None = None,
    demands: Demands | None = None,
    start: Position | None = None,
    stop: Position | None = None,
) -> Verdict:
    """The verdict on a live cluster: prompts from ``start`` to ``stop``, and all that came of them.

    ``stages`` tell who reads what, ``policy`` is what the door knows (``pipeline.door``). ``TransportError``,
    ``TopicMissing``.
    """
    return await verify(Live(cluster, names), names, readers(stages), policy, demands, start, stop)


async def verify(
    source: Source,
    names: Names,
    reads: Readers,
    policy: AdmissionPolicy | None = None,
    demands: Demands | None = None,
    start: Position | None = None,
    stop: Position | None = None,
    sink: Sink | None = None,
) -> Verdict:
    """The same over any source, with a ``sink`` that keeps what was read."""
    since, asked = start or FromStart(), demands or Demands()
    since_ms = since.epoch_ms if isinstance(since, AtTime) else 0
    marks = await _marks(source, names, reads)
    fold = Fold(policy, names, marks)
    if whole := isinstance(since, FromStart):
        fold.open_all()
    if sink is not None:
        sink.begin(names, marks, since_ms, whole)
    keep = _keeper(fold, sink)
    for topic in READ[:-1]:
        await _read(source, topic, AtTime(since_ms - SKEW_MS) if since_ms else FromStart(), None, keep)
    await _read(source, PROMPTS, since, stop, keep)
    if stop is not None and not isinstance(stop, AtEnd):
        await _read(source, PROMPTS, stop, None, _keeper(fold, sink, judged=False))
    return judge(fold, asked.since(since_ms))


async def _marks(source: Source, names: Names, reads: Readers) -> tuple[Mark, ...]:
    groups = {names.group(app): tuple(map(names.topic, topics)) for app, topics in reads.items()}
    known = names.known()
    lags = await source.lags(groups)
    return tuple(Mark(one.group, known[one.topic], one.partition, one.committed, one.start, one.end) for one in lags)


def _keeper(fold: Fold, sink: Sink | None, *, judged: bool = True) -> Callable[[Record], None]:
    def keep(record: Record) -> None:
        fold.add(record, judged=judged)
        if sink is not None:
            sink.add(record, judged)

    return keep


async def _read(
    source: Source, topic: str, start: Position, stop: Position | None, keep: Callable[[Record], None]
) -> None:
    async with source.tail(topic, start, stop) as records:
        async for record in records:
            keep(record)
