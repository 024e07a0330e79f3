"""Every error's words, kind and retryability, as dead letters, metrics and people see them."""

import pytest

from topics import errors

WORKER = errors.WorkerError("echo", "overloaded", retryable=True)
SAID = {"status": 429, "request_id": "r-1", "retry_after_s": 2.0}
PROVIDERS = {
    errors.ProviderError: ("provider_error", "failed", False),
    errors.ProviderDenied: ("provider_denied", "refused our credentials", False),
    errors.ProviderNotFound: ("provider_not_found", "knows no such model or address", False),
    errors.ProviderRateLimited: ("provider_rate_limited", "limits our rate", True),
    errors.ProviderUnavailable: ("provider_unavailable", "is unavailable", True),
    errors.ProviderUnreachable: ("provider_unreachable", "cannot be reached", True),
    errors.ProviderTimeout: ("provider_timeout", "did not answer in time", True),
    errors.ProviderMalformed: ("provider_malformed", "sent what is no answer", False),
    errors.ProviderEmpty: ("provider_empty", "answered without a choice", True),
    errors.ContextTooLong: ("context_too_long", "cannot read so long a prompt", False),
    errors.ProviderRefused: ("provider_refused", "refused the request", False),
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
    (errors.BackpressureShed(9, 8, "twins", 3.0), "Backpressure threshold exceeded: queue depth 9/8 of twins"),
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
    "TransportError": "transport",
    "ConfigurationError": "configuration",
    "TopicMissing": "topic_missing",
    "TopicRefused": "topic_refused",
    "ForeignTopicsPackage": "foreign_topics_package",
    "BackpressureShed": "backpressure_shed",
    "DeduplicationConflict": "deduplication_conflict",
    "LocalKafkaError": "local_kafka",
}


def ours():
    """Every error class of the module, but the root."""
    classes = (value for value in vars(errors).values() if isinstance(value, type))
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
    [
        (
            row,
            PROVIDERS[type(row)][2]
            if type(row) in PROVIDERS
            else isinstance(row, errors.TransportError | errors.WorkerError | errors.BackpressureShed),
        )
        for row, _ in ROWS
    ]
    + [(errors.WorkerError("echo", "unauthorised", retryable=False), False)],
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
        (errors.ProviderRateLimited("openai", **SAID), {"provider": "openai", **SAID}),
        (errors.ProviderDenied("openai"), {"status": None, "request_id": None, "retry_after_s": None}),
        (errors.DeadlineExceeded(1000, 1250), {"deadline_ms": 1000, "now_ms": 1250}),
        (errors.DecodingError("Admitted", "r", b"\xff"), {"what": "Admitted", "reason": "r", "raw": b"\xff"}),
        (errors.RecordTooLarge("inferred", 5000, 4000), {"topic": "inferred", "size": 5000, "limit": 4000}),
        (errors.TemplateFailed("sum", 3, "r"), {"template": "sum", "line": 3, "reason": "r"}),
        (errors.PromptTooLong("m", 12, 9), {"model": "m", "tokens": 12, "limit": 9}),
        (errors.AnswerTooLong(5, 4), {"size": 5, "limit": 4}),
        (errors.AnswerInvalid("$.a", "type null"), {"path": "$.a", "rule": "type null"}),
        (errors.TransportError("sending", "timeout"), {"doing": "sending", "reason": "timeout"}),
        (errors.ConfigurationError("a.b", 0, "f"), {"field": "a.b", "value": 0, "fix": "f"}),
        (errors.TopicMissing(("prompts",)), {"missing": ("prompts",), "field": "topics"}),
        (errors.TopicRefused("results", "r"), {"topic": "results", "reason": "r"}),
    ],
)
def test_error_keeps_its_evidence(error, evidence):
    assert evidence == {name: getattr(error, name) for name in evidence}


@pytest.mark.parametrize(
    ("detail", "known", "more"),
    [
        ("", {}, ""),
        ("no JSON", {}, " (no JSON)"),
        ("", {"status": 503}, " (status 503)"),
        ("", {"request_id": "r-1"}, " (request r-1)"),
        ("no JSON", {"status": 200, "request_id": "r-1"}, " (no JSON, status 200, request r-1)"),
        ("", {"retry_after_s": 2.0}, ""),
    ],
)
def test_provider_error_tells_only_what_is_known(detail, known, more):
    error = errors.ProviderUnavailable("openai", detail, **known)

    assert f"Worker inference failed: openai: is unavailable{more}" == str(error)


@pytest.mark.parametrize("error", PROVIDERS)
def test_provider_error_is_caught_as_a_worker_error(error):
    with pytest.raises(errors.ProviderError) as raised:
        raise error("openai")

    assert isinstance(raised.value, errors.WorkerError)
