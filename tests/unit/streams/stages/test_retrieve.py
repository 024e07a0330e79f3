import pytest

from streams.stages import retrieve
from tests.support.builders import KEY, admitted, deduped, record
from tests.support.scopes import run
from topics import wire
from topics.catalog import DEDUPED, RETRIEVED
from topics.errors import DecodingError
from topics.messages import Retrieved


def test_passages_without_a_corpus_are_none() -> None:
    (output,) = run(retrieve.stage(), record(deduped(), topic=DEDUPED))

    found = wire.decode(output.value, Retrieved)
    assert ((), None) == (found.passages, found.snapshot)


def test_output_of_a_request_keeps_key_and_partition() -> None:
    (output,) = run(retrieve.stage(), record(deduped(), topic=DEDUPED, partition=6))

    assert (RETRIEVED, KEY, 6) == (output.topic, output.key, output.partition)


def test_decision_without_a_corpus_says_that_none_was_asked() -> None:
    (output,) = run(retrieve.stage(), record(deduped(), topic=DEDUPED))

    assert "not-asked" == output.decision


def test_unknown_field_of_a_newer_version_travels_on() -> None:
    (output,) = run(retrieve.stage(), record(deduped(budget=3), topic=DEDUPED))

    assert {"budget": 3} == wire.decode(output.value, Retrieved).__pydantic_extra__


def test_request_content_through_the_stage_is_untouched() -> None:
    message = deduped(text="κόσμε", deadline_ms=17)

    (output,) = run(retrieve.stage(), record(message, topic=DEDUPED))

    assert message.model_dump() == wire.decode(output.value, Retrieved).model_dump(exclude={"passages", "snapshot"})


def test_message_without_an_epoch_is_refused() -> None:
    with pytest.raises(DecodingError, match="epoch"):
        run(retrieve.stage(), record(admitted(), topic=DEDUPED))


def test_stage_as_data_names_its_topics() -> None:
    stage = retrieve.stage()

    assert ("retrieve", "core", (DEDUPED,), (RETRIEVED,)) == (stage.name, stage.app, stage.reads, stage.writes)
