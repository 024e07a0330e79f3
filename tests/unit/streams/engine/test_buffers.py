"""How much a worker holds: computed queues, and bytes by topic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.buffers import HELD_BYTES, POLLS_BUFFERED, HeldBytes, queue_size


class Fetching:
    """The partitions that are fetched, as Faust's consumer keeps them."""

    def __init__(self, cap: int = 100) -> None:
        self.out: set[str] = set()
        self.calls: list[str] = []
        self.held = HeldBytes(self.full, self.drop, cap)

    def full(self, tp: str) -> None:
        self.out.add(tp)
        self.calls.append(f"full {tp}")

    def drop(self, tp: str) -> None:
        self.out.discard(tp)
        self.calls.append(f"drop {tp}")


@pytest.mark.parametrize(
    ("polls", "partitions", "records"), [(1, 1, 5), (100, 8, 4_000), (50, 8, 2_000), (500, 8, 20_000)]
)
def test_queue_size_of_a_topic_is_five_polls_of_each_partition(polls: int, partitions: int, records: int) -> None:
    assert records == queue_size(polls, partitions)


@given(st.integers(1, 1000), st.integers(1, 100))
def test_queue_of_any_size_takes_a_poll_more_than_it_is_stopped_at(polls: int, partitions: int) -> None:
    assert queue_size(polls, partitions) == POLLS_BUFFERED * polls * partitions
    assert queue_size(polls, partitions) >= 2 * polls * partitions


def test_cap_of_held_bytes_is_64_mib_by_default() -> None:
    assert 64 * 1024 * 1024 == HELD_BYTES == HeldBytes(print, print).cap


def test_held_bytes_up_to_the_cap_keep_fetching() -> None:
    fetching = Fetching()
    fetching.held.put("t/0", 60)
    fetching.held.put("t/0", 40)

    assert (100, []) == (fetching.held.held, fetching.calls)


def test_held_bytes_above_cap_stop_fetching_until_half() -> None:
    fetching = Fetching()
    fetching.held.put("t/0", 101)
    stopped = set(fetching.out)
    fetching.held.taken(50)
    above_half = set(fetching.out)
    fetching.held.taken(1)

    assert ({"t/0"}, {"t/0"}, set()) == (stopped, above_half, fetching.out)


def test_partition_above_the_cap_is_stopped_once() -> None:
    fetching = Fetching()
    for _ in range(3):
        fetching.held.put("t/0", 101)

    assert ["full t/0"] == fetching.calls


def test_each_partition_that_goes_on_above_the_cap_is_stopped() -> None:
    fetching = Fetching()
    for tp in ("t/0", "t/1", "t/0", "t/2"):
        fetching.held.put(tp, 60)

    assert ["full t/1", "full t/0", "full t/2"] == fetching.calls


def test_half_worked_off_lets_all_stopped_partitions_back() -> None:
    fetching = Fetching()
    for tp in ("t/0", "t/1", "t/2"):
        fetching.held.put(tp, 101)
    fetching.held.taken(253)

    assert (set(), {"drop t/0", "drop t/1", "drop t/2"}) == (fetching.out, set(fetching.calls[3:]))


def test_partition_let_back_may_be_stopped_again() -> None:
    fetching = Fetching()
    for _ in range(2):
        fetching.held.put("t/0", 101)
        fetching.held.taken(101)

    assert ["full t/0", "drop t/0"] * 2 == fetching.calls


def test_taking_below_half_with_nothing_stopped_drops_nothing() -> None:
    fetching = Fetching()
    fetching.held.put("t/0", 40)
    fetching.held.taken(40)

    assert (0, []) == (fetching.held.held, fetching.calls)


def test_records_that_were_not_counted_never_make_it_negative() -> None:
    fetching = Fetching()
    fetching.held.put("t/0", 10)
    fetching.held.taken(500)
    fetching.held.put("t/0", 101)

    assert (101, ["full t/0"]) == (fetching.held.held, fetching.calls)


def test_empty_records_hold_nothing_and_stop_nothing() -> None:
    fetching = Fetching()
    for _ in range(1000):
        fetching.held.put("t/0", 0)

    assert (0, []) == (fetching.held.held, fetching.calls)


def test_cleared_queue_holds_nothing_and_tells_nobody() -> None:
    fetching = Fetching()
    fetching.held.put("t/0", 101)
    fetching.held.cleared()

    assert (0, ["full t/0"]) == (fetching.held.held, fetching.calls)


def test_record_taken_after_clearing_lets_nothing_back() -> None:
    fetching = Fetching()
    fetching.held.put("t/0", 101)
    fetching.held.cleared()
    fetching.held.taken(101)

    assert ["full t/0"] == fetching.calls


def test_partition_stopped_before_clearing_may_be_stopped_again() -> None:
    fetching = Fetching()
    fetching.held.put("t/0", 101)
    fetching.held.cleared()
    fetching.held.put("t/0", 101)

    assert ["full t/0", "full t/0"] == fetching.calls


STEPS = st.lists(st.tuples(st.sampled_from(["t/0", "t/1", "t/2"]), st.integers(0, 90), st.booleans()), max_size=30)


@given(STEPS)
def test_partitions_out_of_the_fetch_set_always_come_back_when_all_is_taken(steps: list[tuple[str, int, bool]]) -> None:
    fetching, queue = Fetching(), list[int]()
    for tp, size, take in steps:
        fetching.held.put(tp, size)
        queue.append(size)
        if take:
            fetching.held.taken(queue.pop(0))
    for size in queue:
        fetching.held.taken(size)

    assert (0, set()) == (fetching.held.held, fetching.out)


@given(STEPS)
def test_partition_handed_over_above_the_cap_is_never_left_fetching(steps: list[tuple[str, int, bool]]) -> None:
    fetching, queue = Fetching(), list[int]()
    for tp, size, take in steps:
        fetching.held.put(tp, size)
        queue.append(size)
        assert fetching.held.held <= 100 or tp in fetching.out
        if take:
            fetching.held.taken(queue.pop(0))
        assert bool(fetching.out) <= (fetching.held.held > 50)
