"""What travels between the stages?

Internal messages only: versioned, frozen, and open (unknown fields are kept, so that an old worker passes on what a
newer one wrote); each stage's message is the one before it plus that stage's own fields.
"""

from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict

Lane = Literal["critical", "high", "normal", "low"]
Outcome = Literal["failed", "rejected", "expired"]
Disposition = Literal["undecodable", "exhausted", "permanent", "too-large"]


class Open(BaseModel):
    """Base of everything internal: frozen, unknown fields kept."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)


class Origin(Open):
    """Where a request entered: Kafka coordinates, LogAppendTime in epoch ms, SHA-256 (hex) of the raw value."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    hash: str

    @property
    def at(self) -> str:
        """The coordinates as people write them: ``prompts/3/1042``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Ticket(Open):
    """Whom a message is about; the part that every message has, also the failed ones."""

    v: int = 1
    id: str
    tenant: str | None = None
    lineage: int = 0
    identity: str
    request_hash: str
    origin: Origin
    metadata: dict[str, Any] = {}


class Work(Open):
    """The canonical request: what the caller asked for, after defaults and normalisation."""

    messages: tuple[dict[str, Any], ...]
    model: str = "default"
    params: dict[str, Any] = {}
    retrieve: dict[str, Any] | None = None
    template: str | None = None


class Admitted(Ticket):
    """Written by ``admit``: a valid request with its dedup key, lane and deadline (epoch milliseconds, or none).

    ``template_version`` is the version of ``work.template`` that the dedup key was made with; ``keep_until_ms``: what
    is not answered by then never is, as its prompt may be deleted (epoch milliseconds).
    """

    dedup_key: str
    lane: Lane = "normal"
    deadline_ms: int | None = None
    keep_until_ms: int | None = None
    template_version: str | None = None
    work: Work

    @property
    def expires_ms(self) -> int | None:
        """When it is answered ``expired``: at its deadline, or when it is kept no longer; None: never."""
        if self.deadline_ms is None or self.keep_until_ms is None:
            return self.keep_until_ms if self.deadline_ms is None else self.deadline_ms
        return min(self.deadline_ms, self.keep_until_ms)


class Deduped(Admitted):
    """Written by ``dedup``: ``epoch`` names the request that owns the key (coordinates of the first owner)."""

    epoch: str


class Retrieved(Deduped):
    """Written by ``retrieve``: passages, and the corpus snapshot they came from."""

    passages: tuple[dict[str, Any], ...] = ()
    snapshot: str | None = None


class Try(Open):
    """One call: whom it asked, when (epoch milliseconds), how long (seconds), and how it failed, if it did.

    ``retry_after_s`` is what the provider asked for, counted from the call's end; ``probe``: it was made to see whether
    the service has recovered.
    """

    provider: str
    model: str
    kind: str | None = None
    at_ms: int
    work_s: float = 0.0
    retry_after_s: float | None = None
    probe: bool = False


class Assembled(Retrieved):
    """Written by ``assemble``: exactly the messages that the provider is sent, and what they were made with.

    ``template_hash`` and ``system_hash`` are SHA-256 (hex); ``ratio_version`` names the ratio by which tokens were
    estimated, where the model has a limit; ``cut`` tells what was left out, each with ``what`` (``passage``,
    ``message``), its ``id`` or ``index`` and ``bytes``; ``input_bytes`` is the text sent, UTF-8, tools included.
    ``tries`` are the calls so far, ``hop`` counts how often it was parked, ``due_ms``: not before that time again.
    """

    rendered: tuple[dict[str, Any], ...]
    template_hash: str | None = None
    system_hash: str | None = None
    ratio_version: str | None = None
    cut: tuple[dict[str, Any], ...] = ()
    input_bytes: int | None = None
    tries: tuple[Try, ...] = ()
    hop: int = 0
    due_ms: int | None = None


class Usage(Open):
    """Tokens of one call, as the provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0


