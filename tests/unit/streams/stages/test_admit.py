"""The stage at the door: one output a record, to the right topic, under the right key, with nothing but the record."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.admission import AdmissionPolicy
from streams.stage import Record
from streams.stages import admit
from tests.support import door
from topics.answer import Answer
from topics.messages import Admitted, Failed
from topics.wire import decode

USUAL = AdmissionPolicy()
DERIVED = "prompts-3-1042-ml29f9c0"
VALUES = {"admitted": door.raw(id="a-1"), "rejected": door.raw(id="a-1", surprise=1), "undecodable": b"\xff"}


def record(value, **fields):
    return Record(
        **{
            "topic": "prompts",
            "partition": 3,
            "offset": 1042,
            "timestamp_ms": door.NOON_MS,
            "key": b"k",
            "value": value,
            **fields,
        }
    )


def outputs(value, policy=USUAL, **fields):
    return list(admit.stage(policy).handle(record(value, **fields), None))


def output(value, **fields):
    (only,) = outputs(value, **fields)
    return only


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "admit"),
        ("app", "core"),
        ("reads", ("prompts",)),
        ("writes", ("admitted", "results", "failed")),
        ("table", None),
        ("reads_clock", False),
    ],
)
def test_stage_as_data_says_what_it_needs(field, value):
    assert value == getattr(admit.stage(AdmissionPolicy()), field)


@pytest.mark.parametrize(
    ("decision", "topic"), [("admitted", "admitted"), ("rejected", "results"), ("undecodable", "failed")]
)
def test_handle_outcome_goes_to_its_topic(decision, topic):
    made = output(VALUES[decision])

    assert (topic, decision) == (made.topic, made.decision)


def test_handle_admitted_request_is_keyed_by_its_dedup_key():
    made = output(VALUES["admitted"])

    assert decode(made.value, Admitted).dedup_key.encode() == made.key


@pytest.mark.parametrize(("value", "key"), [(VALUES["rejected"], b"a-1"), (door.raw(surprise=1), DERIVED.encode())])
def test_handle_refusal_is_keyed_by_the_request_id(value, key):
    made = output(value)

    assert (key, key.decode()) == (made.key, decode(made.value, Answer).id)


def test_handle_bytes_that_are_no_request_are_keyed_by_the_identity():
    made = output(VALUES["undecodable"])

    assert decode(made.value, Failed).identity.encode() == made.key


@pytest.mark.parametrize("value", VALUES.values())
@pytest.mark.parametrize(
    ("key", "headers"), [(b"k", (("prompts.original-key", b"k"),)), (b"", (("prompts.original-key", b""),)), (None, ())]
)
def test_handle_original_key_travels_as_a_header(value, key, headers):
    assert headers == output(value, key=key).headers


@pytest.mark.parametrize("value", VALUES.values())
def test_handle_new_key_chooses_the_partition(value):
    assert output(value).partition is None


@pytest.mark.parametrize("value", [b"", b"{", door.raw()])
def test_handle_origin_has_coordinates_time_and_hash_of_the_raw_value(value):
    told = admit.origin_of(record(value))

    assert door.origin(hash=sha256(value).hexdigest()) == told


def test_handle_tombstone_has_the_hash_of_nothing():
    assert sha256(b"").hexdigest() == admit.origin_of(record(None)).hash


@pytest.mark.parametrize(
    ("headers", "topic"),
    [
        ((("content-type", b"text/plain"),), "admitted"),
        ((("content-type", b"application/json"),), "failed"),
        ((("Content-Type", b"text/plain"),), "failed"),
        ((), "failed"),
    ],
)
def test_handle_header_decides_whether_text_is_a_prompt(headers, topic):
    assert topic == output(b"hi", headers=headers).topic


def test_handle_policy_of_the_stage_is_applied():
    assert "admitted" == output(b"hi", policy=AdmissionPolicy(plain_text=True)).topic


@given(st.none() | st.binary() | st.text().map(str.encode), st.booleans())
def test_handle_any_bytes_gives_one_output(value, plain_text):
    assert 1 == len(outputs(value, AdmissionPolicy(plain_text=plain_text)))


@pytest.mark.parametrize("value", [*VALUES.values(), None, b""])
def test_handle_redelivered_record_gives_equal_outputs(value):
    assert outputs(value) == outputs(value)
