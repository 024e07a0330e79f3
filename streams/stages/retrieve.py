"""# Stage: retrieve

Responsibility: adds the passages that belong to a request; until there is a corpus, none.
Guarantees:
    without a corpus nothing is added:
    tests/unit/streams/stages/test_retrieve.py::test_passages_without_a_corpus_are_none
NOT Responsible For: refusing requests that ask for retrieval (admit does, by name, until it is real).
"""

from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import DEDUPED, RETRIEVED
from topics.messages import Deduped, Retrieved, grown


def stage() -> Stage:
    """The stage as data."""
    return Stage(name="retrieve", app="core", reads=(DEDUPED,), writes=(RETRIEVED,), handle=handle)


def handle(record: Record, scope: Scope) -> Outputs:
    """Passes the request on without passages."""
    found = grown(wire.decode(record.value, Deduped), Retrieved, passages=(), snapshot=None)
    return (Output(RETRIEVED, record.key, wire.encode(found), "not-asked", record.partition),)
