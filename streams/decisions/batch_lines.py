"""What does a line of a batch file ask for? JSON lines (requests, texts, OpenAI Batch), CSV rows and plain lines."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from streams.decisions.questions import Naming, Question, by_content
from topics.catalog import PROMPT_BYTES
from topics.errors import ConfigurationError

Kind = Literal["jsonl", "csv", "text"]
LINE_BYTES = 8 * PROMPT_BYTES  # JSON may write a character as six
CHAT = "/v1/chat/completions"
SHAPES = (
    'a line is a JSON object {"prompt": …}, a JSON string, or a line of an OpenAI Batch file; '
    "for plain lines name the file .txt, or pipe it through `jq -R .`"
)
SHOWN = 40  # characters of a value
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Good:
    """A row that can be asked.

    Args:
        line: Its number in the file, from 1.
        request: Field name → JSON value.
    """

    line: int
    request: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that cannot be asked.

    Args:
        line: Its number in the file, from 1.
        field: What of it is wrong.
        value: What stands there, without prompt text.
        fix: How to mend it.
    """

    line: int
    field: str
    value: object
    fix: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A row under its id.

    Args:
        line: Its number in the file, from 1.
        question: What is published.
    """

    line: int
    question: Question


Read = Good | Bad


def json_lines(lines: Iterable[bytes]) -> Iterator[Read]:
    """Rows of a file of JSON lines; empty lines are passed over.

    Args:
        lines: With or without their ends.

    Returns:
        One outcome a line that is not empty; a line of OpenAI's is known by its ``custom_id`` or its ``body``.
    """
    for number, line in enumerate(_bare(lines), start=1):
        if line.strip():
            yield _read(number, _json, line)


def text_lines(lines: Iterable[bytes]) -> Iterator[Read]:
    """Each line that is not empty as a prompt.

    Args:
        lines: With or without their ends.

    Returns:
        One outcome a line.
    """
    for number, line in enumerate(_bare(lines), start=1):
        if line.strip():
            yield _read(number, _plain, line)


def csv_rows(lines: Iterable[bytes], prompt_field: str = "prompt") -> Iterator[Read]:
    """Rows of a CSV file with a head: one column is the prompt, ``id`` is the id, all others become metadata.

    Args:
        lines: With their ends, as a cell may hold several lines.
        prompt_field: The name of the prompt's column.

    Returns:
        One outcome a row; its line is where it begins.

    Raises:
        ConfigurationError: The head has no such column, or has a name twice.
    """
    csv.field_size_limit(PROMPT_BYTES)  # of the whole process, 128 KiB by default: less than a prompt may have
    texts = (line.decode("utf-8", "surrogateescape") for line in _bare(lines))
    rows = csv.reader(texts, strict=True)
    head = [name.strip() for name in _row(rows) or [""]]
    if prompt_field not in head:
        known = ", ".join(name[:SHOWN] for name in head)
        raise ConfigurationError("--prompt-field", prompt_field, f"no such column; the file has: {known}")
    if twice := [name for number, name in enumerate(head) if name in head[:number]]:
        raise ConfigurationError("-f", twice[0][:SHOWN], "two columns are called so: give each its own name")
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows, None)
        except csv.Error as bad:
            yield Bad(line, "row", str(bad), "quote cells that hold commas, quotes or line ends; double quotes inside")
            continue
        if cells is None:
            return
        if cells:
            yield _read(line, _cells, head, cells, prompt_field)


def asked(rows: Iterable[Read], batch: str) -> Iterator[Asked | Bad]:
    """Each row under its own id, or one that every run of the same batch gives it.

    Args:
        rows: What was read.
        batch: The name of the batch.

    Returns:
        One outcome a row, in order; a row that is too large, or whose id an earlier one has, is bad.
    """
    naming = Naming(by_content(batch))
    for row in rows:
        yield row if isinstance(row, Bad) else _named(row, naming)


def kind_of(name: str, prompt_field: str | None) -> Kind:
    """How a file is read.

    Args:
        name: The file's name; ``-`` is standard input.
        prompt_field: The column named for the prompt, or None.

    Returns:
        ``csv`` for names that end so, and for standard input where a column is named; ``text`` for ``.txt``; else
        ``jsonl``.

    Raises:
        ConfigurationError: A column is named for a file that has none.

    >>> kind_of("in.CSV", None), kind_of("-", "question"), kind_of("in.jsonl", None)
    ('csv', 'csv', 'jsonl')
    """
    lowered = name.lower()
    if lowered.endswith(".csv") or (name == "-" and prompt_field is not None):
        return "csv"
    if prompt_field is not None:
        raise ConfigurationError("--prompt-field", prompt_field, "it names a column; give a file that ends in .csv")
    return "text" if lowered.endswith(".txt") else "jsonl"


def _named(row: Good, naming: Naming) -> Asked | Bad:
    try:
        return Asked(row.line, naming.question(row.request, "row"))
    except ConfigurationError as bad:
        return Bad(row.line, bad.field.removeprefix("row: "), bad.value, bad.fix)


def _bare(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines without the mark that some editors put before the first."""
    for number, line in enumerate(lines):
        yield line if number else line.removeprefix(BOM)


