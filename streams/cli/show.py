"""How do answers and records look on stdout? Tables for people, JSON for programs; never a raw control character."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TextIO

Row = Mapping[str, object]

# What can move the cursor, change colours, reverse text or hide words from people: C0, DEL, C1, bidi controls, other
# invisible format characters, tag characters, lone surrogates. Joiners stay: scripts and emoji are written with them.
HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Format(StrEnum):
    """What ``-o`` accepts."""

    table = "table"
    json = "json"
    jsonl = "jsonl"


def clean(text: str) -> str:
    """The text with everything that could steer a terminal written out: ``\\x1b``, ``\\u202e``."""
    return HARMFUL.sub(_written_out, text)


def prose(text: str) -> str:
    """The same, keeping line ends and tabs: for text that stands alone."""
    return HARMFUL.sub(lambda hit: hit[0] if hit[0] in "\n\t" else _written_out(hit), text)


def short(text: str, limit: int) -> str:
    """At most ``limit`` characters, and how many more there are."""
    more = len(text) - limit
    return text if more <= 0 else f"{text[:limit]}… ({more} more characters: -o json has all)"


def json_text(value: object, indent: int | None = None) -> str:
    """Valid JSON in which no raw control character is left."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return HARMFUL.sub(lambda hit: hit[0] if hit[0] == "\n" else json.dumps(hit[0])[1:-1], text)


def as_text(raw: bytes | None) -> object:
    """Bytes as text, else ``{"undecodable": …}`` with the bytes written out; None stays."""
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"undecodable": raw.decode("ascii", "backslashreplace")}


def decoded(raw: bytes | None) -> object:
    """A record's value as JSON where it is some, else as text, else as bytes written out."""
    try:
        return None if raw is None else json.loads(raw, parse_constant=str)
    except (ValueError, RecursionError):
        return as_text(raw)


def on_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty()


def cell(value: object) -> str:
    """One value as a table shows it."""
    if value is None:
        return "-"
    return (
        clean(value) if isinstance(value, str) else json_text(value) if isinstance(value, dict | list) else str(value)
    )


def line(row: Row) -> str:
    """A row as one plain line, for output that arrives bit by bit."""
    return "\t".join(cell(value) for value in row.values())


def rows(found: Iterable[Row], how: Format, columns: Sequence[str], out: TextIO | None = None) -> None:
    """Writes all rows at once; ``columns`` are what a table shows, JSON has every field."""
    stream = out or sys.stdout
    if how is Format.json:
        stream.write(json_text(list(map(dict, found)), indent=2) + "\n")
    elif how is Format.jsonl:
        stream.writelines(json_text(dict(row)) + "\n" for row in found)
    else:
        _table(list(found), columns, stream)
    stream.flush()


def one(row: Row, how: Format, out: TextIO | None = None) -> None:
    """Writes a single thing: an object in JSON, a line a field in a table."""
    stream = out or sys.stdout
    if how is Format.table:
        width = max(map(len, row), default=0)
        stream.writelines(f"{name:<{width}}  {cell(value)}\n" for name, value in row.items())
    else:
        stream.write(json_text(dict(row), indent=2 if how is Format.json else None) + "\n")
    stream.flush()


def _table(found: list[Row], columns: Sequence[str], stream: TextIO) -> None:
    lines = [[cell(row.get(name)) for name in columns] for row in found]
    if stream.isatty():
        _rich_table(lines, columns, stream)
        return
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    head = [name.upper() for name in columns]
    stream.writelines("  ".join(map(str.ljust, texts, widths)).rstrip() + "\n" for texts in (head, *lines))


def _rich_table(lines: list[list[str]], columns: Sequence[str], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.upper(), overflow="fold")
    for texts in lines:
        table.add_row(*map(Text, texts))  # Text: brackets in answers are no markup
    Console(file=stream, highlight=False).print(table)  # rich honours NO_COLOR


def _written_out(hit: re.Match[str]) -> str:
    code = ord(hit[0])
    return SHORT.get(hit[0]) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65_536 else f"\\U{code:08x}"
    )
