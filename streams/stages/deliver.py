"""# Stage: deliver

Responsibility: the one door of final answers: the first final of a request is remembered, later ones repeat it.
Guarantees:
    the first final wins:
    tests/unit/streams/stages/test_deliver.py::test_second_final_of_another_record_repeats_the_first
    a refusal or a passed deadline does not bind:
    tests/unit/streams/stages/test_deliver.py::test_final_after_an_unbinding_answer_is_delivered
    a redelivery gives the same bytes:
    tests/property/test_redelivery.py::test_deliver_redelivered_against_the_final_state_repeats_its_outputs
    what cannot be sent is not remembered:
    tests/unit/streams/stages/test_deliver.py::test_row_of_an_answer_above_the_limit_is_not_written
NOT Responsible For: handing ownership to twins, thinning its rows (not there yet), dead letters (bury).
"""

from streams.decisions import answers, rows
from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.answer import Answer
from topics.catalog import FAILED, REFINED, RESULTS
from topics.errors import RecordTooLarge
from topics.messages import Failed, Refined, Ticket

BINDING = frozenset({"completed", "failed"})


def stage() -> Stage:
    """The stage as data."""
    return Stage("deliver", "core", reads=(REFINED, FAILED), writes=(RESULTS,), handle=handle, table="requests")


def handle(record: Record, scope: Scope) -> Outputs:
    """Answers, unless the request has its final answer: then repeats that."""
    message, answer = _answered(record)
    value = wire.encode(answer)
    if len(value) > rows.PAYLOAD_BYTES:
        raise RecordTooLarge(RESULTS, len(value), rows.PAYLOAD_BYTES)
    key, row = _ruled(record, message, rows.Row(record.at, answer.status, value), scope)
    scope.table.put(key, rows.pack(row))  # also where it was there: the store may be ahead of its changelog
    own = "final" if row.word in BINDING else row.word
    return (Output(RESULTS, answer.id.encode(), row.payload, own if row.at == record.at else "copy"),)


def _answered(record: Record) -> tuple[Ticket, Answer]:
    if record.topic == FAILED:
        failed = wire.decode(record.value, Failed)
        return failed, answers.given_up(failed)
    refined = wire.decode(record.value, Refined)
    return refined, answers.completed(refined)


def _ruled(record: Record, message: Ticket, own: rows.Row, scope: Scope) -> tuple[bytes, rows.Row]:
    """The row that decides what is sent, and where it belongs: the request's final, or this record's own."""
    final_key, own_key = final_row_key(message.identity), unbinding_row_key(message.identity, record.at)
    final = scope.table.get(final_key)
    if own.word not in BINDING and (final is None or scope.table.get(own_key) is not None):
        return own_key, own
    return final_key, own if final is None else rows.unpack(final)


def final_row_key(identity: str) -> bytes:
    """Where the final answer of a request is remembered."""
    return f"final:{identity}".encode()


def unbinding_row_key(identity: str, at: str) -> bytes:
    """Where it is remembered that a record was answered before there was a final: its redelivery answers the same."""
    return f"unbinding:{identity}:{at}".encode()
