"""# Stage: refine

Responsibility: lets a reply through that may be shown; until there are rules for replies, each one may.
Guarantees:
    the reply is not touched: tests/unit/streams/stages/test_refine.py::test_reply_without_rules_is_untouched
NOT Responsible For: checking replies against a schema, asking again.
"""

from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import INFERRED, REFINED
from topics.messages import Inferred, Refined, grown


def stage() -> Stage:
    """The stage as data."""
    return Stage(name="refine", app="core", reads=(INFERRED,), writes=(REFINED,), handle=handle)


def handle(record: Record, scope: Scope) -> Outputs:
    """Passes the reply on as it is."""
    shown = grown(wire.decode(record.value, Inferred), Refined)
    return (Output(REFINED, record.key, wire.encode(shown), "as-answered", record.partition),)
