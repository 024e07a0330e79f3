"""What did the user ask for? Requests from arguments, from a file of JSON lines, or from stdin."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from streams.client import Row
from topics.errors import ConfigurationError

STDIN = Path("-")


def requests_in(texts: list[str], source: Path | None, fields: Mapping[str, object]) -> list[Row]:
    """Every prompt as a request; ``fields`` are set on each, but a field of a line itself stays."""
    if bool(texts) == bool(source):
        raise ConfigurationError("submit", "nothing" if not texts else "both", "give TEXT, or -f IN.jsonl (- is stdin)")
    given = [{"prompt": text} for text in texts] if source is None else list(_lines(source))
    if "id" in fields and len(given) != 1:
        raise ConfigurationError("--id", fields["id"], f"it names one request, not {len(given)}")
    return [{**fields, **request} for request in given]


def assigned(option: str, pairs: list[str] | None) -> dict[str, object]:
    """``key=value`` options as fields; a value that is JSON is taken as such, else as text."""
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError(option, pair, "write key=value")
        found[name] = _json_or_text(value)
    return found


@contextmanager
def target(out: Path | None) -> Iterator[TextIO]:
    """The file to write to, or stdout."""
    if out is None:
        yield sys.stdout
        return
    try:
        stream = out.open("w", encoding="utf-8")
    except OSError as bad:
        raise ConfigurationError("--out", str(out), f"cannot be written: {bad.strerror}") from bad
    with stream:
        yield stream


def _lines(source: Path) -> Iterator[dict[str, object]]:
    try:
        text = sys.stdin.read() if source == STDIN else source.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as bad:
        raise ConfigurationError("-f", str(source), f"cannot be read: {type(bad).__name__}") from bad
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _request(line, number)


def _request(line: str, number: int) -> dict[str, object]:
    fix = 'a line is a JSON object {"prompt": …} or a JSON string'
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as bad:
        raise ConfigurationError("-f", f"line {number}", f"not JSON; {fix}") from bad
    if isinstance(found, str):
        return {"prompt": found}
    if isinstance(found, dict):
        return found
    raise ConfigurationError("-f", f"line {number}", fix)


def _json_or_text(value: str) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
