"""The rows of one partition behind both doors: walking generations, carrying out deeds, evicting."""

from dataclasses import replace

import pytest

from streams.adapters.memory import Rows
from streams.decisions import dedup_index, requests
from streams.decisions.dedup import DedupPolicy
from streams.decisions.ledger import THINNED, TICKED, Ledger
from streams.decisions.requests import Deed, Entry, Final, Row, Standing, Twin

POLICY = DedupPolicy(max_completed=2, window_s=10, memory_s=10)
KEY = "c:ab"
PLACE = requests.entry_key(KEY)
RUNNING = Entry("p/0/9", "cc", 9, 9, "owner", "owner", next=3, count=3, size=6, before="p/0/5", low=0)
OLDER = Entry("p/0/5", "cc", 5, 6, "o", "o", by="refined/0/2", ms=2, word="completed", before="p/0/1")
TWINS = [Twin(f"p/0/{10 + n}", f"t-{n}", payload=b"{}") for n in range(3)]


def ledger(*rows: tuple[bytes, Row]) -> Ledger:
    stored = Rows({place: requests.pack(row) for place, row in rows})
    return Ledger(stored, dedup_index.build(stored.items(), POLICY))


def standing(entry: Entry = RUNNING) -> Ledger:
    """A generation with three twins that wait, and one before it."""
    twins = ((requests.twin_key(KEY, number), twin) for number, twin in enumerate(TWINS))
    return ledger((PLACE, entry), (requests.old_key(KEY, "p/0/5"), OLDER), *twins)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(None, RUNNING), ("p/0/9", RUNNING), ("p/0/5", OLDER), ("p/0/1", None), ("p/1/1", None)]
)
def test_generation_of_an_epoch_is_found(epoch: str | None, expected: Entry | None) -> None:
    assert expected == standing().generation(KEY, epoch)[1]


@pytest.mark.parametrize(("offset", "expected"), [(12, RUNNING), (9, RUNNING), (8, OLDER), (5, OLDER), (4, RUNNING)])
def test_generation_that_an_offset_met_is_found(offset: int, expected: Entry) -> None:
    """Below all that is remembered: the present one, to which it is past."""
    assert expected == standing().covering(KEY, offset)[1]


def test_generation_before_one_of_equal_age_is_none() -> None:
    """A copy of a prompt may open a generation under an epoch that was there: the walk still ends."""
    one = replace(OLDER, before="p/0/5")

    assert ledger((requests.old_key(KEY, "p/0/5"), one)).before(KEY, one) is None


def test_generation_before_one_that_is_older_is_none() -> None:
    older = replace(OLDER, first=3, before="p/0/5")

    assert standing().before(KEY, older) is None


@pytest.mark.parametrize(("identity", "number"), [("t-0", 0), ("t-1", 1), ("t-9", None)])
def test_newest_twin_of_an_identity_is_found_with_its_number(identity: str, number: int | None) -> None:
    found = standing().newest_twin(KEY, RUNNING, identity)

    assert number == (None if found is None else found[0])


@pytest.mark.parametrize("entry", [None, replace(RUNNING, low=2), replace(RUNNING, next=1), replace(RUNNING, next=0)])
def test_twin_of_another_generation_is_none_of_this_one(entry: Entry | None) -> None:
    assert standing().newest_twin(KEY, entry, "t-1") is None


def test_twin_whose_row_is_gone_is_none() -> None:
    book = standing()
    book.rows.delete(requests.twin_key(KEY, 1))

    assert book.newest_twin(KEY, RUNNING, "t-1") is None
    assert [0, 2] == [number for number, _ in book.waiting(KEY, RUNNING)]


@pytest.mark.parametrize("other", ["owner", "out", "expired"])
def test_twin_that_waits_no_longer_is_passed_over(other: Standing) -> None:
    book = standing()
    book.save(requests.twin_key(KEY, 1), replace(TWINS[1], standing=other))

    assert [0, 2] == [number for number, _ in book.waiting(KEY, RUNNING)]


@pytest.mark.parametrize(("oldest", "heir"), [(0, 0), (1, 1), (3, None)])
def test_heir_is_the_oldest_twin_that_may_take_over(oldest: int, heir: int | None) -> None:
    found = standing().heir(KEY, replace(RUNNING, oldest=oldest), 1)

    assert heir == (None if found is None else found[0])


def test_deed_of_an_expiry_is_carried_out_once() -> None:
    book, deed = standing(), Deed(TICKED, 5, ((KEY, 1, ""),))

    for _ in range(2):
        book.act(deed)

    entry, twin = book.entry(KEY), book.twin(KEY, 1)
    assert entry is not None and twin is not None
    assert (2, 4, "expired") == (entry.count, entry.size, twin.standing)


