"""Where do log lines go, and what may they hold? One JSON object a line; never a prompt, an answer or a secret."""

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import structlog

from streams.ports import Observation
from topics.errors import kind_of

FORBIDDEN = re.compile(
    r"prompt|text|content|messages?|value|body|rendered|passages|headers|params|metadata|password|secret|token|jaas|api_?key"
    r"|authorization|caused_by|args|kwargs|sasl[._].*",
    re.IGNORECASE,
)
LONGEST = 300  # characters of any text: enough to name things, too little to carry a document
ENGINE = "engine"  # rebalances, lost ranges: rare, and an operator wants to see each
LIBRARIES = ("faust", "aiokafka", "mode", "aiohttp", "kafka", "asyncio")  # aiokafka's debug lines hold record values


def configure(to: BinaryIO | None = None, level: str = "info") -> Any:
    """Sends all logs of this process to an open file (default: stderr) and returns the project's logger."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _trace,
            redact,
            _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(to or sys.stderr.buffer),
    )
    logger = structlog.get_logger()
    logging.basicConfig(handlers=[_Routed(logger)], level=max(threshold, logging.WARNING), force=True)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    return logger


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops fields that could hold content or secrets, at any depth, and shortens long texts."""
    return {key: _short(value) for key, value in event.items() if not _forbidden(key)}


def _forbidden(key: object) -> bool:
    return FORBIDDEN.fullmatch(str(key)) is not None


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _short(inner) for key, inner in value.items() if not _forbidden(key)}
    if isinstance(value, list | tuple):
        return [_short(inner) for inner in value]
    if isinstance(value, BaseException):
        return kind_of(value)  # the text of a foreign error may quote what it failed on
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return value[:LONGEST] if isinstance(value, str) else value


def _trace(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception as its kind and the lines it passed, without its text."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        event["error"] = kind_of(error)
        event["trace"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    return event


def _line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps(event, default=lambda other: type(other).__name__, option=orjson.OPT_NON_STR_KEYS)


class _Routed(logging.Handler):
    """Lines of other libraries, as ours."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        action = getattr(record, "action", "library")  # modules of ours give their word as an extra field
        self._logger.log(
            record.levelno, _said(record), action=action, logger=record.name, exc_info=record.exc_info or None
        )


def _said(record: logging.LogRecord) -> str:
    args = record.args if isinstance(record.args, tuple) else ()
    try:
        return str(record.msg) % tuple(_short(arg) for arg in args)
    except (TypeError, ValueError):
        return str(record.msg)


class LogObserver:
    """Logs what failed; with ``every`` each handled record too."""

    def __init__(self, logger: Any, *, every: bool = False) -> None:
        self._logger, self._every = logger, every

    def observe(self, seen: Observation) -> None:
        """One line for a failure, and for what the engine itself tells: stage, action, coordinates, kind, times."""
        if seen.kind is None and seen.stage != ENGINE and not self._every:
            return
        write = self._logger.info if seen.kind is None else self._logger.warning
        at = f"{seen.topic}/{seen.partition}/{seen.offset}"
        times = {"wait_s": round(seen.wait_s, 6), "work_s": round(seen.work_s, 6)}
        write("record", stage=seen.stage, action=seen.action, at=at, kind=seen.kind, outputs=seen.outputs, **times)
