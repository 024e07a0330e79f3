"""What is kept of a service, and the words that are said of it."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from streams.decisions import breaker_rows
from streams.decisions.breaker import BreakerPolicy, CircuitBreaker, Grant, Seen
from streams.decisions.breaker_rows import SAID, Kept, as_told, fold, pack, unpack, word, words
from topics import wire
from topics.calls import Asked, Breaker, Order, Ordered, Told
from topics.errors import DecodingError

NOW, SERVICE = 1_000_000, "openai:gpt-5"
POLICY = BreakerPolicy(consecutive=3, open_s=1.0, probe_interval_s=0.5, min_probes=2)
TRIP = Ordered(order="trip", id="1", who="ann", why="maintenance", for_s=9.0)
RESET = Ordered(order="reset", id="2", who="bob", why="done")


def told(outcomes: str, epoch: int = 0, probe: bool = False) -> Told:
    return Told(worker="w", epoch=epoch, outcomes=outcomes, probe=probe)


def ask(epoch: int, worker: str = "w") -> Asked:
    return Asked(worker=worker, epoch=epoch, sent_ms=5)


def kept(*messages: Any, every_ms: int = 100, start: Kept | None = None) -> Kept:
    """After these records, one after the other."""
    found = start or Kept()
    for message in messages:
        offset = found.folded + 1
        found = fold(found, SERVICE, message, offset, NOW + offset * every_ms, POLICY)
    return found


def said(found: Kept, offset: int) -> list[Breaker]:
    return [wire.decode(value, Breaker) for _, value in words(found, offset)]


# -- folding


def test_record_that_only_counts_has_no_word() -> None:
    found = kept(told("off"))

    assert (0, 2, (), NOW) == (found.folded, found.breaker.streak, words(found, 0), found.ms)


def test_record_that_opens_it_says_so() -> None:
    [heard] = said(kept(told("ff"), told("f")), 1)

    assert ("open", 1, 1, NOW + 100, NOW + 1100, SERVICE) == (
        *(heard.state, heard.epoch, heard.number),
        *(heard.since_ms, heard.until_ms, heard.service),
    )


def test_ask_that_is_granted_names_the_worker() -> None:
    [heard] = said(kept(told("fff"), None, None, ask(1, "me"), every_ms=500), 3)
    assert heard.probing is not None

    assert ("half-open", "me", 1, NOW + 1500, 5) == (heard.state, *heard.probing.__dict__.values())


@pytest.mark.parametrize("message", [ask(1), ask(0), None, told("f"), told("o", 1, probe=True)])
def test_record_that_changes_nothing_has_no_word(message: Any) -> None:
    found = kept(told("fff"), message)

    assert ((), 1) == (words(found, 1), found.number)


def test_ask_about_a_closed_one_is_answered_with_that() -> None:
    """A worker that opened one on its own evidence is told that the others are fine."""
    [heard] = said(kept(told("ff"), ask(0)), 1)

    assert ("closed", 0, 1) == (heard.state, heard.epoch, heard.number)


@pytest.mark.parametrize(("message", "epoch"), [(told("f", 7), 8), (ask(7), 8)])
def test_epoch_that_only_the_workers_know_is_gone_beyond(message: Any, epoch: int) -> None:
    """Who has lost its rows must not speak of an epoch that is over."""
    found = kept(message)

    assert [("closed", epoch)] == [(heard.state, heard.epoch) for heard in said(found, 0)]


def test_probe_that_recovers_it_says_so() -> None:
    found = kept(told("fff"), None, None, ask(1), told("o", 1, probe=True), told("o", 1, probe=True), every_ms=500)

    assert ([], ["closed"]) == (said(found, 4), [heard.state for heard in said(found, 5)])


@pytest.mark.parametrize(("order", "state", "until_ms"), [(TRIP, "open", NOW + 9000), (RESET, "closed", 0)])
def test_order_is_in_force_and_on_record(order: Ordered, state: str, until_ms: int) -> None:
    [heard] = said(kept(order), 0)
    assert heard.order is not None

    assert (state, until_ms) == (heard.state, heard.until_ms)
    assert (order.order, order.id, order.who, order.why, NOW) == (*heard.order.__dict__.values(),)


def test_order_stays_on_record_in_later_words() -> None:
    found = kept(TRIP, ask(1), every_ms=10_000)

    assert ["1"] == [heard.order.id for heard in said(found, 1) if heard.order]


def test_numbers_of_words_rise_one_by_one() -> None:
    found = kept(told("fff"), TRIP, RESET, TRIP)

    assert [1, 2, 3, 4] == [wire.decode(one.value, Breaker).number for one in found.said]


# -- again


def test_newest_word_follows_an_older_one_that_is_said_again() -> None:
    found = kept(told("fff"), TRIP, RESET)

    assert [[1, 3], [2, 3], [3]] == [[heard.number for heard in said(found, offset)] for offset in range(3)]


def test_record_without_a_word_has_none_again() -> None:
    assert [] == said(kept(told("f"), told("ff"), told("f")), 0)


def test_words_beyond_the_latest_are_forgotten() -> None:
    found = kept(*[TRIP, RESET] * SAID)

    assert (SAID, 2 * SAID, SAID + 1) == (
        len(found.said),
        found.number,
        wire.decode(found.said[0].value, Breaker).number,
    )


def test_word_tells_its_state_beside_its_bytes() -> None:
    found = kept(TRIP, RESET)

    assert ["open", "closed"] == [state for state, _ in words(found, 0)]


# -- rows

FULL = Kept(
    CircuitBreaker("half-open", 3, 4, 5, 6, Grant(7, "w", 8, 9), 10, (Seen(11, True), Seen(12, False)), 13, 14),
    folded=15,
    ms=16,
    number=17,
    order=Order(order="trip", id="i", who="ann", why="why", at_ms=18),
    said=(breaker_rows.Said(15, "open", b'{"a":"\xc3\xa4"}'),),
)


@pytest.mark.parametrize("found", [Kept(), FULL, kept(told("fff"), TRIP), kept(told("fofo"))])
def test_row_is_read_back_as_it_was_written(found: Kept) -> None:
    assert found == unpack(pack(found))


def test_row_is_written_the_same_each_time() -> None:
    assert pack(FULL) == pack(unpack(pack(FULL)))


def test_fields_that_a_newer_version_added_are_kept() -> None:
    newer = orjson.dumps(orjson.loads(pack(FULL)) | {"later": [1]})

    assert [1] == orjson.loads(pack(unpack(newer)))["later"]


def test_fields_of_the_breaker_that_a_newer_version_added_are_passed_over() -> None:
    row = orjson.loads(pack(FULL))
    row["breaker"]["later"] = 1

    assert FULL == unpack(orjson.dumps(row))


@pytest.mark.parametrize(
    "stored", [b"", b"{}", b"[]", b"null", pack(FULL)[:-9], pack(FULL).replace(b"grant", b"grunt"), b'{"said":[1]}']
)
def test_bytes_that_are_no_row_are_refused(stored: bytes) -> None:
    with pytest.raises(DecodingError):
        unpack(stored)


# -- as told


@pytest.mark.parametrize("found", [kept(told("fff")), kept(TRIP, RESET), kept(TRIP, ask(1), every_ms=10_000)])
def test_breaker_as_told_is_that_of_the_stage(found: Kept) -> None:
    assert found.breaker == as_told(word(found, SERVICE))


def test_breaker_as_told_has_no_evidence() -> None:
    found = replace(kept(told("ff")), number=1)

    assert CircuitBreaker() == as_told(word(found, SERVICE))


def test_row_names_its_version_and_keeps_thirty_two_words() -> None:
    assert (1, 32, 0) == (orjson.loads(pack(Kept()))["v"], SAID, Kept().ms)
