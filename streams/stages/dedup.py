"""# Stage: dedup

Responsibility: makes each admitted request the owner of its dedup key, under an epoch of its own.
Guarantees:
    the epoch is the same however often a record is copied:
    tests/unit/streams/stages/test_dedup.py::test_epoch_of_a_copied_record_is_the_same
NOT Responsible For: recognising equal content (every request owns its key until that lands), resends (deliver).
"""

from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import ADMITTED, DEDUPED
from topics.messages import Admitted, Deduped, grown


def stage() -> Stage:
    """The stage as data."""
    return Stage(name="dedup", app="core", reads=(ADMITTED,), writes=(DEDUPED,), handle=handle)


def handle(record: Record, scope: Scope) -> Outputs:
    """Names the epoch after where the request entered."""
    message = wire.decode(record.value, Admitted)
    owned = grown(message, Deduped, epoch=message.origin.at)
    return (Output(DEDUPED, record.key, wire.encode(owned), "new", record.partition),)
