"""`topics`: plan says what apply does, apply does it, and what cannot be used is refused by name."""

import pytest

from streams.engine.topics import Alter, Differ, New, Plan
from tests.support.commands import streams
from tests.support.fake_cluster import FakeKafka

NEW = New("prompts", 8, 1, {"cleanup.policy": "delete", "retention.ms": "-1"})
ALTER = Alter("results", {"retention.ms": "5"}, {})
DIFFER = Differ("prompts.admitted", "4 partitions", "recreate it")


def cluster(create=(), alter=(), differ=(), present=()):
    return FakeKafka(plan=Plan(tuple(create), tuple(alter), tuple(differ), tuple(present)))


@pytest.mark.parametrize(
    ("planned", "row"),
    [
        (
            {"create": [NEW]},
            ("create", "prompts", "8 partitions, replication 1, cleanup.policy=delete retention.ms=-1"),
        ),
        ({"alter": [ALTER]}, ("alter", "results", "retention.ms=5")),
        ({"differ": [DIFFER]}, ("refuse", "prompts.admitted", "4 partitions: recreate it")),
        ({"present": ["failed"]}, ("keep", "failed", None)),
    ],
)
def test_plan_shows_each_topic_with_what_would_be_done(planned, row):
    ran = streams("topics", "plan", "-o", "jsonl", kafka=cluster(**planned))

    assert [dict(zip(("action", "topic", "detail"), row, strict=True))] == ran.jsonl


def test_plan_changes_nothing():
    kafka = cluster(create=[NEW])
    streams("topics", "plan", kafka=kafka)

    assert [] == kafka.applied


@pytest.mark.parametrize(("differ", "code"), [([], 0), ([DIFFER], 1)])
def test_plan_exits_with_1_when_a_topic_cannot_be_used(differ, code):
    assert code == streams("topics", "plan", kafka=cluster(differ=differ)).code


def test_plan_shows_what_cannot_be_used_first():
    ran = streams("topics", "plan", "-o", "jsonl", kafka=cluster([NEW], [ALTER], [DIFFER], ["failed"]))

    assert ["refuse", "create", "alter", "keep"] == [row["action"] for row in ran.jsonl]


def test_apply_does_the_plan():
    kafka = cluster(create=[NEW], alter=[ALTER])
    streams("topics", "apply", kafka=kafka)

    assert [kafka.planned] == kafka.applied


def test_apply_prints_what_was_done_and_leaves_out_what_was_kept():
    ran = streams("topics", "apply", "-o", "jsonl", kafka=cluster([NEW], [ALTER], present=["a", "b"]))

    assert ["create", "alter"] == [row["action"] for row in ran.jsonl]
    assert "1 created, 1 altered, 2 kept\n" == ran.err


def test_plan_is_made_for_the_shape_in_the_settings():
    kafka = cluster()
    environ = {
        "STREAMS_TOPICS__PARTITIONS": "3",
        "STREAMS_TOPICS__REPLICATION": "2",
        "STREAMS_TOPICS__RETENTION_D": "1.5",
    }
    streams("topics", "plan", kafka=kafka, environ=environ)

    assert (3, 2, 1.5) == (kafka.shape.partitions, kafka.shape.replication, kafka.shape.retention_d)


def test_plan_includes_the_changelogs_of_the_stages_tables():
    kafka = cluster()
    streams("topics", "plan", kafka=kafka)

    assert {"core": ("requests",), "infer": ("answers",)} == kafka.asked_tables
