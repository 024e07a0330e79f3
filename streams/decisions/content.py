"""Is this the content that a dedup key was made of? A second hash, independent of the key, over what it stands for."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from streams.decisions.identity import WORDS, normal_text
from topics.messages import Admitted
from topics.wire import canonical

ALONE = "i:"  # keys of an identity: nobody else has them


def check_of(message: Admitted) -> str:
    """The content of a request as a short hash.

    Args:
        message: The request; normalised here as for its key, so that equal keys of equal content have equal checks.

    Returns:
        BLAKE2b, 16 hex digits; empty where the key names one request alone.
    """
    if message.dedup_key.startswith(ALONE):
        return ""
    work = message.work
    said = [_normal({**one, "content": _parts(one.get("content"))}) for one in work.messages]
    whole = [message.tenant, work.model, work.params, work.retrieve, said]
    return blake2b(canonical(whole), digest_size=8).hexdigest()


def _parts(content: object) -> object:
    return [_normal(part) for part in content] if isinstance(content, list | tuple) else content


def _normal(part: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: normal_text(value) if name in WORDS and isinstance(value, str) else value for name, value in part.items()
    }
