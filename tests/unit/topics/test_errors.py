"""Every error's words, kind and retryability, as dead letters, metrics and people see them."""

import pytest

from topics import errors

WORKER = errors.WorkerError("echo", "overloaded", retryable=True)
ROWS = [
    (WORKER, "Worker inference failed: echo: overloaded"),
    (errors.DeadlineExceeded(1000, 1250), "Deadline passed 250 ms ago"),
    (errors.DecodingError("Admitted", "id: missing", b"{}"), "Cannot read Admitted: id: missing"),
    (errors.RecordTooLarge("inferred", 5000, 4000), "Record for 'inferred' is 5000 bytes, the limit is 4000"),
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
    "WorkerError": "worker_error",
    "DeadlineExceeded": "deadline_exceeded",
    "DecodingError": "undecodable",
    "RecordTooLarge": "too_large",
    "TransportError": "transport",
    "ConfigurationError": "configuration",
    "TopicMissing": "topic_missing",
    "TopicRefused": "topic_refused",
    "ForeignTopicsPackage": "foreign_topics_package",
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
    [(row, isinstance(row, errors.TransportError) or row is WORKER) for row, _ in ROWS]
    + [(errors.WorkerError("echo", "unauthorised", retryable=False), False)],
)
def test_error_says_whether_trying_again_can_help(error, retryable):
    assert retryable == error.retryable


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
        (errors.DeadlineExceeded(1000, 1250), {"deadline_ms": 1000, "now_ms": 1250}),
        (errors.DecodingError("Admitted", "r", b"\xff"), {"what": "Admitted", "reason": "r", "raw": b"\xff"}),
        (errors.RecordTooLarge("inferred", 5000, 4000), {"topic": "inferred", "size": 5000, "limit": 4000}),
        (errors.TransportError("sending", "timeout"), {"doing": "sending", "reason": "timeout"}),
        (errors.ConfigurationError("a.b", 0, "f"), {"field": "a.b", "value": 0, "fix": "f"}),
        (errors.TopicMissing(("prompts",)), {"missing": ("prompts",), "field": "topics"}),
        (errors.TopicRefused("results", "r"), {"topic": "results", "reason": "r"}),
    ],
)
def test_error_keeps_its_evidence(error, evidence):
    assert evidence == {name: getattr(error, name) for name in evidence}
