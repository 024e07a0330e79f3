"""An index kept in step says the same as one built from a scan."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import dedup_index, requests
from streams.decisions.dedup import DedupPolicy
from streams.decisions.dedup_index import Index
from streams.decisions.requests import Deed, Entry, Final, Row, Twin

POLICY = DedupPolicy()
RUNNING = Entry("prompts/0/1", "cc", 5, 5, "owner", "owner", deadline_ms=500, count=1, next=1)
DONE = replace(RUNNING, by="refined/0/1", ms=70, word="completed")
KEY = requests.entry_key("c:ab")


def indexed(*rows: tuple[bytes, Row]) -> Index:
    index = Index(POLICY)
    for place, row in rows:
        index.note(place, row)
    return index


def test_running_generation_is_counted_until_it_ends() -> None:
    index = indexed((KEY, RUNNING))

    assert ({KEY}, []) == (index.running, list(index.done))
    index.note(KEY, DONE)
    assert (set(), [(70, KEY)]) == (index.running, list(index.done))


def test_key_that_runs_again_is_no_longer_done() -> None:
    index = indexed((KEY, DONE), (KEY, RUNNING))

    assert ({KEY}, [], None) == (index.running, list(index.done), index.done.oldest())


def test_oldest_row_is_the_one_decided_first() -> None:
    rows = [(requests.deed_key(f"ticks/0/{ms}"), Deed("ticked", ms)) for ms in (30, 10, 20)]

    assert (10, requests.deed_key("ticks/0/10")) == indexed(*rows).done.oldest()


def test_oldest_row_that_is_gone_makes_room_for_the_next() -> None:
    one, two = (requests.deed_key(f"ticks/0/{ms}") for ms in (10, 20))
    index = indexed((one, Deed("ticked", 10)), (two, Deed("ticked", 20)))

    index.gone(one, Deed("ticked", 10))

    assert (20, two) == index.done.oldest()


def test_nothing_is_oldest_where_nothing_is_done() -> None:
    assert indexed().done.oldest() is None


@pytest.mark.parametrize(("now_ms", "due"), [(499, None), (500, ("c:ab", 3)), (60_500, ("c:ab", 3))])
def test_twin_with_a_deadline_is_due_from_its_millisecond_on(now_ms: int, due: object) -> None:
    index = indexed((requests.twin_key("c:ab", 3), Twin("prompts/0/2", "twin", 500)))

    assert due == index.next_due(now_ms)


@pytest.mark.parametrize(("now_ms", "due"), [(60_499, None), (60_500, ("c:ab", -1))])
def test_owner_with_a_deadline_is_due_after_the_slack(now_ms: int, due: object) -> None:
    assert due == indexed((KEY, RUNNING)).next_due(now_ms)


def test_owner_that_is_written_again_is_due_once() -> None:
    index = indexed(*[(KEY, RUNNING)] * 3)

    assert [("c:ab", -1), None] == [index.next_due(10**9), index.next_due(10**9)]


def test_owner_that_was_due_and_is_written_again_is_due_again() -> None:
    index = indexed((KEY, RUNNING))
    index.next_due(10**9)
    index.note(KEY, RUNNING)

    assert ("c:ab", -1) == index.next_due(10**9)


def test_twin_that_is_due_makes_its_owner_due_no_second_time() -> None:
    index = indexed((KEY, RUNNING), (requests.twin_key("c:ab", 3), Twin("prompts/0/2", "twin", 500)))
    index.next_due(500)
    index.note(KEY, RUNNING)

    assert [("c:ab", -1), None] == [index.next_due(10**9), index.next_due(10**9)]


@pytest.mark.parametrize("order", [(100, 500), (500, 100)])
def test_soonest_deadline_is_due_before_the_others(order: tuple[int, int]) -> None:
    index = indexed(*((requests.twin_key("c:ab", ms), Twin("p/0/2", f"t-{ms}", ms)) for ms in order))

    assert [("c:ab", 100), None] == [index.next_due(200), index.next_due(200)]


@pytest.mark.parametrize("twin", [Twin("p/0/2", "t"), Twin("p/0/2", "t", 5, "expired"), Twin("p/0/2", "t", 5, "owner")])
def test_twin_that_does_not_wait_for_a_deadline_is_never_due(twin: Twin) -> None:
    assert indexed((requests.twin_key("c:ab", 3), twin)).next_due(10**9) is None


@pytest.mark.parametrize("order", [(3, 12), (12, 3)])
def test_twin_of_an_identity_is_its_newest_one(order: tuple[int, int]) -> None:
    index = indexed(*((requests.twin_key("c:ab", number), Twin("p/0/2", "twin")) for number in order))

    assert {("c:ab", "twin"): 12} == index.twins


@pytest.mark.parametrize(("number", "left"), [(12, {}), (3, {("c:ab", "twin"): 12})])
def test_twin_that_is_gone_is_forgotten_under_its_number_only(number: int, left: object) -> None:
    index = indexed((requests.twin_key("c:ab", 12), Twin("p/0/2", "twin")))

    index.gone(requests.twin_key("c:ab", number), Twin("p/0/2", "twin"))

    assert left == index.twins


SMALL = st.integers(0, 9)
ROWS = st.one_of(
    st.tuples(st.sampled_from([KEY, requests.old_key("c:ab", "p/0/0")]), st.sampled_from([RUNNING, DONE])),
    st.builds(lambda n, due: (requests.twin_key("c:ab", n), Twin("p/0/2", f"t-{n}", due)), st.integers(0, 12), SMALL),
    st.builds(lambda ms: (requests.deed_key(f"ticks/0/{ms}"), Deed("ticked", ms)), SMALL),
    st.builds(lambda ms: (requests.final_key("c:ab", f"t-{ms}"), Final("refined/0/1", "completed", ms)), SMALL),
)


@given(st.lists(ROWS, max_size=20))
def test_index_kept_in_step_equals_one_built_from_a_scan(written: list[tuple[bytes, Row]]) -> None:
    kept, rows = indexed(*written), {place: requests.pack(row) for place, row in written}

    built = dedup_index.build(rows.items(), POLICY)

    assert (built.running, built.done, built.twins) == (kept.running, kept.done, kept.twins)
    assert (built.done.oldest(), set(built.due) - set(kept.due)) == (kept.done.oldest(), set())


def test_row_of_an_unknown_kind_is_passed_over() -> None:
    assert Index(POLICY) == dedup_index.build([(b"colour/red", b"?")], POLICY)


def test_row_of_an_unknown_kind_hides_no_others() -> None:
    rows = [(b"colour/red", b"?"), (KEY, requests.pack(RUNNING))]

    assert {KEY} == dedup_index.build(rows, POLICY).running
