"""Which dead letters are sent again, and as what."""

from hashlib import sha256

import pytest

from streams.decisions import edits, redrive
from streams.decisions.lineage import DEAD_LETTER, LINEAGE, REQUEST_ID, RUN
from streams.decisions.notes import Standing
from streams.decisions.redrive import DONE, FORCED, KEPT_MS, WORDS, Asked, Step
from tests.support.builders import NOW_MS, RAW
from tests.support.letters import headers, letter, note
from topics.catalog import DAY_MS, Names

ASKED = Asked(now_ms=NOW_MS)
CLAIM_AT = "letters/0/4"
SMALL = (edits.parse('model="small"'),)


MINUTE_MS = 60_000


def standing(did="claimed", at=CLAIM_AT, at_ms=NOW_MS - MINUTE_MS, **fields):
    return Standing(note(did, **fields), at, at_ms)


def asked(**fields):
    return Asked(**{"now_ms": NOW_MS, **fields})


def step_of(stands=None, wants=ASKED, value=RAW, **fields):
    return redrive.redrive(letter(value=value, **fields), value, stands, wants)


# -- which are sent


def test_letter_that_nobody_touched_is_sent_with_one_more_lineage():
    """B78."""
    step = step_of(lineage=2)

    assert (True, 3, None) == (step.goes, step.lineage, step.over)


def test_letter_that_a_dead_run_claimed_is_sent_over_that_claim():
    step = step_of(standing())

    assert (True, CLAIM_AT) == (step.goes, step.over)


HELD = [
    ("redriven", standing("redriven"), {}, {}),
    ("discarded", standing("discarded"), {}, {}),
    ("unknown", standing(at_ms=NOW_MS - 7 * DAY_MS), {}, {}),
    ("claimed", standing(at_ms=NOW_MS - MINUTE_MS + 1), {}, {}),
    ("claimed", standing(at_ms=NOW_MS + 1), {}, {}),
    ("claimed", standing(), {"claim_ms": MINUTE_MS + 1}, {}),
    ("foreign", None, {}, {"topic": "prompts.failed"}),
    ("unreadable", None, {}, {"disposition": "undecodable"}),
    ("unreadable", None, {}, {"gone": b"gone", "value": b'{"id": "a-1"}'}),
    ("lineage", None, {}, {"lineage": 5}),
    ("lineage", None, {"max_lineage": 2}, {"lineage": 2}),
    ("expiring", None, {}, {"at_ms": NOW_MS - KEPT_MS + 7 * DAY_MS - 1}),
    ("edit", None, {"edits": (edits.parse("surprise=1"),)}, {}),
]


@pytest.mark.parametrize(("why", "stands", "wants", "fields"), HELD)
def test_letter_that_may_not_be_sent_is_held_for_a_reason(why, stands, wants, fields):
    """B80, B83."""
    assert why == step_of(stands, asked(**wants), **fields).why


@pytest.mark.parametrize(("why", "stands", "wants", "fields"), HELD)
def test_letter_that_is_held_is_sent_by_force_where_that_can_help(why, stands, wants, fields):
    forced = step_of(stands, asked(force=True, **wants), **fields)

    assert (why in FORCED) == forced.goes


@pytest.mark.parametrize(
    ("stands", "wants", "fields"),
    [
        (standing(at_ms=NOW_MS - 7 * DAY_MS + 1), {}, {}),
        (None, {}, {"lineage": 4}),
        (None, {"max_lineage": 3}, {"lineage": 2}),
        (None, {}, {"at_ms": NOW_MS - KEPT_MS + 7 * DAY_MS}),
        (None, {"retention_ms": DAY_MS}, {"at_ms": NOW_MS - KEPT_MS + DAY_MS}),
        (None, {"edits": SMALL}, {}),
        (None, {"edits": (edits.parse('prompt="hi"'),)}, {"disposition": "undecodable", "value": b"{"}),
    ],
)
def test_letter_just_inside_its_bounds_is_sent(stands, wants, fields):
    assert step_of(stands, asked(**wants), **fields).goes


def test_letter_whose_change_is_wrong_says_what_is_wrong_with_it():
    assert "surprise" in (step_of(None, asked(edits=(edits.parse("surprise=1"),))).more or "")


