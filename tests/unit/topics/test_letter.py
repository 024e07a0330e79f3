"""Notes about dead letters: what is always told, and what a newer version may add."""

import pytest
from pydantic import ValidationError

from tests.support.letters import note
from topics import wire
from topics.letter import Note


@pytest.mark.parametrize("did", ["claimed", "redriven", "discarded"])
def test_note_of_each_deed_is_read_back_as_it_was_written(did):
    written = note(did, over="letters/0/1", prompt="prompts/1/2", edited=("model",), before="aa", after="bb")

    assert written == wire.decode(wire.encode(written), Note)


def test_note_of_an_unknown_deed_is_none():
    with pytest.raises(ValidationError):
        note("burnt")


@pytest.mark.parametrize("field", ["letter", "did", "run", "by"])
def test_note_without_what_it_is_about_is_none(field):
    with pytest.raises(ValidationError):
        Note.model_validate({name: value for name, value in note().model_dump().items() if name != field})


def test_note_of_a_newer_version_keeps_what_it_added():
    assert b'"reason":"x"' in wire.encode(Note.model_validate({**note().model_dump(), "reason": "x"}))


def test_note_in_its_smallest_form_tells_who_did_what_with_which_letter():
    assert (
        b'{"v":1,"letter":"dead-letters/0/0","did":"discarded","over":null,"run":"r","by":"b","id":null,'
        b'"lineage":null,"prompt":null,"edited":[],"before":null,"after":null}'
    ) == wire.encode(Note(letter="dead-letters/0/0", did="discarded", run="r", by="b"))
