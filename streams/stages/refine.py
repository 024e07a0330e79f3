"""# Stage: refine

Responsibility: lets a reply through that may be shown, and gives up the others with their price and the reason.
Guarantees:
    a reply that may be shown is not touched:
    tests/unit/streams/stages/test_refine.py::test_reply_that_may_be_shown_is_passed_on_byte_for_byte
    a reply that is given up keeps what it cost:
    tests/unit/streams/stages/test_refine.py::test_refused_reply_keeps_what_it_cost
    reasons hold no word of an answer:
    tests/unit/streams/decisions/test_answer_schema.py::test_reason_of_any_misfit_holds_no_word_of_the_answer
    any schema and answer end in bounded time:
    tests/unit/streams/decisions/test_answer_schema.py::test_hostile_schema_and_answer_end_in_bounded_time
NOT Responsible For: asking again, what terminals are shown (cli/show), refusing schemas at the door (admit).
"""

from streams.decisions import failures, refinement
from streams.decisions.refinement import RefinementPolicy
from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import FAILED, INFERRED, REFINED
from topics.errors import OrchestratorError
from topics.messages import Failed, Inferred, shrunk

NAME = "refine"


def stage(policy: RefinementPolicy | None = None) -> Stage:
    """The stage as data."""
    allowed = policy or RefinementPolicy()

    def handle(record: Record, scope: Scope) -> Outputs:
        """Passes the reply on as it is, or gives it up."""
        message = wire.decode(record.value, Inferred)
        fault = refinement.fault(message.reply, message.work.params, allowed)
        if fault is None:
            # An `Inferred` is a `Refined` already: the same bytes, not written anew.
            return (Output(REFINED, record.key, record.value, "as-answered", record.partition),)
        return (Output(FAILED, record.key, _given_up(message, fault), "refused-answer", record.partition),)

    return Stage(name=NAME, app="core", reads=(INFERRED,), writes=(REFINED, FAILED), handle=handle)


def _given_up(message: Inferred, fault: OrchestratorError) -> bytes:
    """Everything from the reply, nothing from the record: a copy of it gives the same bytes."""
    reply = message.reply
    evidence = {"failure": failures.failure_of(fault), "disposition": failures.disposition_of(fault)}
    paid = {"attempts": reply.attempts, "usage": reply.usage, "cost_usd_micros": reply.cost_usd_micros}
    times = {"first_failed_ms": reply.finished_ms, "failed_ms": reply.finished_ms}
    return wire.encode(shrunk(message, Failed, "reply", stage=NAME, outcome="failed", **evidence, **paid, **times))
