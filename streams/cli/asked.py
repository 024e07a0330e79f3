"""What did the user ask for? Requests from arguments, from a file, or from stdin, and options as fields of them."""

import json
from collections.abc import Mapping
from pathlib import Path

from streams.client.source import STDIN, Source
from streams.decisions.batch_lines import Bad, Read
from streams.decisions.questions import Naming, by_content
from topics.errors import ConfigurationError


def source_of(
    texts: list[str], path: Path | None, fields: Mapping[str, object], prompt_field: str | None = None
) -> Source:
    """Where the rows come from; ``fields`` are set on each, but a field of a row itself stays."""
    if bool(texts) == bool(path):
        raise ConfigurationError("submit", "nothing" if not texts else "both", "give TEXT, or -f IN.jsonl (- is stdin)")
    if texts and prompt_field is not None:
        raise ConfigurationError("--prompt-field", prompt_field, "it names a column; give a CSV file with -f")
    if "id" in fields and len(texts) != 1:
        raise ConfigurationError("--id", fields["id"], "it names one request; give one TEXT")
    return Source(path, tuple(texts), prompt_field, fields)


def requests_in(source: Source) -> list[dict[str, object]]:
    """Every row as a request; the first that cannot be asked is an error, so that nothing is published by halves."""
    naming, option = Naming(by_content("")), "TEXT" if source.path is None else "-f: line"
    return [_good(row, f"{option} {row.line}", naming) for row in source.rows()]


def assigned(option: str, pairs: list[str] | None) -> dict[str, object]:
    """``key=value`` options as fields; a value that is JSON is taken as such, else as text."""
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError(option, pair, "write key=value")
        found[name] = _json_or_text(value)
    return found


def _good(row: Read, where: str, naming: Naming) -> dict[str, object]:
    if isinstance(row, Bad):
        raise ConfigurationError(f"{where}: {row.field}", row.value, row.fix)
    naming.question(row.request, where)
    return row.request


def _json_or_text(value: str) -> object:
    try:
        return json.loads(value, parse_constant=str)
    except (ValueError, RecursionError):
        return value


__all__ = ["STDIN", "assigned", "requests_in", "source_of"]
