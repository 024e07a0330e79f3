"""Each outcome's answer: every field from records, none from a clock."""

from typing import Any

import orjson
import pytest

from streams.decisions import answers
from tests.support import door
from topics.answer import AnswerTry
from topics.messages import Failure, Try, Usage
from topics.wire import decode, encode

AT = "2026-01-31T12:00:00.000Z"
COMPLETED = {
    "id": "a-1",
    "status": "completed",
    "text": "hello",
    "message": {"role": "assistant", "content": "hello"},
    "finish_reason": "length",
    "model": "m-1",
    "provider": "echo",
    "source": "provider",
    "same_as": None,
    "usage": {"input_tokens": 9, "output_tokens": 20},
    "saved_usage": None,
    "cost_usd_micros": 12,
    "error": None,
    "attempts": 2,
    "tries": None,
    "request_hash": "cd" * 32,
    "received_at": AT,
    "finished_at": "2026-01-31T12:00:00.800Z",
    "work_s": {"infer": 0.8},
    "metadata": {"a": 1},
}


def failure(**fields):
    return Failure(**{"kind": "worker_error", "message": "m", "exception_class": "E", **fields})


def nulls(answer):
    """Fields that the answer does not have."""
    return {name for name, value in answer.model_dump().items() if value is None}


@pytest.mark.parametrize("build", [door.inferred, door.refined])
def test_completed_reply_becomes_the_whole_answer(build):
    usage = Usage(input_tokens=9, output_tokens=20)
    reply = door.reply(
        text="hello", model="m-1", finish_reason="length", usage=usage, cost_usd_micros=12, attempts=2, work_s=0.8
    )

    assert COMPLETED == answers.completed(build(reply=reply, metadata={"a": 1})).model_dump()


def test_completed_answer_twice_has_equal_bytes():
    assert encode(answers.completed(door.inferred())) == encode(answers.completed(door.inferred()))


def test_completed_answer_from_decoded_message_has_equal_bytes():
    message = door.refined()

    assert encode(answers.completed(message)) == encode(answers.completed(decode(encode(message), type(message))))


def test_refused_request_has_reason_and_times_of_its_record():
    answer = answers.refused("a-1", door.origin(), "prompt: is empty", request_hash="ff")
    told = (
        answer.status,
        answer.error.kind,
        answer.error.message,
        answer.received_at,
        answer.finished_at,
        answer.attempts,
    )

    assert ("rejected", "invalid_request", "prompt: is empty", AT, AT, 0) == told


def test_refused_request_lacks_everything_a_call_gives():
    answer = answers.refused("a-1", door.origin(), "r", request_hash="ff")
    lacking = {
        "text",
        "message",
        "finish_reason",
        "model",
        "provider",
        "source",
        "same_as",
        "usage",
        "saved_usage",
        "tries",
    }

    assert lacking == nulls(answer)


@pytest.mark.parametrize(("given", "echoed"), [(None, {}), ({}, {}), ({"a": [1]}, {"a": [1]})])
def test_refused_request_echoes_its_metadata(given, echoed):
    assert echoed == answers.refused("a-1", door.origin(), "r", request_hash="ff", metadata=given).metadata


def test_refused_request_is_not_worth_a_retry():
    error = answers.refused("a-1", door.origin(), "r", request_hash="ff").error

    assert (False, None) == (error.retryable, error.retry_after_s)


@pytest.mark.parametrize("outcome", ["failed", "rejected", "expired"])
def test_given_up_outcome_becomes_the_status(outcome):
    assert outcome == answers.given_up(door.failed(outcome=outcome)).status


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ("worker_error", "m", False, None)),
        ({"retryable": True, "retry_after_s": 3.0}, ("worker_error", "m", True, 3.0)),
        ({"kind": "deadline_exceeded"}, ("deadline_exceeded", "m", False, None)),
        ({"kind": "ValueError", "message": "ValueError"}, ("internal", "ValueError", False, None)),
    ],
)
def test_given_up_failure_is_told(fields, told):
    error = answers.given_up(door.failed(failure=failure(**fields))).error

    assert told == (error.kind, error.message, error.retryable, error.retry_after_s)


def test_given_up_answer_is_finished_when_it_failed():
    answer = answers.given_up(door.failed(first_failed_ms=door.NOON_MS + 5, failed_ms=door.NOON_MS + 9))

    assert (AT, "2026-01-31T12:00:00.009Z") == (answer.received_at, answer.finished_at)


def test_given_up_answer_keeps_whom_it_is_about():
    answer = answers.given_up(door.failed(attempts=3, metadata={"a": 1}))

    assert ("a-1", "cd" * 32, 3, {"a": 1}) == (answer.id, answer.request_hash, answer.attempts, answer.metadata)


def test_given_up_answer_tells_what_its_call_had_cost():
    """So that the sum over all answers is the provider's bill."""
    paid = answers.given_up(door.failed(usage=Usage(input_tokens=9, output_tokens=20), cost_usd_micros=12))

    assert (Usage(input_tokens=9, output_tokens=20), 12) == (paid.usage, paid.cost_usd_micros)


def test_given_up_answer_without_a_paid_call_costs_nothing():
    unpaid = answers.given_up(door.failed())

    assert (None, 0) == (unpaid.usage, unpaid.cost_usd_micros)


def test_given_up_answer_lacks_everything_a_call_gives():
    lacking = {
        "text",
        "message",
        "finish_reason",
        "model",
        "provider",
        "source",
        "same_as",
        "usage",
        "saved_usage",
        "tries",
    }

    assert lacking == nulls(answers.given_up(door.failed()))


