import doctest
import string
from dataclasses import FrozenInstanceError
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import burial, failures
from streams.stage import Record
from tests.support.builders import KEY, NOW_MS, admitted, assembled, failed, origin, record
from topics import wire
from topics.catalog import CATALOG, DEAD_LETTERS, FAILED, INTERNAL_BYTES, PROMPT_BYTES, PROMPTS, Names
from topics.errors import DeadlineExceeded, DecodingError, OrchestratorError, RecordTooLarge, TransportError
from topics.messages import Failed
from topics.provider_errors import WorkerError

DEFECT = KeyError("secret words")
ERRORS: list[tuple[BaseException, str, str | None, bool]] = [
    (DEFECT, "KeyError", "permanent", False),
    (DecodingError("Admitted", "not JSON", b""), "undecodable", "undecodable", False),
    (RecordTooLarge("results", 5, 4), "too_large", "too-large", False),
    (DeadlineExceeded(1, 2), "deadline_exceeded", None, False),
    (WorkerError("echo", "timeout", retryable=True), "worker_error", "exhausted", True),
    (WorkerError("echo", "auth", retryable=False), "worker_error", "permanent", False),
    (TransportError("reading", "no broker"), "transport", "exhausted", True),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("idwork_", max_size=5), inner, max_size=3),
    max_leaves=8,
)
TICKET = admitted().model_dump()
NAMES = st.sampled_from([*Failed.model_fields, "work", "cls", "_fields_set", "self", "model_config", "x"])


def of(seen: Record, error: BaseException = DEFECT) -> Failed:
    return failures.failed_of(seen, "dedup", error, now_ms=NOW_MS)


@pytest.mark.parametrize(("error", "kind", "disposition", "retryable"), ERRORS, ids=lambda value: str(value)[:20])
def test_error_of_each_kind_decides_what_follows(
    error: BaseException, kind: str, disposition: str | None, retryable: bool
) -> None:
    failure = failures.failure_of(error)

    assert (kind, retryable, disposition) == (failure.kind, failure.retryable, failures.disposition_of(error))


def test_foreign_error_is_told_by_its_class_alone() -> None:
    failure = failures.failure_of(DEFECT)

    assert ("KeyError", "KeyError", "KeyError") == (failure.kind, failure.message, failure.exception_class)


def test_own_error_is_told_in_its_words() -> None:
    failure = failures.failure_of(WorkerError("echo", "timeout", retryable=True))

    assert ("Worker inference failed: echo: timeout", "WorkerError") == (failure.message, failure.exception_class)


def test_own_error_with_unwritable_text_is_made_writable() -> None:
    failure = failures.failure_of(TransportError("reading", "\ud800"))

    assert b"reading: ?" in wire.encode(failure)


@pytest.mark.parametrize(("given", "told"), [(3, 3.0), (0.5, 0.5), (None, None), ("soon", None)])
def test_time_to_come_back_is_told_where_the_error_has_one(given: object, told: float | None) -> None:
    error = WorkerError("echo", "rate_limited", retryable=True)
    error.retry_after_s = given  # type: ignore[attr-defined]  # later errors have it

    assert told == failures.failure_of(error).retry_after_s


def test_record_with_a_message_is_failed_under_its_ticket() -> None:
    message = admitted(text="hello", metadata={"a": 1}, tenant="t")

    found = of(record(message))

    assert (message.id, message.identity, message.origin, message.tenant, message.metadata, message.work) == (
        found.id,
        found.identity,
        found.origin,
        found.tenant,
        found.metadata,
        found.work,
    )


def test_record_with_a_message_keeps_fields_of_a_newer_version() -> None:
    found = of(record(assembled(budget=3)))

    assert {"lane", "budget"} <= set(found.__pydantic_extra__ or {})


def test_record_with_a_message_keeps_whose_key_it_owned() -> None:
    message = assembled()

    found = of(record(message))

    assert (message.dedup_key, message.epoch) == (found.dedup_key, found.epoch)


