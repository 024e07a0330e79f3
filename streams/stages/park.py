"""# Stage: park

Responsibility: sends a parked record on, to the next tier or back to where it came from.
Guarantees:
    key, value and partition stay, and so do headers that it does not know:
    tests/unit/streams/stages/test_park.py::test_record_that_returns_keeps_what_it_had
    a record whose headers name no way back is refused, with its bytes:
    tests/unit/streams/stages/test_park.py::test_record_without_a_way_back_is_undecodable
NOT Responsible For: waiting (streams/engine/park, streams/testing), who is parked and for how long (infer).
"""

from streams.decisions import parking
from streams.stage import Output, Outputs, Record, Scope, Stage
from topics.catalog import ASSEMBLED, PARKED
from topics.errors import DecodingError

NAME = "park"
EVIDENCE = frozenset(
    {"prompts.stage", "prompts.decision", "prompts.cause"}
)  # of the hop before; each hop writes its own


def stage() -> Stage:
    """The stage as data; whoever runs it hands over a record when its tier is over."""
    return Stage(NAME, NAME, reads=PARKED, writes=(*ASSEMBLED.values(), *PARKED), handle=handle)


def handle(record: Record, scope: Scope) -> Outputs:
    """One tier further, or back."""
    stop = parking.next_stop(record.headers)
    if isinstance(stop, parking.Unreadable):
        raise DecodingError("parked record", stop.reason, record.value)
    headers = tuple(pair for pair in stop.headers if pair[0] not in EVIDENCE)
    decision = "parked-on" if stop.topic in PARKED else "returned"
    return (Output(stop.topic, record.key, record.value, decision, record.partition, headers),)
