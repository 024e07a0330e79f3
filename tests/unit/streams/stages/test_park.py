from typing import Any

import pytest

from streams.decisions.parking import ORIGIN, TIERS
from streams.stage import ORIGINAL_KEY, Headers, Output, Record, dressed
from streams.stages import park
from tests.support.builders import NOW_MS
from tests.support.scopes import run
from topics.catalog import ASSEMBLED, PARKED
from topics.errors import DecodingError

NORMAL = ASSEMBLED["normal"]
CARRIED = (("traceparent", b"00-1"), (ORIGINAL_KEY, b"order-7"))
EVIDENCE = (("prompts.stage", b"infer"), ("prompts.decision", b"parked"), ("prompts.cause", b"assembled.normal/3/7"))


def parked(tiers: bytes | None = None, more: Headers = (), **fields: Any) -> Record:
    """A record in the second tier; after it come ``tiers``."""
    ours = ((ORIGIN, NORMAL.encode()), *(() if tiers is None else ((TIERS, tiers),)))
    known = {"topic": "parked.2", "partition": 3, "offset": 42, "timestamp_ms": NOW_MS, "key": b"k", "value": b"{}"}
    return Record(**{**known, "headers": (*CARRIED, *more, *ours, *EVIDENCE), **fields})


def sent(record: Record) -> Output:
    """What the handler made of it, with its evidence."""
    [output] = run(park.stage(), record)
    return dressed(record, park.NAME, output)


def test_record_whose_tiers_are_over_returns_to_its_origin() -> None:
    assert (NORMAL, "returned") == (sent(parked()).topic, sent(parked()).decision)


def test_record_with_tiers_left_is_parked_in_the_next() -> None:
    output = sent(parked(b"1:2"))

    assert ("parked.1", "parked-on") == (output.topic, output.decision)


@pytest.mark.parametrize("tiers", [None, b"4:1,1:1"])
@pytest.mark.parametrize("partition", [0, 3, 7])
@pytest.mark.parametrize(("key", "value"), [(b"k", b"\x00 any bytes"), (None, b"{}"), (b"", b""), (b"k", None)])
def test_record_that_returns_keeps_what_it_had(
    tiers: bytes | None, partition: int, key: bytes | None, value: bytes | None
) -> None:
    output = sent(parked(tiers, partition=partition, key=key, value=value))

    assert (key, value, partition) == (output.key, output.value, output.partition)


def test_record_that_returns_keeps_headers_that_it_does_not_know() -> None:
    newer = (("prompts.of-a-newer-version", b"1"), ("prompts.of-a-newer-version", b"2"))

    assert (*CARRIED, *newer) == sent(parked(more=newer)).headers[:4]


def test_record_that_returns_carries_no_header_of_the_tiers() -> None:
    assert not {ORIGIN, TIERS} & {name for name, _ in sent(parked()).headers}


@pytest.mark.parametrize(("tiers", "decision"), [(None, b"returned"), (b"1:1", b"parked-on")])
def test_record_that_is_sent_on_tells_this_hop_alone(tiers: bytes | None, decision: bytes) -> None:
    told = (("prompts.stage", b"park"), ("prompts.decision", decision), ("prompts.cause", b"parked.2/3/42"))

    assert told == tuple(pair for pair in sent(parked(tiers)).headers if pair[0] in park.EVIDENCE)


def test_record_that_comes_again_is_sent_on_with_the_same_bytes() -> None:
    assert sent(parked(b"1:1")) == sent(parked(b"1:1"))


@pytest.mark.parametrize("headers", [(), CARRIED, ((ORIGIN, b"prompts"),), ((ORIGIN, b"failed"), (TIERS, b"one"))])
def test_record_without_a_way_back_is_undecodable(headers: Headers) -> None:
    with pytest.raises(DecodingError, match="Cannot read parked record: its headers name no") as refused:
        run(park.stage(), parked(headers=headers, value=b"the bytes"))

    assert b"the bytes" == refused.value.raw


def test_refusal_of_a_record_tells_nothing_of_its_headers() -> None:
    with pytest.raises(DecodingError) as refused:
        run(park.stage(), parked(headers=((ORIGIN, b"secret words"),)))

    assert "secret" not in str(refused.value)


def test_stage_reads_all_tiers_and_writes_what_can_be_returned_to() -> None:
    stage = park.stage()

    assert (PARKED, {*ASSEMBLED.values(), *PARKED}, None, 0) == (stage.reads, {*stage.writes}, stage.table, stage.slots)
