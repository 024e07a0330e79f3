from typing import Any

import pytest

from streams.decisions.refinement import RefinementPolicy
from streams.stage import Output
from streams.stages import refine
from tests.support.builders import KEY, inferred, record, reply, work
from tests.support.scopes import run
from topics import wire
from topics.catalog import FAILED, INFERRED, REFINED
from topics.errors import DecodingError
from topics.messages import Failed, Failure, Inferred, Refined, Usage

JSON = work(response_format={"type": "json_object"})
PAID = {"usage": Usage(input_tokens=9, output_tokens=20), "cost_usd_micros": 12, "attempts": 2}


def refined(message: Inferred | bytes, policy: RefinementPolicy | None = None, **where: Any) -> Output:
    (output,) = run(refine.stage(policy), record(message, topic=INFERRED, **where))
    return output


def refused(message: Inferred | None = None, **where: Any) -> Failed:
    """What becomes of a reply that is no JSON where JSON was asked for."""
    output = refined(message or inferred(reply("secret words", **PAID), work=JSON), **where)
    assert FAILED == output.topic
    return wire.decode(output.value, Failed)


def test_reply_that_may_be_shown_is_passed_on_byte_for_byte() -> None:
    value = wire.encode(
        inferred(reply("two\nlines \x00 of \x1b[31mtext\u202e", finish_reason="length", logprobs=[0.5]))
    )

    assert value == refined(value).value


def test_message_that_was_passed_on_is_a_refined_one() -> None:
    answer = reply(cost_usd_micros=12)

    assert answer == wire.decode(refined(inferred(answer)).value, Refined).reply


def test_output_of_a_request_keeps_key_and_partition() -> None:
    output = refined(inferred(), partition=6)

    assert (REFINED, KEY, 6, "as-answered") == (output.topic, output.key, output.partition, output.decision)


def test_unknown_field_of_a_newer_version_travels_on() -> None:
    assert {"budget": 3} == wire.decode(refined(inferred(budget=3)).value, Refined).__pydantic_extra__


def test_message_without_a_reply_is_refused() -> None:
    with pytest.raises(DecodingError, match="reply"):
        refined(wire.encode(inferred()).replace(b'"reply"', b'"ylper"'))


def test_reply_that_fits_its_format_is_passed_on() -> None:
    assert REFINED == refined(inferred(reply('{"a": 1}'), work=JSON)).topic


def test_refused_reply_goes_where_failures_go() -> None:
    output = refined(inferred(reply("no"), work=JSON), partition=6)

    assert (FAILED, KEY, 6, "refused-answer") == (output.topic, output.key, output.partition, output.decision)


def test_refused_reply_is_told_without_its_words() -> None:
    """B98."""
    output = refined(inferred(reply("secret words"), work=JSON))

    assert b"secret" not in (output.value or b"")
    assert (
        Failure(
            kind="answer_invalid",
            message="The answer breaks its response_format at $: not JSON (line 1 column 1)",
            exception_class="AnswerInvalid",
        )
        == wire.decode(output.value, Failed).failure
    )


def test_refused_reply_keeps_what_it_cost() -> None:
    """It was paid for: the sum over all answers stays the provider's bill."""
    given_up = refused()

    assert PAID == {name: getattr(given_up, name) for name in PAID}


def test_refused_reply_is_buried_as_permanent() -> None:
    """B46: the same reply would be refused again."""
    given_up = refused()

    assert ("refine", "failed", "permanent", False) == (
        given_up.stage,
        given_up.outcome,
        given_up.disposition,
        given_up.failure.retryable,
    )


def test_refused_reply_keeps_whom_it_is_about() -> None:
    message = inferred(reply("no"), work=JSON, metadata={"run": 7})
    given_up = refused(message)

    kept = ("id", "identity", "request_hash", "origin", "metadata", "dedup_key", "epoch", "work")
    assert {name: getattr(message, name) for name in kept} == {name: getattr(given_up, name) for name in kept}


def test_refused_reply_failed_when_the_reply_was_there() -> None:
    given_up = refused(inferred(reply("no", finished_ms=77), work=JSON))

    assert (77, 77) == (given_up.first_failed_ms, given_up.failed_ms)


def test_refused_reply_read_again_elsewhere_gives_equal_bytes() -> None:
    message = inferred(reply("no"), work=JSON)

    assert refined(message).value == refined(message, offset=99, timestamp_ms=5).value


@pytest.mark.parametrize(
    ("policy", "text", "finish", "kind"),
    [
        (RefinementPolicy(empty="fail"), "", "stop", "answer_empty"),
        (RefinementPolicy(truncated="fail"), "half", "length", "answer_truncated"),
        (RefinementPolicy(max_answer_bytes=3), "four", "stop", "answer_too_long"),
    ],
)
def test_policy_of_the_stage_decides_what_is_refused(
    policy: RefinementPolicy, text: str, finish: str, kind: str
) -> None:
    message = inferred(reply(text, finish_reason=finish))

    assert REFINED == refined(message).topic
    assert kind == wire.decode(refined(message, policy).value, Failed).failure.kind


def test_stage_as_data_names_its_topics() -> None:
    stage = refine.stage()

    assert ("refine", "core", (INFERRED,), (REFINED, FAILED)) == (stage.name, stage.app, stage.reads, stage.writes)
