import pytest

from streams.stages import refine
from tests.support.builders import KEY, inferred, record, reply
from tests.support.scopes import run
from topics import wire
from topics.catalog import INFERRED, REFINED
from topics.errors import DecodingError
from topics.messages import Refined


def test_reply_without_rules_is_untouched() -> None:
    answer = reply("two\nlines \x00 of text", finish_reason="length", cost_usd_micros=12)

    (output,) = run(refine.stage(), record(inferred(answer), topic=INFERRED))

    assert answer == wire.decode(output.value, Refined).reply


def test_output_of_a_request_keeps_key_and_partition() -> None:
    (output,) = run(refine.stage(), record(inferred(), topic=INFERRED, partition=6))

    assert (REFINED, KEY, 6, "as-answered") == (output.topic, output.key, output.partition, output.decision)


def test_unknown_field_of_a_newer_version_travels_on() -> None:
    (output,) = run(refine.stage(), record(inferred(budget=3), topic=INFERRED))

    assert {"budget": 3} == wire.decode(output.value, Refined).__pydantic_extra__


def test_unknown_field_inside_the_reply_travels_on() -> None:
    (output,) = run(refine.stage(), record(inferred(reply(logprobs=[0.5])), topic=INFERRED))

    assert {"logprobs": [0.5]} == wire.decode(output.value, Refined).reply.__pydantic_extra__


def test_message_without_a_reply_is_refused() -> None:
    value = wire.encode(inferred()).replace(b'"reply"', b'"ylper"')

    with pytest.raises(DecodingError, match="reply"):
        run(refine.stage(), record(value, topic=INFERRED))


def test_stage_as_data_names_its_topics() -> None:
    stage = refine.stage()

    assert ("refine", "core", (INFERRED,), (REFINED,)) == (stage.name, stage.app, stage.reads, stage.writes)
