"""The checker must be able to fail: each class is seeded into topics that are clean otherwise, and found by its id."""

import doctest
from collections.abc import Callable
from typing import Any

import pytest

from streams.decisions import proof
from streams.decisions.proof import OFFENCES, Calls, Fold, Mark, Verdict, judge
from tests.support.checked import (
    BROKEN,
    Records,
    added,
    as_if_whole,
    asked,
    changed,
    folded,
    ran,
    records,
    verdict,
    with_json,
    without,
)
from topics.catalog import ADMITTED, DEAD_LETTERS, PROMPTS, RESULTS

GONE = 10_000
BOTH = {"conflicting-terminal": ("a",), "failed-unburied": ("a",)}
ASTRAY = {"dead-letter-astray": ("f",), "failed-unburied": ("f",)}


def run() -> Records:
    """Two answers, a failure with its dead letter, a refusal, and bytes that are no request."""
    script = ["ok", "ok", "auth"]
    return records(
        ran(asked("a"), asked("b", "other"), asked("f", "fails"), {"id": "r", "nope": 1}, BROKEN, script=script)
    )


def wrong(found: Verdict) -> dict[str, tuple[str, ...]]:
    """Class → ids, of what is wrong."""
    return {name: found.ids(name) for name in OFFENCES if found.count(name)}


def of(read: Records, topic: str, id: str) -> Records:
    return [one for one in read if one.topic == topic and one not in without([one], topic, of=id)]


def empty_value(record: Any) -> Any:
    return record._replace(value=b"{}")


def other_key(record: Any) -> Any:
    return record._replace(key=b"k")


def elsewhere(record: Any) -> Any:
    """A dead letter that names another original."""
    far = {"prompts.error.original-offset": b"%d" % GONE}
    return record._replace(headers=tuple((name, far.get(name, value)) for name, value in record.headers))


def astray(record: Any) -> Any:
    """A dead letter of no topic."""
    told = {"prompts.error.original-topic": b"elsewhere"}
    return record._replace(headers=tuple((name, told.get(name, value)) for name, value in record.headers))


def said_lost(record: Any) -> Any:
    return record._replace(headers=(*record.headers, ("prompts.error.original", b"gone")))


def test_clean_run_has_nothing_wrong() -> None:
    found = verdict(run())

    assert ({}, True, True) == (wrong(found), found.clean, found.settled)


def test_clean_run_counts_every_prompt_once() -> None:
    counts = verdict(run()).counts

    assert (5, 2, 1, 2) == tuple(counts[name] for name in ("accepted", "completed", "failed", "rejected"))


def test_clean_run_counts_letters_and_records() -> None:
    read = run()
    counts = verdict(read).counts

    assert (len(read), 2, 0, 0) == tuple(counts[name] for name in ("records", "letters", "copies", "unjudged"))


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (lambda read: without(read, RESULTS, of="a"), {"lost": ("a",)}),
        (lambda read: without(read, RESULTS, of="r"), {"lost": ("r",)}),
        (lambda read: without(read, RESULTS, of="f"), {"lost": ("f",)}),
        (lambda read: added(read, RESULTS, "a", text="other"), {"duplicate": ("a",)}),
        (lambda read: added(read, RESULTS, "r", metadata={"x": 1}), {"duplicate": ("r",)}),
        (lambda read: added(read, RESULTS, "a", status="failed"), BOTH),
        (lambda read: added(read, RESULTS, "f", status="completed"), {"conflicting-terminal": ("f",)}),
        (lambda read: added(read, RESULTS, "a", id="ghost"), {"phantom": ("ghost",)}),
        (lambda read: added(read, RESULTS, "a", request_hash="00"), {"phantom": ("a",)}),
        (lambda read: added(read, RESULTS, "a", received_at="2026-01-01T00:00:00.000Z"), {"phantom": ("a",)}),
        (lambda read: changed(read, DEAD_LETTERS, elsewhere, of="f"), ASTRAY),
        (lambda read: changed(read, DEAD_LETTERS, empty_value, of="f"), {"dead-letter-changed": ("f",)}),
        (lambda read: changed(read, DEAD_LETTERS, other_key, of="f"), {"dead-letter-changed": ("f",)}),
        (lambda read: without(read, DEAD_LETTERS, of="f"), {"failed-unburied": ("f",)}),
        (lambda read: changed(read, RESULTS, with_json(status="completed"), of="f"), {"buried-unanswered": ("f",)}),
    ],
)  # fmt: skip
def test_fault_that_is_seeded_is_found_with_its_id(
    seed: Callable[[Records], Records], expected: dict[str, tuple[str, ...]]
) -> None:
    """I1, I2, I3, I8."""
    assert expected == wrong(verdict(seed(run())))


@pytest.mark.parametrize(
    "change",
    [
        lambda read: added(read, RESULTS, "a"),
        lambda read: added(added(read, RESULTS, "f"), RESULTS, "f"),
        lambda read: added(read, DEAD_LETTERS, "f"),
        lambda read: changed(read, DEAD_LETTERS, lambda one: said_lost(empty_value(one)), of="f"),
    ],
)
def test_copies_and_requests_in_place_of_lost_bytes_are_no_offence(change: Callable[[Records], Records]) -> None:
    assert verdict(change(run())).clean


def test_copies_that_are_byte_equal_are_counted() -> None:
    assert 2 == verdict(added(added(run(), RESULTS, "f"), RESULTS, "a")).counts["copies"]


def test_copies_of_one_answer_are_counted_each() -> None:
    assert 3 == verdict(added(added(added(run(), RESULTS, "a"), RESULTS, "a"), RESULTS, "a")).counts["copies"]


