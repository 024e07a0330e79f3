"""Which failures exist, and what to do next with each?

    OrchestratorError
    ├── retry it        TransportError, CircuitOpen, and of topics/provider_errors.py: WorkerError with
    │                   ProviderRateLimited, ProviderUnavailable, ProviderUnreachable, ProviderTimeout, ProviderEmpty
    ├── give this up    DecodingError, RecordTooLarge, DeadlineExceeded, TemplateFailed, PromptTooLong
    │                   ContextTooLong, ProviderDenied, ProviderNotFound, ProviderRefused, ProviderMalformed
    │                   AnswerEmpty, AnswerTruncated, AnswerTooLong, AnswerInvalid, AnswerGone
    │                   StageFailure (the last try failed, too), BackpressureShed (come back later),
    │                   DeduplicationConflict (goes on by itself)
    └── call a person   ConfigurationError, TopicMissing, TopicRefused, ForeignTopicsPackage, LocalKafkaError

Each has a stable ``kind`` (metrics, dead letters, answers) and says whether trying again can help. Messages never hold
prompt text or secrets.
"""

from typing import ClassVar


class OrchestratorError(Exception):
    """Root of everything that this project raises."""

    kind: ClassVar[str] = "error"
    retryable: bool = False


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


class TemplateFailed(OrchestratorError):
    """A template could not be rendered for a request; ``reason`` is ours, as jinja's own text may quote a prompt."""

    kind = "template_failed"

    def __init__(self, template: str, line: int | None, reason: str) -> None:
        where = template if line is None else f"{template}:{line}"
        super().__init__(f"Template '{where}' cannot be rendered: {reason}")
        self.template, self.line, self.reason = template, line, reason


class PromptTooLong(OrchestratorError):
    """What may not be left out is above the model's budget; an estimate and a limit in tokens."""

    kind = "prompt_too_long"

    def __init__(self, model: str, tokens: int, limit: int) -> None:
        super().__init__(f"About {tokens} tokens may not be cut, the limit of model '{model}' is {limit}")
        self.model, self.tokens, self.limit = model, tokens, limit


class RecordTooLarge(OrchestratorError):
    """A value is above what its topic may carry; sizes in bytes."""

    kind = "too_large"

    def __init__(self, topic: str, size: int, limit: int) -> None:
        super().__init__(f"Record for '{topic}' is {size} bytes, the limit is {limit}")
        self.topic, self.size, self.limit = topic, size, limit


class AnswerEmpty(OrchestratorError):
    """The provider answered with neither text nor tool calls, and the settings do not accept that."""

    kind = "answer_empty"

    def __init__(self) -> None:
        super().__init__("The answer has neither text nor tool calls")


class AnswerTruncated(OrchestratorError):
    """The provider stopped at the token limit, and the settings do not accept that."""

    kind = "answer_truncated"

    def __init__(self) -> None:
        super().__init__("The answer was cut short by the token limit: raise max_tokens")


class AnswerTooLong(OrchestratorError):
    """The text of an answer is above the limit; sizes in bytes."""

    kind = "answer_too_long"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The answer has {size} bytes, the limit is {limit}")
        self.size, self.limit = size, limit


class AnswerInvalid(OrchestratorError):
    """An answer breaks the ``response_format`` of its request: ``path`` in the answer and ``rule``, never its words."""

    kind = "answer_invalid"

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"The answer breaks its response_format at {path}: {rule}")
        self.path, self.rule = path, rule


class AnswerGone(OrchestratorError):
    """What the calls came to is kept no longer, and they are not made again; ``at``: coordinates of who made them."""

    kind = "answer_gone"

    def __init__(self, at: str) -> None:
        super().__init__(f"The answer that was had for {at} is kept no longer, and is not paid for again")
        self.at = at


class StageFailure(OrchestratorError):
    """A stage gave a request up after its last try: ``attempts`` made, ``source`` of the last; retryable as that is."""

    kind = "stage_failure"

    def __init__(self, stage: str, attempts: int, source: Exception) -> None:
        cause = str(source) if isinstance(source, OrchestratorError) else type(source).__name__
        super().__init__(f"Pipeline stage '{stage}' failed after {attempts} attempts: {cause}")
        self.stage, self.attempts, self.source = stage, attempts, source
        self.retryable = isinstance(source, OrchestratorError) and source.retryable
        self.retry_after_s: float | None = getattr(source, "retry_after_s", None)


class CircuitOpen(OrchestratorError):
    """Calls to a service are not made for now; ``since`` when (RFC 3339), and seconds after which one may be tried."""

    kind = "circuit_open"
    retryable = True

    def __init__(self, service: str, since: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"Circuit breaker open for {service} since {since}")
        self.service, self.since, self.retry_after_s = service, since, retry_after_s


class BackpressureShed(OrchestratorError):
    """More waits than may wait: ``depth`` of ``capacity`` in ``topic``; seconds after which to come back."""

    kind = "backpressure_shed"
    retryable = True

    def __init__(self, depth: int, capacity: int, topic: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"Backpressure threshold exceeded: queue depth {depth}/{capacity} of {topic}")
        self.depth, self.capacity, self.topic, self.retry_after_s = depth, capacity, topic, retry_after_s


class DeduplicationConflict(OrchestratorError):
    """Two contents have one digest: the second request goes on by itself."""

    kind = "deduplication_conflict"

    def __init__(self, key: str) -> None:
        super().__init__(f"Request deduplication key collision: {key}")
        self.key = key


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
