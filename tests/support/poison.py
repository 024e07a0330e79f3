"""Records that nobody should write to ``prompts``, and what becomes of each: the corpus of fault F12."""

import gzip
import json
from dataclasses import dataclass
from typing import Any

from topics.catalog import PROMPT_BYTES

BURIED, REFUSED, ANSWERED = "buried", "refused", "answered"
FLOOD = tuple((f"h{number}", b"x" * 900) for number in range(300))
HELLO = json.dumps({"prompt": "hello"}).encode()
ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m\U000e0041"


@dataclass(frozen=True)
class Poison:
    """One record, and its fate: ``buried`` (no request: an answer and a dead letter), ``refused``, ``answered``."""

    fate: str
    value: bytes | None
    key: bytes | None = b"key"
    headers: Any = ()  # ``Headers``, but Kafka also allows null values


def asking(**fields: object) -> bytes:
    return json.dumps({"prompt": "hello", **fields}).encode()


def formatted(schema: object) -> dict[str, object]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}


CORPUS = {
    "invalid JSON": Poison(BURIED, b'{"prompt": "hello"'),
    "two values": Poison(BURIED, HELLO + HELLO),
    "plain line": Poison(BURIED, b"What is a log?"),
    "a list": Poison(BURIED, b'["hello"]'),
    "a number": Poison(BURIED, b"7"),
    "a string": Poison(BURIED, b'"hello"'),
    "NaN": Poison(BURIED, b'{"prompt": "hello", "timeout_s": NaN}'),
    "lone surrogate": Poison(BURIED, b'{"prompt": "\\ud800"}'),
    "byte order mark": Poison(BURIED, b"\xef\xbb\xbf" + HELLO),
    "null value": Poison(BURIED, None),
    "zero bytes": Poison(BURIED, b""),
    "one zero byte": Poison(BURIED, b"\x00"),
    "invalid UTF-8 value": Poison(BURIED, b'{"prompt": "\xff\xfe"}'),
    "invalid UTF-8 value and key": Poison(BURIED, b"\xc3\x28", b"\xff\xfe\x00"),
    "compressed by hand": Poison(BURIED, gzip.compress(HELLO, mtime=0)),
    "deep nesting": Poison(BURIED, b'{"prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "open brackets": Poison(BURIED, b"[" * 500_000),
    "above the limit": Poison(BURIED, asking(metadata={"a": "x" * PROMPT_BYTES})),
    "escape sequences": Poison(BURIED, ESCAPES.encode()),
    "flood of headers": Poison(BURIED, b"{", headers=FLOOD),
    "null header value": Poison(BURIED, b"{", headers=(("traceparent", None), ("x", None))),
    "no key": Poison(BURIED, b"{", key=None),
    "missing prompt": Poison(REFUSED, b'{"id": "no-prompt"}'),
    "empty object": Poison(REFUSED, b"{}"),
    "wrong type": Poison(REFUSED, b'{"id": "wrong-type", "prompt": 7}'),
    "wrong type of the id": Poison(REFUSED, asking(id=7)),
    "escape sequences in the id": Poison(REFUSED, asking(id=ESCAPES)),
    "nesting above the limit": Poison(
        REFUSED, b'{"prompt": "hello", "metadata": ' + b'{"a":' * 100 + b"1" + b"}" * 101
    ),
    "unknown field": Poison(REFUSED, asking(promt="hello")),
    "schema that leads elsewhere": Poison(REFUSED, asking(params=formatted({"$ref": "http://127.0.0.1:1/s"}))),
    "pattern without bound": Poison(REFUSED, asking(params=formatted({"pattern": r"(a)\1"}))),
    "invalid UTF-8 key": Poison(ANSWERED, asking(prompt="its key"), b"\xff\xfe"),
    "huge key": Poison(ANSWERED, asking(prompt="its size"), b"k" * 100_000),
    "invalid UTF-8 header": Poison(
        ANSWERED, asking(prompt="its header"), headers=(("content-type", b"\xff"), ("traceparent", b"\xfe"))
    ),
    "flood of headers on a good request": Poison(ANSWERED, asking(prompt="with headers"), headers=FLOOD),
    "escape sequences in the prompt": Poison(ANSWERED, asking(prompt=ESCAPES)),
    "names twice": Poison(ANSWERED, b'{"prompt": "first", "prompt": "twice", "sample": 0, "sample": 0}'),
}
