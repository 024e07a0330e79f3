"""Which failures exist, and what to do next with each?

    OrchestratorError
    ├── retry it        WorkerError (retryable by kind), TransportError
    ├── give this up    DecodingError, RecordTooLarge, DeadlineExceeded
    └── call a person   ConfigurationError, TopicMissing, TopicRefused, ForeignTopicsPackage, LocalKafkaError

Each has a stable ``kind`` (metrics, dead letters, answers) and says whether trying again can help. Messages never hold
prompt text or secrets.
"""

from typing import ClassVar


class OrchestratorError(Exception):
    """Root of everything that this project raises."""

    kind: ClassVar[str] = "error"
    retryable: bool = False


class WorkerError(OrchestratorError):
    """The provider did not answer a call; ``reason`` is one word, ``retryable`` follows from it."""

    kind = "worker_error"

    def __init__(self, provider: str, reason: str, *, retryable: bool) -> None:
        super().__init__(f"Worker inference failed: {provider}: {reason}")
        self.provider, self.reason, self.retryable = provider, reason, retryable


class DeadlineExceeded(OrchestratorError):
    """The deadline of a request passed before it was answered; times in epoch milliseconds."""

    kind = "deadline_exceeded"

    def __init__(self, deadline_ms: int, now_ms: int) -> None:
        super().__init__(f"Deadline passed {now_ms - deadline_ms} ms ago")
        self.deadline_ms, self.now_ms = deadline_ms, now_ms


class DecodingError(OrchestratorError):
    """Bytes that are no message of ours; ``raw`` keeps them for the dead letter."""

    kind = "undecodable"

    def __init__(self, what: str, reason: str, raw: bytes | None) -> None:
        super().__init__(f"Cannot read {what}: {reason}")
        self.what, self.reason, self.raw = what, reason, raw


class RecordTooLarge(OrchestratorError):
    """A value is above what its topic may carry; sizes in bytes."""

    kind = "too_large"

    def __init__(self, topic: str, size: int, limit: int) -> None:
        super().__init__(f"Record for '{topic}' is {size} bytes, the limit is {limit}")
        self.topic, self.size, self.limit = topic, size, limit


class TransportError(OrchestratorError):
    """The broker could not be reached or did not answer in time."""

    kind = "transport"
    retryable = True

    def __init__(self, doing: str, reason: str) -> None:
        super().__init__(f"Kafka did not answer while {doing}: {reason}")
        self.doing, self.reason = doing, reason


class ConfigurationError(OrchestratorError):
    """A setting, flag or cluster fact is unusable: names the field, its value and the fix."""

    kind = "configuration"

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"{field} = {value!r}: {fix}")
        self.field, self.value, self.fix = field, value, fix


class TopicMissing(ConfigurationError):
    """A worker needs topics that the cluster does not have."""

    kind = "topic_missing"

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__("topics", ", ".join(missing), "they do not exist: create them with `streams topics apply`")
        self.missing = missing


class TopicRefused(OrchestratorError):
    """The broker refuses writes to a topic for good (unknown, no right): its stage stops and waits for a person."""

    kind = "topic_refused"

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"Kafka refuses writes to '{topic}': {reason}")
        self.topic, self.reason = topic, reason


class ForeignTopicsPackage(ConfigurationError):
    """Another package named ``topics`` stands before ours on the import path."""

    kind = "foreign_topics_package"


class LocalKafkaError(OrchestratorError):
    """The embedded broker, or an artifact that it needs, could not be had; the message says what to do."""

    kind = "local_kafka"


def kind_of(error: BaseException) -> str:
    """The stable word for any error: our ``kind``, else the class name (never its text, which may hold a prompt)."""
    return error.kind if isinstance(error, OrchestratorError) else type(error).__name__
