"""What is written for those who wait: the same bytes of the same rows, whoever asks."""

from dataclasses import replace

import orjson
import pytest

from streams.adapters.memory import Rows
from streams.decisions import answers, dedup_index, requests, twins
from streams.decisions.dedup import DedupPolicy
from streams.decisions.ledger import Ledger
from streams.decisions.requests import Deed, Entry, Twin
from streams.decisions.rows import PAYLOAD_BYTES
from streams.stage import CARRIED, Headers
from tests.support.builders import NOW_MS, admitted, failed, origin, record, refined, reply
from topics import wire
from topics.answer import Answer
from topics.catalog import DEDUPED, FAILED, RESULTS
from topics.messages import Deduped, Failed, Usage

KEY = "c:ab"
ENTRY = Entry("p/0/9", "cc", 9, 9, "a", "a", next=2, count=2, by="refined/0/1", ms=NOW_MS + 900, word="completed")
FINAL = orjson.loads(wire.encode(answers.completed(refined(reply("hi", cost_usd_micros=7), id="a"))))


def twin(who: str = "b", headers: tuple[tuple[str, str], ...] = (), **fields: object) -> Twin:
    message = admitted(id=who, identity=who, origin=origin(timestamp_ms=NOW_MS + 5), **fields)  # type: ignore[arg-type]  # its fields
    return Twin("p/0/10", who, headers=headers, payload=wire.encode(message))


def ledger(*waiting: Twin) -> Ledger:
    rows = {requests.twin_key(KEY, number): requests.pack(one) for number, one in enumerate(waiting)}
    stored = Rows(rows)
    return Ledger(stored, dedup_index.build(stored.items(), DedupPolicy()))


def answer(said: twins.Said) -> Answer:
    return Answer.model_validate_json(said.value)


def test_shared_answer_goes_to_each_twin_that_waits() -> None:
    book = ledger(twin("b"), replace(twin("c"), standing="expired"))

    (said,) = twins.shared(book, KEY, ENTRY, FINAL, record())

    assert (RESULTS, b"b", "coalesced") == (said.topic, said.key, said.decision)


def test_shared_answer_tells_whose_it_is_and_what_it_saved() -> None:
    told = Answer.model_validate_json(twins.coalesced(FINAL, twin(metadata={"m": 1}), ENTRY.ms))

    assert ("b", "a", "hi", {"m": 1}) == (told.id, told.same_as, told.text, told.metadata)
    assert (Usage(), reply().usage, 0, 0) == (told.usage, told.saved_usage, told.cost_usd_micros, told.attempts)
    assert ("2026-01-31T12:00:00.005Z", "2026-01-31T12:00:00.900Z") == (told.received_at, told.finished_at)


def test_answer_shared_once_more_names_who_paid_for_it() -> None:
    once = orjson.loads(twins.coalesced(FINAL, twin("b"), 1))

    twice = Answer.model_validate_json(twins.coalesced(once, twin("c"), 2))

    assert ("a", reply().usage) == (twice.same_as, twice.saved_usage)


def test_shared_answer_without_usage_has_none_to_save() -> None:
    told = Answer.model_validate_json(twins.coalesced({**FINAL, "usage": None}, twin(), 1))

    assert (None, None) == (told.usage, told.saved_usage)


@pytest.mark.parametrize(("more", "status"), [(0, "completed"), (2000, "failed")])
def test_twin_whose_own_fields_weigh_too_much_is_told_so(more: int, status: str) -> None:
    heavy = {**FINAL, "text": "x" * (PAYLOAD_BYTES - 1500)}

    told = Answer.model_validate_json(twins.coalesced(heavy, twin(metadata={"m": "y" * more}), ENTRY.ms))

    assert (status, "b") == (told.status, told.id)
    assert ("too_large" if more else None) == (told.error and told.error.kind)


def test_shared_failure_goes_to_failed_in_the_name_of_each_twin() -> None:
    owners = failed(disposition="permanent", usage=Usage(input_tokens=9))

    (said,) = twins.failed(ledger(twin("b")), KEY, ENTRY, owners, record())

    told = wire.decode(said.value, Failed)
    assert (FAILED, KEY.encode(), "failed-too") == (said.topic, said.key, said.decision)
    assert ("b", "p/0/9", "permanent", None, 0) == (told.id, told.epoch, told.disposition, told.usage, told.attempts)
    assert owners.failure == told.failure


def test_expired_twin_is_finished_by_the_record_that_decided() -> None:
    told = answer(twins.expired(twin(), record(timestamp_ms=NOW_MS + 70)))

    assert ("expired", "2026-01-31T12:00:00.070Z") == (told.status, told.finished_at)
    assert "deadline_exceeded" == (told.error and told.error.kind)


def test_promoted_twin_brings_its_whole_message_under_the_epoch() -> None:
    said = twins.promoted(twin("b", colour="red", lane="high"), KEY, "p/0/9", record())

    told = wire.decode(said.value, Deduped)
    assert (DEDUPED, b"c:ab", "took-over") == (said.topic, said.key, said.decision)
    assert ("b", "p/0/9", "high", {"colour": "red"}) == (told.id, told.epoch, told.lane, told.__pydantic_extra__)


def test_acts_of_a_deed_are_told_as_long_as_the_rows_stand() -> None:
    deed = Deed("ticked", 5, ((KEY, 0, ""), (KEY, 1, "p/0/9"), (KEY, 7, "")))

    said = twins.acted(ledger(twin("b"), twin("c")), deed, record())

    assert ["expired", "took-over"] == [one.decision for one in said]


def test_rows_touched_by_a_deed_are_twins_and_their_generations() -> None:
    deed = Deed("ticked", 5, ((KEY, 3, ""),))

    assert [b"twin/c:ab/3", b"key/c:ab"] == list(twins.touched(deed))


@pytest.mark.parametrize(
    ("own", "deciding", "expected"),
    [
        ((), (), ()),
        ((("traceparent", "t-ÿ"),), (), (("traceparent", b"t-\xff"),)),
        ((("traceparent", "t"),), (("traceparent", b"o"),), (("traceparent", b"t"),)),
        ((), (("traceparent", b"o"), ("colour", b"red")), (("traceparent", b""),)),
    ],
)
def test_headers_of_a_twin_are_never_those_of_the_owner(
    own: tuple[tuple[str, str], ...], deciding: Headers, expected: Headers
) -> None:
    assert expected == twins.own_headers(twin(headers=own), record(headers=deciding))


def test_headers_that_twins_keep_are_those_that_every_hop_passes_on() -> None:
    assert CARRIED == twins.CARRIED
