"""Internal messages: each stage's is the one before it plus its own fields; nobody's unknown fields are dropped."""

from itertools import pairwise

import pytest
from pydantic import ValidationError

from tests.support import door
from topics.messages import (
    Admitted,
    Assembled,
    Deduped,
    Failed,
    Inferred,
    Origin,
    Refined,
    Reply,
    Retrieved,
    grown,
    shrunk,
)
from topics.wire import decode, encode

CHAIN = [Admitted, Deduped, Retrieved, Assembled]
SMALLEST = Admitted(**door.ticket(dedup_key="c:1", work={"messages": []}))
FAILURE = {"kind": "k", "message": "m", "exception_class": "E"}
LOST = Failed(**door.ticket(stage="infer", failure=FAILURE, first_failed_ms=0, failed_ms=0))
GROWTH = [
    (door.admitted, Deduped, {"epoch": "admitted/3/1042"}),
    (door.deduped, Retrieved, {"passages": ({"text": "p"},), "snapshot": "s-1"}),
    (door.retrieved, Assembled, {"rendered": ({"role": "user", "content": "hi"},)}),
    (door.deduped, Inferred, {"reply": door.reply()}),
    (door.inferred, Refined, {}),
]


@pytest.mark.parametrize(("before", "after"), [*pairwise(CHAIN), (Deduped, Inferred), (Inferred, Refined)])
def test_message_of_a_stage_holds_all_fields_of_the_one_before(before, after):
    assert set(before.model_fields) <= set(after.model_fields)


@pytest.mark.parametrize(("build", "into", "fields"), GROWTH)
def test_grown_message_equals_the_validated_one(build, into, fields):
    whole = {**build().__dict__, **fields}

    assert into(**whole) == grown(build(), into, **fields)


@pytest.mark.parametrize(("build", "into", "fields"), GROWTH)
def test_grown_message_has_the_bytes_of_the_validated_one(build, into, fields):
    whole = {**build().__dict__, **fields}

    assert encode(into(**whole)) == encode(grown(build(), into, **fields))


@pytest.mark.parametrize(("build", "into", "fields"), GROWTH)
def test_grown_message_keeps_unknown_fields(build, into, fields):
    message = decode(encode(build(later={"a": 1})), type(build()))

    assert {"later": {"a": 1}} == grown(message, into, **fields).__pydantic_extra__


def test_grown_message_leaves_the_original_alone():
    message = door.admitted()
    grown(message, Deduped, epoch="e")

    assert door.admitted() == message


def test_shrunk_message_drops_only_the_named_fields():
    spent = (
        "passages",
        "snapshot",
        "rendered",
        "template_hash",
        "system_hash",
        "ratio_version",
        "cut",
        "hop",
        "due_ms",
    )
    message = shrunk(door.assembled(later=1), Inferred, *spent, reply=door.reply())

    assert door.inferred(later=1) == message


def test_shrunk_message_unnamed_fields_stay_as_unknown_ones():
    message = shrunk(door.retrieved(), Deduped, "passages")

    assert {"snapshot": "s-1"} == message.__pydantic_extra__


def test_shrunk_message_new_value_wins_over_the_old():
    assert "new" == shrunk(door.deduped(), Deduped, epoch="new").epoch


@pytest.mark.parametrize(
    "build",
    [door.admitted, door.deduped, door.retrieved, door.assembled, door.inferred, door.refined, door.failed, door.reply],
)
def test_message_unknown_field_survives_bytes(build):
    again = decode(encode(build(later=[1, {"b": None}])), type(build()))

    assert [1, {"b": None}] == again.later


def test_message_unknown_field_inside_survives_bytes():
    message = door.admitted(origin=door.origin(rack="r-1"))

    assert "r-1" == decode(encode(message), Admitted).origin.rack


@pytest.mark.parametrize("field", ["id", "identity", "request_hash", "origin", "dedup_key", "work"])
def test_admitted_without_a_needed_field_is_refused(field):
    fields = {name: value for name, value in door.admitted().__dict__.items() if name != field}
    with pytest.raises(ValidationError):
        Admitted(**fields)


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (Admitted, "lane", "urgent"),
        (Failed, "outcome", "completed"),
        (Failed, "disposition", "lost"),
        (Inferred, "reply", {"text": "no model"}),
    ],
)
def test_message_word_outside_its_list_is_refused(model, field, value):
    build = {Admitted: door.admitted, Failed: door.failed, Inferred: door.inferred}[model]
    with pytest.raises(ValidationError):
        build(**{field: value})


def test_origin_coordinates_read_as_people_write_them():
    assert "prompts/3/1042" == door.origin().at


@pytest.mark.parametrize(
    ("deadline_ms", "keep_until_ms", "expires_ms"),
    [(None, None, None), (5, None, 5), (None, 7, 7), (5, 7, 5), (9, 7, 7)],
)
@pytest.mark.parametrize("build", [door.admitted, door.deduped, door.assembled])
def test_message_expires_at_the_earlier_of_its_ends(build, deadline_ms, keep_until_ms, expires_ms):
    assert expires_ms == build(deadline_ms=deadline_ms, keep_until_ms=keep_until_ms).expires_ms


def test_message_once_made_cannot_change():
    with pytest.raises(ValidationError):
        door.admitted().id = "b-2"


@pytest.mark.parametrize(
    ("message", "field", "default"),
    [
        (SMALLEST, "v", 1),
        (SMALLEST, "tenant", None),
        (SMALLEST, "lineage", 0),
        (SMALLEST, "metadata", {}),
        (SMALLEST, "lane", "normal"),
        (SMALLEST, "deadline_ms", None),
        (SMALLEST, "keep_until_ms", None),
        (LOST, "outcome", "failed"),
        (LOST, "disposition", "permanent"),
        (LOST, "attempts", 1),
        (LOST, "work", None),
        (LOST.failure, "retryable", False),
        (LOST.failure, "retry_after_s", None),
        (SMALLEST.work, "model", "default"),
        (SMALLEST.work, "params", {}),
        (Reply(text="t", model="m", provider="p"), "attempts", 1),
        (Reply(text="t", model="m", provider="p"), "finish_reason", "stop"),
        (Origin(topic="t", partition=0, offset=0, timestamp_ms=0, hash=""), "at", "t/0/0"),
    ],
)
def test_message_field_left_out_has_its_default(message, field, default):
    assert default == getattr(message, field)


def test_metadata_defaults_are_not_shared_between_messages():
    one, other = (decode(encode(SMALLEST), Admitted) for _ in range(2))

    assert one.metadata is not other.metadata