def test_letters_are_counted_whether_astray_or_not() -> None:
    assert 2 == verdict(changed(run(), DEAD_LETTERS, astray, of="f")).counts["letters"]


def test_lost_are_those_without_answer_and_those_that_never_came() -> None:
    read = without(run(), RESULTS, of="a")

    assert 2 == verdict(read, client={"gone": frozenset({"ok"})}).counts["lost"]


@pytest.mark.parametrize(("of", "expected"), [("a1", 2), ("a2", 2), ("a3", 2)])
def test_answers_are_unjudged_only_where_they_are_older_than_the_prompts_in_view(of: str, expected: int) -> None:
    async def steady(line: Any) -> None:
        for number in range(1, 4):
            await late(line, asked(f"a{number}", f"words {number}"), 60.0)

    read = records(ran(asked("a0", "words 0"), then=steady, partitions=1))
    young = [one for one in read if one.topic != PROMPTS or one.offset >= 2]
    ghost = added(young, RESULTS, of, id="ghost") if of != "a1" else young

    assert expected == verdict(ghost).counts["unjudged"]


def test_answer_that_is_no_json_is_a_phantom_by_its_place() -> None:
    read = run()
    at = next(one for one in read if one.topic == RESULTS)
    torn = [one._replace(value=b"{") if one is at else one for one in read]

    assert f"results/{at.partition}/{at.offset}" in verdict(torn).ids("phantom")


def test_record_that_never_left_the_door_is_lost_where_it_was_seen_last() -> None:
    """I10, seen from outside: committed on `prompts`, and nothing downstream."""
    left = [one for one in without(run(), RESULTS, of="a") if one.topic in (PROMPTS, RESULTS)]

    assert [True] == [item.detail.endswith("last seen on prompts") for item in verdict(left).found("lost").items]


def test_lost_request_is_told_with_the_last_topic_it_was_on() -> None:
    [lost] = verdict(without(run(), RESULTS, of="a")).found("lost").items

    assert lost.detail.endswith(", last seen on refined")


def test_offsets_that_are_missing_are_a_gap() -> None:
    read = records(ran(*(asked(f"a{number}", f"{number}") for number in range(6))))
    hit = [one for one in read if one.topic == ADMITTED and one.partition == 0][1]

    found = verdict([one for one in read if one is not hit]).found("gap")

    assert [("admitted/0", f"offsets {hit.offset} to {hit.offset} are missing")] == list(found.items)


def test_commit_beyond_the_log_is_an_overrun() -> None:
    found = verdict(run(), Mark("prompts.core", PROMPTS, 0, 9, 0, 3))

    assert {"overrun": ("prompts/0",)} == wrong(found)


def test_log_that_starts_above_a_commit_is_a_gap() -> None:
    found = verdict(run(), Mark("prompts.core", PROMPTS, 1, 2, 5, 5))

    assert {"gap": ("prompts/1",)} == wrong(found)


def test_calls_beyond_what_is_told_are_repeated() -> None:
    assert {"repeated": ("calls",)} == wrong(verdict(run(), calls=Calls(5, 3, excused=1)))


def test_long_silence_while_a_prompt_waits_is_a_stall() -> None:
    read = records(ran(asked("a"), asked("slow", "later"), delay_s=50.0))

    assert {"stalled": ("a",)} == wrong(verdict(read, stall_s=40.0))


def test_two_bodies_under_one_id_are_listed_and_no_offence() -> None:
    """F15."""
    found = verdict(records(ran(asked("a"), asked("a", "other"), asked("b"))))

    assert (("a",), True) == (found.ids("two-bodies"), found.clean)


def test_verdict_of_client_misses_what_it_was_promised() -> None:
    found = verdict(run(), client={"a": frozenset({"ok"}), "gone": frozenset({"ok", "unknown"})})

    assert ({"lost": ("gone",)}, 6) == (wrong(found), found.counts["accepted"])


def test_findings_above_the_cap_are_counted_only() -> None:
    read = without(records(ran(*(asked(f"a{number}", f"{number}") for number in range(4)))), RESULTS)

    lost = verdict(read, cap=2).found("lost")

    assert (4, 2) == (lost.count, len(lost.ids))


def test_judging_twice_gives_the_same() -> None:
    fold = folded(added(run(), RESULTS, "a", id="ghost"))

    assert judge(fold) == judge(fold)


def test_nothing_read_is_nothing_wrong() -> None:
    assert ({}, 0) == (dict(judge(Fold()).classes), judge(Fold()).counts["accepted"])


def test_answers_of_two_tenants_under_one_id_are_not_confused() -> None:
    read = records(ran(asked("a", tenant="x"), asked("a", tenant="y"), asked("a")))

    assert ({}, 3) == (wrong(verdict(read)), verdict(read).counts["completed"])


def test_answer_that_one_of_two_tenants_lacks_is_lost() -> None:
    read = records(ran(asked("a", tenant="x"), then=lambda line: late(line, asked("a", tenant="y"))))
    last = max((one for one in read if one.topic == RESULTS), key=lambda one: one.timestamp_ms)

    assert {"lost": ("a",)} == wrong(verdict(as_if_whole(one for one in read if one is not last)))


async def late(line: Any, value: Any, seconds: float = 1.0) -> None:
    await line.advance(seconds)
    await line.submit(value)


def test_failure_of_the_door_is_an_answer_of_its_prompt() -> None:
    def broken(line: Any) -> Any:
        line.fail("admit", KeyError("defect"))
        return late(line, asked("b"))

    found = verdict(records(ran(asked("a"), then=broken)))

    assert ({}, 1, 1) == (wrong(found), found.counts["completed"], found.counts["failed"])


def test_examples_of_the_package_hold() -> None:
    assert 0 == doctest.testmod(proof).failed