def test_deed_of_an_expiry_takes_the_bytes_of_its_twin_off() -> None:
    book = standing(replace(RUNNING, size=9))
    book.release(KEY, replace(RUNNING, size=9), 1, replace(TWINS[1], payload=b"[1, 2]"), "expired")

    entry = book.entry(KEY)
    assert entry is not None and (2, 3) == (entry.count, entry.size)


@pytest.mark.parametrize("gone", [("c:none", 0, ""), (KEY, 0, ""), (KEY, 9, "")])
def test_deed_goes_on_after_an_act_that_came_to_nothing(gone: tuple[str, int, str]) -> None:
    book = standing()
    book.rows.delete(requests.twin_key(KEY, 0))

    book.act(Deed(TICKED, 5, (gone, (KEY, 1, ""))))

    twin = book.twin(KEY, 1)
    assert twin is not None and "expired" == twin.standing


@pytest.mark.parametrize(
    "entry", [None, replace(RUNNING, low=2), replace(RUNNING, next=1), replace(RUNNING, next=0, low=0)]
)
def test_deed_about_a_twin_of_another_generation_changes_nothing(entry: Entry | None) -> None:
    book = standing() if entry is None else standing(entry)
    if entry is None:
        book.rows.delete(PLACE)

    book.act(Deed(TICKED, 5, ((KEY, 1, ""),)))

    twin = book.twin(KEY, 1)
    assert twin is not None and "waiting" == twin.standing


@pytest.mark.parametrize("number", [0, 1, 2])
def test_deed_of_a_takeover_looks_for_the_next_heir_behind_the_owner(number: int) -> None:
    book = standing()
    book.act(Deed(TICKED, 5, ((KEY, number, "p/0/9"),)))

    entry = book.entry(KEY)
    assert entry is not None and (number, number + 1) == (entry.owner, entry.oldest)


def test_deed_of_an_earlier_takeover_does_not_bring_its_owner_back() -> None:
    book = standing()
    for number in (0, 1, 0):
        book.act(Deed(TICKED, 5, ((KEY, number, "p/0/9"),)))

    entry = book.entry(KEY)
    assert entry is not None and (1, "t-1") == (entry.owner, entry.identity)


@pytest.mark.parametrize(
    ("word", "out", "standing_before"),
    [(b"ticked".decode(), False, "owner"), ("expired", True, "out"), ("waits", True, "out")],
)
def test_deed_of_a_takeover_is_carried_out_once(word: str, out: bool, standing_before: str) -> None:
    book = standing()
    first, second = (Deed(word, 5, ((KEY, number, "p/0/9"),)) for number in (0, 1))

    for deed in (first, second, first, second):
        book.act(deed)

    entry, before = book.entry(KEY), book.twin(KEY, 0)
    assert entry is not None and before is not None
    assert (1, "t-1", 1, 2) == (entry.owner, entry.identity, entry.count, entry.oldest)
    assert (out, standing_before) == (entry.opener_out, before.standing)


def test_deed_of_which_only_the_twin_was_written_is_finished() -> None:
    book = standing()
    book.save(requests.twin_key(KEY, 0), replace(TWINS[0], standing="owner"))

    book.act(Deed(TICKED, 5, ((KEY, 0, "p/0/9"),)))

    entry = book.entry(KEY)
    assert entry is not None
    assert (0, "t-0", 3) == (entry.owner, entry.identity, entry.count)


def test_former_owner_whose_row_is_gone_does_not_stop_a_takeover() -> None:
    book = standing(replace(RUNNING, owner=0, identity="t-0"))
    book.rows.delete(requests.twin_key(KEY, 0))

    book.act(Deed("expired", 5, ((KEY, 1, "p/0/9"),)))

    entry = book.entry(KEY)
    assert entry is not None and "t-1" == entry.identity


@pytest.mark.parametrize("act", [("c:none", 0, ""), (KEY, 7, ""), (KEY, 1, "p/0/9")])
def test_deed_about_what_has_ended_or_is_gone_changes_nothing(act: tuple[str, int, str]) -> None:
    book = standing(replace(RUNNING, by="refined/0/3", ms=3, word="completed"))
    before = dict(book.rows.items())  # type: ignore[attr-defined]  # the fake has them

    book.act(Deed(TICKED, 5, (act,)))

    assert before == dict(book.rows.items())  # type: ignore[attr-defined]  # the fake has them


