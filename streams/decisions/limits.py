"""Which requests are well-formed but not allowed, and what is wrong with each?

A table of checks, each from a request and the policy to its violations; all are reported at once. What a violation
says never holds prompt text: values are shown for the few fields that cannot hold any.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from topics.catalog import PROMPT_BYTES
from topics.errors import ConfigurationError
from topics.request import Request
from topics.wire import canonical

DEEPEST = 200  # the JSON writers give up at 254, and messages wrap requests in a few levels more
SHOWN = 40  # characters of a name or value
REPORTED = 20  # violations of one request
NAMED = 400  # characters of the templates that there are
NAMES = ("id", "model", "tenant", "session", "template", "reply_to")
TELLING = frozenset(
    {*NAMES, "priority", "timeout_s", "sample", "stream", "dedup", "retrieve.k"}
)  # values that may be repeated
FEATURES = {field: Request.model_fields[field].default for field in ("session", "stream", "reply_to")}
OWNED = {
    **dict.fromkeys(("model", "messages", "prompt"), "set the request's own field instead"),
    **dict.fromkeys(("stream", "stream_options"), "whether pieces are wanted is a field of the request"),
    "n": "send several requests with distinct `sample` numbers instead",
    "timeout": "set `timeout_s` of the request instead",
    **dict.fromkeys(
        ("api_key", "base_url", "extra_headers", "extra_query", "extra_body"), "connections are the pipeline's settings"
    ),
}
# Tag characters are words that nobody sees; bidi controls and line separators show a name as another one.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """The knobs of ``admit``. All bounds are inclusive.

    Args:
        plain_text: Whether a value that is no JSON is a prompt (each line a paid one) without a header that says so.
        max_prompt_bytes: Bytes of the prompt's text, or of the conversation as JSON.
        max_messages: Messages of a conversation.
        max_params: Provider parameters.
        max_depth: Levels of nesting, the request itself being the first; at most 200.
        max_metadata_bytes: Bytes of ``metadata`` as JSON.
        max_id_bytes: Bytes of an id, and of every other name (model, tenant, …).
        max_timeout_s: Seconds; seven days, never above the retention.
        keep_s: Seconds after which a request that is not answered is answered ``expired``; None: never.
        max_k: Passages of a request.
        max_filters: Values that a filter names, over all its names.
        ready: Optional fields whose feature is there; any other value than the default is refused for the rest.
        templates: Name of each template that a request may ask for → its version, 64 hex digits.
        system_hash: Hash of the system text that requests without one of their own get; None: they get none.

    Raises:
        ConfigurationError: ``max_depth`` is above what can be written.
    """

    plain_text: bool = False
    max_prompt_bytes: int = PROMPT_BYTES
    max_messages: int = 1000
    max_params: int = 64
    max_depth: int = 64
    max_metadata_bytes: int = 16 * 1024
    max_id_bytes: int = 256
    max_timeout_s: float = 7 * 86_400
    keep_s: float | None = None
    max_k: int = 50
    max_filters: int = 32
    ready: frozenset[str] = frozenset()
    templates: Mapping[str, str] = field(default_factory=dict)
    system_hash: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "templates", MappingProxyType(dict(self.templates)))
        if self.max_depth > DEEPEST:
            raise ConfigurationError("admit.max_depth", self.max_depth, f"set at most {DEEPEST}")


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong: where, the value (JSON, shortened) where it may be shown, what, and how to mend it."""

    path: str
    reason: str
    value: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value}"
        hint = "" if self.hint is None else f" ({self.hint})"
        return f"{self.path}{shown}: {self.reason}{hint}"


Check = Callable[[Request, AdmissionPolicy], Iterable[Violation]]


def inspect(data: Mapping[str, Any], policy: AdmissionPolicy) -> tuple[Request, tuple[Violation, ...]]:
    """What of a JSON object is a request, and all that is wrong with it.

    Args:
        data: A JSON object, as the parser made it.
        policy: The limits.

    Returns:
        The request made of the fields that are right by themselves (defaults stand for the others), and the
        violations, none for a valid request.
    """
    flat = {name: value for name, value in data.items() if _fits(value, policy.max_depth - 1)}
    deep = [
        _over(_printable(name), "levels of nesting", "too many", policy.max_depth) for name in data if name not in flat
    ]
    request, misshapen = _shape(flat)
    checked = [violation for check in CHECKS for violation in check(request, policy)]
    return request, (*deep, *misshapen, *_one_prompt(data), *checked)


def told(violations: tuple[Violation, ...]) -> str:
    """All violations in one line; beyond the first twenty only their number.

    Args:
        violations: At least one.

    Returns:
        Their texts, joined by semicolons.
    """
    more = len(violations) - REPORTED
    return "; ".join(str(one) for one in violations[:REPORTED]) + (f"; and {more} more" if more > 0 else "")


def _shape(data: dict[str, Any]) -> tuple[Request, list[Violation]]:
    try:
        return Request.model_validate(data), []
    except ValidationError as bad:
        errors = bad.errors(include_url=False, include_context=False)
    wrong = {error["loc"][0] for error in errors}
    sound = {name: value for name, value in data.items() if name not in wrong}
    return Request.model_validate(sound), [_misshapen(error["loc"], error["type"], error) for error in errors]


