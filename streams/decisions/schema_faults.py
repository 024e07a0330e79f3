"""What may not stand in a JSON schema that a caller sent? What leads out of it, cannot be bounded, or is no schema."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

from pydantic_core import SchemaError, SchemaValidator, core_schema

FIELD = "response_format"
DEEPEST = 64  # levels of nesting, of a schema and of an answer: each takes some frames of the stack
KEPT = 256  # compiled patterns of one process
SHOWN, SHOWN_PARTS = 40, 12  # characters of a name in a path, parts of a path
UNCHECKED = {
    "patternProperties": "is not supported: name the properties",
    "$dynamicRef": "is not supported: use $ref",
    "$recursiveRef": "is not supported: use $ref",
}
ROOT_ONLY = ("$schema", "$id")
ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
NAMED = ("properties", "$defs", "definitions", "dependentSchemas")
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A format that no answer can be checked against: where in the request, and why."""

    path: str
    reason: str


def fault(schema: dict[str, Any]) -> Unusable | None:
    """The first thing for which a schema cannot be applied.

    Args:
        schema: Of at most ``DEEPEST`` levels, without ``$schema`` and ``$id`` at its root.

    Returns:
        Its place in the request and what is wrong, or None. Data within the schema is looked at as well, because a
        ``$ref`` could lead into it.

    >>> fault({"items": {"$ref": "file:///etc/hosts"}})
    Unusable(path='response_format.json_schema.schema.items.$ref', reason='leads to no schema inside this one')
    """
    return next(_faults(schema), None) or _misshapen(schema)


def _misshapen(schema: dict[str, Any]) -> Unusable | None:
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import SchemaError as Misshapen

    try:
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except Misshapen as bad:
        return Unusable(in_request(tuple(bad.absolute_path)), "is no valid JSON Schema (draft 2020-12)")
    except RecursionError:
        return Unusable(in_request(()), "is nested too deeply")
    return None


def deeper(value: object) -> bool:
    """Whether something is nested deeper than can be looked at."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inner(outer)]
    return bool(level)


def _inner(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


@lru_cache(maxsize=KEPT)
def regex(pattern: str) -> SchemaValidator:
    """A matcher that takes linear time, unlike the standard library's; ``SchemaError`` where there is none."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern))


def _faults(schema: dict[str, Any]) -> Iterator[Unusable]:
    for place, node in objects(schema):
        for name, value in node.items():
            reason = _refused(schema, name, value, at_root=not place)
            if reason is not None:
                yield Unusable(in_request((*place, name)), reason)


def _refused(schema: dict[str, Any], name: str, value: object, *, at_root: bool) -> str | None:
    if name in UNCHECKED and isinstance(value, str | dict):
        return UNCHECKED[name]
    if name in ROOT_ONLY and isinstance(value, str):
        return "may stand at the root only"
    if name == "$ref" and isinstance(value, str) and not _leads_to_schema(schema, value):
        return "leads to no schema inside this one"
    return _bad_pattern(value) if name == "pattern" and isinstance(value, str) else None


def _bad_pattern(pattern: str) -> str | None:
    try:
        regex(pattern)
    except SchemaError:
        return "cannot be matched in bounded time: no look-around, back-reference or huge repetition"
    return None


def _leads_to_schema(schema: dict[str, Any], ref: str) -> bool:
    """Whether a JSON pointer goes from schema to schema: elsewhere stand values that were never checked to be one."""
    found: Any = schema
    parts = [unquote(part).replace("~1", "/").replace("~0", "~") for part in ref.split("/")]
    rest = iter(parts[1:])
    for keyword in rest:
        found = found.get(keyword) if isinstance(found, dict) else None
        if keyword in NAMED:
            found = found.get(next(rest, "")) if isinstance(found, dict) else None
        elif keyword in LISTED:
            found = _item(found, next(rest, ""))
        elif keyword not in ONE:
            return False
    return parts[0] == "#" and isinstance(found, dict | bool)


def _item(found: object, number: str) -> object:
    fits = isinstance(found, list) and number.isascii() and number.isdecimal() and len(number) <= 6
    return cast(list[object], found)[int(number)] if fits and int(number) < len(cast(list[object], found)) else None


def objects(schema: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every object of a schema and where it stands, itself the first at ``()``."""
    waiting: list[tuple[Place, Any]] = [((), schema)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, dict):
            yield place, node
        inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        waiting.extend(((*place, step), value) for step, value in inner)


def in_request(place: Place) -> str:
    """The place as a path from the request's own fields on, for the caller to find it."""
    path = (FIELD, "json_schema", "schema", *place)
    return ".".join(printable(str(part)) for part in path[:SHOWN_PARTS]) + "…" * (len(path) > SHOWN_PARTS)


def printable(name: str) -> str:
    """A name that may be shown: shortened, question marks for what has no picture."""
    return "".join(char if char.isprintable() else "?" for char in name[:SHOWN])
