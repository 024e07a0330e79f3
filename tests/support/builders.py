"""Messages and records with defaults: a test names only what it is about."""

from hashlib import sha256
from typing import Any

from streams.stage import Headers, Record
from topics import wire
from topics.catalog import ADMITTED, PROMPTS
from topics.messages import (
    Admitted,
    Assembled,
    Deduped,
    Disposition,
    Failed,
    Failure,
    Inferred,
    Lane,
    Open,
    Origin,
    Outcome,
    Refined,
    Reply,
    Retrieved,
    Usage,
    Work,
)

NOW_MS = 1_769_860_800_000
RAW = b'{"id": "a-1", "prompt": "hello"}'
KEY = b"c:" + b"ab" * 32


def origin(
    topic: str = PROMPTS, partition: int = 3, offset: int = 1042, timestamp_ms: int = NOW_MS, raw: bytes = RAW
) -> Origin:
    return Origin(
        topic=topic, partition=partition, offset=offset, timestamp_ms=timestamp_ms, hash=sha256(raw).hexdigest()
    )


def ticket(request_id: str = "a-1", **fields: Any) -> dict[str, Any]:
    """The fields that every message has."""
    names = {"identity": sha256(request_id.encode()).hexdigest(), "request_hash": "cd" * 32, "origin": origin()}
    return {"id": request_id, **names, **fields}


def work(text: str = "hello", model: str = "default", **params: Any) -> Work:
    return Work(messages=({"role": "user", "content": text},), model=model, params=params)


def admitted(lane: Lane = "normal", deadline_ms: int | None = None, text: str = "hello", **fields: Any) -> Admitted:
    known = {"dedup_key": KEY.decode(), "lane": lane, "deadline_ms": deadline_ms, "work": work(text)}
    return Admitted(**ticket(**{**known, **fields}))


def deduped(epoch: str = "prompts/3/1042", **fields: Any) -> Deduped:
    return Deduped(**{**admitted(**fields).model_dump(), "epoch": epoch})


def retrieved(**fields: Any) -> Retrieved:
    return Retrieved(**deduped(**fields).model_dump())


def assembled(**fields: Any) -> Assembled:
    message = retrieved(**fields)
    return Assembled(**{**message.model_dump(), "rendered": message.work.messages})


def reply(text: str = "hi", finished_ms: int = NOW_MS + 800, work_s: float = 0.8, **fields: Any) -> Reply:
    known = {"model": "default", "provider": "echo", "usage": Usage(input_tokens=2, output_tokens=1)}
    return Reply(**{**known, "text": text, "finished_ms": finished_ms, "work_s": work_s, **fields})


def inferred(answer: Reply | None = None, **fields: Any) -> Inferred:
    return Inferred(**{**deduped(**fields).model_dump(), "reply": answer or reply()})


def refined(answer: Reply | None = None, **fields: Any) -> Refined:
    return Refined(**inferred(answer, **fields).model_dump())


def failure(kind: str = "worker_error", message: str = "echo: timeout", **fields: Any) -> Failure:
    return Failure(**{"kind": kind, "message": message, "exception_class": "WorkerError", **fields})


def failed(
    outcome: Outcome = "failed", disposition: Disposition | None = "exhausted", stage: str = "infer", **fields: Any
) -> Failed:
    known = {"failure": failure(), "first_failed_ms": NOW_MS, "failed_ms": NOW_MS + 900, "work": work()}
    return Failed(**ticket(**{**known, "stage": stage, "outcome": outcome, "disposition": disposition, **fields}))


def record(
    value: Open | bytes | None = None,
    topic: str = ADMITTED,
    partition: int = 3,
    offset: int = 7,
    key: bytes | None = KEY,
    headers: Headers = (),
    timestamp_ms: int = NOW_MS,
) -> Record:
    raw = wire.encode(value) if isinstance(value, Open) else value
    return Record(topic, partition, offset, timestamp_ms, key, raw, headers)
