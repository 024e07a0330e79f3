"""Laws of the wire: round trips, equal bytes for equal messages, nothing unknown lost, any bytes read or refused."""

import json

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support import door
from topics.errors import DecodingError
from topics.messages import Admitted, Assembled, Deduped, Inferred, Refined, Reply, Retrieved, Usage, grown, shrunk
from topics.wire import canonical, decode, encode, parse

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=4)
KNOWN = set(Assembled.model_fields) | set(Refined.model_fields)
UNKNOWN = st.dictionaries(TEXT.filter(lambda name: name not in KNOWN and not hasattr(Admitted, name)), JSON, max_size=3)
REPLIES = st.builds(
    Reply,
    text=TEXT,
    model=TEXT,
    provider=TEXT,
    usage=st.builds(Usage, input_tokens=st.integers(0, 10**9), output_tokens=st.integers(0, 10**9)),
    cost_usd_micros=st.integers(0, 10**12),
    work_s=st.floats(0, 1e6),
    finished_ms=st.integers(0, 2**53),
)


@st.composite
def admitted(draw):
    """Messages with any metadata, params, words and unknown fields."""
    work = {"messages": [{"role": "user", "content": draw(TEXT)}], "model": draw(TEXT), "params": draw(OBJECTS)}
    fields = {"id": draw(TEXT), "tenant": draw(st.none() | TEXT), "metadata": draw(OBJECTS), "work": work}
    deadline_ms = draw(st.none() | st.integers(0, 2**53))
    lane = draw(st.sampled_from(["critical", "high", "normal", "low"]))
    return Admitted.model_validate(
        {**door.ticket(**fields), "dedup_key": draw(TEXT), "lane": lane, "deadline_ms": deadline_ms, **draw(UNKNOWN)}
    )


@given(admitted())
def test_wire_round_trip_gives_an_equal_message(message):
    assert message == decode(encode(message), Admitted)


@given(admitted())
def test_wire_round_trip_gives_equal_bytes(message):
    raw = encode(message)

    assert raw == encode(decode(raw, Admitted))


@given(admitted())
def test_wire_bytes_are_json_for_everyone(message):
    assert json.loads(encode(message))["id"] == message.id


@given(admitted(), REPLIES, TEXT)
def test_grown_messages_keep_everything_down_the_flow(message, reply, epoch):
    last = grown(grown(grown(message, Deduped, epoch=epoch), Inferred, reply=reply), Refined)
    seen = json.loads(encode(last))

    assert json.loads(encode(message)).items() <= seen.items()


@given(admitted(), REPLIES, TEXT)
def test_grown_message_is_read_back_as_it_is(message, reply, epoch):
    last = grown(grown(message, Deduped, epoch=epoch), Inferred, reply=reply)

    assert last == decode(encode(last), Inferred)


@given(admitted(), TEXT, st.lists(OBJECTS, max_size=3).map(tuple))
def test_shrunk_message_gives_back_the_earlier_one(message, epoch, passages):
    before = grown(message, Deduped, epoch=epoch)
    after = grown(before, Retrieved, passages=passages, snapshot="s")

    assert encode(before) == encode(shrunk(after, Deduped, "passages", "snapshot"))


@given(admitted(), TEXT)
def test_older_worker_passes_on_what_a_newer_one_wrote(message, epoch):
    newer = encode(grown(message, Deduped, epoch=epoch))
    passed_on = grown(decode(newer, Admitted), Retrieved)

    assert json.loads(newer).items() <= json.loads(encode(passed_on)).items()


@given(st.none() | st.binary() | TEXT.map(str.encode) | JSON.map(orjson.dumps))
@example(b"NaN")
@example(b"[" * 3000)
def test_parse_any_bytes_are_read_or_refused_with_the_bytes_kept(raw):
    try:
        parse(raw, "thing")
    except DecodingError as refused:
        assert raw == refused.raw


@given(OBJECTS)
def test_decode_any_object_is_read_or_refused_without_its_words(data):
    raw = orjson.dumps({**data, "id": ["secret-words"]})
    try:
        decode(raw, Admitted)
    except DecodingError as refused:
        assert "secret-words" not in str(refused)


@given(JSON)
def test_canonical_bytes_of_json_are_read_back_equal(data):
    assert data == orjson.loads(canonical(data))


@given(OBJECTS)
def test_canonical_bytes_do_not_depend_on_insertion_order(data):
    assert canonical(data) == canonical(dict(reversed(data.items())))
