"""What must the outside offer? One protocol a need; adapters and the engine implement them, tests bring fakes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from streams.decisions.blame import Outcome
from streams.decisions.breaker import Closed, Verdict
from streams.stage import Record
from topics.document import Document
from topics.messages import Reply


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


@runtime_checkable
class Closing(Protocol):
    """What a provider offers besides when it holds connections: they end when no call is left."""

    async def aclose(self) -> None: ...


class Template(Protocol):
    """Makes the last user message of a request; ``version`` is the SHA-256 (hex) of what it was written as."""

    @property
    def version(self) -> str: ...

    @property
    def reads(self) -> frozenset[str]:
        """Which of the values it mentions."""
        ...

    def render(self, values: Mapping[str, Any]) -> str:
        """The same text for the same values; raises ``TemplateFailed``."""
        ...


class Coordinates(Protocol):
    """Where a record stands, its topic by the catalog's name."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def at(self) -> str: ...


class Originals(Protocol):
    """Reads one record back, a prompt or a dead letter; None when the log no longer has it."""

    async def fetch(self, place: Coordinates) -> Record | None: ...


@dataclass(frozen=True, slots=True)
class Query:
    """What to look up: words, how many passages, on whose behalf, and the metadata that they must have."""

    text: str
    k: int = 4
    tenant: str | None = None
    filter: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """Passages, best first, equal ones by id; ``snapshot`` names the state of the corpus that they come from."""

    passages: tuple[dict[str, Any], ...]
    snapshot: str


class Retriever(Protocol):
    """Finds passages; ``TransportError`` while it has not read the corpus to its end."""

    async def find(self, query: Query) -> Found: ...


class Corpus(Protocol):
    """What a retriever searches. Changes are found from the next commit on; the first one makes it ready."""

    def clear(self) -> None: ...

    def put(self, document: Document) -> None: ...

    def drop(self, id: str) -> None: ...

    def commit(self, snapshot: str) -> None: ...


class Breakers(Protocol):
    """Which services may be called just now; a service is a provider and a model, ``openai:gpt-5``. Epoch ms."""

    def verdict(self, service: str, now_ms: int) -> Verdict:
        """``Probe`` is given to one caller, who has to make the call; who finds it due has asked for it by that."""
        ...

    async def ask(self, service: str, now_ms: int) -> None:
        """Returns with the next word about the service, after a probe interval at the latest: see ``verdict`` again."""
        ...

    def told(self, service: str, epoch: int, outcome: Outcome, began_ms: int, now_ms: int, probe: bool) -> None:
        """How a call went that ``verdict`` had allowed under ``epoch``."""
        ...


class AllClosed:
    """Breakers where there are none: everything may be called, and nothing is remembered."""

    def verdict(self, service: str, now_ms: int) -> Verdict:
        """Always ``Closed``."""
        return Closed(0)

    async def ask(self, service: str, now_ms: int) -> None:
        """There is nothing to ask for."""

    def told(self, service: str, epoch: int, outcome: Outcome, began_ms: int, now_ms: int, probe: bool) -> None:
        """Forgotten."""


class Observation(NamedTuple):
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
