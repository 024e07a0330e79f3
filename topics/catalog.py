"""Which topics are there, who writes and reads each, how is it keyed, and how long does it keep?

Code speaks of topics by these short names; ``Names`` gives Kafka's. A golden test pins every Kafka name, so that
renaming a file cannot orphan a changelog.
"""

from dataclasses import dataclass
from typing import Literal

from topics.messages import Lane

PROMPTS, ADMITTED, DEDUPED, RETRIEVED = "prompts", "admitted", "deduped", "retrieved"
INFERRED, REFINED, RESULTS, FAILED, DEAD_LETTERS = "inferred", "refined", "results", "failed", "dead-letters"
LETTERS = "letters"
TICKS, BREAKER_TICKS, PARK_TICKS, DOCUMENTS = "ticks", "ticks.breaker", "ticks.park", "documents"
CLOCKS = (TICKS, BREAKER_TICKS)  # the engine writes them
CALLS, BREAKERS = "calls", "breakers"
PARKED = tuple(f"parked.{number}" for number in range(1, 5))  # the tiers of `retry.tiers_s`, shortest first
LANES: tuple[Lane, ...] = ("critical", "high", "normal", "low")
ASSEMBLED: dict[Lane, str] = {lane: f"assembled.{lane}" for lane in LANES}

MIB = 1024 * 1024
PROMPT_BYTES = MIB  # what one request may weigh
INTERNAL_BYTES = 4 * MIB  # a request plus what the stages add to it
DEAD_LETTER_BYTES = PROMPT_BYTES + 64 * 1024  # the original bytes plus evidence headers
DAY_MS = 86_400_000

DOCUMENT_BYTES = MIB  # one document; larger texts are split when they are loaded
TICK_BYTES = 1024
NOTE_BYTES = 16 * 1024

Keeps = Literal["until answered", "retention_d", "30 days", "1 day", "latest"]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic.

    Args:
        name: The catalog's name.
        public: Whether users touch it.
        key: What its records are keyed by.
        keeps: ``until answered``: trimmed by us; ``latest``: the last record of each key; else trimmed by Kafka after
            that time; ``30 days`` or the retention, whichever is longer.
        max_bytes: Bytes of one value.
        holds: What its records are, in words.
    """

    name: str
    public: bool
    key: str
    keeps: Keeps
    max_bytes: int
    holds: str


def _internal(name: str, holds: str) -> TopicSpec:
    return TopicSpec(name, False, "record key", "until answered", INTERNAL_BYTES, holds)


CATALOG: dict[str, TopicSpec] = {
    spec.name: spec
    for spec in (
        TopicSpec(PROMPTS, True, "anything", "until answered", PROMPT_BYTES, "requests, as people wrote them"),
        _internal(ADMITTED, "valid requests with identity, dedup key, lane and deadline"),
        _internal(DEDUPED, "requests that own their dedup key"),
        _internal(RETRIEVED, "requests with passages"),
        *(_internal(topic, f"provider-ready requests, lane {lane}") for lane, topic in ASSEMBLED.items()),
        *(_internal(topic, f"requests that wait for their next try, tier {topic[-1]}") for topic in PARKED),
        _internal(INFERRED, "provider replies"),
        _internal(REFINED, "replies that may be shown"),
        _internal(FAILED, "requests that were given up, and bytes that are no request"),
        TopicSpec(RESULTS, True, "request id", "retention_d", INTERNAL_BYTES, "one final answer per request"),
        TopicSpec(TICKS, False, "none", "1 day", TICK_BYTES, "one record a second, so that time passes for `dedup`"),
        TopicSpec(BREAKER_TICKS, False, "none", "1 day", TICK_BYTES, "the same, for `breaker`"),
        TopicSpec(PARK_TICKS, False, "none", "1 day", TICK_BYTES, "written by `park` to learn the broker's time"),
        TopicSpec(CALLS, False, "service", "1 day", INTERNAL_BYTES, "how calls went, and orders to breakers"),
        TopicSpec(BREAKERS, False, "service", "latest", INTERNAL_BYTES, "the state of each breaker"),
        TopicSpec(DOCUMENTS, True, "document id", "latest", DOCUMENT_BYTES, "texts to retrieve from; null deletes"),
        TopicSpec(
            DEAD_LETTERS, True, "original key", "30 days", DEAD_LETTER_BYTES, "original bytes, evidence in headers"
        ),
        TopicSpec(LETTERS, False, "dead letter", "30 days", NOTE_BYTES, "what was done with each dead letter, by whom"),
    )
}


EXPENDABLE = frozenset(spec.name for spec in CATALOG.values() if spec.keeps == "1 day")  # no work: time, evidence


@dataclass(frozen=True, slots=True)
class Names:
    """Kafka's names.

    Args:
        namespace: Starts every internal name: topics, groups, changelogs.
        prefix: Starts every public topic's name.

    >>> Names().topic("admitted"), Names(prefix="acme-").topic("results")
    ('prompts.admitted', 'acme-results')
    """

    namespace: str = "prompts."
    prefix: str = ""

    def topic(self, name: str) -> str:
        """Kafka's name of a catalog topic."""
        return (self.prefix if CATALOG[name].public else self.namespace) + name

    def known(self) -> dict[str, str]:
        """Kafka's name → catalog name, for every topic."""
        return {self.topic(name): name for name in CATALOG}

    def group(self, app: str) -> str:
        """The consumer group (and Faust app id) of an app: ``prompts.core``."""
        return self.namespace + app

    def changelog(self, app: str, table: str) -> str:
        """The changelog topic of a table: ``prompts.core-requests-changelog``."""
        return f"{self.group(app)}-{table}-changelog"


def settings_of(spec: TopicSpec, *, replication: int, retention_d: float) -> dict[str, str]:
    """Kafka's topic settings for one topic; ``retention_d`` in days."""
    for_ever, chosen_ms = -1, int(retention_d * DAY_MS)
    retention_ms = {
        "until answered": for_ever,
        "retention_d": chosen_ms,
        "30 days": max(30 * DAY_MS, chosen_ms),
        "1 day": DAY_MS,
        "latest": for_ever,
    }[spec.keeps]
    return {
        "cleanup.policy": "compact" if spec.keeps == "latest" else "delete",
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": str(retention_ms),
        "retention.bytes": "-1",
        "max.message.bytes": str(spec.max_bytes + 16 * 1024),  # Kafka counts key, headers and batch framing too
        "min.insync.replicas": str(max(1, replication - 1)),
        "unclean.leader.election.enable": "false",
    }


def changelog_settings(*, replication: int) -> dict[str, str]:
    """Kafka's topic settings for a table's changelog: compacted, so it never outgrows the table for long."""
    return {
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(INTERNAL_BYTES + 16 * 1024),
        "min.insync.replicas": str(max(1, replication - 1)),
        "unclean.leader.election.enable": "false",
        "segment.ms": str(DAY_MS),
    }