class Noted(Rows):
    """Rows that tell what was written to them."""

    def __init__(self, *rows: tuple[bytes, Row]) -> None:
        super().__init__({place: requests.pack(row) for place, row in rows})
        self.written: list[tuple[bytes, bytes]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self.written.append((key, value))
        super().put(key, value)


def test_rows_are_written_again_as_they_stand() -> None:
    twin = requests.twin_key(KEY, 0)
    rows = Noted((PLACE, RUNNING), (twin, TWINS[0]))

    Ledger(rows, dedup_index.build(rows.items(), POLICY)).again(twin, b"key/none", PLACE)

    assert [(twin, requests.pack(TWINS[0])), (PLACE, requests.pack(RUNNING))] == rows.written


@pytest.mark.parametrize(("at", "expected"), [("ticks/0/5", Deed(TICKED, 5)), ("ticks/0/6", None)])
def test_deed_of_an_input_is_found_by_its_place(at: str, expected: Deed | None) -> None:
    assert expected == ledger((requests.deed_key("ticks/0/5"), Deed(TICKED, 5))).deed(at)


def test_row_that_is_gone_is_not_written_again() -> None:
    book = ledger()

    book.again(PLACE)

    assert book.rows.get(PLACE) is None


@pytest.mark.parametrize(("now_ms", "left"), [(10, 2), (10_003, 1), (10_009, 0)])
def test_rows_go_by_number_then_by_age_oldest_first(now_ms: int, left: int) -> None:
    """B19."""
    finals = [(requests.final_key(KEY, f"x-{ms}"), Final("refined/0/1", "completed", ms)) for ms in (3, 1, 4)]
    book = ledger(*finals)

    book.evict(now_ms, POLICY, most=9)

    expected = [place for _, place in sorted((row.ms, place) for place, row in finals)][3 - left :]
    assert expected == [place for _, place in book.index.done]


def test_evictions_of_one_input_are_bounded() -> None:
    book = ledger(*((requests.deed_key(f"ticks/0/{ms}"), Deed(TICKED, ms)) for ms in range(9)))

    book.evict(9, POLICY)

    assert 7 == len(book.index.done)


def test_running_generation_is_never_evicted() -> None:
    """B19."""
    book = ledger((PLACE, RUNNING))

    book.evict(10**12, POLICY)

    assert RUNNING == book.entry(KEY)


def test_generation_goes_after_the_last_of_its_twins() -> None:
    count = THINNED + 10
    done = replace(OLDER, next=count, before=None)
    twins = ((requests.twin_key(KEY, number), Twin("p/0/2", f"t-{number}")) for number in range(count))
    book = ledger((PLACE, done), *twins)

    book.evict(10**9, POLICY, most=1)
    assert (done, 10) == (book.entry(KEY), len(book.index.twins))
    book.evict(10**9, POLICY, most=1)
    assert ([], {}, []) == (list(book.rows.items()), book.index.twins, list(book.index.done))  # type: ignore[attr-defined]  # the fake has them


def test_twin_that_went_before_its_generation_is_passed_over() -> None:
    book = ledger((PLACE, replace(OLDER, next=2, before=None)), (requests.twin_key(KEY, 1), TWINS[1]))

    book.evict(10**9, POLICY)

    assert [] == list(book.rows.items())  # type: ignore[attr-defined]  # the fake has them


FINALS = [
    ("refined/0/1", 9, "late"), ("admitted/0/9", 9, "cached"), ("admitted/0/10", 9, "cached"),
    ("admitted/0/8", 5, "cached"), ("admitted/0/8", 4, "late"), ("admitted/0/8", 0, "late"),
    ("admitted/0/9", 4, "cached"), ("admitted/0/99", 4, "late"), ("refined/0/1", 0, "late"),
]  # fmt: skip


@pytest.mark.parametrize(("at", "now_ms", "expected"), FINALS)
def test_final_is_found_by_what_decided_it_else_as_it_stood_then(at: str, now_ms: int, expected: str) -> None:
    book = ledger((requests.final_key(KEY, "x"), Final("refined/0/1", "late", 1)))

    for _ in range(2):
        book.replace_final(KEY, "x", Final("admitted/0/9", "cached", 5))

    found = book.final(KEY, "x", at, now_ms)
    assert found is not None and expected == found.word


@pytest.mark.parametrize(("first", "second"), [("admitted/0/9", "refined/0/1"), ("refined/0/1", "admitted/0/9")])
def test_final_that_is_written_again_keeps_the_one_before_it(first: str, second: str) -> None:
    book = ledger()
    for at, word in ((first, "late"), (second, "cached"), (second, "cached")):
        book.replace_final(KEY, "x", Final(at, word, 5))

    newest, older = book.final(KEY, "x", second, 9), book.final(KEY, "x", first, 9)
    assert (Final(second, "cached", 5, first), Final(first, "late", 5)) == (newest, older)
    assert 2 == len(book.index.done)


def test_final_before_one_that_is_evicted_leaves_the_newest() -> None:
    book = ledger((requests.final_key(KEY, "x"), Final("admitted/0/9", "cached", 5, "refined/0/1")))

    found = book.final(KEY, "x", "admitted/0/8", 0)
    assert found is not None and "cached" == found.word
