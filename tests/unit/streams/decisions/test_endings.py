from typing import Any

import pytest

from streams.decisions import endings, rows
from streams.decisions.retry import Reason
from tests.support.builders import NOW_MS, assembled, origin, reply
from topics import wire
from topics.catalog import FAILED, INFERRED
from topics.errors import AnswerGone, OrchestratorError, RecordTooLarge, StageFailure
from topics.messages import Failed, Inferred, Open, Try
from topics.provider_errors import ProviderDenied, ProviderUnavailable

AWAY = ProviderUnavailable("p")
FIRST = Try(provider="p", model="m", kind="provider_unavailable", at_ms=NOW_MS, work_s=0.25)
SECOND = Try(provider="p", model="m", kind="provider_unavailable", at_ms=NOW_MS + 900, work_s=0.1)
LONG = Try(provider="p", model="m", kind="provider_timeout", at_ms=NOW_MS + 999, work_s=4.0)
TRIES = (FIRST, SECOND)
END_MS = NOW_MS + 1000


def lost(value: bytes) -> Failed:
    return wire.decode(value, Failed)


def test_answer_tells_of_the_calls_that_failed_before() -> None:
    written = wire.decode(endings.answered(assembled(), reply("hi"), (FIRST,)), Inferred)

    assert ((FIRST,), reply("hi"), None) == (written.tries, written.reply, written.same_as)


@pytest.mark.parametrize("tries", [(), (FIRST,)])
def test_what_only_the_call_needed_is_left_out(tries: tuple[Try, ...]) -> None:
    message = assembled(snapshot="s").model_copy(update={"hop": 3, "due_ms": 5, "tries": (SECOND,)})

    written = wire.decode(endings.answered(message, reply(), tries), Inferred)

    assert ({}, tries) == (written.__pydantic_extra__, written.tries)


def test_answer_above_what_a_row_remembers_is_refused() -> None:
    with pytest.raises(RecordTooLarge, match="inferred"):
        endings.answered(assembled(), reply("x" * rows.PAYLOAD_BYTES), ())


def test_answer_as_large_as_a_row_remembers_is_written() -> None:
    frame = len(endings.answered(assembled(), reply("x"), ())) - 1

    assert rows.PAYLOAD_BYTES == len(endings.answered(assembled(), reply("x" * (rows.PAYLOAD_BYTES - frame)), ()))


@pytest.mark.parametrize(
    ("reason", "error", "disposition", "kind", "cause"),
    [
        ("permanent", ProviderDenied("p"), "permanent", "provider_denied", None),
        ("permanent", RecordTooLarge("inferred", 2, 1), "too-large", "too_large", None),
        ("exhausted", StageFailure("infer", 2, AWAY), "exhausted", "stage_failure", "provider_unavailable"),
        ("exhausted", StageFailure("infer", 2, ProviderDenied("p")), "exhausted", "stage_failure", "provider_denied"),
        ("deadline", StageFailure("infer", 2, AWAY), "exhausted", "stage_failure", "provider_unavailable"),
        ("budget", StageFailure("infer", 2, AWAY), "exhausted", "stage_failure", "provider_unavailable"),
    ],
)
def test_request_given_up_tells_why_and_of_what(
    reason: Reason, error: OrchestratorError, disposition: str, kind: str, cause: str | None
) -> None:
    """B51."""
    ended = endings.given_up(reason, error, TRIES, END_MS)

    assert ("failed", reason, disposition) == (ended.outcome, ended.reason, ended.disposition)
    assert (kind, cause, 2) == (ended.failure.kind, ended.failure.cause, ended.attempts)


@pytest.mark.parametrize(
    ("tries", "first_ms"), [((), END_MS), ((FIRST,), NOW_MS + 250), (TRIES, NOW_MS + 250), ((LONG,), NOW_MS + 4_999)]
)
def test_times_of_a_failure_are_the_first_and_the_last(tries: tuple[Try, ...], first_ms: int) -> None:
    """B75."""
    ended = endings.given_up("permanent", AWAY, tries, END_MS)

    assert (first_ms, END_MS) == (ended.first_failed_ms, ended.failed_ms)


@pytest.mark.parametrize(
    ("deadline_ms", "tries", "first_ms"),
    [(END_MS, (), END_MS), (END_MS, TRIES, NOW_MS + 250), (NOW_MS + 100, (FIRST,), NOW_MS + 100)],
)
def test_expiry_dates_from_the_deadline_and_not_after(deadline_ms: int, tries: tuple[Try, ...], first_ms: int) -> None:
    ended = endings.expired(deadline_ms, tries)

    assert (first_ms, deadline_ms) == (ended.first_failed_ms, ended.failed_ms)
    assert ("expired", None, None, len(tries)) == (ended.outcome, ended.disposition, ended.reason, ended.attempts)


def test_failure_as_written_carries_request_tries_and_reason() -> None:
    message = assembled()

    written = lost(endings.failed(message, endings.given_up("budget", AWAY, TRIES, END_MS), TRIES))

    assert (message.work, TRIES, "budget", "infer") == (written.work, written.tries, written.reason, written.stage)
    assert (message.dedup_key, message.epoch) == (written.dedup_key, written.epoch)


def test_failure_of_two_copies_of_a_request_is_the_same_bytes() -> None:
    """The state rule: a copy that was parked brings tries of its own along."""
    ended = endings.expired(END_MS, TRIES)
    hopped = assembled().model_copy(update={"hop": 4, "due_ms": 9, "tries": (FIRST,)})

    assert endings.failed(assembled(), ended, TRIES) == endings.failed(hopped, ended, TRIES)


