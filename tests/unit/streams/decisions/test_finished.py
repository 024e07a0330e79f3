"""The order in which rows were decided, kept small; the law compares it with a plain dict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.finished import SPARE, Finished

PLACES = st.sampled_from([b"a", b"b", b"c", b"d"])


def of(*added: tuple[int, bytes]) -> Finished:
    made = Finished()
    for ms, place in added:
        made.add(place, ms)
    return made


@pytest.mark.parametrize(
    ("added", "first"),
    [
        ([], None),
        ([(10, b"a")], (10, b"a")),
        ([(10, b"a"), (20, b"b")], (10, b"a")),
        ([(20, b"b"), (10, b"a")], (10, b"a")),
        ([(10, b"b"), (10, b"a")], (10, b"a")),
        ([(10, b"a"), (20, b"b"), (30, b"a")], (20, b"b")),
    ],
)
def test_oldest_is_decided_first_and_of_equal_times_the_smaller_place(added, first) -> None:
    assert first == of(*added).oldest()


def test_oldest_asked_twice_is_the_same() -> None:
    made = of((10, b"a"), (20, b"b"))

    assert made.oldest() == made.oldest()


def test_discarded_place_is_neither_counted_nor_found() -> None:
    made = of((10, b"a"), (20, b"b"))
    made.discard(b"a")

    assert (1, False, True, (20, b"b")) == (len(made), b"a" in made, b"b" in made, made.oldest())


def test_discard_of_what_is_not_there_changes_nothing() -> None:
    made = of((10, b"a"))
    made.discard(b"z")

    assert of((10, b"a")) == made


def test_place_that_comes_back_counts_by_its_new_time() -> None:
    made = of((10, b"a"), (20, b"b"))
    made.discard(b"a")
    made.add(b"a", 30)

    assert [(20, b"b"), (30, b"a")] == list(made)


def test_equal_contents_are_equal_whatever_came_before() -> None:
    made = of((5, b"z"), (10, b"a"))
    made.discard(b"z")

    assert (True, False) == (made == of((10, b"a")), made == [(10, b"a")])


def test_front_that_is_gone_is_given_back() -> None:
    """Memory follows what stands, not what ever stood."""
    made, count = Finished(), 3 * SPARE
    for number in range(count):
        made.add(b"%d" % number, number)
    for number in range(count - 1):
        made.discard(b"%d" % number)
        made.oldest()

    assert (1, True, 0) == (len(made), len(made._places) <= SPARE + 2, len(made._gone))


@pytest.mark.parametrize(
    ("gone", "total", "held"),
    [
        (10, 15, 15),
        (SPARE, SPARE + 10, SPARE + 10),
        (SPARE + 1, SPARE + 10, 9),
        (SPARE + 1, 4 * SPARE, 4 * SPARE),
        (2 * SPARE, 4 * SPARE, 4 * SPARE),
        (2 * SPARE + 1, 4 * SPARE, 2 * SPARE - 1),
    ],
)
def test_front_is_given_back_once_it_is_long_and_more_than_half(gone: int, total: int, held: int) -> None:
    """Memory follows what stands, and giving back costs no more than adding did."""
    made = of(*((number, b"%d" % number) for number in range(total)))
    for number in range(gone):
        made.discard(b"%d" % number)
    first = made.oldest()

    assert ((gone, b"%d" % gone), held) == (first, len(made._places))


@pytest.mark.parametrize("count", [1, 300])
def test_nothing_is_oldest_once_all_is_gone(count: int) -> None:
    made = of(*((number, b"%d" % number) for number in range(count)))
    for number in range(count):
        made.discard(b"%d" % number)

    assert (None, []) == (made.oldest(), list(made))


@pytest.mark.parametrize("gone", [1, 300])
def test_place_decided_before_what_is_gone_is_the_oldest(gone: int) -> None:
    made = of(*((10 + number, b"%d" % number) for number in range(gone + 1)))
    for number in range(gone):
        made.discard(b"%d" % number)
        made.oldest()
    made.add(b"late", 5)

    assert ((5, b"late"), [(5, b"late"), (10 + gone, b"%d" % gone)]) == (made.oldest(), list(made))


def test_place_decided_anew_at_an_earlier_time_counts_once() -> None:
    places = [bytes.fromhex(name) for name in ("aaaa", "bbbb", "aaaa")]
    made = of(*zip((20, 30, 10), places, strict=True))

    assert [(10, b"\xaa\xaa"), (30, b"\xbb\xbb")] == list(made)


@pytest.mark.parametrize("other", [of((5, b"a")), of((20, b"a")), of((10, b"b")), of()])
def test_other_contents_are_not_equal(other: Finished) -> None:
    assert of((10, b"a")) != other


@given(st.lists(st.tuples(PLACES, st.integers(0, 6) | st.none()), max_size=30))
def test_order_after_any_steps_is_that_of_a_dict_sorted_by_time(steps: list[tuple[bytes, int | None]]) -> None:
    """B24: also where time runs backwards."""
    made, known = Finished(), dict[bytes, int]()
    for place, ms in steps:
        if ms is None:
            made.discard(place)
            known.pop(place, None)
        else:
            made.add(place, ms)
            known[place] = ms
        first = min(((ms, one) for one, ms in known.items()), default=None)
        assert first == made.oldest()

    assert sorted((ms, place) for place, ms in known.items()) == list(made)
    assert len(known) == len(made)
