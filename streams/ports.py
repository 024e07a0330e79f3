"""What must the outside offer? One protocol a need; adapters and the engine implement them, tests bring fakes."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from streams.stage import Record
from topics.messages import Origin, Reply


class Clock(Protocol):
    """Wall clock in epoch milliseconds, handed to the two stages that may ask."""

    def now_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One provider call: OpenAI-style messages, the model's name, parameters as the caller gave them."""

    id: str
    messages: tuple[dict[str, Any], ...]
    model: str
    params: dict[str, Any] = field(default_factory=dict)


class Provider(Protocol):
    """Answers one call; raises ``WorkerError``. Cancelling the task cancels the call."""

    @property
    def name(self) -> str: ...

    async def complete(self, call: Call) -> Reply: ...


class Originals(Protocol):
    """Reads one record back by its coordinates; None when the log no longer has it."""

    async def fetch(self, origin: Origin) -> Record | None: ...


@dataclass(frozen=True, slots=True)
class Observation:
    """What the loop tells about one handled record; durations in seconds, never any content."""

    stage: str
    action: str
    topic: str
    partition: int
    offset: int
    wait_s: float = 0.0
    work_s: float = 0.0
    outputs: int = 0
    kind: str | None = None


class Observer(Protocol):
    """Where observations go: logs, metrics, tests."""

    def observe(self, seen: Observation) -> None: ...