@pytest.mark.parametrize("name", ["dedup_key", "epoch"])
@pytest.mark.parametrize("value", [7, ["x"], {}, True])
def test_key_that_is_no_text_is_left_out_of_the_failure(name: str, value: object) -> None:
    found = of(record(orjson.dumps({**TICKET, name: value})))

    assert (TICKET["id"], None) == (found.id, getattr(found, name))


@pytest.mark.parametrize("heavy", ["rendered", "passages", "reply"])
def test_record_with_a_message_loses_what_is_heavy(heavy: str) -> None:
    found = of(record(assembled(reply={"text": "x"})))

    assert heavy not in (found.__pydantic_extra__ or {})


def test_record_without_a_message_is_failed_under_its_coordinates() -> None:
    found = of(record(b"\xff", topic="deduped", partition=2, offset=9))

    assert ("deduped-2-9-ml29f9c0", None) == (found.id, found.work)
    assert origin("deduped", 2, 9, raw=b"\xff") == found.origin


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (b'{"id": "mine", "prompt": "x"}', "mine"),
        (b'{"id": 7}', "prompts-3-7-ml29f9c0"),
        (b'{"id": ""}', "prompts-3-7-ml29f9c0"),
        (orjson.dumps({"id": "x" * 257}), "prompts-3-7-ml29f9c0"),
        (orjson.dumps({"id": "x" * 256}), "x" * 256),
        (None, "prompts-3-7-ml29f9c0"),
    ],
    ids=["own", "number", "empty", "too-long", "longest", "tombstone"],
)
def test_prompt_that_broke_a_stage_is_answered_under_its_usable_id(value: bytes | None, known: str) -> None:
    assert known == of(record(value, topic=PROMPTS)).id


def test_prompt_that_looks_like_a_message_is_not_believed() -> None:
    forged = record(admitted(origin=origin(topic="admitted", offset=1)), topic=PROMPTS)

    assert (PROMPTS, 7) == (of(forged).origin.topic, of(forged).origin.offset)


def test_prompt_sent_again_after_a_defect_is_another_request() -> None:
    first, second = (of(record(b'{"id": "a"}', topic=PROMPTS, offset=offset)) for offset in (1, 2))

    assert (first.id, first.identity == second.identity) == (second.id, False)


@pytest.mark.parametrize("error", [DeadlineExceeded(1, 2)])
def test_passed_deadline_is_an_expiry(error: BaseException) -> None:
    assert ("expired", None) == (of(record(admitted()), error).outcome, of(record(admitted()), error).disposition)


def test_attempts_that_the_loop_does_not_count_are_one() -> None:
    assert 1 == of(record(admitted())).attempts


def test_times_and_attempts_are_what_the_loop_says() -> None:
    found = failures.failed_of(record(admitted()), "dedup", DEFECT, attempts=4, now_ms=17)

    assert ("dedup", 4, 17, 17) == (found.stage, found.attempts, found.first_failed_ms, found.failed_ms)


@given(st.one_of(st.none(), st.binary(max_size=200), JSON.map(orjson.dumps)), st.sampled_from([*CATALOG, "unknown"]))
def test_failed_of_any_bytes_is_one_writable_message(value: bytes | None, topic: str) -> None:
    found = failures.failed_of(record(value, topic=topic), "dedup", DEFECT, now_ms=NOW_MS)

    assert found == wire.decode(wire.encode(found), Failed)


@given(st.dictionaries(NAMES, JSON, max_size=4), st.sampled_from(["admitted", FAILED, PROMPTS]))
def test_failed_of_a_message_with_any_fields_is_one_writable_message(fields: dict[str, Any], topic: str) -> None:
    value = orjson.dumps({**TICKET, **fields})

    found = failures.failed_of(record(value, topic=topic), "dedup", DEFECT, now_ms=NOW_MS)

    assert ("dedup", "failed", "KeyError") == (found.stage, found.outcome, found.failure.kind)
    assert found == wire.decode(wire.encode(found), Failed)


@given(st.text(string.printable, min_size=8))
def test_text_of_a_foreign_error_never_travels(secret: str) -> None:
    """B98."""

    class Foreign(Exception):
        pass

    found = of(record(b"{}"), Foreign(secret))

    assert "Foreign" == found.failure.message