@pytest.mark.parametrize("word", [INFERRED, FAILED])
def test_own_outcome_is_the_very_bytes(word: str) -> None:
    message = assembled()
    ended = endings.given_up("permanent", AWAY, TRIES, END_MS)
    value = endings.answered(message, reply(), ()) if word == INFERRED else endings.failed(message, ended, TRIES)

    assert value is endings.adopted(message, rows.Row("x/0/1", word, value))


def test_answer_bought_for_another_is_told_in_the_own_name() -> None:
    """B14."""
    owner, twin = assembled(id="owner"), assembled(id="twin", identity="ef" * 32)
    row = rows.Row("x/0/1", INFERRED, endings.answered(owner, reply(), (FIRST,)))

    first = endings.adopted(twin, row)
    second = endings.adopted(assembled(id="third", identity="0f" * 32), rows.Row("x/0/2", INFERRED, first))

    told = [wire.decode(value, Inferred) for value in (first, second)]
    assert [("twin", "owner"), ("third", "owner")] == [(one.id, one.same_as) for one in told]
    assert [(FIRST,), (FIRST,)] == [one.tries for one in told]


@pytest.mark.parametrize("identity", ["00" * 32, "ff" * 32])
def test_failure_of_another_is_told_in_the_own_name(identity: str) -> None:
    ended = endings.given_up("exhausted", StageFailure("infer", 2, AWAY), TRIES, END_MS)
    row = rows.Row("x/0/1", b"failed".decode(), endings.failed(assembled(id="owner"), ended, TRIES))

    told = lost(endings.adopted(assembled(id="twin", identity=identity), row))

    assert ("twin", TRIES, "exhausted", ended.failure) == (told.id, told.tries, told.reason, told.failure)


def test_unknown_field_travels_into_every_ending() -> None:
    ended = endings.expired(END_MS, ())
    values = [endings.answered(assembled(budget=3), reply(), ()), endings.failed(assembled(budget=3), ended, ())]

    assert [3, 3] == [(wire.decode(value, Open).__pydantic_extra__ or {})["budget"] for value in values]


# -- what is kept no longer


MARK = rows.Row("assembled.low/0/7", rows.GONE, b"", END_MS, 3)


def test_request_whose_answer_is_kept_no_longer_fails_for_good() -> None:
    """B148: once for each, with the calls that were made."""
    message = assembled()

    failed = lost(endings.gone(message, MARK))

    assert ("failed", "permanent", "permanent", 3) == (
        failed.outcome,
        failed.disposition,
        failed.reason,
        failed.attempts,
    )
    assert ("answer_gone", "AnswerGone", False) == (
        failed.failure.kind,
        failed.failure.exception_class,
        failed.failure.retryable,
    )
    assert (message.id, message.work, (), "infer") == (failed.id, failed.work, failed.tries, failed.stage)


def test_text_of_an_answer_gone_names_whose_it_was() -> None:
    with pytest.raises(AnswerGone, match=lost(endings.gone(assembled(), MARK)).failure.message):
        raise AnswerGone(MARK.at)


@pytest.mark.parametrize(
    ("ms", "asked_ms", "told_ms"), [(END_MS, NOW_MS, END_MS), (END_MS, END_MS + 5, END_MS + 5), (None, NOW_MS, NOW_MS)]
)
def test_time_of_an_answer_gone_is_that_of_its_row_and_not_before_the_request(
    ms: int | None, asked_ms: int, told_ms: int
) -> None:
    message = assembled(origin=origin(timestamp_ms=asked_ms))

    failed = lost(endings.gone(message, rows.Row("a/0/1", rows.GONE, b"", ms)))

    assert (told_ms, told_ms) == (failed.first_failed_ms, failed.failed_ms)


def test_answer_gone_is_told_to_two_copies_of_a_request_in_the_same_bytes() -> None:
    """The state rule."""
    hopped = assembled().model_copy(update={"hop": 4, "due_ms": 9, "tries": (FIRST,)})

    assert endings.gone(assembled(), MARK) == endings.gone(hopped, MARK)


def test_answer_gone_is_told_to_a_twin_in_its_own_name() -> None:
    told = lost(endings.gone(assembled(id="twin", identity="ef" * 32), MARK))

    assert ("twin", "answer_gone") == (told.id, told.failure.kind)


ANSWERED = endings.answered(assembled(), reply(), ())


@pytest.mark.parametrize(
    ("word", "at", "decision"),
    [
        (INFERRED, "x/0/1", "called"),
        (INFERRED, "x/0/2", "answered-before"),
        (FAILED, "x/0/1", "given-up"),
        (FAILED, "x/0/2", "answered-before"),
        (rows.GONE, "x/0/1", "answer-gone"),
        (rows.GONE, "x/0/2", "answer-gone"),
    ],
)
def test_outcome_of_a_row_says_who_decided_it(word: str, at: str, decision: str) -> None:
    message = assembled()
    failure = endings.failed(message, endings.expired(END_MS, ()), ())
    values: dict[str, Any] = {INFERRED: ANSWERED, FAILED: failure, rows.GONE: b""}
    row = rows.Row("x/0/1", word, values[word], END_MS)

    said = endings.outcome(message, row, at)

    value = endings.gone(message, row) if word == rows.GONE else values[word]
    assert (FAILED if word == rows.GONE else word, value, decision) == said
