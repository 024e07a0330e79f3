"""What a round deletes, what it leaves and what it tells, on fakes; a record's timestamp is its offset in seconds."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NotLeaderForPartitionError, TopicAuthorizationFailedError

from streams import pipeline
from streams.engine.cluster import Cluster
from streams.engine.lag import Lag
from streams.engine.trim import Trimmer, keep_trimming, late, logs, reads, trimming, turn_s
from streams.ports import Observation
from streams.settings import Settings
from tests.support.commands import stage
from tests.support.fake_kafka import FakeAdmin, FakeConsumer, Log, through
from tests.support.loops import in_loop, until
from topics.catalog import ASSEMBLED, CATALOG, FAILED, PARKED, PROMPTS, Names
from topics.errors import TransportError

CLUSTER, NAMES = Cluster("a:1"), Names(prefix="mine-")
WHERE, LANE, LOST = NAMES.topic(PROMPTS), NAMES.topic(ASSEMBLED["low"]), NAMES.topic(FAILED)
SECOND, RETENTION_MS = 1000, 100_000
NOW_MS = 1_000_000
GROUPS = {"core": (WHERE, LOST), "infer": (LANE,), "bury": (LOST,)}
ALL_DONE = {"core": {WHERE: 1000, LOST: 1000}, "infer": {LANE: 1000}, "bury": {LOST: 1000}}


@dataclass
class Broker(FakeAdmin):
    """A control plane that deletes from a log; ``refuses``: topic → what it answers instead, each once."""

    log: Log = field(default_factory=Log)
    refuses: dict[str, list[Exception]] = field(default_factory=dict)
    deleted: list[dict[str, int]] = field(default_factory=list)

    async def delete_records(self, asked: Mapping[TopicPartition, Any]) -> None:
        [topic] = {tp.topic for tp in asked}
        if self.refuses.get(topic):
            raise self.refuses[topic].pop(0)
        self.deleted.append({f"{tp.topic}/{tp.partition}": its.before_offset for tp, its in asked.items()})
        for tp, its in asked.items():
            self.log.starts[tp] = max(self.log.starts[tp], its.before_offset)


def broker(counts: Mapping[str, int] | None = None, done: Mapping[str, Mapping[str, int]] = ALL_DONE) -> Broker:
    """Topics of one partition with a record a second, a thousand by default; ``done`` is what groups committed."""
    log = Log({WHERE: 1, LANE: 1, LOST: 1})
    for topic, count in {**dict.fromkeys(log.topics, 1000), **(counts or {})}.items():
        for _ in range(count):
            log.append(topic)
    commits = {group: {TopicPartition(topic, 0): at for topic, at in its.items()} for group, its in done.items()}
    return Broker(commits=commits, log=log)


def committed(**changed: Mapping[str, int]) -> dict[str, Mapping[str, int]]:
    return {**ALL_DONE, **changed}


def trimmer(there: Broker, groups: Mapping[str, tuple[str, ...]] = GROUPS) -> Trimmer:
    clients = {"admins": through(there), "consumers": through(FakeConsumer(there.log))}
    return Trimmer(CLUSTER, NAMES, groups, RETENTION_MS, **clients)


def trimmed(there: Broker) -> dict[str, int]:
    return {name: at for asked in there.deleted for name, at in asked.items()}


@pytest.mark.parametrize(
    ("done", "cut"),
    [
        ({}, {f"{LANE}/0": 900, f"{LOST}/0": 900}),
        ({"infer": {LANE: 990}}, {f"{LANE}/0": 900, f"{LOST}/0": 900}),
        ({"infer": {LANE: 300}}, {f"{LANE}/0": 300, f"{LOST}/0": 900}),
        ({"bury": {LOST: 200}}, {f"{LANE}/0": 900, f"{LOST}/0": 200}),
        ({"bury": {LOST: 200}, "core": {WHERE: 1000, LOST: 100}}, {f"{LANE}/0": 900, f"{LOST}/0": 100}),
        ({"infer": {LANE: 0}}, {f"{LOST}/0": 900}),
    ],
)
@in_loop
async def test_round_deletes_old_records_below_the_smallest_commit(done, cut: dict[str, int]) -> None:
    there = broker(done=committed(**done))
    await trimmer(there).round(NOW_MS)

    assert cut == {name: at for name, at in trimmed(there).items() if name != f"{WHERE}/0"}


@pytest.mark.parametrize(
    ("behind_s", "cut"),
    [
        (0, 900),  # the shortest age, a thousandth of the retention, is below a second
        (1, 898),
        (4, 893),
        (20, 875),
        (90, 800),
        (100, 800),
    ],
)
@in_loop
async def test_prompts_stay_longer_by_the_age_of_the_oldest_work(behind_s: int, cut: int) -> None:
    """Rounded up to the next of the ages: 0.1, 0.4, 1.6, 6.3, 25 and 100 seconds."""
    there = broker(done=committed(infer={LANE: 1000 - behind_s}))
    await trimmer(there).round(NOW_MS)

    assert cut <= trimmed(there)[f"{WHERE}/0"] <= cut + 1


@pytest.mark.parametrize("group", ["core", "infer", "bury"])
@in_loop
async def test_prompts_stay_where_any_group_has_older_work_than_the_retention(group: str) -> None:
    there = broker(done=committed(**{group: dict.fromkeys(GROUPS[group], 800)}))
    told = await trimmer(there).round(NOW_MS)

    assert f"{WHERE}/0" not in trimmed(there)
    assert Observation("engine", "untrimmed", WHERE, 0, 0, kind="work_lags") in told


@in_loop
async def test_round_tells_how_many_records_went_from_where() -> None:
    there = broker()
    there.log.starts[TopicPartition(LANE, 0)] = 850
    told = await trimmer(there).round(NOW_MS)

    assert Observation("engine", "trimmed", LANE, 0, 900, outputs=50) in told
    assert Observation("engine", "trimmed", LOST, 0, 900, outputs=900) in told


@in_loop
async def test_topic_of_a_group_without_commit_stays_and_is_told() -> None:
    there = broker(done={**ALL_DONE, "bury": {}})
    told = await trimmer(there).round(NOW_MS)

    assert f"{LOST}/0" not in trimmed(there)
    assert Observation("engine", "untrimmed", LOST, 0, 0, kind="no_commit") in told


@in_loop
async def test_second_round_deletes_nothing_more() -> None:
    there = broker()
    first = trimmer(there)
    await first.round(NOW_MS)
    before = len(there.deleted)

    assert ([], before) == (await first.round(NOW_MS), len(there.deleted))


@in_loop
async def test_round_on_young_logs_asks_for_no_deletion() -> None:
    there = broker()

    assert ([], []) == (await trimmer(there).round(RETENTION_MS), there.deleted)


@in_loop
async def test_times_before_the_epoch_are_not_asked_for() -> None:
    there = broker({WHERE: 0, LANE: 0, LOST: 0})

    assert [] == await trimmer(there).round(0)


@in_loop
async def test_refused_deletion_is_told_and_the_other_topics_go_on() -> None:
    there = broker()
    there.refuses[LANE] = [TopicAuthorizationFailedError()]
    told = await trimmer(there).round(NOW_MS)

    assert {f"{LOST}/0", f"{WHERE}/0"} == set(trimmed(there))
    assert [(LANE, "transport")] == [(seen.topic, seen.kind) for seen in told if seen.kind]


@in_loop
async def test_deletion_under_a_new_leader_is_tried_again() -> None:
    there = broker()
    there.refuses[LANE] = [NotLeaderForPartitionError()]
    told = await trimmer(there).round(NOW_MS)

    assert (900, []) == (trimmed(there)[f"{LANE}/0"], [seen for seen in told if seen.kind])


# Which groups read what


def test_readers_of_the_pipeline_follow_from_its_stages() -> None:
    found = reads(pipeline.stages(Settings()), NAMES)

    assert {f"prompts.{app}" for app in ("core", "infer", "park", "bury")} == set(found)
    assert set(map(NAMES.topic, PARKED)) == set(found["prompts.park"])
    assert (LOST,) == found["prompts.bury"]


def test_every_topic_that_kafka_keeps_for_ever_has_a_reader() -> None:
    ours = {topic for its in reads(pipeline.stages(Settings()), NAMES).values() for topic in its}

    assert {NAMES.topic(name) for name, spec in CATALOG.items() if spec.keeps == "until answered"} == ours


@pytest.mark.parametrize("topic", ["results", "dead-letters", "documents", "ticks", "calls", "breakers"])
def test_topic_that_kafka_trims_is_left_to_it(topic: str) -> None:
    assert {} == reads([stage("a", "core", (topic,))], NAMES)


def test_stages_of_one_app_are_one_reader() -> None:
    stages = [stage("a", "core"), stage("b", "core", (FAILED, PROMPTS)), stage("c", "bury", (FAILED,))]

    assert {"prompts.core": (WHERE, LOST), "prompts.bury": (LOST,)} == reads(stages, NAMES)


def test_logs_join_the_groups_of_a_partition() -> None:
    lags = (Lag("a", "t", 0, 3, 1, 9), Lag("b", "t", 0, None, 1, 9), Lag("a", "t", 1, 0, 0, 0))
    [found] = logs(lags, {("t", 0): 5}).items()

    assert (("t", 0), {"a": 3, "b": None}) == (found[0], found[1].committed)


# What is late


@pytest.mark.parametrize(
    ("done", "before_ms", "expected"),
    [
        ({}, NOW_MS, []),
        ({"infer": {LANE: 400}}, 401_000, ["infer"]),
        ({"infer": {LANE: 400}}, 400_000, []),
        ({"infer": {}, "bury": {LOST: 10}}, 11_000, ["infer", "bury"]),
        ({"core": {WHERE: 7, LOST: 1000}}, 8_000, ["core"]),
    ],
)
@in_loop
async def test_group_is_late_where_its_next_record_is_older(done, before_ms: int, expected: list[str]) -> None:
    there = broker(done=committed(**done))
    clients = {"admins": through(there), "consumers": through(FakeConsumer(there.log))}

    assert expected == [lag.group for lag in await late(CLUSTER, GROUPS, before_ms, **clients)]


# Again and again


class Rounds:
    """A trimmer whose rounds are a script, the last one for ever; notes the times."""

    def __init__(self, *script: object) -> None:
        self.script, self.times = list(script), list[int]()

    async def round(self, now_ms: int) -> list[Observation]:
        self.times.append(now_ms)
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, Exception):
            raise said
        return said


class Seen:
    def __init__(self) -> None:
        self.told: list[Observation] = []

    def observe(self, seen: Observation) -> None:
        self.told.append(seen)


WENT = Observation("engine", "trimmed", WHERE, 0, 9, outputs=9)
CLOCK = SimpleNamespace(now_ms=lambda: NOW_MS)


async def kept(rounds: Rounds, times: int, slot: int = 0, every_s: float = 0.001) -> list[Observation]:
    seen = Seen()
    task = asyncio.ensure_future(keep_trimming(rounds, seen, CLOCK, slot, every_s))
    await until(lambda: len(rounds.times) > times)
    running = not task.done()
    task.cancel()

    assert running
    return seen.told


@in_loop
async def test_rounds_come_again_and_are_told() -> None:
    assert [WENT] * 3 == (await kept(Rounds([WENT]), 3))[:3]


@pytest.mark.parametrize(
    ("error", "kind"),
    [(TransportError("reading lag", "away"), "transport"), (ValueError("odd"), "ValueError"), (OSError(), "OSError")],
)
@in_loop
async def test_round_that_fails_is_told_and_tried_again(error: Exception, kind: str) -> None:
    told = await kept(Rounds(error, [WENT]), 1)

    assert [Observation("engine", "untrimmed", "", 0, 0, kind=kind), WENT] == told[:2]


@in_loop
async def test_round_is_told_the_time_of_the_clock() -> None:
    rounds = Rounds([])
    await kept(rounds, 1)

    assert {NOW_MS} == set(rounds.times)


@in_loop
async def test_rounds_end_with_what_they_run_beside() -> None:
    before = asyncio.all_tasks()
    async with trimming(Rounds([]), Seen(), CLOCK, 0):
        meanwhile = asyncio.all_tasks() - before
    await asyncio.gather(*meanwhile, return_exceptions=True)

    assert [True] == [task.cancelled() for task in meanwhile]


@pytest.mark.parametrize(("slot", "after_s"), [(0, 10), (1, 20), (7, 80), (8, 10), (15, 80)])
def test_workers_of_a_host_begin_one_after_the_other(slot: int, after_s: float) -> None:
    assert after_s == turn_s(slot, 80.0)
