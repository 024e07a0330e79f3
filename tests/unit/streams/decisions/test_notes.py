"""Which of two notes about a dead letter stands, and what a prompt in the log tells of the run that sent it."""

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import notes
from streams.decisions.lineage import DEAD_LETTER, RUN
from streams.decisions.notes import Register, Standing
from tests.support.builders import NOW_MS
from tests.support.letters import note

CLAIM_AT = "letters/0/4"


def test_note_of_a_sent_prompt_follows_its_claim_and_keeps_what_that_told():
    claim = note(edited=("model",), before="aa", after="bb")

    made = notes.done_of(claim, CLAIM_AT, "prompts/1/2")

    assert note("redriven", over=CLAIM_AT, prompt="prompts/1/2", edited=("model",), before="aa", after="bb") == made


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        (((DEAD_LETTER, b"dead-letters/3/17"), (RUN, b"r-1")), ("dead-letters/3/17", "r-1")),
        (((DEAD_LETTER, b"3/17"), (RUN, b"r-1"), (RUN, b"r-2")), ("dead-letters/3/17", "r-1")),
        (((DEAD_LETTER, b"dead-letters/3/17"),), None),
        (((RUN, b"r-1"),), None),
        (((DEAD_LETTER, b"nowhere"), (RUN, b"r-1")), None),
        (((DEAD_LETTER, b"\xff"), (RUN, b"\xff")), None),
        ((), None),
    ],
)
def test_prompt_in_the_log_tells_which_run_sent_which_letter(own, sent):
    assert sent == notes.sent_by(own)


# -- which note stands


FIRST = "letters/0/0"
SENT = note("redriven", run="a", over=FIRST)


def applied(*notes):
    """A register after notes at letters/0/0, letters/0/1, …"""
    kept = Register()
    for number, one in enumerate(notes):
        kept.apply(one, f"letters/0/{number}", NOW_MS + number)
    return kept


def run_of(kept):
    found = kept.of("dead-letters/3/17")
    return None if found is None else (found.note.did, found.note.run)


@pytest.mark.parametrize(
    ("notes", "stands"),
    [
        ([], None),
        ([note(run="a")], ("claimed", "a")),
        ([note(run="a"), note(run="b")], ("claimed", "a")),
        ([note(run="a"), note(run="b", over=FIRST)], ("claimed", "b")),
        ([note(run="a", over="letters/0/9")], None),
        ([note(run="a"), note(run="b", over="letters/0/9")], ("claimed", "a")),
        ([note(run="a"), note("discarded", run="b")], ("claimed", "a")),
        ([note("discarded", run="b"), note(run="a")], ("discarded", "b")),
        ([note("discarded", run="b"), note(run="a", over=FIRST)], ("claimed", "a")),
        ([note(run="a"), SENT], ("redriven", "a")),
        ([note(run="a"), SENT, note(run="b", over=FIRST)], ("redriven", "a")),
        ([note(run="a"), note(run="b", over=FIRST), SENT], ("redriven", "a")),
        ([note("redriven", run="a", over="letters/0/77")], ("redriven", "a")),
    ],
)
def test_note_stands_only_over_the_one_that_it_names(notes, stands):
    assert stands == run_of(applied(*notes))


def test_note_of_another_letter_changes_nothing():
    kept = applied(note(run="a"), note(run="b", letter="dead-letters/0/0"))

    assert (("claimed", "a"), "b") == (run_of(kept), kept.of("dead-letters/0/0").note.run)


def test_claims_that_came_to_nothing_are_the_open_ones():
    kept = applied(
        note(run="a"), note(letter="x/0/0"), note("redriven", letter="x/0/0"), note("discarded", letter="y/0/0")
    )

    assert ["dead-letters/3/17"] == [one.note.letter for one in kept.open()]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_claim_of_one_run_only_stands_whatever_is_claimed_in_whichever_order(tries):
    """B79: each claims over what it saw at first, or over what stands now; two never hold one letter."""
    kept, holders = Register(), list[str]()
    for number, (run, informed) in enumerate(tries):
        stands = kept.of("dead-letters/3/17")
        before = None if stands is None else stands.at
        at = f"letters/0/{number}"
        kept.apply(note(run=run, over=before if informed else None), at, NOW_MS)
        if kept.of("dead-letters/3/17").at == at:
            holders.append(before)

    assert len(holders) == len(set(holders))


def test_note_that_stands_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Standing(note(), CLAIM_AT, NOW_MS).at = "letters/9/9"
