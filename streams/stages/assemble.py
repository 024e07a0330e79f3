"""# Stage: assemble

Responsibility: makes exactly the messages that the provider is sent, and puts them into the topic of their lane.
Guarantees:
    without a template the provider is sent what was written:
    tests/unit/streams/stages/test_assemble.py::test_rendered_without_a_template_is_what_was_written
    each lane has its own topic: tests/unit/streams/stages/test_assemble.py::test_topic_of_each_lane_is_its_own
NOT Responsible For: refusing requests with a template (admit does, by name, until it is real), token budgets.
"""

from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import ASSEMBLED, RETRIEVED
from topics.messages import Assembled, Retrieved, grown


def stage() -> Stage:
    """The stage as data."""
    lanes = tuple(ASSEMBLED.values())
    return Stage(name="assemble", app="core", reads=(RETRIEVED,), writes=lanes, handle=handle)


def handle(record: Record, scope: Scope) -> Outputs:
    """Renders the caller's messages as they are."""
    message = wire.decode(record.value, Retrieved)
    ready = grown(message, Assembled, rendered=message.work.messages, template_hash=None)
    return (Output(ASSEMBLED[message.lane], record.key, wire.encode(ready), "as-written", record.partition),)
