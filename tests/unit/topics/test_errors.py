"""Every error's words, kind and retryability, as dead letters, metrics and people see them."""

import pytest

from streams.decisions.failures import disposition_of, failure_of
from topics import errors
from topics import provider_errors as providers

WORKER = providers.WorkerError("echo", "overloaded", retryable=True)
SAID = {"status": 429, "request_id": "r-1", "retry_after_s": 2.0}
PROVIDERS = {
    providers.ProviderError: ("provider_error", "failed", False),
    providers.ProviderDenied: ("provider_denied", "refused our credentials", False),
    providers.ProviderNotFound: ("provider_not_found", "knows no such model or address", False),
    providers.ProviderRateLimited: ("provider_rate_limited", "limits our rate", True),
    providers.ProviderUnavailable: ("provider_unavailable", "is unavailable", True),
    providers.ProviderUnreachable: ("provider_unreachable", "cannot be reached", True),
    providers.ProviderTimeout: ("provider_timeout", "did not answer in time", True),
    providers.ProviderMalformed: ("provider_malformed", "sent what is no answer", False),
    providers.ProviderEmpty: ("provider_empty", "answered without a choice", True),
    providers.ContextTooLong: ("context_too_long", "cannot read so long a prompt", False),
    providers.ProviderRefused: ("provider_refused", "refused the request", False),
}
ROWS = [
    *((error("openai"), f"Worker inference failed: openai: {words}") for error, (_, words, _) in PROVIDERS.items()),
    (WORKER, "Worker inference failed: echo: overloaded"),
    (errors.DeadlineExceeded(1000, 1250), "Deadline passed 250 ms ago"),
    (errors.DecodingError("Admitted", "id: missing", b"{}"), "Cannot read Admitted: id: missing"),
    (errors.RecordTooLarge("inferred", 5000, 4000), "Record for 'inferred' is 5000 bytes, the limit is 4000"),
    (errors.TemplateFailed("sum", 3, "too many steps"), "Template 'sum:3' cannot be rendered: too many steps"),
    (errors.PromptTooLong("m", 12, 9), "About 12 tokens may not be cut, the limit of model 'm' is 9"),
    (errors.AnswerEmpty(), "The answer has neither text nor tool calls"),
    (errors.AnswerTruncated(), "The answer was cut short by the token limit: raise max_tokens"),
    (errors.AnswerTooLong(5, 4), "The answer has 5 bytes, the limit is 4"),
    (errors.AnswerInvalid("$.a", "type null"), "The answer breaks its response_format at $.a: type null"),
    (
        errors.AnswerGone("assembled.low/0/7"),
        "The answer that was had for assembled.low/0/7 is kept no longer, and is not paid for again",
    ),
    (errors.BackpressureShed(9, 8, "twins", 3.0), "Backpressure threshold exceeded: queue depth 9/8 of twins"),
    (errors.StageFailure("infer", 3, KeyError("words")), "Pipeline stage 'infer' failed after 3 attempts: KeyError"),
    (errors.CircuitOpen("openai:m", "noon"), "Circuit breaker open for openai:m since noon"),
    (errors.DeduplicationConflict("c:ab"), "Request deduplication key collision: c:ab"),
    (errors.TransportError("sending", "timeout"), "Kafka did not answer while sending: timeout"),
    (errors.ConfigurationError("broker.port", 0, "set 1 to 65535"), "broker.port = 0: set 1 to 65535"),
    (
        errors.TopicMissing(("prompts", "results")),
        "topics = 'prompts, results': they do not exist: create them with `streams topics apply`",
    ),
    (errors.TopicRefused("results", "no right to write"), "Kafka refuses writes to 'results': no right to write"),
    (errors.ForeignTopicsPackage("package topics", "/x", "rename it"), "package topics = '/x': rename it"),
    (errors.LocalKafkaError("no Java: install prompt-streams[local]"), "no Java: install prompt-streams[local]"),
]
RETRYABLE = errors.TransportError | providers.WorkerError | errors.BackpressureShed | errors.CircuitOpen
KINDS = {
    **{error.__name__: kind for error, (kind, _, _) in PROVIDERS.items()},
    "WorkerError": "worker_error",
    "DeadlineExceeded": "deadline_exceeded",
    "DecodingError": "undecodable",
    "RecordTooLarge": "too_large",
    "TemplateFailed": "template_failed",
    "PromptTooLong": "prompt_too_long",
    "AnswerEmpty": "answer_empty",
    "AnswerTruncated": "answer_truncated",
    "AnswerTooLong": "answer_too_long",
    "AnswerInvalid": "answer_invalid",
    "AnswerGone": "answer_gone",
    "TransportError": "transport",
    "ConfigurationError": "configuration",
    "TopicMissing": "topic_missing",
    "TopicRefused": "topic_refused",
    "ForeignTopicsPackage": "foreign_topics_package",
    "BackpressureShed": "backpressure_shed",
    "DeduplicationConflict": "deduplication_conflict",
    "LocalKafkaError": "local_kafka",
    "StageFailure": "stage_failure",
    "CircuitOpen": "circuit_open",
}


def ours():
    """Every error class of the tree, but the root."""
    classes = (value for module in (errors, providers) for value in vars(module).values() if isinstance(value, type))
    return {value for value in classes if issubclass(value, errors.OrchestratorError)} - {errors.OrchestratorError}


