"""When are two requests the same request, and when do two requests ask for the same content?

Everything is hashed over an injective encoding: each part is preceded by its length, so that no two lists of parts
share their bytes, whatever separators they contain.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

from topics.request import Request
from topics.wire import canonical

WORDS = frozenset({"content", "text"})  # the fields of a message that hold prose; all others are compared as they are
LINE_ENDS = re.compile("\r\n?")


@dataclass(frozen=True, slots=True)
class DeduplicationKey:
    """Names what may share one paid answer: ``c:`` and 64 hex digits for content, ``i:`` for one request alone.

    Args:
        text: The key as it is written in messages, record keys and tables.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def from_prompt(
        cls,
        prompt: str | Iterable[Mapping[str, Any]],
        *,
        tenant: str | None = None,
        model: str = "default",
        params: Mapping[str, Any] | None = None,
        sample: int = 0,
        template: str | None = None,
        retrieve: Mapping[str, Any] | None = None,
    ) -> Self:
        """The key of content: equal for prompts that differ only in Unicode form, line ends or outer whitespace.

        Args:
            prompt: A conversation in OpenAI's shape, each message a JSON object; or the text of one user message.
            tenant: On whose behalf; tenants never share.
            model: The model or route that is asked.
            params: Provider parameters, JSON values by name; their order is irrelevant.
            sample: Number of the draw.
            template: What ``template_version`` returned.
            retrieve: The retrieval selector, or None.

        Returns:
            A key that starts with ``c:``.

        >>> one = DeduplicationKey.from_prompt([{"role": "user", "content": "hi"}], params={"seed": 1, "top_p": 0.5})
        >>> one == DeduplicationKey.from_prompt(" hi", params={"top_p": 0.5, "seed": 1})
        True
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        said = canonical([_normal_message(message) for message in messages])
        scope = (_optional(tenant), model.encode(), canonical(params or {}), b"%d" % sample)
        return cls(f"c:{_digest(b'content', *scope, _optional(template), _json_or_none(retrieve), said)}")

    @classmethod
    def from_identity(cls, identity: str) -> Self:
        """The key of one request alone, which nothing else shares.

        Args:
            identity: What ``identity`` returned, 64 hex digits.

        Returns:
            A key that starts with ``i:``.

        >>> str(DeduplicationKey.from_identity("ab" * 32))[:6]
        'i:abab'
        """
        return cls(f"i:{identity}")


def identity(tenant: str | None, request_id: str, body_hash: str, lineage: int = 0, template: str | None = None) -> str:
    """Names one request: the same again is a resend, which is answered from the first one's final.

    Args:
        tenant: On whose behalf, or None.
        request_id: The caller's id, or the derived one.
        body_hash: What ``body_hash`` returned.
        lineage: How often the request was redriven.
        template: What ``template_version`` returned: another version makes another request of the same words.

    Returns:
        SHA-256, 64 hex digits.

    >>> identity(None, "a-1", "00") == identity("", "a-1", "00")
    False
    """
    named = (_optional(tenant), request_id.encode(), body_hash.encode(), b"%d" % lineage)
    return _digest(b"identity", *named, *(() if template is None else (template.encode(),)))


def template_version(template: str | None, system: str | None) -> str | None:
    """Names what is put around the words of a request.

    Args:
        template: Hash of its template, or None.
        system: Hash of the system text that is added to it, or None.

    Returns:
        None where nothing is put around them, so that their key does not depend on it.

    >>> template_version("ab", None)
    'ab'
    """
    return template if system is None else f"{template or ''}+{system}"


def body_hash(body: Mapping[str, Any]) -> str:
    """Names what was asked; also written as ``request_hash``.

    Args:
        body: What ``canonical_request`` returned; the order of its keys is irrelevant.

    Returns:
        SHA-256, 64 hex digits.

    >>> body_hash({"messages": [], "priority": "low"}) == body_hash({"priority": "low", "messages": []})
    True
    """
    return sha256(canonical(body)).hexdigest()


def canonical_request(request: Request) -> dict[str, Any]:
    """The body of a request as JSON data, always with ``messages``, without id, tenant and whatever is a default.

    Args:
        request: A valid request.

    Returns:
        Field name → JSON value.

    >>> canonical_request(Request(prompt="hi", id="a-1"))
    {'messages': [{'role': 'user', 'content': 'hi'}]}
    """
    body = request.model_dump(mode="json", exclude_defaults=True, exclude={"id", "tenant"})
    prompt = body.pop("prompt", None)
    return body if prompt is None else {**body, "messages": [{"role": "user", "content": prompt}]}


def derived_id(topic: str, partition: int, offset: int, timestamp_ms: int) -> str:
    """The id of a request that brought none: a redelivery of the record gets the same one.

    Args:
        topic: The record's topic; with ``partition`` and ``offset`` its coordinates.
        partition: See ``topic``.
        offset: See ``topic``.
        timestamp_ms: The record's Kafka timestamp, epoch milliseconds; tells a topic from its successor of that name.

    Returns:
        The parts joined by ``-``, the timestamp in base 36.

    >>> derived_id("prompts", 3, 1042, 1769860800000)
    'prompts-3-1042-ml29f9c0'
    """
    return f"{topic}-{partition}-{offset}-{_base36(max(timestamp_ms, 0))}"


def normal_text(text: str) -> str:
    """Text as it counts for content: Unicode form NFC, line ends ``\\n``, no outer whitespace.

    >>> normal_text(" cafe\\u0301\\r\\n")
    'café'
    """
    return unicodedata.normalize("NFC", LINE_ENDS.sub("\n", text)).strip()


def _normal_message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    parts = [_normal_part(part) for part in content] if isinstance(content, list | tuple) else content
    return _normal_part({**message, "content": parts})


def _normal_part(part: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: normal_text(value) if name in WORDS and isinstance(value, str) else value for name, value in part.items()
    }


def _optional(text: str | None) -> bytes:
    return b"-" if text is None else b"+" + text.encode()


def _json_or_none(data: Mapping[str, Any] | None) -> bytes:
    return b"-" if data is None else b"+" + canonical(data)


def _digest(*parts: bytes) -> str:
    return sha256(framed(*parts)).hexdigest()


def framed(*parts: bytes) -> bytes:
    """Each part preceded by its length in bytes: distinct lists of parts never share their encoding.

    Args:
        parts: Any bytes.

    Returns:
        The encoding, from which the parts could be read back.

    >>> framed(b"a", b"") != framed(b"", b"a")
    True
    """
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"
