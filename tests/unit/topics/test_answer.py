"""The door model of answers: what each field is, the closed list of error kinds, times as people read them."""

from typing import get_args

import pytest
from pydantic import ValidationError

from topics import errors, provider_errors
from topics.answer import ERROR_KINDS, Answer, AnswerError, AnswerTry, ErrorKind, Source, Status, error_kind, rfc3339
from topics.messages import Usage
from topics.wire import decode, encode


def answer(**fields):
    times = {"received_at": rfc3339(0), "finished_at": rfc3339(1)}
    return Answer(**{"id": "a-1", "status": "completed", "request_hash": "ab", **times, **fields})


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1000, "1970-01-01T00:00:01.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_769_860_800_000, "2026-01-31T12:00:00.000Z"),
        (1_769_860_800_057, "2026-01-31T12:00:00.057Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
        (2**63 - 1, "9999-12-31T23:59:59.999Z"),
        (-1, "1970-01-01T00:00:00.000Z"),
        (-(2**63), "1970-01-01T00:00:00.000Z"),
    ],
)
def test_rfc3339_any_kafka_timestamp_has_milliseconds_and_z(ms, text):
    assert text == rfc3339(ms)


@pytest.mark.parametrize("status", ["completed", "rejected", "expired", "failed", "cancelled"])
def test_status_of_the_contract_is_accepted(status):
    assert status == answer(status=status).status


@pytest.mark.parametrize("source", ["provider", "cache", "coalesced"])
def test_source_of_the_contract_is_accepted(source):
    assert source == answer(source=source).source


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "done"},
        {"source": "memory"},
        {"error": {"kind": "oops", "message": "m"}},
        {"attempts": "1"},
        {"cost_usd_micros": 0.5},
        {"work_s": {"infer": float("nan")}},
        {"surprise": 1},
        {"id": None},
        {"finished_at": 5},
    ],
)
def test_answer_with_a_misfit_is_refused(fields):
    with pytest.raises(ValidationError):
        answer(**fields)


def test_answer_fields_stand_in_the_order_of_the_contract():
    order = (
        "id status text message finish_reason model provider source same_as usage saved_usage cost_usd_micros error "
        "attempts request_hash received_at finished_at work_s metadata tries"
    )

    assert order.split() == list(Answer.model_fields)


@pytest.mark.parametrize("field", Answer.model_fields)
def test_answer_public_field_is_documented(field):
    assert f"{field}:" in (Answer.__doc__ or "") or f"``{field}``" in (Answer.__doc__ or "")


@pytest.mark.parametrize(
    "field",
    ["text", "message", "finish_reason", "model", "provider", "source", "same_as", "usage", "saved_usage", "error"],
)
def test_answer_field_that_a_status_lacks_is_written_as_null(field):
    assert f'"{field}":null'.encode() in encode(answer(status="rejected"))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"text": "hé", "message": {"role": "assistant", "content": "hé"}, "usage": Usage(input_tokens=9)},
        {"status": "failed", "error": AnswerError(kind="worker_error", message="m", retryable=True, retry_after_s=3.0)},
        {"work_s": {"infer": 0.8}, "metadata": {"a": [1, {"b": None}]}, "cost_usd_micros": 12},
    ],
)
def test_answer_round_trip_gives_an_equal_one(fields):
    assert answer(**fields) == decode(encode(answer(**fields)), Answer)


def test_answer_with_tries_reads_back_as_it_was_written():
    tries = tuple(AnswerTry(provider="p", model="m", kind=kind, at="t") for kind in ("provider_timeout", None))

    assert tries == decode(encode(answer(tries=tries)), Answer).tries


def test_error_kinds_all_have_a_meaning():
    assert list(get_args(ErrorKind)) == list(ERROR_KINDS)


@pytest.mark.parametrize("kind", ERROR_KINDS)
def test_error_kind_of_the_list_is_kept(kind):
    assert kind == error_kind(kind)


@pytest.mark.parametrize("kind", ["ValueError", "", "transport", "configuration", "Internal"])
def test_error_kind_outside_the_list_is_internal(kind):
    assert "internal" == error_kind(kind)


@pytest.mark.parametrize(
    "error",
    [
        *(provider_errors.WorkerError, errors.DeadlineExceeded, errors.DecodingError, errors.RecordTooLarge),
        errors.AnswerGone,
    ],
)
def test_error_that_can_end_a_request_has_its_kind_in_the_list(error):
    assert error.kind in ERROR_KINDS


def test_closed_words_are_those_of_the_contract():
    statuses, sources = {"completed", "rejected", "expired", "failed", "cancelled"}, {"provider", "cache", "coalesced"}

    assert (statuses, sources) == (set(get_args(Status)), set(get_args(Source)))
