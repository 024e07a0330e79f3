import pytest

from streams.stages import assemble
from tests.support.builders import KEY, record, retrieved
from tests.support.scopes import run
from topics import wire
from topics.catalog import ASSEMBLED, LANES, RETRIEVED
from topics.errors import DecodingError
from topics.messages import Assembled, Lane, Work


def test_rendered_without_a_template_is_what_was_written() -> None:
    said = ({"role": "system", "content": "be brief"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]})
    message = retrieved(work=Work(messages=said))

    (output,) = run(assemble.stage(), record(message, topic=RETRIEVED))

    assert said == wire.decode(output.value, Assembled).rendered


@pytest.mark.parametrize("lane", LANES)
def test_topic_of_each_lane_is_its_own(lane: Lane) -> None:
    (output,) = run(assemble.stage(), record(retrieved(lane=lane), topic=RETRIEVED))

    assert f"assembled.{lane}" == output.topic


def test_output_of_a_request_keeps_key_and_partition() -> None:
    (output,) = run(assemble.stage(), record(retrieved(), topic=RETRIEVED, partition=6))

    assert (KEY, 6, "as-written") == (output.key, output.partition, output.decision)


def test_unknown_field_of_a_newer_version_travels_on() -> None:
    (output,) = run(assemble.stage(), record(retrieved(budget=3), topic=RETRIEVED))

    assert {"budget": 3} == wire.decode(output.value, Assembled).__pydantic_extra__


def test_message_in_an_unknown_lane_is_refused() -> None:
    value = wire.encode(retrieved()).replace(b'"lane":"normal"', b'"lane":"vip"')

    with pytest.raises(DecodingError, match="lane"):
        run(assemble.stage(), record(value, topic=RETRIEVED))


def test_stage_as_data_writes_every_lane() -> None:
    stage = assemble.stage()

    assert ((RETRIEVED,), tuple(ASSEMBLED.values())) == (stage.reads, stage.writes)
