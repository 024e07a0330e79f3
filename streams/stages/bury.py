"""# Stage: bury

Responsibility: makes the dead letter of each request that was given up: its original bytes, evidence in headers.
Guarantees:
    the bytes are those that were accepted, by their hash:
    tests/unit/streams/stages/test_bury.py::test_original_with_another_hash_is_replaced_by_the_request
    headers stay below their cap:
    tests/unit/streams/stages/test_bury.py::test_headers_of_a_talkative_original_stay_below_the_cap
    bytes above the limit of dead letters are named, not lost in silence:
    tests/unit/streams/stages/test_bury.py::test_original_above_the_limit_of_dead_letters_is_replaced_by_the_request
    a passed deadline gets no dead letter:
    tests/unit/streams/stages/test_bury.py::test_expired_request_without_disposition_is_not_buried
NOT Responsible For: answering (deliver), sending dead letters again.
"""

from collections.abc import Mapping

from streams.decisions import burial
from streams.ports import Originals
from streams.stage import ORIGINAL_KEY, Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import CATALOG, DEAD_LETTERS, FAILED, Names
from topics.messages import Failed

SLOTS = 64  # each holds at most one original of 1 MiB
LOST = burial.ERROR + "original"


def stage(originals: Originals, *, names: Names | None = None, apps: Mapping[str, str] | None = None) -> Stage:
    """The stage as data; ``names`` and ``apps`` (stage → app) tell the topic and group for the evidence."""
    known, app_of = names or Names(), apps or {}

    async def handle(record: Record, scope: Scope) -> Outputs:
        """Buries what has a disposition."""
        failed = wire.decode(record.value, Failed)
        if failed.disposition is None:
            return ()
        original = await originals.fetch(failed.origin)
        where = burial.where(failed, known, app_of.get(failed.stage))
        return (_letter(record, failed, original, where),)

    return Stage("bury", "bury", reads=(FAILED,), writes=(DEAD_LETTERS,), handle=handle, slots=SLOTS)


def _letter(record: Record, failed: Failed, original: Record | None, where: burial.Where) -> Output:
    evidence = burial.evidence(failed, where)
    lost = _lost(failed, original)
    if original is None or lost is not None:
        value, why = burial.canonical_request(failed), ((LOST, lost or b"gone"),)
        return Output(DEAD_LETTERS, record.header(ORIGINAL_KEY), value, "buried-request", headers=evidence + why)
    headers = burial.with_own(evidence, original.headers)
    return Output(DEAD_LETTERS, original.key, original.value, "buried-original", headers=headers)


def _lost(failed: Failed, original: Record | None) -> bytes | None:
    """Why the original bytes cannot be buried, in one word; None where they can."""
    if original is None or not burial.intact(original.value, failed.origin.hash):
        return b"gone"
    size = len(original.value or b"") + len(original.key or b"")
    return b"too-large" if size > CATALOG[DEAD_LETTERS].max_bytes else None
