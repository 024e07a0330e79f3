"""# Stage: admit

Responsibility: turns a record of ``prompts`` into a valid request with identity, dedup key, lane and deadline, or into
    a refusal that says all that is wrong.
Guarantees:
    any bytes give exactly one output: tests/unit/streams/stages/test_admit.py::test_handle_any_bytes_gives_one_output
    a redelivery gives the same bytes:
    tests/unit/streams/stages/test_admit.py::test_handle_redelivered_record_gives_equal_outputs
    refusals hold no prompt text: tests/property/test_admission.py::test_decide_any_violation_tells_no_prompt_text
    a lineage counts only where its dead letter says the same:
    tests/unit/streams/stages/test_admit.py::test_handle_claim_that_is_not_true_is_refused_by_its_header
NOT Responsible For: sharing answers (dedup), expiry, keeping the original bytes (bury).
"""

from collections.abc import Awaitable
from hashlib import sha256
from typing import assert_never

from streams.decisions import admission, lineage
from streams.decisions.admission import Admit, Reject, Undecodable
from streams.decisions.limits import AdmissionPolicy, Violation
from streams.decisions.lineage import LINEAGE, Claim, Said
from streams.ports import Originals
from streams.stage import ORIGINAL_KEY, Headers, Output, Outputs, Record, Scope, Stage
from topics.catalog import ADMITTED, FAILED, PROMPTS, RESULTS
from topics.messages import Origin
from topics.wire import encode

NO_LINEAGE: Headers = ((LINEAGE, b""),)  # what is not true is not passed on
SLOTS = 5_000  # as many as a partition may hold un-acked: only dead letters sent again wait, and for one read


def stage(policy: AdmissionPolicy, letters: Originals) -> Stage:
    """The door of the pipeline, under a policy; ``letters`` reads the dead letters that are sent again."""

    def handle(record: Record, scope: Scope) -> Outputs | Awaitable[Outputs]:
        """Admits, refuses or gives up one record."""
        if record.headers and lineage.asks(record.headers):
            return _again(record, policy, letters)
        return (_output(record, policy),)

    return Stage("admit", "core", (PROMPTS,), (ADMITTED, RESULTS, FAILED), handle, slots=SLOTS)


async def _again(record: Record, policy: AdmissionPolicy, letters: Originals) -> Outputs:
    """A record that claims to be a dead letter sent again: the letter is asked."""
    said = lineage.read(record.headers)
    if isinstance(said, Claim):
        letter = await letters.fetch(said.letter)
        said = lineage.check(said, None if letter is None else letter.headers)
    return (_output(record, policy, said),)


def origin_of(record: Record) -> Origin:
    """Where a request entered: the record's own coordinates, and the hash of its value."""
    return Origin(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        hash=sha256(record.value or b"").hexdigest(),
    )


def _output(record: Record, policy: AdmissionPolicy, said: Said | None = None) -> Output:
    key = _original_key(record) + (NO_LINEAGE if isinstance(said, Violation) else ())
    outcome = admission.decide(record.value, record.header("content-type"), origin_of(record), policy, said)
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