def test_reason_to_hold_is_told_in_words_for_each():
    assert {why for why, *_ in HELD} == set(WORDS) and DONE < FORCED < set(WORDS)


@pytest.mark.parametrize(
    ("stands", "force", "why"),
    [
        (None, False, None),
        (standing(), False, None),
        (standing(at_ms=NOW_MS), False, "claimed"),
        (standing(at_ms=NOW_MS), True, "claimed"),
        (standing("redriven"), False, "redriven"),
        (standing("redriven"), True, None),
        (standing("discarded"), False, "discarded"),
        (standing("discarded"), True, "discarded"),
        (standing(at_ms=0), False, "unknown"),
        (standing(at_ms=0), True, None),
    ],
)
def test_letter_is_discarded_unless_something_was_done_with_it(stands, force, why):
    assert why == redrive.discard(letter(), RAW, stands, asked(force=force)).why


def test_letter_that_cannot_be_sent_can_be_discarded():
    told = letter(topic="prompts.failed", disposition="undecodable", lineage=99)

    assert redrive.discard(told, None, None, ASKED).goes


def test_note_that_discards_follows_the_one_that_stands():
    made = redrive.discarded_of(Step(letter(), "letters/1/2"), "r-2", "me@here")

    assert ("dead-letters/3/17", "discarded", "letters/1/2", "r-2", "me@here", "a-1") == (
        made.letter,
        made.did,
        made.over,
        made.run,
        made.by,
        made.id,
    )


# -- as what


def test_prompt_of_a_letter_has_its_bytes_and_says_what_it_is():
    """B78."""
    sent = redrive.prompt_of(Step(letter()), RAW, headers(), "r-1")

    said = {LINEAGE: b"1", REQUEST_ID: b"a-1", DEAD_LETTER: b"dead-letters/3/17", RUN: b"r-1", "traceparent": b"00"}
    assert (RAW, said, (), None) == (sent.value, dict(sent.headers), sent.edited, sent.before)


@pytest.mark.parametrize("value", [b"\xff\x00", b"", b"just words"])
def test_prompt_of_any_bytes_has_exactly_them(value):
    assert value == redrive.prompt_of(Step(letter(value=value)), value, headers(), "r-1").value


def test_prompt_of_a_changed_letter_is_told_by_fields_and_hashes():
    sent = redrive.prompt_of(Step(letter()), RAW, headers(), "r-1", SMALL)

    assert (b'{"id":"a-1","prompt":"hello","model":"small"}', ("model",)) == (sent.value, sent.edited)
    assert (sha256(RAW).hexdigest(), sha256(sent.value or b"").hexdigest()) == (sent.before, sent.after)


@pytest.mark.parametrize(("changes", "kept"), [((), b"text/plain"), (SMALL, None)])
def test_prompt_that_became_json_is_not_called_text(changes, kept):
    own = headers(own=(("content-type", b"text/plain"),))

    sent = redrive.prompt_of(Step(letter(value=b"hi")), b"hi", own, "r-1", changes)

    assert kept == dict(sent.headers).get("content-type")


def test_claim_tells_whose_it_is_and_what_was_changed():
    sent = redrive.prompt_of(Step(letter()), RAW, headers(), "r-1", SMALL)

    made = redrive.claim_of(Step(letter(lineage=1), "letters/9/9"), sent, "r-1", "me@here")

    assert note(over="letters/9/9", lineage=2, edited=("model",), before=sent.before, after=sent.after) == made


# -- how many


@pytest.mark.parametrize(
    ("most", "left"), [(None, [0, 1, 2, 3]), (1, [0, 1]), (2, [0, 1, 2]), (3, [0, 1, 2, 3]), (9, [0, 1, 2, 3])]
)
def test_steps_in_number_are_the_oldest_and_all_that_are_held(most, left):
    steps = [
        Step(letter(offset=offset, at_ms=NOW_MS + offset), why="redriven" if offset == 1 else None)
        for offset in (3, 1, 0, 2)
    ]

    assert left == [step.letter.place.offset for step in redrive.limited(steps, most)]


def test_letter_of_a_cluster_with_other_names_is_known_by_them():
    told = letter(names=Names(prefix="acme-"), topic="acme-prompts")

    assert redrive.redrive(told, RAW, None, ASKED).goes
