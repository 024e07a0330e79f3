"""# Engine: topics

Responsibility: which topics and changelogs a cluster lacks or has otherwise than we need; creating and altering them.
Guarantees:
- applying twice changes nothing the second time:
  tests/integration/test_topics_apply.py::test_plan_after_apply_has_nothing_to_do
- a topic that somebody else creates meanwhile is no error:
  tests/integration/test_topics_apply.py::test_apply_beside_another_apply_succeeds
- altering keeps the settings that an operator gave a topic:
  tests/integration/test_topics_apply.py::test_alter_keeps_foreign_settings
- a topic that was told to forget earlier than the settings promise is refused:
  tests/unit/streams/engine/test_topics.py::test_topic_that_was_set_to_keep_less_is_refused_with_the_fix
NOT Responsible For: when topics are applied; deleting topics; trimming.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from streams.engine.cluster import Cluster
from streams.engine.connect import CONTROL_S, NotYet, Opener, admin, patiently
from topics.catalog import CATALOG, PROMPTS, Names, changelog_settings, settings_of
from topics.errors import ConfigurationError, TopicMissing, TopicRefused, TransportError

Tables = Mapping[str, tuple[str, ...]]

MAX_BYTES = "max.message.bytes"
AT_LEAST = (MAX_BYTES, "min.insync.replicas")  # an operator may ask for more than we need
KEEPING, FOR_EVER = ("retention.ms", "retention.bytes"), "-1"  # an operator may keep more than we need
PROMISED = ("until answered", "retention_d", "30 days")  # what is in such topics may not go earlier
TIMESTAMPS = "message.timestamp.type"
DYNAMIC = 1  # where DescribeConfigs says that a value was set on the topic itself
UNAVAILABLE = -1


@dataclass(frozen=True, slots=True)
class Shape:
    """How topics are made: partitions (of all internal topics and changelogs), replication, retention in days."""

    partitions: int = 8
    replication: int = 1
    retention_d: float = 7.0
    allow_create_time: bool = False


@dataclass(frozen=True, slots=True)
class New:
    """A topic to create."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Alter:
    """A topic to alter: ``changes`` by us, ``kept`` what is set on it now (Kafka replaces all of them at once)."""

    name: str
    changes: Mapping[str, str]
    kept: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Differ:
    """A topic that we cannot use as it is and may not alter."""

    name: str
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` would do, and what is fine already."""

    create: tuple[New, ...]
    alter: tuple[Alter, ...]
    differ: tuple[Differ, ...]
    present: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One topic as the cluster has it; ``own`` are the settings made on the topic itself."""

    partitions: int
    replication: int
    settings: Mapping[str, str]
    own: Mapping[str, str]


def wanted(names: Names, shape: Shape, tables: Tables) -> tuple[New, ...]:
    """Every topic and changelog there should be."""
    logs = [names.changelog(app, table) for app, its in tables.items() for table in its]
    return tuple(
        New(names.topic(name), shape.partitions, shape.replication, _settings(name, shape, shape.replication))
        for name in CATALOG
    ) + tuple(New(log, shape.partitions, shape.replication, _settings(None, shape, shape.replication)) for log in logs)


def _settings(name: str | None, shape: Shape, replication: int) -> dict[str, str]:
    if name is None:
        return changelog_settings(replication=replication)
    return settings_of(CATALOG[name], replication=replication, retention_d=shape.retention_d)


def compare(names: Names, shape: Shape, tables: Tables, seen: Mapping[str, Seen]) -> Plan:
    """What to do, given the topics that there are; pure."""
    known, every = names.known(), wanted(names, shape, tables)
    there = [topic for topic in every if topic.name in seen]
    differ = [one for topic in there for one in _differences(topic, known.get(topic.name), shape, seen[topic.name])]
    alter = [one for topic in there for one in _alterations(topic, known.get(topic.name), shape, seen[topic.name])]
    touched = {one.name for one in differ} | {one.name for one in alter}
    return Plan(
        tuple(topic for topic in every if topic.name not in seen),
        tuple(alter),
        tuple(differ),
        tuple(topic.name for topic in there if topic.name not in touched),
    )


def _differences(topic: New, name: str | None, shape: Shape, now: Seen) -> Iterator[Differ]:
    public = name is not None and CATALOG[name].public
    if not public and now.partitions != topic.partitions:
        what = f"{now.partitions} partitions, all internal topics need {topic.partitions}"
        yield Differ(
            topic.name, what, f"set topics.partitions = {now.partitions} if all have so many, else recreate it"
        )
    yield from _kept_too_short(topic, name, now)
    if name == PROMPTS and now.settings.get(TIMESTAMPS) == "CreateTime" and not shape.allow_create_time:
        fix = f"set {TIMESTAMPS}=LogAppendTime on it, or worker.allow_create_time = true"
        yield Differ(topic.name, "timestamps are the producers' (CreateTime)", fix)


def _kept_too_short(topic: New, name: str | None, now: Seen) -> Iterator[Differ]:
    """Records would go that were promised to stay: who set that has to take it back; a broker's default is altered."""
    for key in KEEPING if name is not None and CATALOG[name].keeps in PROMISED else ():
        have, need = now.own.get(key), topic.settings[key]
        if have is not None and not _satisfied(key, have, need):
            promise = "that no record goes before it is answered" if need == FOR_EVER else f"{key} = {need}"
            what = f"{key} = {have} deletes records, the settings promise {promise}"
            lower = "" if need == FOR_EVER else ", or lower topics.retention_d"
            yield Differ(topic.name, what, f"set {key}={need} on it{lower}")


def _alterations(topic: New, name: str | None, shape: Shape, now: Seen) -> Iterator[Alter]:
    need = _settings(name, shape, now.replication)
    changes = {key: value for key, value in need.items() if not _satisfied(key, now.settings.get(key), value)}
    if name == PROMPTS:
        changes.pop(TIMESTAMPS, None)  # the owner of that topic decides, see _differences
    if name is not None and CATALOG[name].keeps in PROMISED:
        changes = {key: value for key, value in changes.items() if key not in KEEPING or key not in now.own}
    if changes:
        yield Alter(topic.name, changes, now.own)


def _satisfied(key: str, have: str | None, need: str) -> bool:
    if have is None:
        return False
    if key in KEEPING:
        return have == FOR_EVER or (need != FOR_EVER and int(have) >= int(need))
    return int(have) >= int(need) if key in AT_LEAST else have == need


async def plan(
    cluster: Cluster, names: Names, shape: Shape, tables: Tables | None = None, *, via: Opener = admin
) -> Plan:
    """Compares the cluster with what should be there; changes nothing."""
    tables = tables or {}
    async with via(cluster) as client:
        seen = await _seen(client, {topic.name for topic in wanted(names, shape, tables)})
    return compare(names, shape, tables, seen)


async def apply(cluster: Cluster, planned: Plan, within_s: float = CONTROL_S, *, via: Opener = admin) -> None:
    """Creates and alters, and waits until it shows; refuses a plan with differences."""
    for one in planned.differ:
        raise ConfigurationError(one.name, one.what, one.fix)
    async with via(cluster) as client:
        if planned.create:
            await patiently("creating topics", lambda: _create(client, planned.create), within_s)
        if planned.alter:
            await patiently("altering topics", lambda: _alter(client, planned.alter), within_s)
        await _visible(client, planned, within_s)


async def missing(
    cluster: Cluster, names: Names, tables: Tables | None = None, *, via: Opener = admin
) -> tuple[str, ...]:
    """Kafka's names of the topics and changelogs that the cluster does not have."""
    every = [topic.name for topic in wanted(names, Shape(), tables or {})]
    async with via(cluster) as client:
        there = {topic["topic"] for topic in await patiently("listing topics", client.describe_topics)}
    return tuple(name for name in every if name not in there)


def require(planned: Plan) -> None:
    """What a worker asks before it starts: raises ``TopicMissing``, or ``ConfigurationError`` for a difference."""
    if planned.create:
        raise TopicMissing(tuple(topic.name for topic in planned.create))
    for one in planned.differ:
        raise ConfigurationError(one.name, one.what, one.fix)
    for low in planned.alter:
        for key in (MAX_BYTES, *KEEPING):  # records would be refused that we have accepted, or go unanswered
            if key in low.changes:
                raise ConfigurationError(low.name, f"{key} is too low", "raise it with `streams topics apply`")


async def cluster_id(cluster: Cluster, *, via: Opener = admin) -> str:
    """The id that a cluster keeps for life; data directories record it."""
    async with via(cluster) as client:
        return str((await patiently("describing the cluster", client.describe_cluster))["cluster_id"])


async def _seen(client: Any, relevant: set[str]) -> dict[str, Seen]:
    # All topics are described, not the named ones: asking for a name may create it on a broker that does so.
    every = await patiently("listing topics", client.describe_topics)
    topics = [topic for topic in every if topic["topic"] in relevant]
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic["topic"]) for topic in topics]
    answers = await patiently("reading topic settings", lambda: client.describe_configs(asked)) if asked else []
    configs = {row[3]: row[4] for answer in answers for row in answer.resources}
    return {topic["topic"]: _topic(topic, configs.get(topic["topic"], ())) for topic in topics}


def _topic(described: Mapping[str, Any], entries: Any) -> Seen:
    parts = described["partitions"]
    return Seen(
        partitions=len(parts),
        replication=min((len(part["replicas"]) for part in parts), default=1),
        settings={entry[0]: entry[1] for entry in entries},
        own={entry[0]: entry[1] for entry in entries if entry[3] == DYNAMIC},
    )


async def _create(client: Any, topics: tuple[New, ...]) -> None:
    asked = [NewTopic(one.name, one.partitions, one.replication, topic_configs=one.settings) for one in topics]
    for name, code, *message in (await client.create_topics(asked)).topic_errors:
        _refused(name, code, message)


async def _alter(client: Any, topics: tuple[Alter, ...]) -> None:
    merged = {one.name: {**one.kept, **one.changes} for one in topics}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, values) for name, values in merged.items()]
    for answer in await client.alter_configs(asked):
        for code, message, _, name in answer.resources:
            _refused(name, code, [message])


def _refused(name: str, code: int, message: list[str | None]) -> None:
    error = for_code(code)
    if code == 0 or error is TopicAlreadyExistsError:
        return
    if error.retriable:
        raise NotYet(f"applying {name}", error.__name__)
    raise TopicRefused(name, ": ".join([error.__name__, *(text for text in message if text)]))


async def _visible(client: Any, planned: Plan, within_s: float) -> None:
    """Brokers learn from the controller a little later."""
    deadline = asyncio.get_running_loop().time() + within_s
    while waiting := await _waiting(client, planned):
        if asyncio.get_running_loop().time() > deadline:
            raise TransportError("applying topics", f"not visible yet: {', '.join(waiting)}")
        await asyncio.sleep(0.05)


async def _waiting(client: Any, planned: Plan) -> list[str]:
    every = {topic["topic"]: topic for topic in await patiently("listing topics", client.describe_topics)}
    led = {one.name: _ready(every.get(one.name), one.partitions) for one in planned.create}
    seen = await _seen(client, {one.name for one in planned.alter}) if planned.alter else {}
    changed = {
        one.name: one.name in seen and one.changes.items() <= seen[one.name].own.items() for one in planned.alter
    }
    return [name for name, done in {**led, **changed}.items() if not done]


def _ready(described: Mapping[str, Any] | None, partitions: int) -> bool:
    if described is None or len(described["partitions"]) < partitions:
        return False
    return all(part["leader"] != UNAVAILABLE and part["error_code"] == 0 for part in described["partitions"])