def _read(line: int, row: Callable[..., dict[str, Any]], *of: Any) -> Read:
    try:
        return Good(line, row(*of))
    except ConfigurationError as bad:
        return Bad(line, bad.field, bad.value, bad.fix)


def _row(rows: Iterator[list[str]]) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as bad:
        raise ConfigurationError("-f", "line 1", f"the head cannot be read as CSV: {bad}") from bad


def _json(line: bytes) -> dict[str, Any]:
    if len(line) > LINE_BYTES:
        raise ConfigurationError("line", f"more than {LINE_BYTES} bytes", "a request has at most 1 MiB")
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as bad:
        raise ConfigurationError("line", f"not JSON (column {bad.colno})", SHAPES) from bad
    if isinstance(found, str):
        return {"prompt": found}
    if not isinstance(found, dict):
        raise ConfigurationError("line", type(found).__name__, SHAPES)
    return _openai(found) if "custom_id" in found or "body" in found else found


def _plain(line: bytes) -> dict[str, Any]:
    if len(line) > LINE_BYTES:
        raise ConfigurationError("line", f"more than {LINE_BYTES} bytes", "a request has at most 1 MiB")
    try:
        return {"prompt": line.decode().rstrip("\r\n")}
    except UnicodeDecodeError as bad:
        raise ConfigurationError("line", f"not UTF-8 (byte {bad.start})", "save the file as UTF-8") from bad


def _openai(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of OpenAI's Batch format; what of its body has no field of ours goes to the model as it is."""
    id, body = line.get("custom_id"), line.get("body")
    if not isinstance(id, str) or not id:
        raise ConfigurationError("custom_id", _shown(id), "name each line with a text of at least one character")
    if line.get("method", "POST") != "POST":
        raise ConfigurationError("method", _shown(line["method"]), "use POST")
    if line.get("url") != CHAT:
        raise ConfigurationError("url", _shown(line.get("url")), f"use {CHAT}, the only one that is supported")
    if not isinstance(body, dict):
        raise ConfigurationError("body", type(body).__name__, 'give the call as {"model": …, "messages": […]}')
    if unknown := sorted(set(line) - {"custom_id", "method", "url", "body"}):
        raise ConfigurationError(
            unknown[0][:SHOWN], type(line[unknown[0]]).__name__, "OpenAI's lines have no such field"
        )
    return {"id": id, **_chat(body)}


def _chat(body: Mapping[str, Any]) -> dict[str, Any]:
    if "messages" not in body:
        raise ConfigurationError("body.messages", None, "give the conversation")
    for name, usual in (("stream", False), ("n", 1)):
        if body.get(name) not in (None, usual):
            raise ConfigurationError(f"body.{name}", _shown(body[name]), f"leave it out: a batch has only {usual}")
    own = {name: body[name] for name in ("model", "messages") if body.get(name) is not None}
    params = {name: value for name, value in body.items() if name not in {"model", "messages", "stream", "n"}}
    return {**own, "params": params} if params else own


def _cells(head: list[str], cells: list[str], prompt_field: str) -> dict[str, Any]:
    if len(cells) != len(head):
        raise ConfigurationError("row", f"{len(cells)} cells", f"the head has {len(head)} columns")
    if any("\udc80" <= letter <= "\udcff" for cell in cells for letter in cell):
        raise ConfigurationError("row", "not UTF-8", "save the file as UTF-8")
    named = dict(zip(head, cells, strict=True))
    prompt, id = named.pop(prompt_field), named.pop("id", None)
    if not prompt.strip():
        raise ConfigurationError(prompt_field, "", "give the row a prompt, or take it out")
    return {"prompt": prompt, **({"id": id} if id else {}), **({"metadata": named} if named else {})}


def _shown(value: object) -> object:
    return (
        value[:SHOWN] if isinstance(value, str) else value if isinstance(value, int | float) else type(value).__name__
    )


__all__ = ["Asked", "Bad", "Good", "Kind", "Read", "asked", "csv_rows", "json_lines", "kind_of", "text_lines"]
