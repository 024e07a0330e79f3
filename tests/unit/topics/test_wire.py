"""Bytes and messages: size first, then JSON without NaN or endless depth, then the model; failures keep the bytes."""

import pytest

from tests.support import door
from topics.answer import Answer
from topics.catalog import INTERNAL_BYTES
from topics.errors import DecodingError
from topics.messages import Admitted, Inferred
from topics.wire import canonical, decode, encode, parse

NO_JSON = [
    b"",
    b" ",
    b"{",
    b"}",
    b'{"a":}',
    b"{'a':1}",
    b'{"a":1,}',
    b"hello",
    b"NaN",
    b'{"a":NaN}',
    b"[Infinity]",
    b"[-Infinity]",
    b"1e999",
    b"-1e999",
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b'"a\nb"',
    b"\xef\xbb\xbf{}",
    b"1 2",
    b"[" * 100_000,
    b"[" * 1025 + b"]" * 1025,
]


def refused(raw, into=None, **options):
    """The error of reading ``raw``."""
    with pytest.raises(DecodingError) as caught:
        parse(raw, "thing", **options) if into is None else decode(raw, into, **options)
    return caught.value


@pytest.mark.parametrize("raw", NO_JSON)
def test_parse_bytes_that_are_no_json_are_refused_and_kept(raw):
    assert raw == refused(raw).raw


@pytest.mark.parametrize("raw", NO_JSON[2:])
def test_parse_refusal_gives_the_place_and_no_content(raw):
    assert str(refused(raw)).startswith("Cannot read thing: not JSON (line 1 column ")


def test_parse_tombstone_is_refused_by_that_name():
    assert "Cannot read thing: the value is null (a tombstone)" == str(refused(None))


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b"{}", {}),
        (b' {"a": [1, 2.5, null, true, "x"]}\n', {"a": [1, 2.5, None, True, "x"]}),
        (b"17", 17),
        (b'"\\u00e9"', "é"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"[" * 500 + b"]" * 500, None),
    ],
)
def test_parse_json_gives_its_data(raw, data):
    parsed = parse(raw, "thing")

    assert data is None or data == parsed


@pytest.mark.parametrize(("size", "fits"), [(99, True), (100, True), (101, False)])
def test_parse_at_the_limit_fits_and_above_is_refused(size, fits):
    raw = b'"' + b"x" * (size - 2) + b'"'

    if fits:
        assert size - 2 == len(parse(raw, "thing", 100))
    else:
        assert "Cannot read thing: 101 bytes, the limit is 100" == str(refused(raw, limit=100))


def test_parse_size_is_checked_before_anything_is_read():
    assert f"{INTERNAL_BYTES + 1} bytes" in str(refused(b"{" * (INTERNAL_BYTES + 1)))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[]", "value: model_type"),
        (b"null", "value: model_type"),
        (b"{}", "id: missing"),
        (b'{"id": 5}', "id: string_type"),
        (b'{"id": "a", "identity": "b", "request_hash": "c", "origin": {"topic": 1}}', "origin.topic: string_type"),
    ],
)
def test_decode_misfit_names_the_first_field_and_no_value(raw, reason):
    assert f"Cannot read Admitted: {reason}" == str(refused(raw, Admitted))


@pytest.mark.parametrize(("raw", "into"), [(b'{"id": ["secret"]}', Admitted), (b'{"id": ["secret"]}', Answer)])
def test_decode_misfit_cause_quotes_no_value(raw, into):
    assert "secret" not in str(refused(raw, into).__cause__)


def test_decode_misfit_keeps_the_bytes():
    assert b'{"id": "secret"}' == refused(b'{"id": "secret"}', Admitted).raw


@pytest.mark.parametrize("into", [Admitted, Inferred, Answer])
def test_decode_tombstone_is_refused(into):
    assert f"Cannot read {into.__name__}: the value is null (a tombstone)" == str(refused(None, into))


def test_decode_limit_is_passed_on():
    assert "2 bytes, the limit is 1" in str(refused(b"{}", Admitted, limit=1))


@pytest.mark.parametrize(
    "message",
    [
        door.admitted(),
        door.deduped(),
        door.retrieved(),
        door.assembled(),
        door.inferred(),
        door.refined(),
        door.failed(),
    ],
)
def test_decode_of_encoded_message_gives_an_equal_one(message):
    assert message == decode(encode(message), type(message))


def test_encode_equal_messages_gives_equal_bytes():
    assert encode(door.inferred()) == encode(door.inferred())


def test_encode_golden_message_stays_as_old_workers_wrote_it():
    golden = (
        b'{"v":1,"id":"a-1","tenant":null,"lineage":0,"identity":"i","request_hash":"r","origin":{"topic":"prompts",'
        b'"partition":3,"offset":1042,"timestamp_ms":1769860800000,"hash":"h"},"metadata":{},"dedup_key":"c:k",'
        b'"lane":"normal","deadline_ms":null,"keep_until_ms":null,"template_version":null,"work":{"messages":[{"role":"user","content":"h\xc3\xa9"}],'
        b'"model":"default","params":{},"retrieve":null,"template":null}}'
    )

    assert golden == encode(decode(golden, Admitted))


def test_message_of_a_worker_without_a_field_is_read_with_its_default():
    newer = encode(door.admitted())
    older = newer.replace(b',"retrieve":null,"template":null', b"")

    assert (True, decode(newer, Admitted)) == (older != newer, decode(older, Admitted))


@pytest.mark.parametrize(
    ("data", "raw"),
    [
        ({"b": 1, "a": {"d": 2, "c": 3}}, b'{"a":{"c":3,"d":2},"b":1}'),
        ([{"b": 1, "a": "é"}], '[{"a":"é","b":1}]'.encode()),
        ({}, b"{}"),
        ((1, 1.5, None), b"[1,1.5,null]"),
    ],
)
def test_canonical_bytes_do_not_depend_on_key_order(data, raw):
    assert raw == canonical(data)
