"""What becomes of a record on ``prompts``: a request with identity, dedup key and deadline, a refusal, or no request?

Pure: the same bytes at the same coordinates always give the same outcome, and any bytes give exactly one.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.decisions import identity
from streams.decisions.answers import refused
from streams.decisions.assembly import brings_system
from streams.decisions.failures import failure_of
from streams.decisions.identity import DeduplicationKey
from streams.decisions.limits import AdmissionPolicy, Violation, inspect, told
from streams.decisions.lineage import Claim, Said
from topics.answer import Answer
from topics.catalog import PROMPT_BYTES
from topics.errors import DecodingError
from topics.messages import Admitted, Failed, Origin, Work
from topics.request import Request
from topics.wire import parse

WHAT = "request"
LOOKS_LIKE_JSON = ("{", "[", '"')
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
AS_JSON = 'write {"prompt": "…"}'
AS_TEXT = "for plain text, set the header content-type: text/plain"


@dataclass(frozen=True, slots=True)
class Admit:
    """Goes on, as ``message``."""

    message: Admitted


@dataclass(frozen=True, slots=True)
class Reject:
    """A request that is not admitted; ``answer`` says all that is wrong with it."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Bytes that are no request: answered under the derived id, and buried as they are."""

    failed: Failed


Outcome = Admit | Reject | Undecodable


def decide(
    value: bytes | None, content_type: bytes | None, origin: Origin, policy: AdmissionPolicy, said: Said | None = None
) -> Outcome:
    """What becomes of one record.

    Args:
        value: The record's value as it came.
        content_type: Its header ``content-type``, or None.
        origin: Its coordinates, Kafka timestamp and hash.
        policy: The limits.
        said: For a dead letter that is sent again what ``lineage.check`` returned: the id that it had keeps standing.

    Returns:
        ``Admit`` for a valid request, ``Reject`` for a JSON object (or text) that breaks a rule, ``Undecodable`` for
        everything else.
    """
    derived = identity.derived_id(origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
    again = said if isinstance(said, Claim) else None
    if again is not None:
        derived = again.request_id
    lineage = 0 if again is None else again.lineage
    try:
        data = _read(value, _media_type(content_type), policy)
    except DecodingError as bad:
        return Undecodable(_no_request(bad, derived, origin, lineage))
    request, violations = inspect(data, policy)
    violations += _misled(said, request)
    if violations:
        return Reject(_refusal(request, violations, derived, origin))
    return Admit(_admitted(request, derived, origin, policy, lineage))


def _misled(said: Said | None, request: Request) -> tuple[Violation, ...]:
    """A claim that is not true, or the id of another request in a prompt that is sent again."""
    if isinstance(said, Claim):
        other = request.id not in (None, said.request_id)
        return (Violation("id", "is not that of the dead letter", hint="leave it out"),) if other else ()
    return () if said is None else (said,)


def _read(value: bytes | None, media_type: str | None, policy: AdmissionPolicy) -> Mapping[str, Any]:
    text = _text(value)
    if media_type == "text/plain" or (policy.plain_text and media_type is None and not _looks_like_json(text)):
        return _as_prompt(text, value)
    try:
        data = parse(value, WHAT)
    except DecodingError as bad:
        hint = AS_JSON if _looks_like_json(text) else AS_TEXT
        raise DecodingError(WHAT, f"{bad.reason}; {hint}", value) from bad
    if not isinstance(data, dict):
        raise DecodingError(WHAT, f"JSON, but no object; {AS_JSON}", value)
    return data


def _text(value: bytes | None) -> str:
    if value is None:
        raise DecodingError(WHAT, "the value is null (a tombstone)", value)
    if not value:
        raise DecodingError(WHAT, f"the value is empty; {AS_JSON}", value)
    if len(value) > PROMPT_BYTES:
        raise DecodingError(WHAT, f"{len(value)} bytes, the limit is {PROMPT_BYTES}", value)
    try:
        return value.decode()
    except UnicodeDecodeError as bad:
        raise DecodingError(WHAT, f"not UTF-8 (byte {bad.start})", value) from bad


def _as_prompt(text: str, value: bytes | None) -> Mapping[str, Any]:
    if found := UNPRINTABLE.search(text):
        raise DecodingError(WHAT, f"a control character in plain text (character {found.start()}); {AS_JSON}", value)
    return {"prompt": text}


def _looks_like_json(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n").startswith(LOOKS_LIKE_JSON)


def _media_type(content_type: bytes | None) -> str | None:
    return None if content_type is None else content_type.decode("latin-1").partition(";")[0].strip().lower()


def _no_request(bad: DecodingError, derived: str, origin: Origin, lineage: int) -> Failed:
    return Failed(
        id=derived,
        lineage=lineage,
        identity=identity.identity(None, derived, origin.hash, lineage),
        request_hash=origin.hash,
        origin=origin,
        stage="admit",
        outcome="rejected",
        disposition="undecodable",
        failure=failure_of(bad),
        attempts=0,
        first_failed_ms=origin.timestamp_ms,
        failed_ms=origin.timestamp_ms,
    )


def _refusal(request: Request, violations: tuple[Violation, ...], derived: str, origin: Origin) -> Answer:
    broken = {violation.path for violation in violations}
    known = derived if request.id is None or "id" in broken else request.id
    metadata = {} if "metadata" in broken else request.metadata
    return refused(known, origin, told(violations), request_hash=origin.hash, metadata=metadata)


def _admitted(request: Request, derived: str, origin: Origin, policy: AdmissionPolicy, lineage: int) -> Admitted:
    body = identity.canonical_request(request)
    hashed = identity.body_hash(body)
    known = derived if request.id is None else request.id
    template = None if request.template is None else policy.templates[request.template]
    system = None if brings_system(body["messages"]) else policy.system_hash
    version = identity.template_version(template, system)
    whose = identity.identity(request.tenant, known, hashed, lineage, version)
    return Admitted(
        id=known,
        tenant=request.tenant,
        lineage=lineage,
        identity=whose,
        request_hash=hashed,
        origin=origin,
        metadata=request.metadata,
        dedup_key=str(_dedup_key(request, body["messages"], whose, version)),
        lane=request.priority,
        deadline_ms=_later_ms(origin, request.timeout_s),
        keep_until_ms=_later_ms(origin, policy.keep_s),
        template_version=template,
        work=Work(
            messages=tuple(body["messages"]),
            model=request.model,
            params=request.params,
            retrieve=_selector(request),
            template=request.template,
        ),
    )


def _dedup_key(request: Request, messages: list[dict[str, Any]], whose: str, version: str | None) -> DeduplicationKey:
    if request.session is not None or not request.dedup:
        return DeduplicationKey.from_identity(whose)
    return DeduplicationKey.from_prompt(
        messages,
        tenant=request.tenant,
        model=request.model,
        params=request.params,
        sample=request.sample,
        template=version,
        retrieve=_selector(request),
    )


def _selector(request: Request) -> dict[str, Any] | None:
    return None if request.retrieve is None else request.retrieve.model_dump()


def _later_ms(origin: Origin, seconds: float | None) -> int | None:
    return None if seconds is None else origin.timestamp_ms + math.ceil(seconds * 1000)


__all__ = ["AdmissionPolicy", "Admit", "Outcome", "Reject", "Undecodable", "decide"]