def _misshapen(where: tuple[int | str, ...], kind: str, error: Mapping[str, Any]) -> Violation:
    path = ".".join(_printable(str(part)) for part in where)
    if kind == "extra_forbidden":
        near = get_close_matches(str(where[0])[:SHOWN], Request.model_fields, n=1) if len(where) == 1 else []
        return Violation(path, "unknown field", hint=f"did you mean {near[0]}?" if near else None)
    reason = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return Violation(path, reason, _shown(path, error["input"]))


def _one_prompt(data: Mapping[str, Any]) -> Iterator[Violation]:
    given = [name for name in ("prompt", "messages") if data.get(name) is not None]
    if len(given) != 1:
        reason = "both are given" if given else "neither is given"
        yield Violation("prompt, messages", reason, hint="a request needs exactly one of them")


def _fits(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_fits(one, levels - 1) for one in inner)


def _content(request: Request, policy: AdmissionPolicy) -> Iterator[Violation]:
    if request.prompt is not None and not request.prompt.strip():
        yield Violation("prompt", "is empty")
    if request.messages is not None and not request.messages:
        yield Violation("messages", "is empty")
    for index, message in enumerate(request.messages or ()):
        if message.content is None and not message.tool_calls:
            yield Violation(f"messages.{index}.content", "is empty")


def _sizes(request: Request, policy: AdmissionPolicy) -> Iterator[Violation]:
    said = request.model_dump(mode="json", include={"messages"}, exclude_defaults=True).get("messages", [])
    sizes = (
        ("prompt", "bytes", len((request.prompt or "").encode()), policy.max_prompt_bytes),
        ("messages", "bytes", len(canonical(said)), policy.max_prompt_bytes),
        ("messages", "messages", len(said), policy.max_messages),
        ("params", "parameters", len(request.params), policy.max_params),
        ("metadata", "bytes", len(canonical(request.metadata)), policy.max_metadata_bytes),
    )
    yield from (_over(field, unit, size, limit) for field, unit, size, limit in sizes if size > limit)


def _names(request: Request, policy: AdmissionPolicy) -> Iterator[Violation]:
    for path in NAMES:
        name = getattr(request, path)
        if name is None:
            continue
        if not name or CONTROL.search(name):
            yield Violation(path, "is empty or holds control or tag characters", _shown(path, name))
        if len(name.encode()) > policy.max_id_bytes:
            yield _over(path, "bytes", len(name.encode()), policy.max_id_bytes)


def _owned(request: Request, policy: AdmissionPolicy) -> Iterator[Violation]:
    for name in request.params:
        if name in OWNED:
            yield Violation(f"params.{name}", "is set by the pipeline", hint=OWNED[name])


def _features(request: Request, policy: AdmissionPolicy) -> Iterator[Violation]:
    for path, default in FEATURES.items():
        value = getattr(request, path)
        if value != default and path not in policy.ready:
            yield Violation(path, "is not supported yet", _shown(path, value), "leave it out")


def _template(request: Request, policy: AdmissionPolicy) -> Iterator[Violation]:
    name, known = request.template, sorted(policy.templates)
    if name is None or name in policy.templates:
        return
    near = get_close_matches(name[:SHOWN], known, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    there = f"{guess}there are {', '.join(known)[:NAMED]}" if known else "assemble.templates_dir names no templates"
    yield Violation("template", "there is no such template", _shown("template", name), there)


def _retrieve(request: Request, policy: AdmissionPolicy) -> Iterator[Violation]:
    if request.retrieve is None:
        return
    if request.retrieve.k > policy.max_k:
        yield _over("retrieve.k", "passages", request.retrieve.k, policy.max_k)
    given = {name: value if isinstance(value, list) else [value] for name, value in request.retrieve.filter.items()}
    if (values := sum(map(len, given.values()))) > policy.max_filters:
        yield _over("retrieve.filter", "values", values, policy.max_filters)
    for name, some in given.items():
        if not some or not all(isinstance(one, str | int | float) for one in some):
            path = f"retrieve.filter.{_printable(name)}"
            yield Violation(
                path, "is neither text, number nor boolean", hint="or a list of these, of which one is enough"
            )


def _timeout(request: Request, policy: AdmissionPolicy) -> Iterator[Violation]:
    timeout_s = request.timeout_s
    if timeout_s is not None and timeout_s <= 0:
        yield Violation("timeout_s", "should be above 0", _shown("timeout_s", timeout_s), "null means no deadline")
    if timeout_s is not None and timeout_s > policy.max_timeout_s:
        yield _over("timeout_s", "seconds", timeout_s, policy.max_timeout_s)


def _format(request: Request, policy: AdmissionPolicy) -> Iterator[Violation]:
    if request.params.get("response_format") is None:
        return
    from streams.decisions import answer_schema  # its library is slow to import, and most requests want no schema

    found = answer_schema.asked(request.params)
    if isinstance(found, answer_schema.Unusable):
        yield Violation(f"params.{found.path}", found.reason)


CHECKS: tuple[Check, ...] = (_content, _sizes, _names, _owned, _features, _template, _retrieve, _timeout, _format)


def _over(path: str, unit: str, size: float | str, limit: float) -> Violation:
    return Violation(path, f"{size} {unit}, the limit is {limit}")


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:SHOWN])


def _shown(path: str, value: object) -> str | None:
    if path not in TELLING or not isinstance(value, str | int | float | bool):
        return None
    text = json.dumps(value[:SHOWN] if isinstance(value, str) else value, ensure_ascii=False)
    return CONTROL.sub(lambda hit: json.dumps(hit[0])[1:-1], text)
