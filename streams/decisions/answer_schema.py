"""Does an answer fit the JSON schema that its request asked for? Both may be hostile, so the work is bounded.

Schemas are read as draft 2020-12 and refer only to themselves; patterns are matched in linear time; every rule that is
applied counts as steps, and so do the sizes it looks at.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import orjson
from pydantic_core import ValidationError

from streams.decisions import schema_faults
from streams.decisions.schema_faults import (
    DEEPEST,
    FIELD,
    ROOT_ONLY,
    SHOWN_PARTS,
    Unusable,
    deeper,
    in_request,
    printable,
)
from topics.errors import AnswerInvalid, DecodingError
from topics.wire import canonical, parse

SCHEMA_BYTES = 64 * 1024
ANSWER_BYTES = 256 * 1024  # longer texts are not compared with a schema: they fail
STEPS = 100_000  # about half a second
KEPT = 256  # compiled schemas of one process
TELLING = frozenset(("type", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "multipleOf"))
COMPARING = frozenset(("const", "enum", "uniqueItems"))  # rules that may look at all of two values

Rule = Callable[[Any, Any, Any, Any], Any]


@dataclass(slots=True)
class Steps:
    """What is left of the work that one check may take."""

    left: int = STEPS

    def take(self, count: int) -> None:
        """Counts work; ``AnswerInvalid`` when there was too much of it."""
        self.left -= count
        if self.left < 0:
            raise AnswerInvalid("$", f"checking it takes more than {STEPS} steps")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema that is ready to be applied; ``names`` are those that the caller wrote, so they may be shown."""

    validator: Any
    names: frozenset[str]
    steps: Steps = field(default_factory=Steps)


def asked(params: Mapping[str, Any]) -> Compiled | Unusable | None:
    """What the answer to a request has to fit.

    Args:
        params: The request's parameters; ``response_format`` has OpenAI's shape.

    Returns:
        The compiled schema of ``json_schema`` and ``json_object``, why it cannot be one, or None where nothing is asked
        (no format, ``text``, or a type that only the provider knows).

    >>> asked({"response_format": {"type": "json_schema"}})
    Unusable(path='response_format.json_schema.schema', reason='is missing')
    """
    wanted = params.get(FIELD)
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or not isinstance(wanted.get("type"), str):
        return Unusable(FIELD, "should be an object with a 'type'")
    if wanted["type"] == "json_object":
        return _compiled(b'{"type":"object"}')
    if wanted["type"] != "json_schema":
        return None
    around = wanted.get("json_schema")
    schema = around.get("schema") if isinstance(around, dict) else None
    if schema is None:
        return Unusable(in_request(()), "is missing")
    if deeper(schema):
        return Unusable(in_request(()), f"is nested deeper than {DEEPEST} levels")
    raw = canonical(schema)
    if len(raw) > SCHEMA_BYTES:
        return Unusable(in_request(()), f"{len(raw)} bytes, the limit is {SCHEMA_BYTES}")
    return _compiled(raw)


def misfit(text: str, compiled: Compiled) -> AnswerInvalid | None:
    """What is wrong with an answer.

    Args:
        text: The whole answer; it should be one JSON value.
        compiled: What it has to fit.

    Returns:
        The first rule that it breaks, by its place in the answer, without any word of it; None where it fits.
    """
    from jsonschema.exceptions import ValidationError as Broken

    compiled.steps.left = STEPS
    try:
        data = parse(text.encode(), "answer", ANSWER_BYTES)
        if deeper(data):
            return AnswerInvalid("$", f"it is nested deeper than {DEEPEST} levels")
        broken: Broken | None = next(compiled.validator.iter_errors(data), None)
    except DecodingError as bad:
        return AnswerInvalid("$", bad.reason)
    except AnswerInvalid as endless:
        return endless
    except RecursionError:
        return AnswerInvalid("$", "it is nested too deeply to be checked")
    return None if broken is None else AnswerInvalid(_in_answer(broken, compiled.names), _rule(broken))


@lru_cache(maxsize=KEPT)
def _compiled(raw: bytes) -> Compiled | Unusable:
    """From the canonical bytes, so that the rules stand in one order whoever asks."""
    schema = orjson.loads(raw)
    if not isinstance(schema, dict):
        return Unusable(in_request(()), "should be an object")
    schema = {name: value for name, value in schema.items() if name not in ROOT_ONLY}
    found = schema_faults.fault(schema)
    if found is not None:
        return found
    steps = Steps()
    return Compiled(_validator(schema, steps), frozenset(_names(schema)), steps)


def _validator(schema: dict[str, Any], steps: Steps) -> Any:
    """A validator that counts, matches patterns in linear time and fetches nothing."""
    from jsonschema import Draft202012Validator, validators
    from referencing.jsonschema import EMPTY_REGISTRY

    rules = {**Draft202012Validator.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique}
    counted = {name: _counted(name, cast(Rule, rule), steps) for name, rule in rules.items()}
    return validators.extend(Draft202012Validator, counted)(schema, registry=EMPTY_REGISTRY)


def _counted(name: str, rule: Rule, steps: Steps) -> Rule:
    size = _whole_size if name in COMPARING else _size

    def check(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
        steps.take(1 + (size(instance) + (size(wanted) if isinstance(instance, dict | list) else 0)) // 16)
        return rule(validator, wanted, instance, schema)

    return check


def _size(value: object) -> int:
    """How much there is to look at on one level; text is looked at much faster than data."""
    return len(value) // 64 if isinstance(value, str) else len(value) if isinstance(value, dict | list) else 0


def _whole_size(value: object) -> int:
    """How much there is to look at on all levels."""
    return len(canonical(value)) if isinstance(value, dict | list) else _size(value)


def _pattern(validator: Any, wanted: str, instance: Any, schema: Any) -> Iterator[Exception]:
    from jsonschema.exceptions import ValidationError as Broken

    if isinstance(instance, str) and not _matches(wanted, instance):
        yield Broken("pattern")


def _unique(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[Exception]:
    from jsonschema.exceptions import ValidationError as Broken

    if wanted and isinstance(instance, list) and len({canonical(_whole(one)) for one in instance}) < len(instance):
        yield Broken("uniqueItems")


def _whole(value: Any) -> Any:
    """The same data with 1.0 as 1: they are one number to JSON Schema."""
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _matches(pattern: str, text: str) -> bool:
    try:
        schema_faults.regex(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


def _names(schema: dict[str, Any]) -> Iterator[str]:
    for _, node in schema_faults.objects(schema):
        yield from node
        required = node.get("required")
        yield from (name for name in required if isinstance(name, str)) if isinstance(required, list) else ()


def _rule(broken: Any) -> str:
    wanted = broken.validator_value
    if broken.validator == "required":
        missing = next((name for name in wanted if name not in broken.instance), "")
        return f"required {printable(missing)}"
    telling = broken.validator in TELLING and isinstance(wanted, str | int | float)
    return f"{broken.validator} {wanted}" if telling else str(broken.validator)


def _in_answer(broken: Any, names: frozenset[str]) -> str:
    """The path in the answer; a name that only the answer has is a star."""
    known = (part if isinstance(part, int) or part in names else None for part in broken.absolute_path)
    parts = [f"[{part}]" if isinstance(part, int) else f".{printable(part or '*')}" for part in known]
    return "$" + "".join(parts[:SHOWN_PARTS]) + "…" * (len(parts) > SHOWN_PARTS)


__all__ = ["FIELD", "Compiled", "Steps", "Unusable", "asked", "misfit"]
