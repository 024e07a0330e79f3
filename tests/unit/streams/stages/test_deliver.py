from typing import Literal

import pytest

from streams.decisions import answers, requests, rows
from streams.decisions.dedup import DedupPolicy
from streams.decisions.requests import Final
from streams.stage import Output, Record
from streams.stages import deliver
from tests.support.builders import KEY, NOW_MS, failed, failure, record, refined, reply
from tests.support.scopes import FakeScope, run
from topics import wire
from topics.answer import Answer
from topics.catalog import DEDUPED, FAILED, REFINED, RESULTS
from topics.errors import DecodingError, RecordTooLarge
from topics.messages import Failed, Refined, Usage

Unbinding = Literal["expired", "rejected"]
UNBINDING: tuple[Unbinding, ...] = ("expired", "rejected")


def good(text: str = "hi", offset: int = 7, message: Refined | None = None) -> Record:
    return record(message or refined(reply(text)), topic=REFINED, offset=offset)


def bad(outcome: Literal["failed", "rejected", "expired"] = "failed", offset: int = 5, kind: str = "timeout") -> Record:
    return record(failed(outcome, failure=failure(kind), dedup_key=KEY.decode()), topic=FAILED, offset=offset)


def answer(output: Output) -> Answer:
    return Answer.model_validate_json(output.value or b"")


def delivered(scope: FakeScope, *records: Record) -> list[Output]:
    return [output for one in records for output in run(deliver.stage(), one, scope)]


def test_refined_reply_is_answered_completed() -> None:
    message = refined(reply("hi"))

    (output,) = delivered(FakeScope(), good(message=message))

    assert wire.encode(answers.completed(message)) == output.value
    assert "final" == output.decision


def test_failed_request_is_answered_failed() -> None:
    message = failed()

    (output,) = delivered(FakeScope(), record(message, topic=FAILED))

    assert wire.encode(answers.given_up(message)) == output.value
    assert "final" == output.decision


def test_answer_of_a_request_is_keyed_by_its_id() -> None:
    (output,) = delivered(FakeScope(), good(message=refined(id="ä 1")))

    assert (RESULTS, "ä 1".encode(), None) == (output.topic, output.key, output.partition)


@pytest.mark.parametrize("first", [good("one"), bad("failed")], ids=["completed", "failed"])
@pytest.mark.parametrize("second", [good("two", 8), bad("failed", 9), bad("expired", 6), bad("rejected", 6)])
def test_second_final_of_another_record_repeats_the_first(first: Record, second: Record) -> None:
    scope = FakeScope()

    one, two = delivered(scope, first, second)

    assert (one.value, "final", "copy") == (two.value, one.decision, two.decision)


@pytest.mark.parametrize("first", [good(), bad("failed"), *map(bad, UNBINDING)], ids=["ok", "failed", *UNBINDING])
def test_redelivered_record_gives_equal_outputs(first: Record) -> None:
    scope = FakeScope()

    one, again = delivered(scope, first, first)

    assert one == again


@pytest.mark.parametrize("outcome", UNBINDING)
def test_final_after_an_unbinding_answer_is_delivered(outcome: Unbinding) -> None:
    _, final = delivered(FakeScope(), bad(outcome), good("late"))

    assert ("completed", "late", "final") == (answer(final).status, answer(final).text, final.decision)


@pytest.mark.parametrize("outcome", UNBINDING)
def test_unbinding_answer_redelivered_after_the_final_stays_the_same(outcome: Unbinding) -> None:
    first, _, again = delivered(FakeScope(), bad(outcome), good(), bad(outcome))

    assert first == again


@pytest.mark.parametrize("outcome", UNBINDING)
def test_unbinding_answer_is_named_by_its_status(outcome: Unbinding) -> None:
    (output,) = delivered(FakeScope(), bad(outcome))

    assert (outcome, outcome) == (output.decision, answer(output).status)


