"""Which request does a row mean, and under which id, so that asking again is the same request?"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from streams.decisions.identity import framed
from topics.catalog import PROMPT_BYTES
from topics.errors import ConfigurationError
from topics.request import Request
from topics.wire import canonical

ID_BYTES = 4096  # the most that `admit.max_id_bytes` can be set to; the id is the record's key too
NO_JSON = (TypeError, ValueError)  # as the two writers say it
SHOWN = 40  # characters of an id that is too long

Row = str | Mapping[str, Any] | Request
Namer = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is ready to be published.

    Args:
        id: The request's id.
        value: The request as JSON, UTF-8.
    """

    id: str
    value: bytes

    @property
    def key(self) -> bytes:
        """The id as a record key."""
        return self.id.encode()


def request(row: object, where: str) -> dict[str, Any]:
    """The request that a row means; its fields are left as they are, the pipeline judges them.

    Args:
        row: A prompt, a request as a mapping, or a ``Request``.
        where: The row's place, for the error: ``row 3``.

    Returns:
        Field name → JSON value; never the row itself.

    Raises:
        ConfigurationError: The row is none of these.

    >>> request("hi", "row 1")
    {'prompt': 'hi'}
    """
    if isinstance(row, str):
        return {"prompt": row}
    if isinstance(row, Request):
        return row.model_dump(mode="json", exclude_defaults=True)
    if isinstance(row, Mapping):
        return dict(row)
    raise ConfigurationError(where, type(row).__name__, "a row is a prompt or a request object")


def by_content(batch: str) -> Namer:
    """Names rows so that a rerun, with rows added or taken away, gives each of the others the name it had.

    Args:
        batch: The name of the batch; two batches never share a name of a row.

    Returns:
        A rule from a request to its id: a hash over batch, content, and how often that content came before.

    >>> name = by_content("mine")
    >>> name({"prompt": "a"}) == name({"prompt": "a"}), name({"prompt": "b"}) == by_content("mine")({"prompt": "b"})
    (False, True)
    """
    times: dict[int, int] = {}

    def named(content: Mapping[str, Any]) -> str:
        said = canonical({name: value for name, value in content.items() if name != "id"})
        place = _number(said)
        before = times[place] = times.get(place, -1) + 1
        return f"r-{sha256(framed(batch.encode(), said, b'%d' % before)).hexdigest()[:24]}"

    return named


@dataclass(slots=True)
class Naming:
    """Gives each row of one question its id, and refuses an id that comes twice.

    Args:
        made: Makes the id of a row that brings none.
    """

    made: Namer
    _taken: set[int] = field(default_factory=set)

    def question(self, row: object, where: str) -> Question:
        """The row as it will be published; ``ConfigurationError`` names what is wrong with it."""
        asked = request(row, where)
        encoded(asked, where)
        id = self.made(asked) if asked.get("id") is None else asked["id"]
        if not isinstance(id, str) or not 0 < len(id.encode()) <= ID_BYTES:
            shown = id[:SHOWN] if isinstance(id, str) else id
            raise ConfigurationError(f"{where}: id", shown, f"an id is a text of 1 to {ID_BYTES} bytes")
        value = encoded({**asked, "id": id}, where)
        if len(value) > PROMPT_BYTES:
            raise ConfigurationError(where, f"{len(value)} bytes", f"a request has at most {PROMPT_BYTES}")
        if (number := digest(id)) in self._taken:
            raise ConfigurationError(f"{where}: id", id, "it is taken by an earlier row: give each its own")
        self._taken.add(number)
        return Question(id, value)


def encoded(asked: Mapping[str, Any], where: str) -> bytes:
    """A request as JSON.

    Args:
        asked: Field name → value.
        where: The row's place, for the error.

    Returns:
        UTF-8.

    Raises:
        ConfigurationError: A value is no JSON (an object, a lone surrogate, NaN, a name that is no text).
    """
    try:
        return _json(asked)
    except NO_JSON as bad:
        field = next((name for name, value in asked.items() if not _is_json({name: value})), "")
        fix = f"it cannot be written as JSON: {bad}"
        raise ConfigurationError(f"{where}: {str(field)[:SHOWN]}", type(asked.get(field)).__name__, fix) from bad


def digest(id: str) -> int:
    """An id in 128 bits, so that a million of them fit into a set.

    Args:
        id: Any text that is valid UTF-8.

    Returns:
        A number below 2¹²⁸; two ids share one with a chance that is never met.

    >>> digest("a") == digest("b")
    False
    """
    return _number(id.encode())


def _json(asked: Mapping[str, Any]) -> bytes:
    raw = orjson.dumps(asked)
    if b"null" in raw:  # NaN and the infinities are written so too
        json.dumps(asked, allow_nan=False, default=str)
    return raw


def _is_json(asked: Mapping[str, Any]) -> bool:
    try:
        return bool(_json(asked))
    except NO_JSON:
        return False


def _number(raw: bytes) -> int:
    return int.from_bytes(sha256(raw).digest()[:16])


__all__ = ["Namer", "Naming", "Question", "Row", "by_content", "digest", "encoded", "request"]
