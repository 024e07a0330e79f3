import asyncio

import pytest

from streams.adapters.clock import HandClock
from streams.adapters.memory import Log, Rows
from streams.stage import Record
from topics.catalog import CATALOG, PROMPTS
from topics.messages import Origin


def log(partitions: int = 4) -> Log:
    return Log(partitions, HandClock(17))


def at(topic: str, partition: int, offset: int) -> Origin:
    return Origin(topic=topic, partition=partition, offset=offset, timestamp_ms=0, hash="")


def test_record_appended_gets_the_next_offset_and_the_time() -> None:
    kept = log()

    kept.append(PROMPTS, None, b"a", (), 2)
    record = kept.append(PROMPTS, b"k", b"b", (("h", b"1"),), 2)

    assert Record(PROMPTS, 2, 1, 17, b"k", b"b", (("h", b"1"),)) == record


def test_records_of_one_key_share_a_partition() -> None:
    kept = log()

    found = {kept.append(PROMPTS, b"key", b"", (), None).partition for _ in range(5)}

    assert 1 == len(found)


def test_records_without_a_key_go_round() -> None:
    kept = log(3)

    assert [0, 1, 2, 0] == [kept.append(PROMPTS, None, b"", (), None).partition for _ in range(4)]


def test_topics_of_the_log_are_those_of_the_catalog() -> None:
    kept = log(2)

    assert {name: [[], []] for name in CATALOG} == kept.topics


def test_record_that_is_there_is_read_back() -> None:
    kept = log()
    record = kept.append(PROMPTS, None, b"a", (), 3)

    assert record == asyncio.run(kept.fetch(at(PROMPTS, 3, 0)))


@pytest.mark.parametrize("place", [("no-such", 0, 0), (PROMPTS, 9, 0), (PROMPTS, 3, 1)])
def test_record_that_is_not_there_is_none(place: tuple[str, int, int]) -> None:
    kept = log()
    kept.append(PROMPTS, None, b"a", (), 3)

    assert None is asyncio.run(kept.fetch(at(*place)))


def test_row_written_can_be_read_and_forgotten() -> None:
    rows = Rows({})

    rows.put(b"k", b"v")
    before = rows.get(b"k")
    rows.delete(b"k")

    assert (b"v", None) == (before, rows.get(b"k"))


def test_row_that_is_not_there_can_be_forgotten() -> None:
    rows = Rows({b"k": b"v"})

    rows.delete(b"other")

    assert b"v" == rows.get(b"k")
