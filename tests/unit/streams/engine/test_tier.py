"""One tier's topic: who waits for whom, and what may be committed."""

from collections.abc import Sequence

import pytest

from streams.engine.tier import SPAN, Tier
from streams.stage import Record
from tests.support.builders import NOW_MS


def record(offset: int = 0, after_ms: int = 0, partition: int = 0, value: bytes | None = b"v") -> Record:
    return Record("parked.1", partition, offset, NOW_MS + after_ms, b"k", value)


def tier(*records: Record, partitions: Sequence[int] = (0, 1), seconds: float = 5.0) -> Tier:
    """A tier with these records fetched."""
    made = Tier("parked.1", "prompts.parked.1", seconds)
    made.begin(partitions)
    for one in records:
        made.put(one.partition, [one])
    return made


def taken(made: Tier, after_ms: int) -> list[tuple[int, int]]:
    """Partition and offset of what is due so long after the start."""
    return [(one.partition, one.offset) for one in made.ripe(NOW_MS + after_ms)]


# -- when


@pytest.mark.parametrize(("after_ms", "offsets"), [(4_999, []), (5_000, [0]), (5_001, [0]), (6_000, [0, 1])])
def test_ripe_records_are_those_whose_tier_is_over(after_ms: int, offsets: list[int]) -> None:
    assert [(0, offset) for offset in offsets] == taken(tier(record(0), record(1, 1_000)), after_ms)


def test_ripe_record_behind_one_that_is_not_waits_with_it() -> None:
    """A leader with another clock may stamp earlier; the order of the partition stands."""
    assert [] == taken(tier(record(0, 1_000), record(1, 0)), 5_500)


def test_ripe_records_of_other_partitions_do_not_wait_for_one_another() -> None:
    assert [(1, 0)] == taken(tier(record(0, 1_000), record(0, 0, partition=1)), 5_500)


def test_ripe_record_is_taken_once() -> None:
    made = tier(record())
    taken(made, 9_000)

    assert [] == taken(made, 9_000)


def test_ripe_records_stop_where_they_are_told_to() -> None:
    made, handed = tier(record(0), record(1), record(2)), list[int]()
    for one in made.ripe(NOW_MS + 9_000, lambda: len(handed) == 2):
        handed.append(one.offset)

    assert ([0, 1], [(0, 2)]) == (handed, taken(made, 9_000))


def test_ripe_records_end_when_the_generation_does() -> None:
    made = tier(record(0), record(1))
    taking = made.ripe(NOW_MS + 9_000)
    first = next(taking)
    made.end()

    assert (0, []) == (first.offset, list(taking))


@pytest.mark.parametrize(
    ("records", "due_ms"),
    [
        ((), None),
        ((record(0, 700),), 5_700),
        ((record(0, 700), record(1, 0)), 5_700),
        ((record(0, 700), record(0, 300, partition=1)), 5_300),
    ],
)
def test_tier_is_due_with_the_first_of_its_partitions(records: tuple[Record, ...], due_ms: int | None) -> None:
    due = tier(*records).due_ms()

    assert due_ms == (None if due is None else due - NOW_MS)


# -- what is asked for


def test_hungry_partitions_are_those_of_which_nothing_waits() -> None:
    assert [1] == tier(record()).hungry()


def test_hungry_partition_with_too_much_un_acknowledged_is_not_asked_for() -> None:
    made = tier()
    for offset in range(SPAN):
        made.opened(record(offset))

    assert [1] == made.hungry()


def test_record_of_a_partition_that_is_not_here_is_left() -> None:
    made = tier(partitions=[1])
    made.put(0, [record()])

    assert (None, [1]) == (made.due_ms(), made.hungry())


def test_tier_between_generations_asks_for_nothing() -> None:
    made = tier(record())
    made.end()

    assert ([], None) == (made.hungry(), made.due_ms())


# -- as the loop's intake


def test_message_of_a_tier_is_the_record_itself() -> None:
    assert record(7) == tier().record(record(7))


def test_room_in_a_tier_wakes_nobody() -> None:
    made = tier()
    made.room()

    assert [0, 1] == made.hungry()


# -- what may be committed


def test_record_done_is_committed_as_the_next_offset() -> None:
    made = tier()
    made.acks.done(made.opened(record(41)))

    assert {0: 42} == made.news()


def test_record_done_out_of_order_is_committed_with_those_before_it() -> None:
    made = tier()
    first, second = made.opened(record(0)), made.opened(record(1))
    made.acks.done(second)
    before = made.news()
    made.acks.done(first)

    assert ({}, {0: 2}) == (before, made.news())


def test_offset_that_was_committed_is_no_news() -> None:
    made = tier()
    made.acks.done(made.opened(record(0)))
    made.committed(made.news())

    assert {} == made.news()


def test_offset_that_came_after_a_commit_is_news_again() -> None:
    made = tier()
    made.acks.done(made.opened(record(0)))
    made.committed(made.news())
    made.acks.done(made.opened(record(1)))

    assert {0: 2} == made.news()


def test_record_of_a_left_generation_is_not_committed() -> None:
    made = tier()
    ticket = made.opened(record(0))
    forgotten = made.forget(made.leave())
    made.acks.done(ticket)

    assert (1, {}) == (forgotten, made.news())


def test_record_that_is_done_while_its_generation_is_left_still_counts() -> None:
    """The drain waits for what is being written, and commits it."""
    made = tier()
    ticket = made.opened(record(0))
    left = made.leave()
    made.acks.done(ticket)

    assert (0, {0: 1}) == (made.forget(left), made.news())


def test_generation_that_begins_knows_nothing_of_the_last() -> None:
    made = tier()
    made.acks.done(made.opened(record(0)))
    made.begin([0])

    assert {} == made.news()


@pytest.mark.parametrize("value", [b"12345", None])
def test_bytes_of_a_record_in_work_are_counted_and_given_back(value: bytes | None) -> None:
    made = tier()
    ticket = made.opened(record(value=value))
    held = made.acks.held_bytes
    made.acks.done(ticket)

    assert (1 + len(value or b""), 0) == (held, made.acks.held_bytes)