def test_refusal_once_decided_cannot_be_changed() -> None:
    refusal = failures.refusal(record(admitted()), "dedup", DEFECT, now_ms=NOW_MS)

    with pytest.raises(FrozenInstanceError):
        refusal.topic = "other"  # type: ignore[misc]  # the claim


def test_refusal_inside_keeps_key_and_partition() -> None:
    refusal = failures.refusal(record(admitted(), partition=6), "dedup", DEFECT, now_ms=NOW_MS)

    assert (FAILED, KEY, 6, wire.encode(refusal.failed)) == (
        refusal.topic,
        refusal.key,
        refusal.partition,
        refusal.value,
    )


def test_refusal_of_a_prompt_is_keyed_by_its_identity() -> None:
    refusal = failures.refusal(record(b"{}", topic=PROMPTS), "admit", DEFECT, now_ms=NOW_MS)

    assert (refusal.failed.identity.encode(), None) == (refusal.key, refusal.partition)


def test_refusal_of_a_failure_is_a_dead_letter_of_what_was_read() -> None:
    seen = record(failed(), topic=FAILED)

    refusal = failures.refusal(seen, "bury", DEFECT, now_ms=NOW_MS)

    assert (DEAD_LETTERS, seen.key, seen.value, None) == (refusal.topic, refusal.key, refusal.value, refusal.partition)


def test_refusal_of_a_failure_carries_its_evidence() -> None:
    refusal = failures.refusal(record(failed(), topic=FAILED), "bury", DEFECT, now_ms=NOW_MS)

    told = dict(refusal.headers)
    assert (b"bury", b"KeyError", b"a-1", b"", b"1") == (
        told["prompts.error.stage"],
        told["prompts.error.kind"],
        told["prompts.error.request-id"],
        told["prompts.error.group"],
        told["prompts.error.attempts"],
    )


def test_refusal_of_a_failure_names_topic_and_group_as_kafka_does() -> None:
    names = Names("acme.", "acme-")

    refusal = failures.refusal(record(failed(), topic=FAILED), "bury", DEFECT, now_ms=NOW_MS, names=names, app="bury")

    told = burial.told(refusal.headers)
    assert ("acme-prompts", "acme.bury") == (told["original-topic"], told["group"])


@pytest.mark.parametrize(("size", "kept"), [(PROMPT_BYTES, True), (PROMPT_BYTES + 1, False)])
def test_refusal_of_a_large_failure_fits_the_dead_letters(size: int, kept: bool) -> None:
    value = wire.encode(failed(metadata={"a": ""}))
    value = value.replace(b'"a":""', b'"a":"%s"' % (b"x" * (size - len(value))))

    refusal = failures.refusal(record(value, topic=FAILED), "bury", DEFECT, now_ms=NOW_MS)

    assert (size, kept) == (len(value), refusal.value == value)
    assert len(refusal.value or b"") <= PROMPT_BYTES


def test_refusal_above_the_limit_leaves_out_the_request() -> None:
    value = wire.encode(admitted(text="", tenant="t", metadata={"a": 1}))
    value = value.replace(b'"content":""', b'"content":"%s"' % (b"x" * (INTERNAL_BYTES - len(value))))

    refusal = failures.refusal(record(value), "dedup", DEFECT, now_ms=NOW_MS)

    thin = wire.decode(refusal.value, Failed)
    assert (INTERNAL_BYTES, "a-1", "t", None, {}) == (len(value), thin.id, thin.tenant, thin.work, thin.metadata)


@pytest.mark.parametrize("error", [error for error, *_ in ERRORS if isinstance(error, OrchestratorError)], ids=str)
def test_refusal_decided_twice_is_the_same(error: OrchestratorError) -> None:
    one, two = (failures.refusal(record(admitted()), "dedup", error, now_ms=NOW_MS) for _ in range(2))

    assert one == two


def test_examples_of_the_rule_are_true() -> None:
    ran = doctest.testmod(failures)

    assert (0, True) == (ran.failed, ran.attempted > 0)


def test_deadline_that_passed_is_no_dead_letter() -> None:
    with pytest.raises(DeadlineExceeded) as told:
        raise DeadlineExceeded(1000, 1250)

    assert failures.disposition_of(told.value) is None
