"""# Engine: trim

Responsibility: deletes what is answered and older than the retention from the topics that Kafka keeps for ever.
Guarantees: only what every group that reads a topic has committed, and nothing that is younger
    (tests/integration/test_trim.py::test_round_deletes_what_all_groups_have_committed_and_is_old);
    a prompt stays for as long as a dead letter may yet be made of it
    (tests/unit/streams/engine/test_trim.py::test_prompts_stay_longer_by_the_age_of_the_oldest_work);
    workers that do it at the same time harm nothing
    (tests/integration/test_trim.py::test_rounds_at_the_same_time_delete_once);
    no failure ends it (tests/unit/streams/engine/test_trim.py::test_round_that_fails_is_told_and_tried_again).
NOT Responsible For: when requests expire (admit, infer), topics that Kafka trims, what is late (by the local clock).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from streams.decisions import retention
from streams.decisions.retention import Held, Log, Trim
from streams.engine.cluster import Cluster
from streams.engine.connect import Opener, admin, consumer, patiently
from streams.engine.lag import Lag, LagReader, Reads
from streams.ports import Clock, Observation, Observer
from streams.stage import Stage
from topics.catalog import CATALOG, PROMPTS, Names
from topics.errors import OrchestratorError, kind_of

EVERY_S = 60.0
TURNS = 8  # workers begin at that many different moments of the interval
TRIMMED, UNTRIMMED = "trimmed", "untrimmed"

Place = tuple[str, int]  # Kafka's name of a topic, and a partition


def reads(stages: Iterable[Stage], names: Names) -> dict[str, tuple[str, ...]]:
    """Group → Kafka's names of those of its topics that we trim; as the stages say, whoever runs them."""
    found: dict[str, tuple[str, ...]] = {}
    for stage in stages:
        ours = (names.topic(topic) for topic in stage.reads if CATALOG[topic].keeps == "until answered")
        group = names.group(stage.app)
        found[group] = tuple(dict.fromkeys((*found.get(group, ()), *ours)))
    return {group: topics for group, topics in found.items() if topics}


def logs(lags: Iterable[Lag], aged: Mapping[Place, int | None]) -> dict[Place, Log]:
    """Each partition of which ``aged`` knows where its younger records begin, with all groups that read it."""
    found: dict[Place, list[Lag]] = {}
    for lag in lags:
        found.setdefault((lag.topic, lag.partition), []).append(lag)
    return {
        place: Log(its[0].start, its[0].end, {lag.group: lag.committed for lag in its}, aged[place])
        for place, its in found.items()
        if place in aged
    }


async def unfinished(reader: LagReader, lags: Iterable[Lag], before_ms: int) -> tuple[Lag, ...]:
    """Those that have a record before them which is older than a time, in epoch milliseconds."""
    every = tuple(lags)
    known = logs(every, await reader.since({(lag.topic, lag.partition): before_ms for lag in every}))
    return tuple(lag for lag in every if lag.group in retention.unfinished(known[lag.topic, lag.partition]))


async def late(
    cluster: Cluster, groups: Reads, before_ms: int, *, admins: Opener = admin, consumers: Opener = consumer
) -> tuple[Lag, ...]:
    """The same, on connections of its own."""
    async with LagReader(cluster, admins=admins, consumers=consumers) as reader:
        return await unfinished(reader, await reader.read(groups), before_ms)