@pytest.mark.parametrize(("error", "text"), ROWS)
def test_error_text_is_golden(error, text):
    assert text == str(error)


@pytest.mark.parametrize(("error", "text"), ROWS)
def test_error_is_an_orchestrator_error(error, text):
    assert isinstance(error, errors.OrchestratorError)


def test_error_kinds_are_golden():
    assert KINDS == {error.__name__: error.kind for error in ours()}


def test_error_kinds_are_told_apart():
    assert len(ours()) == len({error.kind for error in ours()})


def test_error_rows_cover_every_class():
    assert ours() == {type(error) for error, _ in ROWS}


@pytest.mark.parametrize(
    ("error", "retryable"),
    [(row, PROVIDERS[type(row)][2] if type(row) in PROVIDERS else isinstance(row, RETRYABLE)) for row, _ in ROWS]
    + [(providers.WorkerError("echo", "unauthorised", retryable=False), False)],
)
def test_error_says_whether_trying_again_can_help(error, retryable):
    assert retryable == error.retryable


def test_template_failure_of_an_unknown_line_names_the_template_alone():
    assert "Template 'sum' cannot be rendered: r" == str(errors.TemplateFailed("sum", None, "r"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [(WORKER, "worker_error"), (KeyError("words of a prompt"), "KeyError"), (errors.OrchestratorError("x"), "error")],
)
def test_kind_of_any_error_is_a_word_without_its_text(error, kind):
    assert kind == errors.kind_of(error)


@pytest.mark.parametrize(
    ("error", "evidence"),
    [
        (WORKER, {"provider": "echo", "reason": "overloaded"}),
        (providers.ProviderRateLimited("openai", **SAID), {"provider": "openai", **SAID}),
        (providers.ProviderDenied("openai"), {"status": None, "request_id": None, "retry_after_s": None}),
        (errors.DeadlineExceeded(1000, 1250), {"deadline_ms": 1000, "now_ms": 1250}),
        (errors.DecodingError("Admitted", "r", b"\xff"), {"what": "Admitted", "reason": "r", "raw": b"\xff"}),
        (errors.RecordTooLarge("inferred", 5000, 4000), {"topic": "inferred", "size": 5000, "limit": 4000}),
        (errors.TemplateFailed("sum", 3, "r"), {"template": "sum", "line": 3, "reason": "r"}),
        (errors.PromptTooLong("m", 12, 9), {"model": "m", "tokens": 12, "limit": 9}),
        (errors.AnswerTooLong(5, 4), {"size": 5, "limit": 4}),
        (errors.AnswerInvalid("$.a", "type null"), {"path": "$.a", "rule": "type null"}),
        (errors.AnswerGone("assembled.low/0/7"), {"at": "assembled.low/0/7"}),
        (errors.TransportError("sending", "timeout"), {"doing": "sending", "reason": "timeout"}),
        (errors.ConfigurationError("a.b", 0, "f"), {"field": "a.b", "value": 0, "fix": "f"}),
        (errors.TopicMissing(("prompts",)), {"missing": ("prompts",), "field": "topics"}),
        (errors.CircuitOpen("a:m", "s", 2.0), {"service": "a:m", "since": "s", "retry_after_s": 2.0}),
        (errors.TopicRefused("results", "r"), {"topic": "results", "reason": "r"}),
    ],
)
def test_error_keeps_its_evidence(error, evidence):
    assert evidence == {name: getattr(error, name) for name in evidence}


LIMITED = providers.ProviderRateLimited("openai", status=429, request_id="r-1", retry_after_s=2.0)
DENIED = providers.ProviderDenied("openai")
FOREIGN = KeyError("words of a prompt")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (LIMITED, "Worker inference failed: openai: limits our rate (status 429, request r-1)"),
        (DENIED, "Worker inference failed: openai: refused our credentials"),
        (FOREIGN, "KeyError"),
    ],
)
def test_stage_failure_tells_of_its_cause_only_what_is_ours(source, cause) -> None:
    assert f"Pipeline stage 'infer' failed after 3 attempts: {cause}" == str(errors.StageFailure("infer", 3, source))


@pytest.mark.parametrize("source", [LIMITED, DENIED, FOREIGN])
def test_stage_failure_keeps_stage_attempts_and_cause(source) -> None:
    with pytest.raises(errors.StageFailure) as raised:
        raise errors.StageFailure("infer", 3, source)

    assert ("infer", 3, source) == (raised.value.stage, raised.value.attempts, raised.value.source)


@pytest.mark.parametrize(
    ("source", "advice"), [(LIMITED, (True, 2.0)), (DENIED, (False, None)), (FOREIGN, (False, None))]
)
def test_stage_failure_is_as_retryable_as_its_cause(source, advice) -> None:
    error = errors.StageFailure("infer", 3, source)

    assert advice == (error.retryable, error.retry_after_s)


def test_stage_failure_as_evidence_carries_its_kind_and_the_advice_of_its_cause() -> None:
    evidence = failure_of(errors.StageFailure("infer", 3, LIMITED))

    assert ("stage_failure", True, 2.0) == (evidence.kind, evidence.retryable, evidence.retry_after_s)


@pytest.mark.parametrize(("source", "why"), [(LIMITED, "exhausted"), (DENIED, "permanent"), (FOREIGN, "permanent")])
def test_stage_failure_is_buried_as_what_its_cause_left(source, why: str) -> None:
    assert why == disposition_of(errors.StageFailure("infer", 3, source))
