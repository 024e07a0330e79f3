"""The verdict as a value: what is clean, what adds up, and how it is said in one line."""

import doctest
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.proof import verdict
from streams.decisions.proof.verdict import CAP, NOTED, OFFENCES, STATUSES, Found, Item, Verdict, gathered

FINDINGS = st.lists(st.tuples(st.sampled_from([*OFFENCES, *NOTED]), st.builds(Item, st.text(max_size=3))), max_size=30)
COLUMNS = (*STATUSES[:-1], "unseen", "lost")


def with_one(name: str) -> Verdict:
    return Verdict({"accepted": 1}, {name: Found(1, (Item("a"),))})


@pytest.mark.parametrize("name", OFFENCES)
def test_verdict_with_an_offence_is_not_clean_and_names_it(name: str) -> None:
    found = with_one(name)

    assert (False, True) == (found.clean, found.summary().endswith(f"; WRONG: 1 {name}"))


@pytest.mark.parametrize("name", NOTED)
def test_verdict_with_what_is_only_noted_is_clean(name: str) -> None:
    found = with_one(name)

    assert (True, True) == (found.clean, found.summary().endswith("; nothing wrong"))


@pytest.mark.parametrize(("name", "settled"), [("unseen", False), ("two-bodies", True), ("lost", True)])
def test_verdict_is_settled_unless_something_is_on_its_way(name: str, settled: bool) -> None:
    assert settled == with_one(name).settled


def test_class_without_findings_is_empty_and_no_error() -> None:
    assert (Found(), 0, ()) == (Verdict().found("lost"), Verdict().count("lost"), Verdict().ids("phantom"))


def test_ids_of_a_class_are_those_of_its_findings_in_order() -> None:
    found = Verdict({}, {"lost": Found(3, (Item("b", "x"), Item("a")))})

    assert (("b", "a"), 3) == (found.ids("lost"), found.count("lost"))


def test_summary_has_a_column_for_each_way_to_end() -> None:
    counts = {name: number for number, name in enumerate(COLUMNS, 1)}
    said = Verdict({**counts, "accepted": 21, "copies": 4}).summary()

    told = "1 completed + 2 failed + 3 rejected + 4 expired + 5 unseen + 6 lost"
    assert f"21 accepted = {told}; 4 copies; nothing wrong" == said


@pytest.mark.parametrize(
    ("counts", "words"),
    [({"cancelled": 2}, "+ 2 cancelled +"), ({"aged": 3}, "+ 3 too old to judge;"), ({"accepted": 12345}, "12,345")],
)
def test_summary_tells_rare_columns_and_large_numbers(counts: dict[str, int], words: str) -> None:
    assert (True, False) == (words in Verdict(counts).summary(), words in Verdict().summary())


def test_summary_names_offences_in_their_order() -> None:
    classes = {name: Found(1) for name in ("phantom", "lost")}

    assert Verdict({}, classes).summary().endswith("WRONG: 1 lost, 1 phantom")


@given(FINDINGS, st.integers(0, 5))
def test_gathered_counts_all_and_keeps_the_first(findings: list[tuple[str, Item]], cap: int) -> None:
    found = gathered(findings, cap)

    for name in (*OFFENCES, *NOTED):
        items = [item for one, item in findings if one == name]
        assert (len(items), tuple(items[:cap])) == (found.get(name, Found()).count, found.get(name, Found()).items)


def test_gathered_keeps_a_thousand_unless_told() -> None:
    found = gathered(("lost", Item(str(number))) for number in range(CAP + 1))

    assert (1001, 1000) == (found["lost"].count, len(found["lost"].items))


def test_no_class_is_both_an_offence_and_noted() -> None:
    assert set() == OFFENCES.keys() & NOTED.keys()


def test_summary_of_nothing_counts_none() -> None:
    said = Verdict().summary()

    assert (True, True) == (said.startswith("0 accepted = 0 completed"), "; 0 copies; " in said)


@pytest.mark.parametrize(("kept", "name"), [(Verdict(), "counts"), (Found(), "items")])
def test_verdict_cannot_be_changed(kept: Verdict | Found, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(kept, name, {})


def test_examples_of_the_verdict_hold() -> None:
    assert 0 == doctest.testmod(verdict).failed