class Trimmer:
    """Trims one pipeline's topics: ``groups`` as ``reads`` returns them, ``retention_ms`` in milliseconds."""

    def __init__(
        self,
        cluster: Cluster,
        names: Names,
        groups: Reads,
        retention_ms: int,
        *,
        admins: Opener = admin,
        consumers: Opener = consumer,
    ) -> None:
        self._cluster, self._names, self._groups, self._retention_ms = cluster, names, groups, retention_ms
        self._admins, self._consumers = admins, consumers

    async def round(self, now_ms: int) -> list[Observation]:
        """Deletes what may go at that time; tells what went and what had to stay."""
        async with LagReader(self._cluster, admins=self._admins, consumers=self._consumers) as reader:
            lags = await reader.read(self._groups)
            aged = await reader.since(await self._cuts(reader, lags, now_ms))
        found = logs(lags, aged)
        said = {place: retention.trim(found[place]) for place in sorted(found)}
        stays = [_stays(*place, "no_commit") for place, verdict in said.items() if isinstance(verdict, Held)]
        waits = {lag.topic for lag in lags} - {topic for topic, _ in found}
        stays += [_stays(topic, 0, "work_lags") for topic in waits]
        trims = [(place, verdict) for place, verdict in said.items() if isinstance(verdict, Trim)]
        return stays + (await self._delete(trims) if trims else [])

    async def _cuts(self, reader: LagReader, lags: Iterable[Lag], now_ms: int) -> dict[Place, int]:
        """The time before which a record of each partition may go; of ``prompts`` later where work lags behind."""
        every, prompts = tuple(lags), self._names.topic(PROMPTS)
        old_ms, age_ms = now_ms - self._retention_ms, await self._oldest(reader, every, now_ms)
        places = {(lag.topic, lag.partition) for lag in every}
        cuts = {place: max(0, old_ms) for place in places if place[0] != prompts}
        if age_ms is not None:
            cuts |= {place: max(0, old_ms - age_ms) for place in places if place[0] == prompts}
        return cuts

    async def _oldest(self, reader: LagReader, lags: tuple[Lag, ...], now_ms: int) -> int | None:
        """An age that nothing which waits has reached; None where something waits for longer than the retention."""
        for age_ms in retention.ages(self._retention_ms):
            if not await unfinished(reader, lags, max(0, now_ms - age_ms)):
                return age_ms
        return None

    async def _delete(self, trims: list[tuple[Place, Trim]]) -> list[Observation]:
        async with self._admins(self._cluster) as client:
            told = list[Observation]()
            for topic, its in groupby(trims, lambda trim: trim[0][0]):
                told += await _deleted(client, topic, [(place[1], trim) for place, trim in its])
        return told


async def _deleted(client: Any, topic: str, trims: list[tuple[int, Trim]]) -> list[Observation]:
    """One topic by itself: what is refused here keeps nothing else from going."""
    asked = {TopicPartition(topic, number): RecordsToDelete(trim.before) for number, trim in trims}
    try:
        await patiently(f"trimming {topic}", lambda: client.delete_records(asked))
    except OrchestratorError as error:
        return [Observation("engine", UNTRIMMED, topic, number, trim.before, kind=error.kind) for number, trim in trims]
    return [Observation("engine", TRIMMED, topic, number, trim.before, outputs=trim.records) for number, trim in trims]


def _stays(topic: str, partition: int, why: str) -> Observation:
    return Observation("engine", UNTRIMMED, topic, partition, 0, kind=why)


async def keep_trimming(
    trimmer: Trimmer, observer: Observer, clock: Clock, slot: int, every_s: float = EVERY_S
) -> None:
    """Runs rounds until it is cancelled; the workers of a host take turns."""
    await asyncio.sleep(turn_s(slot, every_s))
    while True:
        for seen in await _told(trimmer, clock.now_ms()):
            observer.observe(seen)
        await asyncio.sleep(every_s)


@asynccontextmanager
async def trimming(trimmer: Trimmer, observer: Observer, clock: Clock, slot: int) -> AsyncIterator[None]:
    """Rounds go on meanwhile."""
    task = asyncio.get_running_loop().create_task(keep_trimming(trimmer, observer, clock, slot))
    try:
        yield
    finally:
        task.cancel()


def turn_s(slot: int, every_s: float) -> float:
    """How long after its start the worker of a slot begins."""
    return every_s * (slot % TURNS + 1) / TURNS


async def _told(trimmer: Trimmer, now_ms: int) -> Iterable[Observation]:
    try:
        return await trimmer.round(now_ms)
    except Exception as error:
        return [Observation("engine", UNTRIMMED, "", 0, 0, kind=kind_of(error))]
