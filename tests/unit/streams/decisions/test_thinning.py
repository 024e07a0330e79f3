"""Rows have had their time when later records say so: outcomes become markers, and in the end nothing is left."""

import doctest
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.memory import Rows
from streams.decisions import course, rows, thinning
from streams.decisions.thinning import EVERY_MS, PAGE, PAGE_BYTES, WRITES, KeepPolicy, Sweep, tend, thinned
from tests.support.builders import NOW_MS
from topics import wire
from topics.catalog import DAY_MS, FAILED, INFERRED

HOUR_MS, WEEK_MS = 3_600_000, 7 * DAY_MS
KEEP = KeepPolicy()
LANE, OTHER = "assembled.normal", "assembled.low"
WAY = wire.encode(course.Progress(ms=NOW_MS, parked="parked.1"))


def outcome(ms: int | None = NOW_MS, topic: str = LANE, payload: bytes = b'{"id":"a"}', word: str = INFERRED) -> bytes:
    return rows.pack(rows.Row(f"{topic}/0/7", word, payload, ms, 2))


def marked(ms: int = NOW_MS, topic: str = LANE) -> bytes:
    return outcome(ms, topic, b"", rows.GONE)


def after(age_ms: int, topic: str = LANE, **newest: int) -> Sweep:
    """A partition where a record of the lane is at hand, so much younger than the rows."""
    return Sweep(b"", {topic: NOW_MS + age_ms, **newest}, NOW_MS + age_ms)


def test_knobs_are_an_hour_and_a_week_unless_told() -> None:
    assert (HOUR_MS, WEEK_MS) == (KEEP.whole_ms, KEEP.marked_ms)


def test_bounds_of_one_look_are_few_rows_little_to_read_and_less_to_write() -> None:
    assert (1000, 500, 1024 * 1024, 200) == (EVERY_MS, PAGE, PAGE_BYTES, WRITES)


# -- one row


@pytest.mark.parametrize("word", [INFERRED, FAILED])
@pytest.mark.parametrize(("age_ms", "stays"), [(0, True), (HOUR_MS - 1, True), (HOUR_MS, False), (WEEK_MS - 1, False)])
def test_outcome_is_whole_until_its_lane_is_an_hour_younger(word: str, age_ms: int, stays: bool) -> None:
    row = outcome(word=word)

    assert (row if stays else marked()) == thinned(row, after(age_ms), KEEP)


@pytest.mark.parametrize("row", [outcome(), marked(), WAY], ids=["outcome", "marker", "way"])
def test_row_that_stays_is_the_very_same_object(row: bytes) -> None:
    assert row is thinned(row, after(HOUR_MS - 1), KEEP)


@pytest.mark.parametrize("row", [marked(), WAY], ids=["marker", "way"])
@pytest.mark.parametrize(("age_ms", "stays"), [(HOUR_MS, True), (WEEK_MS - 1, True), (WEEK_MS, False)])
def test_marker_and_way_of_a_request_stand_for_the_retention(row: bytes, age_ms: int, stays: bool) -> None:
    assert (row if stays else None) == thinned(row, after(age_ms), KEEP)


def test_outcome_older_than_the_retention_goes_without_a_marker() -> None:
    assert thinned(outcome(), after(WEEK_MS), KEEP) is None


def test_marker_tells_who_paid_when_and_for_how_many_calls() -> None:
    left = thinned(outcome(payload=b"x" * 4000), after(HOUR_MS), KEEP)

    assert rows.Row(f"{LANE}/0/7", rows.GONE, b"", NOW_MS, 2) == rows.unpack(left or b"")


def test_marker_weighs_less_than_a_hundred_bytes() -> None:
    assert len(marked(topic="assembled.critical")) < 100


@pytest.mark.parametrize("newest", [{}, {OTHER: NOW_MS + HOUR_MS - 1}])
def test_outcome_of_another_lane_waits_for_a_record_of_its_own(newest: dict[str, int]) -> None:
    """What a dead worker left un-acknowledged there may come again yet."""
    row = outcome(topic=OTHER)

    assert row is thinned(row, after(HOUR_MS, **newest), KEEP)


