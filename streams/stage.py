"""What is a stage? A name, the topics it reads and writes, perhaps a table, and one function from a record to outputs.

A plain handler runs inline; an ``async def`` handler gets a task and may await, and ``slots`` bounds how many run.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar

from streams.decisions.lineage import LINEAGE

T = TypeVar("T")

ORIGINAL_KEY = "prompts.original-key"
CARRIED = frozenset({"traceparent", "tracestate", ORIGINAL_KEY, LINEAGE})  # headers that every hop passes on
CARRIED_BYTES = 4096  # of one such header: a key may weigh as much as a whole record, and would weigh twice

Headers = tuple[tuple[str, bytes], ...]


def headers_of(raw: Iterable[tuple[str, bytes | None]] | None) -> Headers:
    """A record's headers as Kafka's clients give them; a value that is null there is empty here."""
    headers = tuple(raw or ())
    if any(value is None for _, value in headers):
        return tuple((name, value or b"") for name, value in headers)
    return headers  # type: ignore[return-value]  # no value is None, as was just seen


class Record(NamedTuple):
    """One consumed record; ``topic`` is the catalog's name, not Kafka's, ``timestamp_ms`` the broker's append time."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def at(self) -> str:
        """Coordinates as people write them: ``admitted/3/1042``."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def header(self, name: str) -> bytes | None:
        """The first header of that name, or None."""
        return next((value for key, value in self.headers if key == name), None)


class Output(NamedTuple):
    """One record to write. ``decision`` is the word for why; ``partition`` None lets the key choose."""

    topic: str
    key: bytes | None
    value: bytes | None
    decision: str
    partition: int | None = None
    headers: Headers = ()


class Table(Protocol):
    """The rows of the current record's partition. Writes are local at once and acknowledged later."""

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Every row of the partition, or every one behind a key, in the order of the keys.

        Read as far as it is asked for; all of them is slow: for what is built once per assignment. Nothing is written
        meanwhile.
        """
        ...


class Scope(Protocol):
    """What a handler is given with each record."""

    @property
    def table(self) -> Table: ...

    def derived(self, build: Callable[[Table], T]) -> T:
        """What ``build`` made of the partition's rows when the partition came here; forgotten when it leaves.

        One value per table and partition, shared by all stages of the table: an index over rows, never a state of
        its own. It is made by the first who asks; keeping it in step with the rows is the stages' part.
        """
        ...

    @property
    def now_ms(self) -> int:
        """The record's append time; for stages with ``reads_clock`` the clock, asked anew each time."""
        ...

    async def settled(self) -> None:
        """Returns once the broker has acknowledged every table write of this record so far."""
        ...

    async def shared(self, key: bytes, call: Callable[[], Awaitable[T]]) -> T:
        """The result of the one running call under ``key``: starts it, or attaches to it (also after a rebalance)."""
        ...

    async def idle(self, awaited: Awaitable[T]) -> T:
        """Awaits what can as well be waited for elsewhere: when the partition moves, the record is let go at once."""
        ...


Outputs = Iterable[Output]
Handler = Callable[[Record, Scope], Outputs | Awaitable[Outputs]]


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the flow, as data: the graph, the topics and the diagram are derived from it.

    With ``slots``, the handler may return what is to be awaited, or the outputs at once where nothing is. Records of
    the topics that it ``holds`` are acknowledged with the next record of another topic of their partition: with that
    the handler writes what it has folded in memory. Only for a stage without slots."""

    name: str
    app: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    handle: Handler
    table: str | None = None
    slots: int = 0
    reads_clock: bool = False
    holds: frozenset[str] = frozenset()


def dressed(record: Record, stage: str, output: Output) -> Output:
    """The output with its evidence: what the record carried on, the stage, its decision, and the record as its cause.

    A carried header that the handler has set itself is left as the handler set it, or out where it set it empty; one
    above 4 KiB is left out, and of several with one name only the first travels.
    """
    headers = output.headers
    for pair in record.headers:
        name, value = pair
        if name in CARRIED and len(value) <= CARRIED_BYTES and all(name != own for own, _ in headers):
            headers += (pair,)
    if output.headers:
        headers = tuple(pair for pair in headers if pair[1] or pair[0] not in CARRIED)
    evidence = (
        ("prompts.stage", _word(stage)),
        ("prompts.decision", _word(output.decision)),
        ("prompts.cause", b"%b/%d/%d" % (_word(record.topic), record.partition, record.offset)),
    )
    return Output(output.topic, output.key, output.value, output.decision, output.partition, headers + evidence)


@lru_cache(maxsize=256)
def _word(text: str) -> bytes:
    """The bytes of one of the few words that every record carries."""
    return text.encode()
