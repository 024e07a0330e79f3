"""The records of `calls` and `breakers`."""

import pytest

from topics import calls, wire
from topics.calls import Asked, Breaker, Order, Ordered, Probing, Told
from topics.errors import DecodingError

MESSAGES = (
    Told(worker="w", epoch=3, outcomes="oofs", probe=True),
    Asked(worker="w", epoch=3, sent_ms=1234),
    Ordered(order="trip", id="i", who="ann", why="maintenance", for_s=60.0),
    Ordered(order="reset", id="i", who="ann", why="done"),
)


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_read_back_as_it_was_written(message: Told | Asked | Ordered) -> None:
    assert message == calls.read(wire.encode(message))


@pytest.mark.parametrize("message", MESSAGES)
def test_message_tells_what_it_is(message: Told | Asked | Ordered) -> None:
    assert calls.KINDS[message.what] is type(message)


def test_unknown_fields_of_a_message_are_kept() -> None:
    read = calls.read(b'{"what":"asked","worker":"w","epoch":1,"sent_ms":2,"later":7}')

    assert b'"later":7' in wire.encode(read or MESSAGES[0])


@pytest.mark.parametrize("raw", [b'{"what":"sung"}', b'{"what":null}', b'{"v":2}', b'{"what":["told"]}'])
def test_message_of_another_kind_is_none_of_ours(raw: bytes) -> None:
    assert None is calls.read(raw)


@pytest.mark.parametrize(
    "raw",
    [None, b"", b"{", b"[]", b"7", b'{"what":"told"}', b'{"what":"ordered","order":"burn","id":"","who":"","why":""}'],
)
def test_bytes_that_are_no_message_are_refused(raw: bytes | None) -> None:
    with pytest.raises(DecodingError):
        calls.read(raw)


def test_breaker_is_read_back_as_it_was_written() -> None:
    probing, order = (
        Probing(worker="w", number=2, at_ms=9, sent_ms=8),
        Order(order="trip", id="i", who="a", why="b", at_ms=3),
    )
    word = Breaker(
        service="openai:gpt-5", state="half-open", epoch=3, number=8, since_ms=5, until_ms=11, level=2,
        probing=probing, order=order,
    )  # fmt: skip

    assert word == wire.decode(wire.encode(word), Breaker)


@pytest.mark.parametrize("state", ["ajar", "", None])
def test_breaker_in_no_state_is_refused(state: object) -> None:
    with pytest.raises(DecodingError):
        wire.decode(wire.canonical({"service": "a:b", "state": state, "epoch": 1, "number": 1}), Breaker)