def test_message_with_tool_calls_is_told_whole():
    message = {"role": "assistant", "content": "", "tool_calls": [{"id": "t"}]}

    assert message == answers.completed(door.inferred(door.reply(message=message))).message


def test_reply_bought_by_another_costs_nothing():
    usage = Usage(input_tokens=9, output_tokens=20)
    answer = answers.completed(door.inferred(door.reply(usage=usage, cost_usd_micros=12), same_as="a-0"))

    assert ("coalesced", "a-0", 0, 0, {}) == (
        answer.source,
        answer.same_as,
        answer.cost_usd_micros,
        answer.attempts,
        answer.work_s,
    )
    assert (Usage(), usage) == (answer.usage, answer.saved_usage)


def tried(kind: str | None = "provider_unavailable", *, at_ms: int = 0, **fields: Any) -> Try:
    return Try(provider="openai", model="small", kind=kind, at_ms=door.NOON_MS + at_ms, work_s=0.25, **fields)


def test_answer_after_failed_calls_tells_them_and_the_one_that_gave_it() -> None:
    reply = door.reply(provider="anthropic", model="large", work_s=0.5, finished_ms=door.NOON_MS + 3_500)
    answer = answers.completed(door.inferred(reply, tries=(tried(), tried("provider_timeout", at_ms=1_000))))

    assert (
        AnswerTry(provider="openai", model="small", kind="provider_unavailable", at=AT, work_s=0.25),
        AnswerTry(
            provider="openai", model="small", kind="provider_timeout", at="2026-01-31T12:00:01.000Z", work_s=0.25
        ),
        AnswerTry(provider="anthropic", model="large", kind=None, at="2026-01-31T12:00:03.000Z", work_s=0.5),
    ) == answer.tries


def test_answer_of_the_first_call_tells_no_tries() -> None:
    assert answers.completed(door.inferred()).tries is None


@pytest.mark.parametrize(("kinds", "told"), [([], None), (["a"], None), (["provider_timeout"] * 3, 3)])
def test_given_up_answer_tells_its_tries_where_they_were_several(kinds: list[str], told: int | None) -> None:
    tries = answers.given_up(door.failed(tries=tuple(tried(kind) for kind in kinds))).tries

    assert told == (tries and len(tries))


def test_try_of_a_foreign_kind_is_told_as_internal() -> None:
    tries = answers.given_up(door.failed(tries=(tried("KeyError"), tried("context_too_long")))).tries

    assert ["internal", "context_too_long"] == [made.kind for made in tries]


def test_answer_bought_for_another_request_has_no_tries_of_its_own() -> None:
    assert answers.completed(door.inferred(tries=(tried(), tried()), same_as="b-1")).tries is None


def test_shared_answer_has_no_tries_of_its_own() -> None:
    final = answers.completed(door.inferred(tries=(tried(), tried()))).model_dump(mode="json")
    ticket = door.admitted(request_id="a-2").model_dump(mode="json")

    assert (3, None) == (len(final["tries"]), orjson.loads(answers.shared(final, ticket, "cache", 5))["tries"])


def test_answer_with_tries_twice_has_equal_bytes() -> None:
    """It comes from records alone, also after these were written and read."""
    message = door.inferred(tries=(tried(retry_after_s=1.5, probe=True), tried()))
    again = decode(encode(message), type(message))

    assert encode(answers.completed(message)) == encode(answers.completed(again))


def paid(**fields: Any) -> dict[str, Any]:
    """A final that a call gave, as JSON data."""
    usage = Usage(input_tokens=9, output_tokens=20)
    reply = door.reply(usage=usage, cost_usd_micros=12, attempts=2)
    return {**answers.completed(door.inferred(reply)).model_dump(mode="json"), **fields}


def shared(final: dict[str, Any]) -> dict[str, Any]:
    ticket = door.admitted(request_id="a-2").model_dump(mode="json")
    return orjson.loads(answers.shared(final, ticket, "cache", 5))


def test_shared_answer_costs_its_own_request_nothing() -> None:
    answer = shared(paid())

    assert ({"input_tokens": 0, "output_tokens": 0}, 0, 0, {}) == tuple(
        answer[name] for name in ("usage", "cost_usd_micros", "attempts", "work_s")
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"input_tokens": 9, "output_tokens": 20}),
        (
            {"usage": {"input_tokens": 0, "output_tokens": 0}, "saved_usage": {"input_tokens": 7, "output_tokens": 1}},
            {"input_tokens": 7, "output_tokens": 1},
        ),
        ({"usage": None}, None),
    ],
)
def test_shared_answer_saves_what_the_first_one_had_cost(fields: dict[str, Any], expected: Any) -> None:
    assert expected == shared(paid(**fields))["saved_usage"]


def test_shared_answer_of_an_outcome_without_usage_has_none() -> None:
    assert None is shared(paid(usage=None))["usage"]


@pytest.mark.parametrize(("fields", "expected"), [({}, "a-1"), ({"same_as": "a-0"}, "a-0")])
def test_shared_answer_names_the_request_that_paid(fields: dict[str, Any], expected: str) -> None:
    assert expected == shared(paid(**fields))["same_as"]


def test_try_that_gave_the_answer_began_its_work_before_it_ended() -> None:
    reply = door.reply(work_s=4.0, finished_ms=door.NOON_MS + 9_000)
    tries = answers.completed(door.inferred(reply, tries=(tried(),))).tries

    assert "2026-01-31T12:00:05.000Z" == (tries and tries[-1].at)
