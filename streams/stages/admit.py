"""# Stage: admit

Responsibility: turns a record of ``prompts`` into a valid request with identity, dedup key, lane and deadline, or into
    a refusal that says all that is wrong.
Guarantees:
    any bytes give exactly one output: tests/unit/streams/stages/test_admit.py::test_handle_any_bytes_gives_one_output
    a redelivery gives the same bytes:
    tests/unit/streams/stages/test_admit.py::test_handle_redelivered_record_gives_equal_outputs
    refusals hold no prompt text: tests/property/test_admission.py::test_decide_any_violation_tells_no_prompt_text
NOT Responsible For: sharing answers (dedup), expiry, keeping the original bytes (bury).
"""

from hashlib import sha256
from typing import assert_never

from streams.decisions import admission
from streams.decisions.admission import Admit, Reject, Undecodable
from streams.decisions.limits import AdmissionPolicy
from streams.stage import ORIGINAL_KEY, Headers, Output, Outputs, Record, Scope, Stage
from topics.catalog import ADMITTED, FAILED, PROMPTS, RESULTS
from topics.messages import Origin
from topics.wire import encode


def stage(policy: AdmissionPolicy) -> Stage:
    """The door of the pipeline, under a policy."""

    def handle(record: Record, scope: Scope) -> Outputs:
        """Admits, refuses or gives up one record."""
        return (_output(record, policy),)

    return Stage("admit", "core", reads=(PROMPTS,), writes=(ADMITTED, RESULTS, FAILED), handle=handle)


def origin_of(record: Record) -> Origin:
    """Where a request entered: the record's own coordinates, and the hash of its value."""
    return Origin(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        hash=sha256(record.value or b"").hexdigest(),
    )


def _output(record: Record, policy: AdmissionPolicy) -> Output:
    key = _original_key(record)
    outcome = admission.decide(record.value, record.header("content-type"), origin_of(record), policy)
    match outcome:
        case Admit(message):
            return Output(ADMITTED, message.dedup_key.encode(), encode(message), "admitted", headers=key)
        case Reject(answer):
            return Output(RESULTS, answer.id.encode(), encode(answer), "rejected", headers=key)
        case Undecodable(failed):
            return Output(FAILED, failed.identity.encode(), encode(failed), "undecodable", headers=key)
    assert_never(outcome)


def _original_key(record: Record) -> Headers:
    return () if record.key is None else ((ORIGINAL_KEY, record.key),)
