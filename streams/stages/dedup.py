"""# Stage: dedup

Responsibility: lets one of many equal requests through to be paid for; the others wait, or get the answer there is.
Guarantees:
    equal content in flight has one owner:
    tests/unit/streams/stages/test_dedup.py::test_equal_content_in_flight_has_one_owner
    a redelivery gives the same bytes:
    tests/property/test_dedup_machine.py::test_doors_under_any_history_keep_the_laws
    what cannot be kept apart or counted goes on by itself:
    tests/unit/streams/stages/test_dedup.py::test_collision_of_digests_sends_both_on
NOT Responsible For: outcomes and what they mean for twins (deliver), what is equal (decisions/identity).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

import orjson

from streams.decisions import answers, content, dedup, dedup_index, failures, requests, succession, twins
from streams.decisions.dedup import Alone, Arrival, Cached, DedupPolicy, InProgress, New, Shed
from streams.decisions.identity import DeduplicationKey
from streams.decisions.ledger import TICK_EVICTIONS, TICKED, Ledger
from streams.decisions.requests import OPENER, Deed, Entry, Final, Twin
from streams.stage import CARRIED, CARRIED_BYTES, Output, Outputs, Record, Scope, Stage, Table
from topics import wire
from topics.catalog import ADMITTED, DEDUPED, FAILED, RESULTS, TICKS
from topics.errors import BackpressureShed, DeduplicationConflict
from topics.messages import Admitted, Deduped, Failed, grown, shrunk

NAME = "dedup"
KIND = "prompts.error.kind"


def stage(policy: DedupPolicy | None = None) -> Stage:
    """The stage as data."""
    knobs = policy or DedupPolicy()
    build = partial(_index, policy=knobs)

    def handle(record: Record, scope: Scope) -> Outputs:
        """Makes owners and twins of requests, and lets time pass for those who wait."""
        ledger = Ledger(scope.table, scope.derived(build))
        if record.topic == TICKS:
            outputs = list(_ticked(record, ledger, knobs))
            ledger.evict(record.timestamp_ms, knobs, TICK_EVICTIONS)
            return outputs
        outputs = list(_arrived(record, ledger, knobs))
        ledger.evict(record.timestamp_ms, knobs)
        return outputs

    writes = (DEDUPED, RESULTS, FAILED)
    return Stage(NAME, "core", reads=(ADMITTED, TICKS), writes=writes, handle=handle, table="requests")


def _index(table: Table, policy: DedupPolicy) -> dedup_index.Index:
    return dedup_index.build(table.items(), policy)


def _arrived(record: Record, ledger: Ledger, policy: DedupPolicy) -> Iterator[Output]:
    message = wire.decode(record.value, Admitted)
    deed = ledger.deed(record.at)
    if deed is not None:
        ledger.again(requests.deed_key(record.at))
        yield _by_itself(record, message, deed)
        return
    seen = _seen(record, message)
    met = _met(ledger, seen)
    if met.who in ("stranger", "passed") and met.entry is not None:
        met = _bound_before(ledger, met, seen, policy)
    final = None if met.who == "opener" else ledger.final(seen.key, seen.identity, record.at, seen.now_ms)
    if final is not None and _stands(final, met, record, policy):
        ledger.again(*_finals(seen.key, seen.identity, record.at))
        decision = final.word if final.at == record.at else "copy"
        yield Output(RESULTS, message.id.encode(), final.payload, decision)
        return
    yield from _moved(record, ledger, message, seen, met, policy)


def _finals(key: str, identity: str, at: str) -> tuple[bytes, bytes]:
    return requests.final_key(key, identity, at), requests.final_key(key, identity)


def _seen(record: Record, message: Admitted) -> Arrival:
    check, size = content.check_of(message), len(record.value or b"")
    return Arrival(
        message.dedup_key, message.identity, message.origin.at, record.offset, record.timestamp_ms, check, size
    )


@dataclass(frozen=True, slots=True)
class Met:
    """The generation that a request meets, who it is to it, and its own twin row there."""

    place: bytes
    entry: Entry | None
    who: dedup.Role
    twin: Twin | None


def _met(ledger: Ledger, seen: Arrival) -> Met:
    place, entry = ledger.covering(seen.key, seen.offset)
    return _as(ledger, place, entry, seen)


def _as(ledger: Ledger, place: bytes, entry: Entry | None, seen: Arrival) -> Met:
    found = ledger.newest_twin(seen.key, entry, seen.identity)
    twin = None if found is None else found[1]
    return Met(place, entry, dedup.role(entry, seen, twin), twin)


def _bound_before(ledger: Ledger, met: Met, seen: Arrival, policy: DedupPolicy) -> Met:
    """An earlier generation, in which the request was before or got a final that binds it yet; else the one it met."""
    older = None if met.entry is None else ledger.before(seen.key, met.entry)
    while older is not None:
        was = _as(ledger, *older, seen)
        repeats = dedup.ARRIVALS[dedup.phase(older[1], seen.now_ms, policy)][was.who] == "repeats"
        if repeats or was.who == "passed":
            return was
        older = ledger.before(seen.key, older[1])
    return met


def _moved(
    record: Record, ledger: Ledger, message: Admitted, seen: Arrival, met: Met, policy: DedupPolicy
) -> Iterator[Output]:
    arrived = dedup.arrive(met.entry, met.who, seen, len(ledger.index.running), policy)
    match arrived:
        case New(again=True) if met.entry is not None:
            ledger.again(requests.old_key(seen.key, met.entry.before or ""), met.place)
            yield _owner(record, message, met.entry.epoch)
        case New():
            if not met.place.startswith(b"old/"):  # a later one opened another already: what this one did is forgotten
                _open(ledger, message, met.entry, seen)
                yield _owner(record, message, message.origin.at)
        case InProgress(joins):
            _wait(ledger, record, message, met, seen, joins=joins)
        case Cached(copy):
            yield from _answer(ledger, record, message, met, copy=copy)
        case Shed(error):
            told = Deed("shed", seen.now_ms, (), error.depth, error.capacity, error.retry_after_s)
            yield _aside(ledger, record, message, told)
        case Alone(word):
            yield _aside(ledger, record, message, Deed(word, seen.now_ms))
        case _:
            assert_never(arrived)


def _stands(final: Final, met: Met, record: Record, policy: DedupPolicy) -> bool:
    """Whether a final is this record's, or still binds its request; of two that bind, the first one wins."""
    fresh = max(0, record.timestamp_ms - final.ms) < policy.window_ms
    repeats = dedup.ARRIVALS[dedup.phase(met.entry, record.timestamp_ms, policy)][met.who] == "repeats"
    older = repeats and met.who != "passed" and met.entry is not None and met.entry.ms < final.ms
    return bool(final.payload) and (final.at == record.at or (fresh and not older))


