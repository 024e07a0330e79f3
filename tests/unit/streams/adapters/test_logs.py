"""Log lines: their shape, their way, and what they never hold."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
import structlog
from hypothesis import given
from hypothesis import strategies as st
from stamina.instrumentation import set_on_retry_hooks

from streams.adapters import logs
from streams.adapters.logs import LONGEST, LogObserver, configure, redact
from streams.ports import Observation
from topics.errors import DecodingError
from topics.provider_errors import WorkerError

PROMPT = "the secret recipe of my grandmother"
FORBIDDEN = [
    "prompt",
    "text",
    "content",
    "message",
    "messages",
    "value",
    "body",
    "rendered",
    "passages",
    "headers",
    "params",
    "metadata",
    "password",
    "secret",
    "token",
    "jaas",
    "api_key",
    "apikey",
    "authorization",
    "caused_by",
    "args",
    "kwargs",
    "sasl.jaas.config",
    "sasl_plain_password",
    "PROMPT",
    "Text",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.fixture(autouse=True)
def _untouched() -> Iterator[None]:
    """Logging is of the whole process: put back what other tests see."""
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
    yield
    root.handlers, root.level = handlers, level
    for name in logs.LIBRARIES:
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


class Sink:
    """A configured stream whose lines can be asked for."""

    def __init__(self, level: str = "info") -> None:
        self.raw = io.BytesIO()
        self.logger = configure(self.raw, level)

    @property
    def text(self) -> str:
        return self.raw.getvalue().decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def observation(kind: str | None = "too_large") -> Observation:
    return Observation("infer", "failed", "deduped", 3, 1042, 0.25, 0.5, 1, kind)


def failing() -> None:
    raise ValueError(PROMPT)


def test_line_is_json_with_time_level_and_fields() -> None:
    sink = Sink()
    sink.logger.info("started", action="start", slot=3)

    [line] = sink.lines
    assert line.pop("time").endswith("Z")
    assert {"event": "started", "action": "start", "slot": 3, "level": "info"} == line


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_lines_below_level_are_left_out(threshold: str, expected: list[str]) -> None:
    sink = Sink(threshold)
    for level in ("debug", "info", "warning", "error"):
        getattr(sink.logger, level)("x")

    assert expected == [line["level"] for line in sink.lines]


def test_lines_for_a_file_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "worker-0.log"
    path.parent.mkdir()
    for number in range(2):
        with path.open("ab") as file:
            configure(file).info("x", number=number)

    assert [0, 1] == [json.loads(line)["number"] for line in path.read_text().splitlines()]


def test_lines_without_destination_go_to_stderr(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure().info("here")
    captured = capfdbinary.readouterr()

    assert (b"", True) == (captured.out, b'"event":"here"' in captured.err)


@pytest.mark.parametrize("key", FORBIDDEN)
def test_field_that_may_hold_content_is_dropped(key: str) -> None:
    sink = Sink()
    sink.logger.info("x", **{key: PROMPT}, nested={key: PROMPT, "kept": 1}, listed=[{key: PROMPT}])

    assert PROMPT not in sink.text
    assert ({"kept": 1}, [{}]) == (sink.lines[0]["nested"], sink.lines[0]["listed"])


@pytest.mark.parametrize("key", ["stage", "action", "at", "kind", "topic", "wait_s", "tokens", "context", "event"])
def test_field_that_names_things_is_kept(key: str) -> None:
    assert {key: "x"} == redact(None, "info", {key: "x"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("y" * 5000, "y" * LONGEST),
        (b"raw bytes", "9 bytes"),
        (DecodingError("request", PROMPT, b""), "undecodable"),
        (ValueError(PROMPT), "ValueError"),
        ((1, "a"), [1, "a"]),
        (Path("a/b"), "PosixPath"),
        (1.5, 1.5),
        (None, None),
    ],
)
def test_field_is_written_short_and_safe(value: object, expected: object) -> None:
    sink = Sink()
    sink.logger.info("x", thing=value)

    assert expected == sink.lines[0]["thing"]


@given(st.dictionaries(st.text(), JSON))
def test_redacted_fields_never_include_forbidden_ones(event: dict[str, Any]) -> None:
    got = redact(None, "info", {**event, "prompt": PROMPT, "inner": {"text": PROMPT}})

    assert PROMPT not in json.dumps(got)
    assert {key for key in event if not logs._forbidden(key)} | {"inner"} == set(got)


def test_exception_is_written_as_kind_and_lines_without_its_text() -> None:
    sink = Sink()
    try:
        failing()
    except ValueError:
        sink.logger.exception("failed", action="fail")

    [line] = sink.lines
    assert PROMPT not in sink.text
    assert ("ValueError", True) == (line["error"], line["trace"][-1].endswith(" failing"))


@pytest.mark.parametrize("error", [WorkerError("echo", "timeout", retryable=True), ValueError(PROMPT)])
def test_exception_given_as_value_is_written_as_kind(error: Exception) -> None:
    sink = Sink()
    sink.logger.error("failed", exc_info=error)

    assert ("worker_error" if isinstance(error, WorkerError) else "ValueError") == sink.lines[0]["error"]
    assert PROMPT not in sink.text


@pytest.mark.parametrize("nothing", [None, False])
def test_line_without_exception_has_no_trace(nothing: object) -> None:
    sink = Sink()
    sink.logger.info("x", exc_info=nothing)

    assert not {"trace", "error", "exc_info"} & set(sink.lines[0])


@pytest.mark.parametrize("name", ["faust.agents", "aiokafka.conn", "mode.services", "other"])
def test_warning_of_a_library_becomes_our_line(name: str) -> None:
    sink = Sink()
    logging.getLogger(name).warning("lost %s of %d", "connection", 3)

    [line] = sink.lines
    assert ("lost connection of 3", "library", name, "warning") == (
        line["event"],
        line["action"],
        line["logger"],
        line["level"],
    )


@pytest.mark.parametrize("level", ["debug", "info"])
@pytest.mark.parametrize("threshold", ["debug", "info"])
def test_chatter_of_libraries_is_left_out(level: str, threshold: str) -> None:
    sink = Sink(threshold)
    getattr(logging.getLogger("aiokafka.producer"), level)("Sending (key=%s value=%s)", b"k", PROMPT)

    assert "" == sink.text


@pytest.mark.parametrize(
    ("template", "args", "expected"),
    [
        ("crashed: %r", (ValueError(PROMPT),), "crashed: 'ValueError'"),
        ("record %s", (b"0123456789",), "record 10 bytes"),
        ("long %s", ("y" * 9000,), "long " + "y" * (LONGEST - 5)),
        ("no arguments", (), "no arguments"),
        ("too few %s %s", ("a",), "too few %s %s"),
        ("odd %d", ("a",), "odd %d"),
        ("named %(a)s", ({"a": 1},), "named %(a)s"),
    ],
)
def test_library_line_is_made_of_safe_arguments(template: str, args: tuple[object, ...], expected: str) -> None:
    sink = Sink()
    logging.getLogger("faust").error(template, *args)

    assert expected == sink.lines[0]["event"]


def test_line_of_our_own_keeps_its_action() -> None:
    sink = Sink()
    logging.getLogger("streams.engine.worker").warning("wiped %s", "a store", extra={"action": "wiped"})

    assert "wiped" == sink.lines[0]["action"]


def test_exception_of_a_library_has_no_text() -> None:
    sink = Sink()
    try:
        failing()
    except ValueError:
        logging.getLogger("mode").exception("Crashed")

    assert ("ValueError", False) == (sink.lines[0]["error"], PROMPT in sink.text)


def test_retries_are_logged_beside_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    set_on_retry_hooks(None)  # its own ones again: the command line takes them away for the whole process
    sink, failures = Sink("debug"), iter([OSError(PROMPT), None])
    for attempt in stamina.retry_context(on=OSError, wait_initial=0.001, wait_jitter=0):
        with attempt:
            if (failure := next(failures)) is not None:
                raise failure

    assert "" == capfd.readouterr().out
    assert (1, False) == (len(sink.lines), PROMPT in sink.text)


def test_failure_observed_is_one_warning_with_coordinates() -> None:
    sink = Sink()
    LogObserver(sink.logger).observe(observation())

    [line] = sink.lines
    assert ("warning", "infer", "failed", "deduped/3/1042", "too_large", 0.25, 0.5, 1) == tuple(
        line[key] for key in ("level", "stage", "action", "at", "kind", "wait_s", "work_s", "outputs")
    )


@pytest.mark.parametrize(("every", "expected"), [(False, []), (True, ["info"])])
def test_success_observed_is_logged_only_when_asked(every: bool, expected: list[str]) -> None:
    sink = Sink()
    LogObserver(sink.logger, every=every).observe(observation(kind=None))

    assert expected == [line["level"] for line in sink.lines]
