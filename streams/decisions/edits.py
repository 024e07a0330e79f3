"""What does a request become when a person changes fields of it before it is sent again?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from streams.decisions import limits
from streams.decisions.limits import FEATURES, AdmissionPolicy
from topics import wire
from topics.catalog import PROMPT_BYTES
from topics.errors import ConfigurationError, DecodingError
from topics.messages import Disposition

OPTION = "--edit"
NOTATION = "write --edit FIELD=JSON, for example --edit 'model=\"small\"' or --edit params.max_tokens=256"
KEPT = frozenset({"id", "tenant"})  # by them the answer is found again, and the dead letter recognised


@dataclass(frozen=True, slots=True)
class Edit:
    """A field, by the names on the way to it, and its new value; None gives it its default again."""

    path: tuple[str, ...]
    value: Any

    @property
    def field(self) -> str:
        """As it was written: ``params.max_tokens``."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Edited:
    """The changed request, UTF-8 JSON, and the SHA-256 (hex) of its bytes before and after."""

    value: bytes
    before: str
    after: str


def parse(text: str) -> Edit:
    """The change that a person wrote.

    Args:
        text: ``FIELD=JSON``; dots lead into objects.

    Returns:
        The change.

    Raises:
        ConfigurationError: It is not written so, or the field must stay as it is.

    >>> parse("params.seed=7")
    Edit(path=('params', 'seed'), value=7)
    """
    field, equals, written = text.partition("=")
    path = tuple(field.strip().split("."))
    if not equals or not all(path):
        raise ConfigurationError(OPTION, field, NOTATION)
    if path[0] in KEPT:
        raise ConfigurationError(OPTION, field, "it stays as it was: by it the answer is found again")
    try:
        return Edit(path, wire.parse(written.encode(errors="surrogateescape"), field))
    except DecodingError as bad:
        raise ConfigurationError(OPTION, field, f"its value is no JSON; {NOTATION}") from bad


def apply(value: bytes | None, disposition: Disposition | str | None, edits: Sequence[Edit]) -> Edited:
    """A request with its changes.

    Args:
        value: The bytes of the dead letter.
        disposition: Why it was buried: ``undecodable`` bytes are no text of a prompt, so all has to come from the
            changes.
        edits: In order; a later one of the same field wins.

    Returns:
        The request as it is to be sent.

    Raises:
        ConfigurationError: What comes out is no request; says why, without words of the prompt.
    """
    data = _base(value, disposition)
    for edit in edits:
        data = _with(data, edit, edit.path)
    _, violations = limits.inspect(data, _door(data))
    if violations:
        raise ConfigurationError(OPTION, _names(edits), f"this makes no request: {limits.told(violations)}")
    raw = orjson.dumps(data)
    if len(raw) > PROMPT_BYTES:
        raise ConfigurationError(OPTION, _names(edits), f"this makes {len(raw)} bytes, the limit is {PROMPT_BYTES}")
    return Edited(raw, sha256(value or b"").hexdigest(), sha256(raw).hexdigest())


def _base(value: bytes | None, disposition: str | None) -> dict[str, Any]:
    try:
        data = wire.parse(value, "request")
    except DecodingError:
        data = None
    if isinstance(data, dict):
        return data
    if disposition == "undecodable":
        return {}
    return {"prompt": (value or b"").decode(errors="replace")}


def _with(data: Mapping[str, Any], edit: Edit, path: tuple[str, ...]) -> dict[str, Any]:
    name, *rest = path
    inner = data.get(name)
    if not rest:
        return {**data, name: edit.value}
    if inner is not None and not isinstance(inner, dict):
        raise ConfigurationError(OPTION, edit.field, f"{name} is no object: give it a whole value")
    return {**data, name: _with(inner or {}, edit, tuple(rest))}


def _door(data: Mapping[str, Any]) -> AdmissionPolicy:
    """What every door agrees on; templates and features of the day are known to the one that will see it."""
    template = data.get("template")
    known = {template: ""} if isinstance(template, str) else {}
    return AdmissionPolicy(max_id_bytes=4096, ready=frozenset(FEATURES), templates=known)


def _names(edits: Sequence[Edit]) -> str:
    return ", ".join(edit.field for edit in edits)