def test_outcome_of_another_lane_is_thinned_once_that_is_an_hour_younger() -> None:
    assert marked(topic=OTHER) == thinned(outcome(topic=OTHER), after(0, **{OTHER: NOW_MS + HOUR_MS}), KEEP)


@pytest.mark.parametrize("row", [outcome(topic=OTHER), marked(topic=OTHER), WAY], ids=["outcome", "marker", "way"])
def test_retention_is_over_for_rows_of_every_lane(row: bytes) -> None:
    """Its prompt may be deleted by then, and who asks for it has expired."""
    assert thinned(row, after(WEEK_MS), KEEP) is None


def test_row_used_later_than_the_record_is_young() -> None:
    row = outcome(NOW_MS + 2 * WEEK_MS)

    assert row is thinned(row, after(WEEK_MS), KEEP)


@pytest.mark.parametrize("age_ms", [0, WEEK_MS])
@pytest.mark.parametrize(
    ("row", "dated"),
    [(outcome(None), outcome), (b'{"v":1,"tries":[]}', lambda ms: b'{"ms":%d,"v":1,"tries":[]}' % ms)],
    ids=["outcome", "way"],
)
def test_row_of_an_earlier_version_counts_from_when_it_is_met(row: bytes, dated: object, age_ms: int) -> None:
    assert dated(NOW_MS + age_ms) == thinned(row, after(age_ms), KEEP)  # type: ignore[operator]  # one of the two above


@pytest.mark.parametrize("row", [b"", b"\xff", b"[]", b'{"ms":"5","v":1}', b'{"ms":-5,"v":1}', b'{"ms":5,"x":1}'])
def test_bytes_that_are_no_row_are_left_alone(row: bytes) -> None:
    assert row is thinned(row, after(2 * WEEK_MS), KEEP)


@pytest.mark.parametrize("rest", [b"", b"\n{}", b',"word":"inferred"\n{}'])
def test_row_with_a_broken_line_is_left_alone_until_the_retention(rest: bytes) -> None:
    row = b'{"ms":%d,"v":1,"at":"%b/0/7"' % (NOW_MS, LANE.encode()) + rest

    assert (row, None) == (thinned(row, after(HOUR_MS), KEEP), thinned(row, after(WEEK_MS), KEEP))


@given(st.integers(0, 2 * WEEK_MS), st.integers(0, 2 * WEEK_MS), st.integers(0, 2 * WEEK_MS))
def test_row_thinned_is_never_whole_again(first_ms: int, second_ms: int, whole_ms: int) -> None:
    """Thinning on its way is as good as thinning at once."""
    policy = KeepPolicy(whole_ms)
    early, late = sorted((first_ms, second_ms))

    between = thinned(outcome(), after(early), policy)

    at_once = thinned(outcome(), after(late), policy)
    assert at_once == (None if between is None else thinned(between, after(late), policy))


# -- a look at a few of many


class Counting(Rows):
    """Rows that know what was read and written of them."""

    def __init__(self, count: int, row: bytes) -> None:
        super().__init__({b"%05d" % number: row for number in range(count)})
        self.read, self.wrote = list[bytes](), list[bytes]()

    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        for key, value in super().items(after):
            self.read.append(key)
            yield key, value

    def put(self, key: bytes, value: bytes) -> None:
        self.wrote.append(key)
        super().put(key, value)

    def delete(self, key: bytes) -> None:
        self.wrote.append(key)
        super().delete(key)


def seconds(table: Counting, sweep: Sweep, count: int, began_ms: int = NOW_MS) -> None:
    """So many seconds of input, a record each."""
    for second in range(count):
        tend(table, sweep, LANE, began_ms + second * EVERY_MS, KEEP)


def test_first_record_of_a_partition_looks_at_once() -> None:
    table = Counting(3, outcome())

    tend(table, Sweep(), LANE, 0, KEEP)

    assert [b"00000", b"00001", b"00002"] == sorted(set(table.read))


@pytest.mark.parametrize(("later_ms", "looks"), [(-5, 1), (0, 1), (EVERY_MS - 1, 1), (EVERY_MS, 2), (HOUR_MS, 2)])
def test_next_look_is_a_second_of_input_later(later_ms: int, looks: int) -> None:
    table, sweep = Counting(1, outcome()), Sweep(b"00000")

    tend(table, sweep, LANE, NOW_MS, KEEP)
    tend(table, sweep, OTHER, NOW_MS + later_ms, KEEP)

    assert looks == len(table.read)