def test_second_expiry_before_any_final_is_answered_too() -> None:
    one, two = delivered(FakeScope(), bad("expired", 1), bad("expired", 2))

    assert ("expired", "expired", one.value) == (one.decision, two.decision, two.value)


def test_finals_of_two_requests_do_not_meet() -> None:
    other = refined(reply("other"), identity="ef" * 32)

    one, two = delivered(FakeScope(), good("one"), good(message=other, offset=8))

    assert ("one", "other") == (answer(one).text, answer(two).text)


def test_row_of_a_final_holds_the_exact_answer() -> None:
    scope, message = FakeScope(), refined()

    (output,) = delivered(scope, good(message=message))

    stored = scope.rows[requests.final_key(message.dedup_key, message.identity)]
    assert Final(f"{REFINED}/3/7", "completed", NOW_MS, payload=output.value or b"") == requests.unpack(stored, Final)


def test_final_above_what_is_kept_is_marked_and_sent_once() -> None:
    scope, stage = FakeScope(), deliver.stage(DedupPolicy(max_answer_bytes=10))

    outputs = [[one.decision for one in run(stage, good(offset=offset), scope)] for offset in (7, 8, 7)]

    assert [["final"], [], ["final"]] == outputs


def test_failure_before_there_was_a_key_is_answered_alone() -> None:
    (output,) = delivered(FakeScope(), record(failed("rejected", "undecodable", "admit"), topic=FAILED))

    assert ("rejected", "rejected") == (output.decision, answer(output).status)


def test_reply_that_another_bought_is_told_as_coalesced() -> None:
    (output,) = delivered(FakeScope(), good(message=refined(reply("hi"), same_as="a-0")))

    told = answer(output)
    assert ("coalesced", "a-0", 0, Usage()) == (told.source, told.same_as, told.cost_usd_micros, told.usage)
    assert reply().usage == told.saved_usage


@pytest.mark.parametrize("seen", [good(), bad("failed"), bad("expired")], ids=["ok", "failed", "expired"])
def test_row_of_an_answer_is_written_again_by_a_redelivery(seen: Record) -> None:
    scope = FakeScope()

    delivered(scope, seen, seen)

    (key,) = scope.rows
    assert [key, key] == scope.table.puts


def test_row_of_a_final_is_written_again_by_a_copy() -> None:
    scope = FakeScope()

    delivered(scope, good(offset=7), good(offset=8), bad("expired"))

    (key,) = scope.rows
    assert [key] * 3 == scope.table.puts


def test_row_of_an_answer_above_the_limit_is_not_written() -> None:
    scope = FakeScope()

    with pytest.raises(RecordTooLarge) as refused:
        delivered(scope, good("x" * (rows.PAYLOAD_BYTES // 2)))
    assert ({}, RESULTS) == (scope.rows, refused.value.topic)


def test_request_whose_answer_was_too_large_can_still_be_answered_failed() -> None:
    scope = FakeScope()
    with pytest.raises(RecordTooLarge):
        delivered(scope, good("x" * (rows.PAYLOAD_BYTES // 2)))

    (output,) = delivered(scope, bad(kind="too_large"))

    assert "failed" == answer(output).status


def test_answer_of_a_request_is_the_same_at_any_time() -> None:
    scopes = FakeScope(now_ms=NOW_MS), FakeScope(now_ms=NOW_MS + 99_000)

    one, two = (delivered(scope, good()) for scope in scopes)

    assert one == two


@pytest.mark.parametrize(("topic", "named"), [(FAILED, Failed.__name__), (REFINED, Refined.__name__)])
def test_bytes_that_are_no_message_are_refused(topic: str, named: str) -> None:
    with pytest.raises(DecodingError, match=named):
        delivered(FakeScope(), record(b"{}", topic=topic))


def test_stage_as_data_names_its_topics_and_table() -> None:
    stage = deliver.stage()

    assert ("deliver", "core", (REFINED, FAILED), (RESULTS, DEDUPED, FAILED), "requests") == (
        stage.name,
        stage.app,
        stage.reads,
        stage.writes,
        stage.table,
    )
