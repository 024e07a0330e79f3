"""`status`: lag before each stage, what is parked, dead letters, breakers, the workers of the `up` that runs here."""

import asyncio
import os
from dataclasses import replace

import pytest

from streams.cli import status
from streams.cli.letters import now_ms
from streams.engine.lag import Lag
from streams.local import ready
from streams.local.ready import Up
from tests.support.breakers import SERVICE, Handled, order, told
from tests.support.builders import NOW_MS
from tests.support.commands import ADDRESS, BROKER, outside, run_at, stage, streams
from tests.support.fake_cluster import FakeKafka
from topics.answer import rfc3339
from topics.catalog import BREAKERS, CALLS, DAY_MS, DEAD_LETTERS, PARKED, PROMPTS, Names
from topics.errors import TransportError

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


# -- what is parked


FIVE = ("group", "stage", "topic", "lag", "records")


def of_park(kafka, *options, environ=None, terminal=False):
    """The command over a pipeline with the stage `park`."""
    given = replace(outside(kafka, environ), flow=lambda settings: (stage("admit"), stage("park", "park", PARKED)))
    return run_at(["status", *options, *BROKER], given, terminal)


def tiers(kafka, **more):
    return [row for row in of_park(kafka, "-o", "json", **more).json if row["stage"] == "park"]


def parked_since(*ages_s, topic="parked.1", committed=None):
    kafka = FakeKafka(committed={("prompts.park", f"prompts.{topic}"): committed})
    for age_s in ages_s:
        kafka.put(topic, b"k", b"v", timestamp_ms=now_ms() - round(age_s * 1000))
    return kafka


def test_tiers_tell_how_long_each_waits():
    assert [5.0, 30.0, 120.0, 600.0] == [row["tier_s"] for row in tiers(FakeKafka())]


def test_tiers_are_those_of_the_settings():
    found = tiers(FakeKafka(), environ={"STREAMS_RETRY__TIERS_S": "1,2,4,8"})

    assert [1.0, 2.0, 4.0, 8.0] == [row["tier_s"] for row in found]


def test_tiers_in_which_nothing_waits_have_no_time():
    assert [(0, None, None)] * 4 == [(row["lag"], row["due"], row["due_in_s"]) for row in tiers(FakeKafka())]


@pytest.mark.parametrize(("committed", "lag", "left_s"), [(None, 3, -15.0), (1, 2, -5.0), (2, 1, 25.0), (3, 0, None)])
def test_tier_is_due_when_its_first_record_without_a_commit_is(committed, lag, left_s):
    kafka = parked_since(45, 35, 5, topic="parked.2", committed=committed)
    found = tiers(kafka)[1]

    assert lag == found["lag"]
    assert found["due_in_s"] == (left_s if left_s is None else pytest.approx(left_s, abs=2))


def test_due_is_the_append_time_and_the_tier():
    kafka = parked_since(1)

    assert rfc3339(kafka.topics["parked.1"][0].timestamp_ms + 5000) == tiers(kafka)[0]["due"]


@pytest.mark.parametrize("how", ["json", "jsonl"])
def test_rows_of_other_stages_keep_their_five_fields(how):
    ran = of_park(parked_since(1), "-o", how)
    found = [row for row in (ran.json if how == "json" else ran.jsonl) if row["stage"] != "park"]

    assert [FIVE, FIVE] == [tuple(row) for row in found]


def due_column(ran):
    """What stands under DUE, by topic."""
    head, *lines = ran.out.splitlines()
    at = head.index("DUE")
    return {line.split()[2]: line[at:] for line in lines if line.strip()}


def test_table_has_a_dash_where_nothing_is_parked():
    assert {"-"} == set(due_column(of_park(FakeKafka())).values())


@pytest.mark.parametrize(("age_s", "words"), [(1, "in "), (7, "now"), (600, "OVERDUE by 9 min")])
def test_table_tells_when_the_first_parked_request_is_due(age_s, words):
    told = due_column(of_park(parked_since(age_s)))

    assert told["prompts.parked.1"].startswith(words)
    assert {"-"} == {words for topic, words in told.items() if topic != "prompts.parked.1"}


class Silent(FakeKafka):
    """A broker that goes away between two questions."""

    async def stamps(self, lags):
        raise TransportError("reading prompts.parked.1", "no record in time")


def test_broker_that_goes_away_meanwhile_is_one_line_and_exit_code_1():
    ran = of_park(Silent())

    assert (1, "", 1) == (ran.code, ran.out, ran.err.count("\n"))
    assert "reading prompts.parked.1" in ran.err


# -- who is not called


def heard(kafka, *messages, service=SERVICE):
    """What the stage `breaker` says to these messages is in its topic."""
    handled = Handled()
    for message in messages:
        for said in handled.enter(CALLS, message, NOW_MS, service):
            kafka.put(BREAKERS, said.key, said.value)
    return kafka


def not_called(kafka):
    return [row for row in rows(kafka) if "service" in row]


def test_breaker_that_is_open_has_a_row():
    [row] = not_called(heard(FakeKafka(), told("fff")))

    assert (SERVICE, "open", "prompts.breakers") == (row["service"], row["state"], row["topic"])
    assert ("2026-01-31T12:00:00.000Z", "2026-01-31T12:00:01.000Z") == (row["since"], row["until"])


def test_row_of_a_breaker_counts_nothing():
    [row] = not_called(heard(FakeKafka(), told("fff")))

    assert (None, None, None, None) == tuple(row[name] for name in ("group", "stage", "lag", "records"))


def test_row_of_a_breaker_is_that_of_breaker_list():
    kafka = heard(FakeKafka(), told("fff"), order("trip"))
    [listed] = streams("breaker", "list", "-o", "json", kafka=kafka).json
    [row] = not_called(kafka)

    assert listed == {name: row[name] for name in listed}
    assert "trip by ann at 2026-01-31T12:00:00.000Z: maintenance" == row["order"]


@pytest.mark.parametrize("said", [(), (told("f"),), (told("fff"), order("reset"))])
def test_breaker_that_is_closed_has_no_row(said):
    kafka = heard(FakeKafka(), *said)

    assert [] == not_called(kafka)
    assert "breakers" not in streams("status", kafka=kafka).out


def test_breakers_of_several_services_come_by_name():
    kafka = FakeKafka()
    for service in ("c:1", "a:1", "b:1"):
        heard(kafka, told("fff"), service=service)

    assert ["a:1", "b:1", "c:1"] == [row["service"] for row in not_called(kafka)]


def test_table_shows_breakers_below_with_the_last_order():
    ran = streams("status", kafka=heard(FakeKafka(), order("trip")))
    empty, title, head, line = ran.lines[-4:]

    assert ("", "breakers that are not closed:") == (empty, title)
    assert ["SERVICE", "STATE", "SINCE", "UNTIL", "ORDER"] == head.split()
    assert [SERVICE, "open", "2026-01-31T12:00:00.000Z"] == line.split()[:3]
    assert line.endswith("trip by ann at 2026-01-31T12:00:00.000Z: maintenance")


def test_hostile_service_is_written_out_in_the_table():
    assert "\\x1b[2J:x" in streams("status", kafka=heard(FakeKafka(), told("fff"), service="\x1b[2J:x")).out