def _open(ledger: Ledger, message: Admitted, before: Entry | None, seen: Arrival) -> None:
    """A new generation; the one before it is filed under its epoch."""
    epoch = message.origin.at
    entry = Entry(epoch, seen.check, seen.offset, seen.offset, seen.identity, seen.identity, message.deadline_ms)
    if before is not None:
        number = before.next
        entry = replace(entry, low=number, oldest=number, next=number, before=before.epoch)
        ledger.save(requests.old_key(seen.key, before.epoch), before)
    ledger.save(requests.entry_key(seen.key), entry)


def _owner(record: Record, message: Admitted, epoch: str) -> Output:
    owned = grown(message, Deduped, epoch=epoch)
    return Output(DEDUPED, record.key, wire.encode(owned), "new", record.partition)


def _wait(ledger: Ledger, record: Record, message: Admitted, met: Met, seen: Arrival, *, joins: bool) -> None:
    """A new twin is written; else the rows are written again, and that this offset found the key owned."""
    entry = met.entry
    if entry is None or entry.by is not None:
        return
    if joins:
        carried = tuple((name, value.decode("latin-1")) for name, value in _carried(record))
        twin = Twin(seen.origin, seen.identity, message.deadline_ms, headers=carried, payload=record.value or b"")
        ledger.save(requests.twin_key(seen.key, entry.next), twin)
        entry = replace(entry, next=entry.next + 1, count=entry.count + 1, size=entry.size + seen.size)
    elif (number := ledger.index.twins.get((seen.key, seen.identity))) is not None:
        ledger.again(requests.twin_key(seen.key, number))
    ledger.save(met.place, replace(entry, last=max(entry.last, seen.offset)))


