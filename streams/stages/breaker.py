"""# Stage: breaker

Responsibility: folds how calls went into one breaker a service, says when it changes, and grants its probes.
Guarantees:
    a redelivery gives the same bytes, and counts no call twice:
    tests/property/test_breaker_machine.py::test_redelivered_suffixes_repeat_the_words
    one probe is granted an interval, whoever asks:
    tests/unit/streams/stages/test_breaker.py::test_probe_is_granted_to_the_first_who_asks
    what is only counted is in the rows with the next tick, and acknowledged no sooner:
    tests/unit/streams/stages/test_breaker.py::test_counted_calls_are_written_by_the_tick
NOT Responsible For: what a worker may do meanwhile (adapters/board), when to open (decisions/breaker).
"""

from dataclasses import dataclass, field
from functools import partial

from streams.decisions import breaker_rows
from streams.decisions.breaker import BreakerPolicy
from streams.decisions.breaker_rows import Kept
from streams.stage import Output, Outputs, Record, Scope, Stage, Table
from topics import calls
from topics.catalog import BREAKER_TICKS, BREAKERS, CALLS

NAME = "breaker"
IDLE_MS = 3_600_000  # a service that was quiet for so long, and of which no word was said, is forgotten


@dataclass(slots=True)
class Shelf:
    """What is kept of the services of a partition; ``dirty``: of which more than their rows tell."""

    kept: dict[str, Kept] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, table: Table) -> "Shelf":
        """As the rows tell."""
        return cls({key.decode(): breaker_rows.unpack(row) for key, row in table.items()})

    def save(self, table: Table, now_ms: int) -> None:
        """Writes what is dirty, and forgets who was quiet."""
        for service in sorted(self.dirty):
            table.put(service.encode(), breaker_rows.pack(self.kept[service]))
        self.dirty.clear()
        quiet = [name for name, kept in self.kept.items() if not kept.number and now_ms - kept.ms > IDLE_MS]
        for service in quiet:
            table.delete(service.encode())
            del self.kept[service]


def stage(policy: BreakerPolicy | None = None) -> Stage:
    """The stage as data."""
    fold = partial(_folded, policy=policy or BreakerPolicy())

    def handle(record: Record, scope: Scope) -> Outputs:
        """Folds what workers tell of their calls, and writes with each tick what came of it."""
        shelf = scope.derived(Shelf.of)
        if record.topic != BREAKER_TICKS:
            return fold(record, shelf, scope.table)
        shelf.save(scope.table, record.timestamp_ms)
        return ()

    reads = (CALLS, BREAKER_TICKS)
    return Stage(NAME, "core", reads, (BREAKERS,), handle, table="breakers", holds=frozenset({CALLS}))


def _folded(record: Record, shelf: Shelf, table: Table, policy: BreakerPolicy) -> Outputs:
    service = (record.key or b"").decode(errors="replace")
    kept = shelf.kept.get(service, Kept())
    if record.offset > kept.folded:
        message = calls.read(record.value)
        kept = breaker_rows.fold(kept, service, message, record.offset, record.timestamp_ms, policy)
        shelf.kept[service] = kept
    words = breaker_rows.words(kept, record.offset)
    if words:
        table.put(service.encode(), breaker_rows.pack(kept))
    shelf.dirty.add(service)  # also where it is in its row: the store may be ahead of its changelog
    return [Output(BREAKERS, record.key, value, state, record.partition) for state, value in words]
