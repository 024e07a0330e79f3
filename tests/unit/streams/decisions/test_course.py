import doctest
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import course, rows
from streams.decisions.course import Ended, Keys, Progress
from tests.support.builders import NOW_MS, assembled, failure
from topics import wire
from topics.catalog import PARKED
from topics.errors import DecodingError
from topics.messages import Assembled, Open, Try

ONE = Try(provider="p", model="m", kind="provider_timeout", at_ms=NOW_MS, work_s=0.5, retry_after_s=2.0)
TWO = Try(provider="q", model="m", kind="provider_denied", at_ms=NOW_MS + 9)
OWN = Ended(disposition=None, failure=failure(), attempts=1, first_failed_ms=1, failed_ms=2)
FIELDS = [{}, {"dedup_key": "c:1"}, {"epoch": "prompts/0/9"}, {"identity": "other"}, {"deadline_ms": 5}]


def test_doctests_of_the_rule_pass() -> None:
    assert 0 == doctest.testmod(course).failed


@pytest.mark.parametrize(
    ("one", "other"), [(("a", "b"), ("ab", "")), (("a", "1:b"), ("a1:", "b")), (("1:a", ""), ("1", ":a"))]
)
def test_answer_keys_of_similar_names_differ(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = (Keys.of(assembled(dedup_key=key, epoch=epoch)) for key, epoch in (one, other))

    assert first.answer != second.answer


@pytest.mark.parametrize(("one", "other"), [*combinations(FIELDS, 2)])
def test_rows_and_calls_of_two_requests_have_keys_of_their_own(
    one: dict[str, object], other: dict[str, object]
) -> None:
    first, second = Keys.of(assembled(**one)), Keys.of(assembled(**other))

    assert first.hop(0) != second.hop(0)
    assert first.call(0) != second.call(0)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_row_of_each_hop_is_another_than_that_of_the_answer(hop: int, other: int) -> None:
    keys = Keys.of(assembled())

    assert (2 if hop == other else 3) == len({keys.hop(hop), keys.hop(other), keys.answer})


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 11), (9, 10)])
def test_each_call_of_a_request_has_a_name_of_its_own(one: int, other: int) -> None:
    keys = Keys.of(assembled())

    assert keys.call(one) != keys.call(other)


def test_copies_of_a_request_share_their_keys() -> None:
    assert Keys.of(assembled(lane="low")) == Keys.of(assembled(lane="critical"))


def test_progress_of_a_record_that_returned_begins_with_its_tries() -> None:
    message = assembled().model_copy(update={"tries": (ONE,)})

    assert Progress(tries=(ONE,)) == course.begun(message)


@pytest.mark.parametrize(
    ("known", "stored", "further"),
    [
        (Progress(), None, False),
        (Progress(), Progress(), False),
        (Progress(), Progress(tries=(ONE,)), True),
        (Progress(tries=(ONE,)), Progress(tries=(ONE,)), False),
        (Progress(tries=(ONE, TWO)), Progress(tries=(ONE,)), False),
        (Progress(tries=(ONE, TWO)), Progress(tries=(ONE,), parked=PARKED[0]), True),
        (Progress(tries=(ONE, TWO)), Progress(own=OWN), True),
    ],
)
def test_row_stands_where_another_record_came_further(known: Progress, stored: Progress | None, further: bool) -> None:
    found = course.later(known, None if stored is None else wire.encode(stored))

    assert (stored if further else known) == found


def test_row_that_says_no_more_leaves_the_very_same_progress() -> None:
    known = Progress(tries=(ONE,))

    assert known is course.later(known, wire.encode(known))


def test_row_of_bytes_that_are_no_progress_is_refused() -> None:
    with pytest.raises(DecodingError, match="Progress"):
        course.later(Progress(), b'{"tries": 1}')


@pytest.mark.parametrize(
    ("progress", "over"),
    [(Progress(tries=(ONE,)), False), (Progress(parked=PARKED[0]), True), (Progress(own=OWN), True)],
)
def test_hop_is_over_once_it_is_parked_or_ended(progress: Progress, over: bool) -> None:
    assert over is progress.over


@given(st.integers(0, 99), st.lists(st.sampled_from([ONE, TWO]), max_size=4), st.integers(0, 2**53))
def test_copy_is_the_message_one_hop_on_with_its_tries(hop: int, tries: list[Try], due_ms: int) -> None:
    message = assembled().model_copy(update={"hop": hop})

    copy = wire.decode(course.copy(message, Progress(tries=tuple(tries), due_ms=due_ms)), Assembled)

    assert message.model_copy(update={"hop": hop + 1, "tries": tuple(tries), "due_ms": due_ms}) == copy


def test_copy_keeps_what_a_newer_version_wrote() -> None:
    copy = wire.decode(course.copy(assembled(budget=3), Progress()), Open)

    assert 3 == (copy.__pydantic_extra__ or {})["budget"]


def test_progress_written_begins_with_its_time() -> None:
    """Its age is seen without reading the tries."""
    stored = wire.encode(Progress(ms=NOW_MS, tries=(ONE, TWO)))

    assert rows.Age(NOW_MS, "") == rows.age(stored)


def test_progress_of_an_earlier_version_has_no_time() -> None:
    assert Progress(tries=(ONE,)) == course.later(Progress(), b'{"v":1,"tries":[%b]}' % wire.encode(ONE))


def test_progress_written_and_read_is_the_same() -> None:
    whole = Progress(tries=(ONE, TWO), parked=PARKED[2], headers=(("a", "b"),), due_ms=7, own=OWN)

    assert whole == wire.decode(wire.encode(whole), Progress)