class Reply(Open):
    """What a provider returned for one call; ``work_s`` in seconds, ``finished_ms`` in epoch milliseconds.

    ``message`` is the assistant's message in OpenAI's shape, where it holds more than the text (tool calls);
    ``usage_known`` is false where the provider did not tell, so that zeros stand; ``request_id`` is the provider's own.
    """

    text: str
    finish_reason: str = "stop"
    model: str
    provider: str
    usage: Usage = Usage()
    cost_usd_micros: int = 0
    attempts: int = 1
    work_s: float = 0.0
    finished_ms: int = 0
    message: dict[str, Any] | None = None
    usage_known: bool = True
    request_id: str | None = None


class Inferred(Deduped):
    """Written by ``infer``, and kept byte for byte in the table ``answers``; ``input_bytes`` as in ``Assembled``.

    ``same_as`` is the id of the request for which the reply was bought, where that is another one; ``tries`` are the
    calls that failed before.
    """

    reply: Reply
    tries: tuple[Try, ...] = ()
    input_bytes: int | None = None
    same_as: str | None = None


class Refined(Inferred):
    """Written by ``refine``: an answer that may be shown."""


class Failure(Open):
    """Why a request was given up: a stable kind, a text without prompt words, and whether trying again can help.

    ``cause`` is the kind of what went wrong the last time, where the failure is that there were too many of them.
    """

    kind: str
    cause: str | None = None
    message: str
    exception_class: str
    retryable: bool = False
    retry_after_s: float | None = None


class Failed(Ticket):
    """Written by any stage: ``deliver`` answers it, ``bury`` makes the dead letter where ``disposition`` is set.

    ``dedup_key`` and ``epoch`` are those of the failed request, where it had come so far; ``usage`` and cost are those
    of a call that was paid for before. ``tries`` are all calls, ``reason`` is why no further one was made.
    """

    dedup_key: str | None = None
    epoch: str | None = None
    stage: str
    outcome: Outcome = "failed"
    disposition: Disposition | None = "permanent"
    failure: Failure
    reason: str | None = None
    attempts: int = 1
    tries: tuple[Try, ...] = ()
    usage: Usage | None = None
    cost_usd_micros: int = 0
    first_failed_ms: int
    failed_ms: int
    work: Work | None = None


M = TypeVar("M", bound=Open)
SLOTS = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


def grown(message: Open, into: type[M], **fields: Any) -> M:
    """The same message as a later stage's type, with that stage's fields added; unknown fields travel along."""
    return _made(into, {**message.__dict__, **(message.__pydantic_extra__ or {}), **fields})


def shrunk(message: Open, into: type[M], *without: str, **fields: Any) -> M:
    """Like ``grown``, leaving out the named fields of the earlier stage."""
    whole = {**message.__dict__, **(message.__pydantic_extra__ or {})}
    kept = {name: value for name, value in whole.items() if name not in without}
    return _made(into, {**kept, **fields})


def _made(into: type[M], values: dict[str, Any]) -> M:
    """What ``model_construct`` gives, at a third of its cost: the values were validated when they were read."""
    known = into.__pydantic_fields__
    extra = {name: value for name, value in values.items() if name not in known}
    for name, field in known.items():
        if name not in values:
            values[name] = field.get_default(call_default_factory=True)
    for name in extra:
        del values[name]
    made = into.__new__(into)
    for slot, content in zip(SLOTS, (values, set(values), extra, None), strict=True):
        object.__setattr__(made, slot, content)
    return made


__all__ = [
    "Admitted",
    "Assembled",
    "Deduped",
    "Disposition",
    "Failed",
    "Failure",
    "Inferred",
    "Lane",
    "Open",
    "Origin",
    "Outcome",
    "Refined",
    "Reply",
    "Retrieved",
    "Self",
    "Ticket",
    "Try",
    "Usage",
    "Work",
    "grown",
    "shrunk",
]
