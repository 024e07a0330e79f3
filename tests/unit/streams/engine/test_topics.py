"""What is planned for a cluster, and how a plan is applied, on a fake control plane."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import topics
from streams.engine.cluster import Cluster
from streams.engine.topics import Alter, Differ, New, Plan, Seen, Shape, compare, wanted
from tests.support.fake_kafka import FakeAdmin, through
from tests.support.loops import in_loop
from topics.catalog import CATALOG, Names, changelog_settings, settings_of
from topics.errors import ConfigurationError, TopicMissing, TopicRefused, TransportError

CLUSTER, NAMES = Cluster("a:1"), Names(prefix="mine.")
TABLES = {"core": ("requests",), "infer": ("answers",)}
CHANGELOG = NAMES.changelog("core", "requests")
INTERNAL, PROMPTS, RESULTS = NAMES.topic("admitted"), NAMES.topic("prompts"), NAMES.topic("results")
LETTERS, TICKS = NAMES.topic("dead-letters"), NAMES.topic("ticks")
ALREADY_EXISTS, BAD_REPLICATION, NOT_CONTROLLER, FORBIDDEN = 36, 38, 41, 29


def needed(name: str, replication: int = 1, retention_d: float = 7.0) -> dict[str, str]:
    known = NAMES.known().get(name)
    if known is None:
        return changelog_settings(replication=replication)
    return settings_of(CATALOG[known], replication=replication, retention_d=retention_d)


def seen(name: str, partitions: int = 8, replication: int = 1, **changed: str) -> Seen:
    own = needed(name) | {key.replace("_", "."): value for key, value in changed.items()}
    return Seen(partitions, replication, own, own)


def planned(*there: tuple[str, Seen], shape: Shape | None = None) -> Plan:
    return compare(NAMES, shape or Shape(), TABLES, dict(there))


def everything(**changed: Seen) -> dict[str, Seen]:
    return {one.name: seen(one.name) for one in wanted(NAMES, Shape(), TABLES)} | changed


def test_wanted_is_the_catalog_and_a_changelog_per_table() -> None:
    names = [one.name for one in wanted(NAMES, Shape(), TABLES)]

    assert [NAMES.topic(name) for name in CATALOG] == names[: len(CATALOG)]
    assert ["prompts.core-requests-changelog", "prompts.infer-answers-changelog"] == names[len(CATALOG) :]


@pytest.mark.parametrize("name", [INTERNAL, PROMPTS, RESULTS, CHANGELOG])
@pytest.mark.parametrize("shape", [Shape(), Shape(partitions=3, replication=3, retention_d=1.5)])
def test_wanted_topic_has_shape_and_settings(name: str, shape: Shape) -> None:
    [one] = [one for one in wanted(NAMES, shape, TABLES) if one.name == name]

    settings = needed(name, shape.replication, shape.retention_d)
    assert New(name, shape.partitions, shape.replication, settings) == one


def test_compare_with_nothing_there_creates_everything() -> None:
    assert Plan(wanted(NAMES, Shape(), TABLES), (), (), ()) == planned()


def test_compare_with_everything_there_does_nothing() -> None:
    got = planned(*everything().items())

    assert Plan((), (), (), tuple(one.name for one in wanted(NAMES, Shape(), TABLES))) == got


@given(st.sets(st.sampled_from([one.name for one in wanted(NAMES, Shape(), TABLES)])))
def test_compare_puts_every_topic_in_one_place(there: set[str]) -> None:
    got = planned(*((name, seen(name)) for name in there))

    assert there == set(got.present)
    assert set(everything()) - there == {one.name for one in got.create}


@pytest.mark.parametrize("name", [INTERNAL, CHANGELOG])
@pytest.mark.parametrize("partitions", [1, 7, 9])
def test_internal_topic_with_other_partition_count_differs(name: str, partitions: int) -> None:
    [differ] = planned((name, seen(name, partitions))).differ

    assert (name, f"{partitions} partitions, all internal topics need 8") == (differ.name, differ.what)
    assert f"topics.partitions = {partitions}" in differ.fix


@pytest.mark.parametrize("name", [PROMPTS, RESULTS])
def test_public_topic_with_other_partition_count_is_fine(name: str) -> None:
    assert (name,) == planned((name, seen(name, 3))).present


@pytest.mark.parametrize(("allowed", "differing"), [(False, (PROMPTS,)), (True, ())])
def test_prompts_with_create_time_differ_unless_allowed(allowed: bool, differing: tuple[str, ...]) -> None:
    there = (PROMPTS, seen(PROMPTS, message_timestamp_type="CreateTime"))

    got = planned(there, shape=Shape(allow_create_time=allowed))

    assert (differing, ()) == (tuple(one.name for one in got.differ), got.alter)


@pytest.mark.parametrize("name", [INTERNAL, RESULTS, CHANGELOG])
def test_other_topics_with_create_time_are_altered(name: str) -> None:
    [alter] = planned((name, seen(name, message_timestamp_type="CreateTime"))).alter

    assert (name, {"message.timestamp.type": "LogAppendTime"}) == (alter.name, alter.changes)


@pytest.mark.parametrize(
    ("name", "changed", "changes"),
    [
        (TICKS, {"retention_ms": "1000"}, {"retention.ms": "86400000"}),
        (INTERNAL, {"max_message_bytes": "1048588"}, {"max.message.bytes": str(4 * 1024 * 1024 + 16 * 1024)}),
        (INTERNAL, {"max_message_bytes": "99999999"}, {}),
        (INTERNAL, {"min_insync_replicas": "2"}, {}),
        (INTERNAL, {"min_insync_replicas": "0"}, {"min.insync.replicas": "1"}),
        (CHANGELOG, {"cleanup_policy": "delete"}, {"cleanup.policy": "compact"}),
        (CHANGELOG, {"cleanup_policy": "compact", "retention_ms": "5"}, {}),
        (INTERNAL, {"unclean_leader_election_enable": "true"}, {"unclean.leader.election.enable": "false"}),
        (INTERNAL, {"compression_type": "zstd"}, {}),
    ],
)
def test_settings_that_do_less_than_needed_are_altered(
    name: str, changed: dict[str, str], changes: dict[str, str]
) -> None:
    got = planned((name, seen(name, **changed))).alter

    assert ([changes] if changes else []) == [dict(one.changes) for one in got]


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        (
            INTERNAL,
            {"retention_ms": "604800000"},
            ("retention.ms = 604800000", "answered", "set retention.ms=-1 on it"),
        ),
        (INTERNAL, {"retention_bytes": "1000"}, ("retention.bytes = 1000", "answered", "set retention.bytes=-1 on it")),
        (PROMPTS, {"retention_ms": "2592000000"}, ("retention.ms = 2592000000", "answered", "retention.ms=-1")),
        (RESULTS, {"retention_ms": "604799999"}, ("604799999", "retention.ms = 604800000", "topics.retention_d")),
        (RESULTS, {"retention_bytes": "1000"}, ("1000", "answered", "set retention.bytes=-1 on it")),
        (LETTERS, {"retention_ms": "604800000"}, ("604800000", "retention.ms = 2592000000", "topics.retention_d")),
    ],
)
def test_topic_that_was_set_to_keep_less_is_refused_with_the_fix(
    name: str, changed: dict[str, str], words: tuple[str, ...]
) -> None:
    """B83."""
    got = planned((name, seen(name, **changed)))

    [differ] = got.differ
    assert (name, ()) == (differ.name, got.alter)
    assert all(word in f"{differ.what}: {differ.fix}" for word in words)


@pytest.mark.parametrize(
    ("name", "kept"),
    [(INTERNAL, "-1"), (RESULTS, "-1"), (RESULTS, "604800001"), (LETTERS, "-1"), (LETTERS, "9999999999")],
)
def test_topic_that_keeps_more_than_promised_is_left_so(name: str, kept: str) -> None:
    assert (name,) == planned((name, seen(name, retention_ms=kept))).present


@pytest.mark.parametrize(("name", "kept"), [(INTERNAL, "-1"), (PROMPTS, "-1"), (LETTERS, "2592000000")])
def test_default_of_the_broker_that_keeps_less_is_altered(name: str, kept: str) -> None:
    own = {key: value for key, value in needed(name).items() if key != "retention.ms"}
    there = (name, Seen(8, 1, {**own, "retention.ms": "604800000"}, own))
    got = planned(there)

    assert (((), {"retention.ms": kept})) == (got.differ, dict(got.alter[0].changes))


@pytest.mark.parametrize(
    ("retention_d", "refused"), [(7.0, ()), (7.1, (RESULTS,)), (6.0, ()), (31.0, (RESULTS, LETTERS))]
)
def test_longer_promise_than_the_cluster_keeps_is_refused(retention_d: float, refused: tuple[str, ...]) -> None:
    """The topics were made when the setting was seven days."""
    there = [(name, seen(name)) for name in (INTERNAL, PROMPTS, RESULTS, LETTERS)]

    assert refused == tuple(one.name for one in planned(*there, shape=Shape(retention_d=retention_d)).differ)


def test_altered_topic_keeps_what_was_set_on_it() -> None:
    there = Seen(8, 1, {"retention.ms": "5", "segment.ms": "7", "retention.bytes": "-1"}, {"segment.ms": "7"})

    [alter] = planned((INTERNAL, there)).alter

    assert {"segment.ms": "7"} == alter.kept


def test_replicas_in_sync_follow_the_copies_that_a_topic_has() -> None:
    there = (INTERNAL, seen(INTERNAL, replication=1))

    assert () == planned(there, shape=Shape(replication=3)).alter


def plan_of(create: tuple[New, ...] = (), alter: tuple[Alter, ...] = (), differ: tuple[Differ, ...] = ()) -> Plan:
    return Plan(create, alter, differ, ())


def new(name: str = "a", partitions: int = 2) -> New:
    return New(name, partitions, 1, {"cleanup.policy": "compact"})


async def applied(client: FakeAdmin, plan: Plan, within_s: float = 5.0) -> FakeAdmin:
    await topics.apply(CLUSTER, plan, within_s, via=through(client))
    return client


async def fully_applied() -> FakeAdmin:
    client = FakeAdmin()
    await applied(client, await topics.plan(CLUSTER, NAMES, Shape(), TABLES, via=through(client)))
    return client


@in_loop
async def test_applied_plan_leaves_nothing_to_plan() -> None:
    client = await fully_applied()

    again = await topics.plan(CLUSTER, NAMES, Shape(), TABLES, via=through(client))

    assert ((), (), ()) == (again.create, again.alter, again.differ)


@in_loop
async def test_plan_of_foreign_topics_ignores_them() -> None:
    client = FakeAdmin({"somebody.else": (3, 1, {})})

    assert () == (await topics.plan(CLUSTER, NAMES, Shape(), via=through(client))).present


@in_loop
async def test_apply_creates_topic_as_planned() -> None:
    client = await applied(FakeAdmin(), plan_of(create=(new(),)))

    assert {"a": (2, 1, {"cleanup.policy": "compact"})} == client.topics


@in_loop
async def test_apply_of_nothing_asks_for_no_change() -> None:
    client = await applied(FakeAdmin(), plan_of())

    assert not {"create_topics", "alter_configs"} & set(client.asked)


@in_loop
async def test_apply_with_topic_that_appeared_meanwhile_succeeds() -> None:
    client = await applied(FakeAdmin({"a": (2, 1, {})}), plan_of(create=(new(),)))

    assert {"a": (2, 1, {})} == client.topics


@in_loop
async def test_apply_on_wrong_controller_tries_again() -> None:
    client = await applied(FakeAdmin(codes={"a": [NOT_CONTROLLER]}), plan_of(create=(new("b"), new("a"))))

    assert {"a", "b"} == set(client.topics)


@in_loop
async def test_apply_without_controller_ends_in_transport_error() -> None:
    with pytest.raises(TransportError, match="applying a: NotControllerError"):
        await applied(FakeAdmin(codes={"a": [NOT_CONTROLLER] * 99}), plan_of(create=(new(),)), within_s=0.2)


@pytest.mark.parametrize(
    ("code", "word"),
    [(BAD_REPLICATION, "InvalidReplicationFactorError: why"), (FORBIDDEN, "TopicAuthorizationFailedError")],
)
@in_loop
async def test_apply_refused_for_good_names_topic_and_reason(code: int, word: str) -> None:
    with pytest.raises(TopicRefused, match=word) as raised:
        await applied(FakeAdmin(codes={"a": [code]}), plan_of(create=(new(),)))

    assert "a" == raised.value.topic


@in_loop
async def test_apply_waits_for_leaders() -> None:
    client = await applied(FakeAdmin(leaderless=3), plan_of(create=(new(),)))

    assert 4 == client.asked.count("describe_topics")


@in_loop
async def test_apply_without_leaders_ends_in_transport_error() -> None:
    with pytest.raises(TransportError, match="not visible yet: a"):
        await applied(FakeAdmin(leaderless=10_000), plan_of(create=(new(),)), within_s=0.1)


@in_loop
async def test_apply_waits_for_all_partitions() -> None:
    with pytest.raises(TransportError, match="not visible yet: a"):
        await applied(FakeAdmin({"a": (1, 1, {})}), plan_of(create=(new(partitions=2),)), within_s=0.1)


@in_loop
async def test_alter_sends_changes_over_what_is_kept() -> None:
    alter = Alter("a", {"retention.ms": "-1"}, {"retention.ms": "5", "segment.ms": "7"})

    client = await applied(FakeAdmin({"a": (1, 1, {"retention.ms": "5"})}), plan_of(alter=(alter,)))

    assert {"retention.ms": "-1", "segment.ms": "7"} == client.topics["a"][2]


@in_loop
async def test_apply_with_differences_changes_nothing() -> None:
    client, differ = FakeAdmin(), Differ("b", "3 partitions", "recreate it")

    with pytest.raises(ConfigurationError, match="b = '3 partitions': recreate it"):
        await applied(client, plan_of(create=(new(),), differ=(differ,)))

    assert [] == client.asked


@in_loop
async def test_missing_names_what_is_not_there() -> None:
    client = await fully_applied()
    del client.topics[INTERNAL], client.topics[CHANGELOG]

    assert (INTERNAL, CHANGELOG) == await topics.missing(CLUSTER, NAMES, TABLES, via=through(client))


@in_loop
async def test_missing_without_tables_asks_for_no_changelog() -> None:
    client = await fully_applied()
    del client.topics[CHANGELOG]

    assert () == await topics.missing(CLUSTER, NAMES, via=through(client))


@in_loop
async def test_cluster_id_is_the_clusters() -> None:
    assert "fake-cluster" == await topics.cluster_id(CLUSTER, via=through(FakeAdmin()))


@pytest.mark.parametrize(
    ("plan", "error", "word"),
    [
        (plan_of(create=(new("a"), new("b"))), TopicMissing, "a, b"),
        (plan_of(create=(new("a"),), differ=(Differ("b", "odd", "fix"),)), TopicMissing, "a"),
        (plan_of(differ=(Differ("b", "odd", "mend it so"),)), ConfigurationError, "mend it so"),
        (plan_of(alter=(Alter("c", {"max.message.bytes": "9"}, {}),)), ConfigurationError, "raise it with"),
        (plan_of(alter=(Alter("c", {"retention.ms": "-1"}, {}),)), ConfigurationError, r"retention\.ms is too low"),
        (plan_of(alter=(Alter("c", {"retention.bytes": "-1"}, {}),)), ConfigurationError, r"retention\.bytes is too"),
    ],
)
def test_require_of_unusable_cluster_raises(plan: Plan, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        topics.require(plan)


@pytest.mark.parametrize("alter", [(), (Alter("a", {}, {}),)])
def test_require_of_usable_cluster_passes(alter: tuple[Alter, ...]) -> None:
    assert topics.require(plan_of(alter=alter)) is None


def described(leader: int = 1, error_code: int = 0, count: int = 2) -> Mapping[str, Any]:
    return {"partitions": [{"leader": leader, "error_code": error_code, "replicas": [1]}] * count}


@pytest.mark.parametrize(
    ("given_topic", "expected"),
    [
        (described(), True),
        (described(count=3), True),
        (described(leader=-1), False),
        (described(error_code=5), False),
        (described(count=1), False),
        (None, False),
    ],
)
def test_topic_is_ready_when_all_its_partitions_lead(given_topic: Mapping[str, Any] | None, expected: bool) -> None:
    assert expected == topics._ready(given_topic, 2)
