import pytest

from streams.stages import dedup
from tests.support.builders import KEY, admitted, origin, record
from tests.support.scopes import FakeScope, run
from topics import wire
from topics.catalog import ADMITTED, DEDUPED
from topics.errors import DecodingError
from topics.messages import Deduped


def test_epoch_of_a_request_is_where_it_entered() -> None:
    message = admitted(origin=origin(partition=5, offset=9))

    (output,) = run(dedup.stage(), record(message))

    assert wire.decode(output.value, Deduped).epoch == "prompts/5/9"


def test_epoch_of_a_copied_record_is_the_same() -> None:
    message = admitted()

    (first,) = run(dedup.stage(), record(message, offset=7))
    (copy,) = run(dedup.stage(), record(message, offset=70_000))

    assert first.value == copy.value


def test_output_of_a_request_keeps_key_and_partition() -> None:
    (output,) = run(dedup.stage(), record(admitted(), partition=6))

    assert (DEDUPED, KEY, 6, "new") == (output.topic, output.key, output.partition, output.decision)


def test_unknown_field_of_a_newer_version_travels_on() -> None:
    (output,) = run(dedup.stage(), record(admitted(budget={"usd": 3})))

    extra = wire.decode(output.value, Deduped).__pydantic_extra__
    assert {"budget": {"usd": 3}} == extra


def test_request_content_through_the_stage_is_untouched() -> None:
    message = admitted(text="κόσμε", deadline_ms=17, lane="high", metadata={"a": [1, None]})

    (output,) = run(dedup.stage(), record(message))

    kept = wire.decode(output.value, Deduped).model_dump(exclude={"epoch"})
    assert message.model_dump() == kept


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[1]", b"\xff"])
def test_bytes_that_are_no_message_are_refused(value: bytes | None) -> None:
    with pytest.raises(DecodingError):
        run(dedup.stage(), record(value))


def test_table_of_the_thin_stage_stays_empty() -> None:
    scope = FakeScope()

    run(dedup.stage(), record(admitted()), scope)

    assert {} == scope.rows


def test_stage_as_data_names_its_topics() -> None:
    stage = dedup.stage()

    assert ("dedup", "core", (ADMITTED,), (DEDUPED,)) == (stage.name, stage.app, stage.reads, stage.writes)
