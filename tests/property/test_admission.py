"""Laws of admission: any bytes give one outcome, always the same; what is told never holds prompt text (B98)."""

import orjson
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streams.decisions import admission
from streams.decisions.admission import AdmissionPolicy, Admit, Reject, Undecodable
from tests.support import door
from topics.answer import Answer
from topics.messages import Admitted, Failed
from topics.request import Request
from topics.wire import decode, encode

MARKER = "Zebra-Marker"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
FIELDS = st.sampled_from(sorted(Request.model_fields))
ANYTHING = st.dictionaries(FIELDS | TEXT, JSON, max_size=6)
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "judge"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": JSON}), max_size=3)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "id": TEXT | JSON,
        "prompt": TEXT | JSON,
        "messages": MESSAGES | JSON,
        "model": TEXT,
        "params": st.dictionaries(st.sampled_from(["n", "seed", "stop", "stream"]), JSON, max_size=2),
        "tenant": st.none() | TEXT,
        "priority": st.sampled_from(["low", "HIGH", "urgent"]),
        "timeout_s": st.none() | st.floats(-1, 700_000) | JSON,
        "sample": st.integers(-1, 2),
        "dedup": st.booleans(),
        "metadata": JSON,
    },
)
NAMES = st.text("abc-é", min_size=1, max_size=9)
SOUND = st.fixed_dictionaries(
    {"prompt": TEXT.filter(str.strip)},
    optional={
        "id": NAMES,
        "tenant": st.none() | NAMES,
        "priority": st.sampled_from(["low", "High", "NORMAL", "critical"]),
        "timeout_s": st.none() | st.floats(1e-3, 604_800) | st.integers(1, 604_800),
        "params": st.dictionaries(st.sampled_from(["seed", "stop"]), SCALARS, max_size=2),
        "metadata": st.dictionaries(TEXT, SCALARS, max_size=3),
        "dedup": st.just(True),
    },
)
VALUES = st.none() | st.binary() | TEXT.map(str.encode) | (ANYTHING | LIKELY | JSON).map(orjson.dumps)
CONTENT_TYPES = st.sampled_from([None, b"text/plain", b"application/json", b"", b"\xff;"])
POLICIES = st.builds(
    AdmissionPolicy,
    plain_text=st.booleans(),
    max_messages=st.integers(0, 3),
    max_depth=st.integers(1, 9),
    max_id_bytes=st.integers(7, 20),
    ready=st.frozensets(st.sampled_from(["session", "stream", "dedup", "sample"])),
)
READERS = {Admit: (Admitted, "message"), Reject: (Answer, "answer"), Undecodable: (Failed, "failed")}


def carried(outcome):
    """What an outcome carries, and its model."""
    model, field = READERS[type(outcome)]
    return model, getattr(outcome, field)


def texts(outcome):
    """What is told of a refusal."""
    return outcome.answer.error.message if isinstance(outcome, Reject) else outcome.failed.failure.message


@given(VALUES, CONTENT_TYPES, POLICIES)
def test_decide_any_record_gives_an_outcome_that_can_be_written_and_read(value, content_type, policy):
    model, message = carried(admission.decide(value, content_type, door.origin(), policy))

    assert message == decode(encode(message), model)


@given(VALUES, CONTENT_TYPES, POLICIES)
def test_decide_same_record_gives_the_same_bytes(value, content_type, policy):
    once, again = (carried(admission.decide(value, content_type, door.origin(), policy))[1] for _ in range(2))

    assert encode(once) == encode(again)


@given(LIKELY, st.integers(-(2**63), 2**63 - 1))
def test_decide_any_kafka_timestamp_gives_an_outcome(data, timestamp_ms):
    outcome = admission.decide(orjson.dumps(data), None, door.origin(timestamp_ms=timestamp_ms), AdmissionPolicy())

    assert encode(carried(outcome)[1])


@given(SOUND)
def test_decide_sound_request_is_always_admitted(data):
    assert isinstance(admission.decide(orjson.dumps(data), None, door.origin(), AdmissionPolicy()), Admit)


@given(LIKELY | SOUND)
def test_decide_admits_only_what_the_door_model_accepts(data):
    try:
        Request.model_validate(data)
    except ValidationError:
        assert not isinstance(admission.decide(orjson.dumps(data), None, door.origin(), AdmissionPolicy()), Admit)


@given(TEXT.filter(str.strip), NAMES)
def test_decide_any_prompt_reaches_the_provider_unchanged(prompt, tenant):
    raw = orjson.dumps({"prompt": prompt, "tenant": tenant})
    outcome = admission.decide(raw, None, door.origin(), AdmissionPolicy())

    assert ({"role": "user", "content": prompt},) == outcome.message.work.messages


def marked(data):
    """The same shape with the marker in every text that may be prompt text."""
    if isinstance(data, str):
        return MARKER + data
    if isinstance(data, list):
        return [marked(one) for one in data]
    return {name: marked(value) for name, value in data.items()} if isinstance(data, dict) else data


@given(ANYTHING | LIKELY, st.sampled_from(["prompt", "messages", "params", "metadata", "unheard-of"]), JSON, POLICIES)
def test_decide_any_violation_tells_no_prompt_text(data, field, value, policy):
    hidden = {name: data[name] for name in data if name not in ("prompt", "messages", "params", "metadata")}
    raw = orjson.dumps({**hidden, field: marked(value), "messages": [{"role": "user", "content": [MARKER]}]})
    outcome = admission.decide(raw, None, door.origin(), policy)

    assert MARKER not in texts(outcome)


@given(st.binary(max_size=10), st.sampled_from([b"{", b'{"prompt": ', b"[", b'"', b"", b"\x00"]), POLICIES)
def test_decide_broken_bytes_tell_nothing_of_what_they_hold(tail, head, policy):
    outcome = admission.decide(head + MARKER.encode() + tail, None, door.origin(), policy)

    assert isinstance(outcome, Admit) or MARKER not in texts(outcome)