def _carried(record: Record) -> list[tuple[str, bytes]]:
    named = {name: value for name, value in reversed(record.headers) if name in CARRIED}
    return [(name, value) for name, value in sorted(named.items()) if len(value) <= CARRIED_BYTES]


def _answer(ledger: Ledger, record: Record, message: Admitted, met: Met, *, copy: bool) -> Iterator[Output]:
    """The answer that is there, for another request or once more for the same one."""
    entry, to = met.entry, message.id.encode()
    if entry is None:
        return
    if not copy:
        ticket = twins.ticket_of(message)
        value = answers.shared(orjson.loads(entry.payload), ticket, "cache", record.timestamp_ms)
        final = Final(record.at, "cached", record.timestamp_ms, payload=value)
        ledger.replace_final(message.dedup_key, message.identity, final)
        yield Output(RESULTS, to, value, "cached")
    elif entry.identity == message.identity:
        yield Output(RESULTS, to, entry.payload, "copy")
    elif met.twin is not None and met.twin.standing == "waiting":
        yield Output(RESULTS, to, twins.coalesced(orjson.loads(entry.payload), met.twin, entry.ms), "copy")


def _aside(ledger: Ledger, record: Record, message: Admitted, deed: Deed) -> Output:
    ledger.save(requests.deed_key(record.at), deed)
    return _by_itself(record, message, deed)


def _by_itself(record: Record, message: Admitted, deed: Deed) -> Output:
    """What is written for a request that neither owns its key nor waits for it; the deed tells why."""
    if deed.word == "shed":
        return _shed(record, message, deed)
    key = str(DeduplicationKey.from_identity(message.identity))
    owned = grown(message, Deduped, dedup_key=key, epoch=message.origin.at)
    kind = DeduplicationConflict.kind if deed.word == "conflict" else BackpressureShed.kind
    headers = ((KIND, kind.encode()),)
    return Output(DEDUPED, record.key, wire.encode(owned), deed.word, record.partition, headers)


def _shed(record: Record, message: Admitted, deed: Deed) -> Output:
    error = BackpressureShed(deed.depth, deed.capacity, dedup.WAITING, deed.retry_after_s)
    told = {"failure": failures.failure_of(error), "disposition": None, "attempts": 0}
    times = {"first_failed_ms": deed.ms, "failed_ms": deed.ms}
    failed = shrunk(message, Failed, "dedup_key", stage=NAME, outcome="rejected", **told, **times)
    return Output(FAILED, record.key, wire.encode(failed), "shed", record.partition)


def _ticked(record: Record, ledger: Ledger, policy: DedupPolicy) -> Iterator[Output]:
    place, deed = requests.deed_key(record.at), ledger.deed(record.at)
    if deed is None:
        deed = Deed(TICKED, record.timestamp_ms, tuple(_due(record.timestamp_ms, ledger, policy)))
        if deed.acts:
            ledger.save(place, deed)
    else:
        ledger.again(place, *dict.fromkeys(twins.touched(deed)))
    ledger.act(deed)
    for said in twins.acted(ledger, deed, record):
        partition = record.partition if said.topic == DEDUPED else None
        yield Output(said.topic, said.key, said.value, said.decision, partition, said.headers)


def _due(now_ms: int, ledger: Ledger, policy: DedupPolicy) -> Iterator[tuple[str, int, str]]:
    """What a tick does to whom: expiries, and takeovers from owners that were not heard of."""
    for _ in range(policy.max_acts):
        due = ledger.index.next_due(now_ms)
        if due is None:
            return
        key, number = due
        entry = ledger.entry(key)
        if entry is not None and number == OPENER:
            yield from _taken_over(ledger, key, entry, now_ms, policy)
        elif entry is not None and entry.low <= number < entry.next:
            twin = ledger.twin(key, number)
            if twin is not None and succession.expires(entry, twin, now_ms):
                yield key, number, ""


def _taken_over(
    ledger: Ledger, key: str, entry: Entry, now_ms: int, policy: DedupPolicy
) -> Iterator[tuple[str, int, str]]:
    when = succession.takeover_ms(entry, policy)
    heir = None if when is None or when > now_ms else ledger.heir(key, entry, now_ms)
    if heir is not None:
        yield key, heir[0], entry.epoch
