"""The stage at the door: one output a record, to the right topic, under the right key, with nothing but the record."""

import asyncio
from hashlib import sha256
from inspect import isawaitable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.admission import AdmissionPolicy
from streams.decisions.lineage import DEAD_LETTER, LINEAGE, REQUEST_ID
from streams.stage import Record, dressed
from streams.stages import admit
from tests.support import door
from tests.support.letters import letter_record
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


class Letters(dict):
    """Dead letters by their coordinates, and which were asked for."""

    asked = ()

    async def fetch(self, place):
        self.asked += (place.at,)
        return self.get(place.at)


def outputs(value, policy=USUAL, **fields):
    return list(admit.stage(policy, Letters()).handle(record(value, **fields), None))


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
    assert value == getattr(admit.stage(AdmissionPolicy(), Letters()), field)


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


# -- dead letters that are sent again


AT = "dead-letters/3/17"


def claim(at=AT, id=b"a-1", lineage=b"1"):
    said = ((DEAD_LETTER, at.encode()), (REQUEST_ID, id), (LINEAGE, lineage))
    return tuple(pair for pair in said if pair[1])


def redriven(value=b'{"prompt": "hi"}', headers=None, letters=None, **fields):
    """The one output for a prompt that says it is a dead letter."""
    known = Letters({AT: letter_record()}) if letters is None else letters
    seen = record(value, headers=claim() if headers is None else headers, **fields)
    (made,) = asyncio.run(awaited(admit.stage(USUAL, known).handle(seen, None)))
    return dressed(seen, "admit", made)


async def awaited(result):
    return await result


@pytest.mark.parametrize(("headers", "waits"), [(claim(), True), ((), False), ((("traceparent", b"00"),), False)])
def test_handle_waits_only_for_who_claims_to_be_a_dead_letter(headers, waits):
    made = admit.stage(USUAL, Letters()).handle(record(door.raw(), headers=headers), None)
    if waits:
        made.close()

    assert waits == isawaitable(made)


def test_handle_asks_for_exactly_the_dead_letter_that_is_named():
    known = Letters({AT: letter_record()})
    redriven(letters=known)

    assert (AT,) == known.asked


@pytest.mark.parametrize("value", [b'{"prompt": "hi"}', b'{"prompt": "hi", "id": "a-1"}'])
def test_handle_redriven_request_keeps_its_id_with_one_more_lineage(value):
    """B78."""
    message = decode(redriven(value).value, Admitted)

    assert ("a-1", 1) == (message.id, message.lineage)


def test_handle_redriven_request_is_another_identity_under_the_same_key():
    """B78: a new request that may share what equal words have paid for."""
    first, again = decode(output(door.raw(id="a-1")).value, Admitted), decode(redriven().value, Admitted)

    assert (True, first.dedup_key, first.request_hash) == (
        first.identity != again.identity,
        again.dedup_key,
        again.request_hash,
    )


def test_handle_redriven_request_tells_its_lineage_to_every_hop():
    assert b"1" == dict(redriven().headers)[LINEAGE]


@pytest.mark.parametrize(("timeout_s", "deadline_ms"), [(60, door.NOON_MS + 60_000), (None, None)])
def test_handle_redriven_request_has_a_fresh_deadline(timeout_s, deadline_ms):
    """B78."""
    assert deadline_ms == decode(redriven(door.raw(timeout_s=timeout_s)).value, Admitted).deadline_ms


FALSE = [
    (claim(at="dead-letters/3/18"), DEAD_LETTER),
    (claim(at="nowhere"), DEAD_LETTER),
    (claim(at=""), DEAD_LETTER),
    (claim(id=b"a-2"), REQUEST_ID),
    (claim(id=b""), REQUEST_ID),
    (claim(lineage=b"2"), LINEAGE),
    (claim(lineage=b"-1"), LINEAGE),
    (claim(lineage=b""), LINEAGE),
]


@pytest.mark.parametrize(("headers", "wrong"), FALSE)
def test_handle_claim_that_is_not_true_is_refused_by_its_header(headers, wrong):
    made = redriven(headers=headers)

    answer = decode(made.value, Answer)
    assert ("results", "rejected", DERIVED) == (made.topic, answer.status, answer.id)
    assert answer.error.message.startswith(f"header {wrong}: ")


@pytest.mark.parametrize(("headers", "wrong"), FALSE)
def test_handle_lineage_that_is_not_true_is_not_passed_on(headers, wrong):
    assert LINEAGE not in dict(redriven(headers=headers).headers)


def test_handle_redriven_request_with_the_id_of_another_is_refused():
    answer = decode(redriven(door.raw(id="b-1")).value, Answer)

    assert ("rejected", True) == (answer.status, "id: is not that of the dead letter" in answer.error.message)


def test_handle_redriven_request_that_breaks_a_rule_is_refused_under_its_id():
    answer = decode(redriven(door.raw(surprise=1)).value, Answer)

    assert ("a-1", "rejected", True) == (answer.id, answer.status, "surprise" in answer.error.message)


def test_handle_redriven_bytes_that_are_no_request_are_given_up_with_their_lineage():
    """B80."""
    failed = decode(redriven(b"{").value, Failed)

    assert ("a-1", 1, "undecodable") == (failed.id, failed.lineage, failed.disposition)


@pytest.mark.parametrize("headers", [claim(), *(headers for headers, _ in FALSE)])
def test_handle_redelivered_claim_gives_equal_outputs(headers):
    assert redriven(headers=headers) == redriven(headers=headers)


@given(st.lists(st.tuples(st.sampled_from([DEAD_LETTER, REQUEST_ID, LINEAGE]), st.binary(max_size=20)), min_size=1))
def test_handle_any_claim_gives_one_output(headers):
    assert redriven(headers=tuple(headers)).topic in ("admitted", "results")
