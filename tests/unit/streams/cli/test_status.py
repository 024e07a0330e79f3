"""`status`: lag before each stage, dead letters, and the workers of the `up` that runs here."""

import asyncio
import os

import pytest

from streams.cli import status
from streams.cli.letters import now_ms
from streams.engine.lag import Lag
from streams.local import ready
from streams.local.ready import Up
from tests.support.commands import ADDRESS, stage, streams
from tests.support.fake_cluster import FakeKafka
from topics.catalog import DAY_MS, DEAD_LETTERS, PROMPTS, Names

NAMES = Names()


def rows(kafka, **given):
    return streams("status", "-o", "jsonl", kafka=kafka, **given).jsonl


def holding(committed=None, **topics):
    kafka = FakeKafka(committed=committed)
    for topic, n in topics.items():
        for _ in range(n):
            kafka.put(topic.replace("_", "-"), b"k", b"v")
    return kafka


def test_status_has_a_row_for_each_stage_and_topic_in_flow_order():
    assert [
        ("admit", "prompts"),
        ("infer", "prompts.assembled.high"),
        ("infer", "prompts.assembled.low"),
        (None, "dead-letters"),
    ] == [(row["stage"], row["topic"]) for row in rows(FakeKafka())]


@pytest.mark.parametrize(("committed", "lag"), [(None, 5), (0, 5), (3, 2), (5, 0)])
def test_lag_is_what_the_group_has_not_committed(committed, lag):
    kafka = holding({("prompts.core", "prompts"): committed}, prompts=5)

    assert (lag, 5) == (rows(kafka)[0]["lag"], rows(kafka)[0]["records"])


def test_dead_letters_are_counted_and_have_no_lag():
    found = rows(holding(dead_letters=4))[-1]

    assert (4, None) == (found["records"], found["lag"])


def test_status_as_table_shows_address_and_origin_beside_it():
    ran = streams("status", kafka=FakeKafka())

    assert f"{ADDRESS} (flag)\n" == ran.err


@pytest.mark.parametrize("app", ["core", "infer"])
def test_topics_of_a_group_are_asked_for_once(app):
    stages = (stage("a", app), stage("b", app), stage("c", app, ("failed",)))

    assert {f"prompts.{app}": ("prompts", "prompts.failed", "dead-letters")} == status.reads(stages, NAMES)


def test_dead_letters_are_asked_for_even_without_stages():
    assert {"prompts.core": ("dead-letters",)} == status.reads((), NAMES)


def test_topics_have_kafkas_names_under_another_namespace():
    names = Names("mine.", "pub.")

    assert {"mine.core": ("pub.prompts", "pub.dead-letters")} == status.reads((stage("admit"),), names)


def test_two_groups_on_one_topic_have_a_lag_each():
    stages = (stage("admit", "core"), stage("look", "infer"))
    kafka = holding({("prompts.core", "prompts"): 4}, prompts=5)
    lags = asyncio.run(kafka.lags(status.reads(stages, NAMES)))

    assert [1, 5] == [row["lag"] for row in status.waiting(stages, NAMES, lags)]


def lag(group="prompts.core", topic="prompts", partition=0, committed=3):
    return Lag(group, topic, partition, committed, 0, 9)


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (lag(), ("prompts.core has not finished records of prompts", "3.5 days", "after 6.96 days", "`expired`")),
        (lag("prompts.bury", "prompts.failed", committed=None), ("prompts.bury never committed", "of prompts.failed")),
    ],
)
def test_old_work_is_told_with_whose_it_is_and_what_becomes_of_it(late, words):
    [line] = status.warnings([late], 7.0)

    assert [] == [word for word in words if word not in line]


def test_partitions_of_one_topic_share_a_warning():
    lags = [lag(partition=number) for number in range(4)] + [lag(topic="prompts.failed")]

    assert 2 == len(status.warnings(lags, 7.0))


@pytest.mark.parametrize(
    ("retention_d", "half", "end"),
    [(7.0, "than 3.5 days", "after 6.96 days"), (0.05, "0.025 days", "after 0.025 days")],
)
def test_warning_names_half_of_the_retention_and_the_end(retention_d, half, end):
    [line] = status.warnings([lag()], retention_d)

    assert half in line
    assert end in line


@pytest.mark.parametrize(
    ("age_d", "committed", "warned"), [(3.4, 0, 0), (3.6, 0, 1), (3.6, None, 1), (3.6, 1, 0), (30, 0, 1)]
)
def test_status_warns_of_work_older_than_half_of_the_retention(age_d, committed, warned):
    kafka = FakeKafka(committed={("prompts.core", "prompts"): committed})
    kafka.put(PROMPTS, b"k", b"v", timestamp_ms=now_ms() - round(age_d * DAY_MS))

    assert warned == streams("status", kafka=kafka).err.count("warning: prompts.core")


def test_dead_letters_that_are_old_are_no_work():
    kafka = FakeKafka()
    kafka.put(DEAD_LETTERS, b"k", b"v", timestamp_ms=now_ms() - 29 * DAY_MS)

    assert "warning" not in streams("status", kafka=kafka).err


def up_here(tmp_path, brokers=ADDRESS, metrics="http://127.0.0.1:1/metrics"):
    ready.write(tmp_path / ".streams", Up(brokers, os.getpid(), metrics, str(tmp_path), ready.now()))
    return tmp_path


def test_worker_that_does_not_answer_is_told_not_ready(tmp_path):
    ran = streams("status", kafka=FakeKafka(), cwd=up_here(tmp_path))

    assert "worker http://127.0.0.1:1/metrics: not ready" in ran.err


def test_every_worker_of_the_installation_has_its_line(tmp_path):
    cwd = up_here(tmp_path, metrics="http://127.0.0.1:1/metrics,http://127.0.0.1:2/metrics")

    assert 2 == streams("status", kafka=FakeKafka(), cwd=cwd).err.count("worker ")


def test_workers_of_another_cluster_are_left_out(tmp_path):
    ran = streams("status", kafka=FakeKafka(), cwd=up_here(tmp_path, brokers="other:1"))

    assert "worker" not in ran.err


class Twice(FakeKafka):
    """Ends the command at the third look, as Ctrl-C would."""

    looks = 0

    async def lags(self, groups):
        self.looks += 1
        if self.looks == 3:
            raise KeyboardInterrupt
        return await super().lags(groups)


@pytest.mark.parametrize(("terminal", "drawn"), [(True, 2), (False, 0)])
def test_following_draws_anew_only_on_a_terminal(monkeypatch, terminal, drawn):
    monkeypatch.setattr(status, "EVERY_S", 0.0)
    ran = streams("status", "-f", kafka=Twice(), terminal=terminal)

    assert (130, drawn) == (ran.code, ran.out.count(status.HOME))


def test_buried_counts_only_dead_letters():
    lags = asyncio.run(holding(prompts=3, dead_letters=2).lags({"g": (PROMPTS, DEAD_LETTERS)}))

    assert 2 == status.buried(NAMES, lags)["records"]
