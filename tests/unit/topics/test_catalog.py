"""Golden list of every Kafka name, and the settings of every topic: renaming a file must not orphan a changelog."""

import pytest

from topics.catalog import (
    ASSEMBLED,
    CATALOG,
    DAY_MS,
    DEAD_LETTER_BYTES,
    DOCUMENT_BYTES,
    INTERNAL_BYTES,
    LANES,
    NOTE_BYTES,
    PROMPT_BYTES,
    TICK_BYTES,
    Names,
    changelog_settings,
    settings_of,
)

GOLDEN = {
    "prompts": "prompts",
    "admitted": "prompts.admitted",
    "deduped": "prompts.deduped",
    "retrieved": "prompts.retrieved",
    "assembled.critical": "prompts.assembled.critical",
    "assembled.high": "prompts.assembled.high",
    "assembled.normal": "prompts.assembled.normal",
    "assembled.low": "prompts.assembled.low",
    "parked.1": "prompts.parked.1",
    "parked.2": "prompts.parked.2",
    "parked.3": "prompts.parked.3",
    "parked.4": "prompts.parked.4",
    "inferred": "prompts.inferred",
    "refined": "prompts.refined",
    "failed": "prompts.failed",
    "results": "results",
    "ticks": "prompts.ticks",
    "ticks.breaker": "prompts.ticks.breaker",
    "ticks.park": "prompts.ticks.park",
    "calls": "prompts.calls",
    "breakers": "prompts.breakers",
    "documents": "documents",
    "dead-letters": "dead-letters",
    "letters": "prompts.letters",
}
PUBLIC = ("prompts", "results", "documents", "dead-letters")
INTERNAL = tuple(name for name in GOLDEN if name not in PUBLIC)
TICKING = ("ticks", "ticks.breaker", "ticks.park")
DAILY = (*TICKING, "calls")
SMALL = {**dict.fromkeys(TICKING, TICK_BYTES), "letters": NOTE_BYTES}
LATEST = ("documents", "breakers")


def settings(name, replication=1, retention_d=7.0):
    return settings_of(CATALOG[name], replication=replication, retention_d=retention_d)


def test_catalog_names_are_the_golden_list():
    assert list(GOLDEN) == list(CATALOG)


@pytest.mark.parametrize(("name", "kafka"), GOLDEN.items())
def test_topic_by_default_has_its_golden_kafka_name(name, kafka):
    assert kafka == Names().topic(name)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_topic_with_prefix_starts_with_it(name):
    assert f"acme-{name}" == Names(namespace="x.", prefix="acme-").topic(name)


@pytest.mark.parametrize("name", INTERNAL)
def test_internal_topic_starts_with_the_namespace_only(name):
    assert f"x.{name}" == Names(namespace="x.", prefix="acme-").topic(name)


@pytest.mark.parametrize("names", [Names(), Names("x."), Names("x.", "acme-")])
def test_known_names_lead_back_to_the_catalog(names):
    assert list(CATALOG) == [names.known()[names.topic(name)] for name in CATALOG]


@pytest.mark.parametrize(
    ("app", "group"),
    [("core", "prompts.core"), ("infer", "prompts.infer"), ("park", "prompts.park"), ("bury", "prompts.bury")],
)
def test_group_of_an_app_has_its_golden_name(app, group):
    assert group == Names().group(app)


@pytest.mark.parametrize(
    ("app", "table", "changelog"),
    [
        ("core", "requests", "prompts.core-requests-changelog"),
        ("core", "breakers", "prompts.core-breakers-changelog"),
        ("infer", "answers", "prompts.infer-answers-changelog"),
    ],
)
def test_changelog_of_a_table_has_its_golden_name(app, table, changelog):
    assert changelog == Names().changelog(app, table)


def test_lanes_each_have_their_own_topic():
    assert {lane: f"assembled.{lane}" for lane in ("critical", "high", "normal", "low")} == ASSEMBLED


def test_lanes_stand_from_most_to_least_urgent():
    assert ("critical", "high", "normal", "low") == LANES


@pytest.mark.parametrize("name", CATALOG)
def test_catalog_entry_is_filed_under_its_own_name(name):
    assert name == CATALOG[name].name


@pytest.mark.parametrize("name", CATALOG)
def test_catalog_entry_is_public_exactly_where_users_touch_it(name):
    assert (name in PUBLIC) == CATALOG[name].public


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("results", 7),
        ("dead-letters", 30),
        ("letters", 30),
        *((name, 1) for name in DAILY),
        *((name, None) for name in ("prompts", "documents", *INTERNAL) if name not in (*DAILY, "letters")),
    ],
)
def test_topic_keeps_what_is_unanswered_forever_and_the_rest_for_a_time(name, days):
    kept = "-1" if days is None else str(days * DAY_MS)

    assert kept == settings(name)["retention.ms"]


@pytest.mark.parametrize(("retention_d", "kept"), [(1, "86400000"), (0.5, "43200000"), (30, "2592000000")])
def test_results_keep_for_the_retention_that_is_set(retention_d, kept):
    assert kept == settings("results", retention_d=retention_d)["retention.ms"]


@pytest.mark.parametrize("name", ["dead-letters", "letters"])
@pytest.mark.parametrize(("retention_d", "days"), [(1, 30), (30, 30), (31, 31), (365, 365)])
def test_dead_letters_keep_for_thirty_days_or_the_retention(name, retention_d, days):
    assert str(days * DAY_MS) == settings(name, retention_d=retention_d)["retention.ms"]


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("message.timestamp.type", "LogAppendTime"),
        ("retention.bytes", "-1"),
        ("unclean.leader.election.enable", "false"),
    ],
)
def test_topic_of_any_kind_has_the_setting(name, setting, value):
    assert value == settings(name)[setting]


@pytest.mark.parametrize("name", CATALOG)
def test_topic_is_compacted_only_where_the_last_record_of_a_key_counts(name):
    assert ("compact" if name in LATEST else "delete") == settings(name)["cleanup.policy"]


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("prompts", PROMPT_BYTES),
        ("documents", DOCUMENT_BYTES),
        *SMALL.items(),
        ("dead-letters", DEAD_LETTER_BYTES),
        ("results", INTERNAL_BYTES),
        *((name, INTERNAL_BYTES) for name in INTERNAL if name not in SMALL),
    ],
)
def test_topic_message_limit_leaves_room_for_key_and_framing(name, limit):
    assert str(limit + 16 * 1024) == settings(name)["max.message.bytes"]


def test_sizes_form_a_ladder():
    assert PROMPT_BYTES == 1024 * 1024 < DEAD_LETTER_BYTES < INTERNAL_BYTES == 4 * PROMPT_BYTES


@pytest.mark.parametrize(("replication", "replicas"), [(1, "1"), (2, "1"), (3, "2"), (5, "4")])
def test_min_insync_replicas_is_one_below_the_replication(replication, replicas):
    mine, changelogs = settings("prompts", replication), changelog_settings(replication=replication)

    assert (replicas, replicas) == (mine["min.insync.replicas"], changelogs["min.insync.replicas"])


def test_changelog_settings_are_compacted_and_as_wide_as_internal_topics():
    assert {
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(INTERNAL_BYTES + 16 * 1024),
        "min.insync.replicas": "2",
        "unclean.leader.election.enable": "false",
        "segment.ms": str(DAY_MS),
    } == changelog_settings(replication=3)


def test_no_topic_name_is_refused_by_kafka():
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789.-")

    assert set() == {char for name in Names().known() for char in name} - allowed