def test_newest_record_of_each_lane_is_remembered_whatever_comes_after() -> None:
    table, sweep = Counting(0, b""), Sweep()

    for topic, ms in ((LANE, 5), (OTHER, 9), (LANE, 7), (OTHER, 8), (LANE, 6)):
        tend(table, sweep, topic, ms, KEEP)

    assert {LANE: 7, OTHER: 9} == sweep.newest


def test_look_reads_no_more_than_a_page() -> None:
    table = Counting(PAGE + 1, outcome())

    seconds(table, Sweep(), 1)

    assert PAGE == len(table.read)


def test_next_look_goes_on_behind_the_last_row_and_then_in_front() -> None:
    table = Counting(PAGE + 2, outcome())

    seconds(table, Sweep(), 2)

    number = [int(key) for key in table.read]
    assert [*range(PAGE + 2), *range(PAGE - 2)] == number


@pytest.mark.parametrize("start", [b"", b"00000", b"00001", b"000015", b"00002", b"x"])
def test_look_that_comes_to_the_end_goes_on_in_front_and_sees_no_row_twice(start: bytes) -> None:
    table, keys = Counting(3, outcome(None)), (b"00000", b"00001", b"00002")

    seconds(table, Sweep(start), 1)

    assert [*(key for key in keys if key > start), *(key for key in keys if key <= start)] == table.wrote


@pytest.mark.parametrize("start", [b"", b"00123", b"x"])
def test_rows_are_all_looked_at_wherever_the_first_look_begins(start: bytes) -> None:
    table = Counting(3 * PAGE, outcome())

    seconds(table, Sweep(start), 3)

    assert [b"%05d" % number for number in range(3 * PAGE)] == sorted(set(table.read))


def test_look_ends_when_it_has_read_enough_bytes() -> None:
    table = Counting(9, outcome(payload=b"x" * (PAGE_BYTES // 4)))

    seconds(table, Sweep(), 1)

    assert 4 == len(table.read)


@pytest.mark.parametrize("age_ms", [HOUR_MS, WEEK_MS])
def test_look_ends_when_it_has_written_enough(age_ms: int) -> None:
    table = Counting(WRITES + 7, outcome())

    seconds(table, Sweep(), 1, NOW_MS + age_ms)
    first = list(table.wrote)
    seconds(table, Sweep(), 1, NOW_MS + age_ms)

    assert ([b"%05d" % number for number in range(WRITES)], 7) == (first, len(table.wrote) - WRITES)


def test_rows_are_read_before_any_is_written() -> None:
    """A store may not show its rows as they were to who writes while he reads."""
    table = Counting(3, outcome())
    seen = list[int]()
    table.put = lambda key, value: seen.append(len(table.read))  # type: ignore[method-assign]  # it only counts

    seconds(table, Sweep(), 1, NOW_MS + HOUR_MS)

    assert (3, 1) == (len(seen), len(set(seen)))


@given(st.lists(st.tuples(st.sampled_from([LANE, OTHER]), st.integers(0, WEEK_MS)), max_size=30))
def test_every_row_is_found_in_the_end_however_many_there_are(made: list[tuple[str, int]]) -> None:
    table = Rows({b"%03d" % n: outcome(NOW_MS + ms, topic) for n, (topic, ms) in enumerate(made)})
    sweep = Sweep()

    for second in range(3):
        tend(table, sweep, LANE, NOW_MS + 2 * WEEK_MS + second * EVERY_MS, KEEP)

    assert [] == list(table.items())


def test_table_of_an_earlier_version_is_empty_a_retention_later() -> None:
    table, sweep = Counting(3, outcome(None)), Sweep()

    for age_ms in (0, HOUR_MS, WEEK_MS):
        tend(table, sweep, LANE, NOW_MS + age_ms, KEEP)

    assert ([], 9) == (list(table.items()), len(table.wrote))


def test_doctests_of_the_rule_pass() -> None:
    assert 0 == doctest.testmod(thinning).failed
