"""# Stage: deliver

Responsibility: the one door of final answers: an owner's outcome answers it and its twins, or makes a twin the owner.
Guarantees:
    the first final wins:
    tests/unit/streams/stages/test_deliver.py::test_second_final_of_another_record_repeats_the_first
    a refusal or a passed deadline does not bind:
    tests/unit/streams/stages/test_deliver.py::test_final_after_an_unbinding_answer_is_delivered
    a redelivery gives the same bytes:
    tests/property/test_redelivery.py::test_deliver_redelivered_against_the_final_state_repeats_its_outputs
    what cannot be sent is not remembered:
    tests/unit/streams/stages/test_deliver.py::test_row_of_an_answer_above_the_limit_is_not_written
NOT Responsible For: who waits, and for how long (dedup), dead letters (bury).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import orjson

from streams.decisions import answers, dedup_index, requests, rows, succession, twins
from streams.decisions.dedup import BINDING, DedupPolicy
from streams.decisions.ledger import Ledger
from streams.decisions.requests import Deed, Entry, Final
from streams.stage import Output, Outputs, Record, Scope, Stage, Table
from topics import wire
from topics.answer import Answer
from topics.catalog import DEDUPED, FAILED, REFINED, RESULTS
from topics.errors import RecordTooLarge
from topics.messages import Failed, Refined

COALESCED = "coalesced"


def stage(policy: DedupPolicy | None = None) -> Stage:
    """The stage as data."""
    knobs = policy or DedupPolicy()
    build = partial(_index, policy=knobs)

    def handle(record: Record, scope: Scope) -> Outputs:
        """Answers the request, and all who wait for it; what was answered before is repeated."""
        outcome = _outcome(record)
        ledger = Ledger(scope.table, scope.derived(build))
        outputs = list(_delivered(record, outcome, ledger, knobs))
        ledger.evict(record.timestamp_ms, knobs)
        return outputs

    writes = (RESULTS, DEDUPED, FAILED)
    return Stage("deliver", "core", reads=(REFINED, FAILED), writes=writes, handle=handle, table="requests")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended: its own answer, model and bytes, and where it belongs."""

    answer: Answer
    value: bytes
    identity: str
    key: str
    epoch: str | None
    failed: Failed | None

    @property
    def word(self) -> str:
        """What the answer is called where it is sent."""
        return "final" if self.answer.status in BINDING else self.answer.status


def _index(table: Table, policy: DedupPolicy) -> dedup_index.Index:
    return dedup_index.build(table.items(), policy)


def _outcome(record: Record) -> Outcome:
    message: Failed | Refined
    failed = None
    if record.topic == FAILED:
        message = failed = wire.decode(record.value, Failed)
        answer = answers.given_up(message)
    else:
        message = wire.decode(record.value, Refined)
        answer = answers.completed(message)
    value = wire.encode(answer)
    if len(value) > rows.PAYLOAD_BYTES:
        raise RecordTooLarge(RESULTS, len(value), rows.PAYLOAD_BYTES)
    return Outcome(answer, value, message.identity, message.dedup_key or "", message.epoch, failed)


def _delivered(record: Record, outcome: Outcome, ledger: Ledger, policy: DedupPolicy) -> Iterator[Output]:
    deed = ledger.deed(record.at)
    if deed is not None:
        finals = (requests.final_key(outcome.key, outcome.identity, at) for at in (record.at, None))
        ledger.again(*finals, requests.deed_key(record.at), *dict.fromkeys(twins.touched(deed)))
        yield from _done(record, outcome, ledger, deed)
        return
    place, entry = ledger.generation(outcome.key, outcome.epoch)
    verdict = succession.verdict(outcome.answer.status, outcome.failed.reason if outcome.failed else None)
    ending = succession.end(succession.part(entry, outcome.identity, record.at), verdict)
    if entry is None or ending == "aside":
        yield from _beside(record, outcome, ledger, place, entry, policy)
    elif ending == "copies":
        ledger.again(place)
        yield from _copy(outcome, entry.payload)
    elif ending == "repeats":
        ledger.again(place)
        yield from _everybody(record, outcome, ledger, entry)
    elif ending == "yields" and (heir := ledger.heir(outcome.key, entry, record.timestamp_ms)) is not None:
        if outcome.answer.status in BINDING:  # it binds the one request, though not the key
            ledger.replace_final(outcome.key, outcome.identity, _final(record, outcome, policy))
        deed = Deed(outcome.answer.status, record.timestamp_ms, ((outcome.key, heir[0], entry.epoch),))
        ledger.save(requests.deed_key(record.at), deed)
        yield from _done(record, outcome, ledger, deed)
    else:
        ended = _ended(record, outcome, entry, policy)
        ledger.save(place, ended)
        yield from _everybody(record, outcome, ledger, ended)


