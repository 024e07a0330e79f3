"""How do messages become bytes and back? Size first, then orjson (no NaN, bounded depth), then the model."""

from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from topics.catalog import INTERNAL_BYTES
from topics.errors import DecodingError

B = TypeVar("B", bound=BaseModel)


def encode(message: BaseModel) -> bytes:
    """The bytes of a message; equal messages whose JSON objects have their keys in equal order give equal bytes.

    Args:
        message: Any message, request or answer.

    Returns:
        UTF-8 JSON, fields in the order of the model, unknown ones last.
    """
    return message.__pydantic_serializer__.to_json(message)


def canonical(data: object) -> bytes:
    """JSON data as bytes that do not depend on the order of keys; for hashes and sizes."""
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)


def parse(raw: bytes | None, what: str, limit: int = INTERNAL_BYTES) -> object:
    """The JSON data of a value.

    Args:
        raw: A record's value; None is a tombstone.
        what: What it should be, for the error's text.
        limit: Bytes it may have, inclusive.

    Returns:
        Dicts, lists, texts, numbers, booleans or None.

    Raises:
        DecodingError: A tombstone, above the limit, or no JSON (NaN, broken UTF-8 and endless nesting are none). Keeps
            the raw bytes and never quotes them.
    """
    if raw is None:
        raise DecodingError(what, "the value is null (a tombstone)", raw)
    if len(raw) > limit:
        raise DecodingError(what, f"{len(raw)} bytes, the limit is {limit}", raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as bad:
        raise DecodingError(what, f"not JSON (line {bad.lineno} column {bad.colno})", raw) from bad


def decode(raw: bytes | None, into: type[B], limit: int = INTERNAL_BYTES) -> B:
    """A message from its bytes.

    Args:
        raw: A record's value; None is a tombstone.
        into: The model that it should fit.
        limit: Bytes it may have, inclusive.

    Returns:
        The message; internal ones keep fields that they do not know.

    Raises:
        DecodingError: As for ``parse``, or the first field that does not fit, by its path.
    """
    data = parse(raw, into.__name__, limit)
    try:
        return into.model_validate(data)
    except ValidationError as bad:
        first = bad.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "value"
        raise DecodingError(into.__name__, f"{where}: {first['type']}", raw) from bad
