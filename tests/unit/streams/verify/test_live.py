"""A cluster is read so that work may go on: commits first, effects before causes, in the range that is asked."""

import asyncio
from typing import Any

import pytest

from streams.decisions.admission import AdmissionPolicy
from streams.decisions.offsets import AtEnd, AtOffset, AtTime, BeforeEnd, FromStart, Position
from streams.decisions.proof import READ, Demands, Mark, Verdict
from streams.engine.cluster import Cluster
from streams.pipeline import compose
from streams.stage import Record
from streams.testing import Pipeline
from streams.verify import Live, check, readers, verify
from streams.verify import live as module
from tests.support.checked import Topics, asked, marks, ran
from topics.catalog import ADMITTED, ASSEMBLED, DEAD_LETTERS, FAILED, INFERRED, PARKED, PROMPTS, REFINED, RESULTS, Names


def line(count: int = 4) -> Pipeline:
    """A prompt a minute, in one partition."""

    async def more(pipeline: Pipeline) -> None:
        for number in range(1, count):
            await pipeline.advance(60.0)
            await pipeline.submit(asked(f"a{number}", f"words {number}"))

    return ran(asked("a0", "words 0"), then=more, partitions=1)


def checked(source: Topics, *between: Position, sink: Any = None, **demands: Any) -> Verdict:
    known = readers(source.pipeline.stages)
    return asyncio.run(verify(source, Names(), known, None, Demands(**demands), *between, sink=sink))


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.head: tuple[Any, ...] = ()
        self.records: list[tuple[Record, bool]] = []

    def begin(self, *head: Any) -> None:
        self.head = head

    def add(self, record: Record, judged: bool) -> None:
        self.records.append((record, judged))


def test_readers_are_the_apps_with_the_topics_of_requests() -> None:
    known = readers(ran(asked()).stages)

    assert {
        "core": {PROMPTS, ADMITTED, "deduped", "retrieved", INFERRED, REFINED, FAILED},
        "infer": set(ASSEMBLED.values()),
        "park": set(PARKED),
        "bury": {FAILED},
    } == {app: set(topics) for app, topics in known.items()}


def test_commits_are_read_before_any_topic_and_prompts_last() -> None:
    source = Topics(ran_line := line(1))
    checked(source)

    assert (["lags", *READ], 1) == (source.opened, len(ran_line.records(PROMPTS)))


def test_whole_range_of_a_settled_pipeline_is_clean() -> None:
    found = checked(Topics(line()))

    assert (True, True, 4) == (found.clean, found.settled, found.counts["completed"])


def test_work_before_a_group_is_on_its_way() -> None:
    pipeline = line(1)
    pipeline.log.topics[RESULTS][0].clear()
    found = checked(Topics(pipeline, inferred=1))

    assert ("a0",) == found.ids("unseen")


def test_work_that_nobody_has_before_him_is_lost() -> None:
    pipeline = line(1)
    pipeline.log.topics[RESULTS][0].clear()

    assert ("a0",) == checked(Topics(pipeline)).ids("lost")


def test_log_that_ends_before_it_should_is_a_gap() -> None:
    source = Topics(line())
    ends = marks(source.pipeline)
    source.pipeline.log.topics[ADMITTED][0].pop()

    class Longer(Topics):
        async def lags(self, groups: Any) -> Any:
            return [lag_of(mark) for mark in ends if mark.topic == ADMITTED]

    found = checked(Longer(source.pipeline))
    assert [("admitted/0", "offsets 3 to 3 are missing")] == list(found.found("gap").items)


def lag_of(mark: Mark) -> Any:
    return module.Lag(mark.group, Names().topic(mark.topic), *mark[2:])


@pytest.mark.parametrize(
    ("between", "accepted"),
    [
        ((FromStart(), AtEnd()), 4),
        ((AtOffset(1), AtEnd()), 3),
        ((FromStart(), AtOffset(1)), 1),
        ((AtOffset(1), AtOffset(3)), 2),
        ((BeforeEnd(1), AtEnd()), 1),
        ((AtEnd(), AtEnd()), 0),
    ],
)
def test_range_judges_its_prompts_and_nothing_else(between: tuple[Position, Position], accepted: int) -> None:
    found = checked(Topics(line()), *between)

    assert (accepted, {}) == (found.counts["accepted"], dict(found.classes))


def test_range_from_a_time_reads_no_topic_from_its_start() -> None:
    pipeline = line()
    since_ms = pipeline.records(PROMPTS)[2].timestamp_ms
    found = checked(Topics(pipeline), AtTime(since_ms))

    assert (2, 2 * 8, {}) == (found.counts["accepted"], found.counts["records"], dict(found.classes))


def test_answers_to_prompts_before_the_range_are_not_judged() -> None:
    found = checked(Topics(line()), AtOffset(3))

    assert 3 == found.counts["unjudged"]


def test_answers_to_prompts_behind_the_range_are_explained() -> None:
    found = checked(Topics(line()), FromStart(), AtOffset(3))

    assert (0, ()) == (found.counts["unjudged"], found.ids("phantom"))


def test_sink_keeps_every_record_and_the_commits() -> None:
    kept, source = Kept(), Topics(line(2))
    checked(source, sink=kept)

    names, groups, since_ms, whole = kept.head
    assert (Names(), marks(source.pipeline), 0, True) == (names, tuple(groups), since_ms, whole)
    assert 2 * 8 == len(kept.records)


def test_sink_is_told_which_prompts_are_not_judged() -> None:
    kept = Kept()
    checked(Topics(line()), FromStart(), AtOffset(1), sink=kept)

    assert [True, False, False, False] == [judged for record, judged in kept.records if record.topic == PROMPTS]


@pytest.mark.parametrize(
    ("start", "since_ms", "whole"), [(FromStart(), 0, True), (AtOffset(2), 0, False), (AtTime(77), 77, False)]
)
def test_sink_is_told_where_reading_began(start: Position, since_ms: int, whole: bool) -> None:
    kept = Kept()

    checked(Topics(line(1)), start, sink=kept)

    assert (since_ms, whole) == kept.head[2:]


def test_policy_of_the_door_decides_what_was_accepted() -> None:
    source = Topics(ran(asked("a", "hello" * 9), admission=AdmissionPolicy(max_timeout_s=9)))
    policy = AdmissionPolicy(max_timeout_s=9)
    found = asyncio.run(verify(source, Names(), readers(source.pipeline.stages), policy))

    assert (True, 1) == (found.clean, found.counts["completed"])


def test_check_of_a_cluster_asks_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = line(2)
    topics = Topics(pipeline)
    monkeypatch.setattr(module, "Tail", lambda cluster, names, topic, start, stop: topics.tail(topic, start, stop))
    monkeypatch.setattr(module.lag, "lags", lambda cluster, groups: topics.lags(groups))
    found = asyncio.run(check(Cluster("127.0.0.1:1"), Names(), pipeline.stages, stop=AtOffset(1)))

    assert (True, 1) == (found.clean, found.counts["accepted"])


def test_live_source_reads_topics_by_the_names_of_its_cluster() -> None:
    names = Names(prefix="acme-")
    tail = Live(Cluster("127.0.0.1:1"), names).tail(DEAD_LETTERS, FromStart())

    assert "acme-dead-letters" == tail._kafka_name  # type: ignore[attr-defined]  # what the engine was told


def test_stages_of_the_pipeline_have_readers_for_all_their_topics() -> None:
    stages = ran(asked(), wired=compose).stages
    read = {topic for stage in stages for topic in stage.reads if topic in READ}

    assert read == {topic for topics in readers(stages).values() for topic in topics}