def _done(record: Record, outcome: Outcome, ledger: Ledger, deed: Deed) -> Iterator[Output]:
    """The own answer of who failed, and the twin that takes over, if one does."""
    ledger.act(deed)
    yield _own(outcome)
    yield from (_output(said, record) for said in twins.acted(ledger, deed, record))


def _ended(record: Record, outcome: Outcome, entry: Entry, policy: DedupPolicy) -> Entry:
    kept = _kept(outcome, policy)
    return replace(entry, by=record.at, ms=record.timestamp_ms, word=outcome.answer.status, payload=kept)


def _everybody(record: Record, outcome: Outcome, ledger: Ledger, entry: Entry) -> Iterator[Output]:
    """The owner's answer, and those of its twins; where it failed for itself alone, theirs have expired already."""
    yield _own(outcome)
    said: Iterator[twins.Said]
    if outcome.failed is None:
        said = twins.shared(ledger, outcome.key, entry, orjson.loads(outcome.value), record)
    elif outcome.answer.status in BINDING:
        said = twins.failed(ledger, outcome.key, entry, outcome.failed, record)
    else:
        said = (twins.expired(twin, record) for _, twin in ledger.waiting(outcome.key, entry))
    yield from (_output(one, record) for one in said)


def _beside(
    record: Record, outcome: Outcome, ledger: Ledger, place: bytes, entry: Entry | None, policy: DedupPolicy
) -> Iterator[Output]:
    """The answer of a request that owns nothing: one that was replaced, or of which no generation tells."""
    where = requests.final_key(outcome.key, outcome.identity)
    final = ledger.final(outcome.key, outcome.identity, record.at, record.timestamp_ms)
    waits = ledger.newest_twin(outcome.key, entry, outcome.identity)
    binding = outcome.answer.status in BINDING
    if final is not None and final.word == COALESCED and final.at == record.at:
        ledger.again(where)
        yield Output(RESULTS, outcome.answer.id.encode(), final.payload, COALESCED)
        return
    if final is not None and final.at != record.at:
        ledger.again(where)
        yield from _copy(outcome, final.payload)
        return
    if final is None and entry is not None and entry.by and waits is not None and waits[1].standing == "waiting":
        if entry.payload:
            value = twins.coalesced(orjson.loads(entry.payload), waits[1], entry.ms)
            ledger.save(where, Final(record.at, COALESCED, record.timestamp_ms, payload=value))
            yield Output(RESULTS, outcome.answer.id.encode(), value, COALESCED)
        return
    if not binding:
        ledger.save(requests.deed_key(record.at), Deed(outcome.answer.status, record.timestamp_ms))
        yield _own(outcome)
        return
    if final is None:
        ledger.save(where, _final(record, outcome, policy))
    else:
        ledger.again(requests.final_key(outcome.key, outcome.identity, record.at), where)
    if entry is not None and entry.by is None and waits is not None and waits[1].standing == "waiting":
        ledger.release(outcome.key, entry, *waits, "out")
    yield _own(outcome)


def _final(record: Record, outcome: Outcome, policy: DedupPolicy) -> Final:
    return Final(record.at, outcome.answer.status, record.timestamp_ms, payload=_kept(outcome, policy))


def _kept(outcome: Outcome, policy: DedupPolicy) -> bytes:
    """The answer's bytes, where they are not too many to keep."""
    return outcome.value if len(outcome.value) <= policy.max_answer_bytes else b""


def _own(outcome: Outcome) -> Output:
    return Output(RESULTS, outcome.answer.id.encode(), outcome.value, outcome.word)


def _copy(outcome: Outcome, value: bytes) -> Iterator[Output]:
    """What was sent before, where it was kept."""
    if value:
        yield Output(RESULTS, outcome.answer.id.encode(), value, "copy")


def _output(said: twins.Said, record: Record) -> Output:
    partition = None if said.topic == RESULTS else record.partition
    return Output(said.topic, said.key, said.value, said.decision, partition, said.headers)
