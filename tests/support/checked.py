"""A pipeline in memory, its records, and what the checker says of them, also after somebody tampered with them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.decisions.offsets import AtEnd, Position, resolve
from streams.decisions.proof import READ, Demands, Fold, Mark, Verdict, judge
from streams.engine.lag import Lag
from streams.stage import Headers, Record
from streams.testing import HandClock, Pipeline
from topics.catalog import DEAD_LETTERS, RESULTS, Names

Records = list[Record]
Asked = Mapping[str, Any] | bytes | None
BROKEN = b"{no json"


def asked(id: str = "a", prompt: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"id": id, "prompt": prompt, **fields}


def ran(
    *prompts: Asked | tuple[Asked, Headers],
    script: Sequence[str] = (),
    delay_s: float = 1.0,
    then: Callable[[Pipeline], Any] | None = None,
    **parts: Any,
) -> Pipeline:
    """What a pipeline did with these; ``then`` may do more to it before it settles again."""
    clock = HandClock()
    policy = EchoPolicy(delay_s=delay_s, nonce=True, faults=list(script))
    pipeline = Pipeline(EchoProvider(policy, sleep=clock.sleep), clock=clock, **parts)

    async def scenario() -> None:
        for given in prompts:
            value, headers = given if isinstance(given, tuple) else (given, ())
            await pipeline.submit(value, headers=headers)
        await pipeline.settle()
        if then is not None:
            done = then(pipeline)
            if done is not None:
                await done
            await pipeline.settle()

    asyncio.run(scenario())
    return pipeline


def records(pipeline: Pipeline) -> Records:
    """All that travelled, in the order in which the checker reads it."""
    return [record for topic in READ for record in pipeline.records(topic)]


def folded(read: Iterable[Record], *marks: Mark, **fold: Any) -> Fold:
    kept = Fold(marks=marks, **fold)
    for record in read:
        kept.add(record)
    return kept


def verdict(read: Iterable[Record], *marks: Mark, fold: Mapping[str, Any] | None = None, **demands: Any) -> Verdict:
    return judge(folded(read, *marks, **(fold or {})), Demands(**demands))


def without(read: Records, *topics: str, of: str | None = None) -> Records:
    """All but the records of these topics, or those of them that name the id."""
    return as_if_whole(one for one in read if one.topic not in topics or (of is not None and not _names(one, of)))


def as_if_whole(read: Iterable[Record]) -> Records:
    """The same with offsets of results and dead letters counted anew: what was taken out was never written."""
    next_of, kept = Counter[tuple[str, int]](), list[Record]()
    for one in read:
        place = (one.topic, one.partition)
        kept.append(one._replace(offset=next_of[place]) if one.topic in (RESULTS, DEAD_LETTERS) else one)
        next_of[place] += 1
    return kept


def changed(read: Records, topic: str, change: Callable[[Record], Record | None], of: str | None = None) -> Records:
    """The records of a topic, or those of an id, as ``change`` leaves them; None takes one away."""
    hit = (change(one) if one.topic == topic and (of is None or _names(one, of)) else one for one in read)
    return [one for one in hit if one is not None]


def added(read: Records, topic: str, of: str, **fields: Any) -> Records:
    """And once more the first record of an id, behind its partition's last one, with other fields of its JSON."""
    first = next(one for one in read if one.topic == topic and _names(one, of))
    last = max(one.offset for one in read if (one.topic, one.partition) == (topic, first.partition))
    value = orjson.dumps({**orjson.loads(first.value or b""), **fields}) if fields else first.value
    more = first._replace(offset=last + 1, value=value)
    place = max(at for at, one in enumerate(read) if (one.topic, one.partition) == (topic, first.partition))
    return [*read[: place + 1], more, *read[place + 1 :]]


def with_json(**fields: Any) -> Callable[[Record], Record]:
    """A record with other fields in its value."""
    return lambda record: record._replace(value=orjson.dumps({**orjson.loads(record.value or b""), **fields}))


def _names(record: Record, id: str) -> bool:
    """Whether a record is about an id: by its value, its key or the evidence of its dead letter."""
    if record.header("prompts.error.request-id") is not None:
        return record.header("prompts.error.request-id") == id.encode()
    try:
        data = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return False
    return isinstance(data, dict) and data.get("id") == id


def marks(pipeline: Pipeline, **short: int) -> tuple[Mark, ...]:
    """How far the groups have come: to the end of all they read, but for the topics of ``short`` (`_` for `.`, `-`)."""
    found = list[Mark]()
    for stage in pipeline.stages:
        for topic in stage.reads:
            for number, partition in enumerate(pipeline.log.topics[topic] if topic in READ else ()):
                left = short.get(topic.replace(".", "_").replace("-", "_"), 0)
                committed = max(0, len(partition) - left)
                found.append(Mark(Names().group(stage.app), topic, number, committed, 0, len(partition)))
    return tuple(found)


class Topics:
    """The topics of a pipeline as the checker reads a cluster: a range of each, and how far the groups have come."""

    def __init__(self, pipeline: Pipeline, **short: int) -> None:
        self.pipeline, self.short, self.opened = pipeline, short, list[str]()

    def __call__(self, cluster: object, names: Names) -> "Topics":
        """Stands where a command makes its connection."""
        return self

    @asynccontextmanager
    async def tail(
        self, topic: str, start: Position, stop: Position | None = None, *, follow: bool = False
    ) -> AsyncIterator[AsyncIterator[Record]]:
        self.opened.append(topic)
        yield self._between(topic, start, stop or AtEnd())

    async def _between(self, topic: str, start: Position, stop: Position) -> AsyncIterator[Record]:
        for partition in self.pipeline.log.topics[topic]:
            first, last = _offset(start, partition), _offset(stop, partition)
            for record in partition[first:last]:
                yield record

    async def lags(self, groups: Mapping[str, tuple[str, ...]]) -> tuple[Lag, ...]:
        self.opened.append("lags")
        topic = Names().topic
        every = [Lag(one.group, topic(one.topic), *one[2:]) for one in marks(self.pipeline, **self.short)]
        return tuple(one for one in every if one.topic in groups.get(one.group, ()))


def _offset(position: Position, partition: Sequence[Record]) -> int:
    epoch_ms = getattr(position, "epoch_ms", 0)
    young = next((one.offset for one in partition if one.timestamp_ms >= epoch_ms), None)
    return resolve(position, 0, len(partition), young)
