"""One answer a record, one final a request: resends, windows, twins, and what is too old to be judged."""

from typing import Any

import pytest

from streams.decisions.proof import Fold, Mark, judge
from streams.stage import Record
from streams.testing import Pipeline
from tests.support.checked import (
    Records,
    added,
    as_if_whole,
    asked,
    changed,
    marks,
    ran,
    records,
    verdict,
    with_json,
    without,
)
from topics.catalog import ADMITTED, DEDUPED, PROMPTS, REFINED, RESULTS

HOUR_S = 3600.0


def later(*values: Any, after_s: float = 0.0) -> Any:
    """Submits more after a while."""

    async def then(line: Pipeline) -> None:
        await line.advance(after_s)
        for value in values:
            await line.submit(value)

    return then


def newest(read: Records, topic: str = RESULTS) -> Record:
    return max(
        (one for one in read if one.topic == topic), key=lambda one: (one.timestamp_ms, one.partition, one.offset)
    )


def but(read: Records, *gone: Record) -> Records:
    return as_if_whole(one for one in read if one not in gone)


# -- resends (F15)


def test_resend_inside_the_window_gets_a_copy_and_is_answered() -> None:
    found = verdict(records(ran(asked("a"), then=later(asked("a"), after_s=60.0))))

    assert (True, 2, 1) == (found.clean, found.counts["completed"], found.counts["copies"])


def test_resend_while_the_first_is_on_its_way_shares_its_answer() -> None:
    found = verdict(records(ran(asked("a"), asked("a"))))

    assert (True, 2, 0) == (found.clean, found.counts["completed"], found.counts["copies"])


def test_resend_whose_copy_is_missing_is_lost() -> None:
    read = records(ran(asked("a"), then=later(asked("a"), after_s=60.0)))

    assert ("a",) == verdict(but(read, newest(read))).ids("lost")


def test_resend_after_the_window_is_paid_anew_and_no_offence() -> None:
    found = verdict(records(ran(asked("a"), then=later(asked("a"), after_s=2 * HOUR_S))), stall_s=9e9)

    assert ({}, 2, 0) == (dict(found.classes), found.counts["completed"], found.counts["copies"])


def test_second_final_inside_the_window_is_a_duplicate() -> None:
    read = records(ran(asked("a"), then=later(asked("a"), after_s=2 * HOUR_S)))

    assert ("a",) == verdict(read, window_ms=10 * 3_600_000, stall_s=9e9).ids("duplicate")


def test_completed_and_failed_of_one_request_inside_the_window_conflict() -> None:
    read = records(ran(asked("a"), then=later(asked("a"), after_s=2 * HOUR_S), script=["ok", "auth"]))

    assert ("a",) == verdict(read, window_ms=10 * 3_600_000, stall_s=9e9).ids("conflicting-terminal")


GONE = {"status": "failed", "error": {"kind": "answer_gone", "message": "gone"}}


def test_answer_kept_no_longer_is_no_second_one_beside_the_first() -> None:
    """B148."""
    read = added(records(ran(asked("a"))), RESULTS, "a", **GONE)
    found = verdict(read)

    assert ((), (), 1) == (found.ids("conflicting-terminal"), found.ids("duplicate"), found.counts["completed"])


def test_other_failure_beside_an_answer_conflicts_with_it_also_where_one_is_gone() -> None:
    read = added(records(ran(asked("a"))), RESULTS, "a", **GONE)
    read = added(read, RESULTS, "a", status="failed", error={"kind": "worker_error", "message": "other"})

    assert ("a",) == verdict(read).ids("conflicting-terminal")


def test_answer_kept_no_longer_is_told_in_one_way() -> None:
    read = changed(records(ran(asked("a"))), RESULTS, with_json(**GONE))
    read = added(read, RESULTS, "a", error={"kind": "answer_gone", "message": "otherwise"})

    assert ("a",) == verdict(read).ids("duplicate")


def test_answer_kept_no_longer_is_no_final_anew_inside_the_window() -> None:
    read = records(ran(asked("a"), then=later(asked("a"), after_s=2 * HOUR_S)))
    last = newest(read)
    read = [with_json(**GONE)(one) if one is last else one for one in read]

    found = verdict(read, window_ms=10 * 3_600_000, stall_s=9e9)

    assert ((), ()) == (found.ids("duplicate"), found.ids("conflicting-terminal"))


def test_refusal_binds_nobody_and_each_resend_has_its_own() -> None:
    found = verdict(records(ran({"id": "r", "nope": 1}, then=later({"id": "r", "nope": 1}, after_s=5.0))))

    assert (True, 2) == (found.clean, found.counts["rejected"])


def test_deadline_that_passed_binds_nobody() -> None:
    late = asked("a", timeout_s=0.5)
    found = verdict(records(ran(late, then=later(late, after_s=5.0))))

    assert (True, 2) == (found.clean, found.counts["expired"])


def test_resend_of_an_expired_request_without_answer_is_lost() -> None:
    late = asked("a", timeout_s=0.5)
    read = records(ran(late, then=later(late, after_s=5.0)))
    found = verdict(but(read, newest(read)))

    assert (("a",), 1) == (found.ids("lost"), found.counts["expired"])


@pytest.mark.parametrize(("after_ms", "expected"), [(1_000, ()), (1_001, ("a",))])
def test_answer_of_another_record_counts_up_to_a_second_before_its_resend(
    after_ms: int, expected: tuple[str, ...]
) -> None:
    read = records(ran(asked("a"), then=later(asked("a"), after_s=60.0)))
    resend, kept = newest(read, PROMPTS), but(read, newest(read))
    moved = resend._replace(timestamp_ms=newest(kept).timestamp_ms + after_ms)

    assert expected == verdict([moved if one == resend else one for one in kept]).ids("lost")


@pytest.mark.parametrize(("beyond_ms", "expected"), [(0, ()), (1_000, ()), (1_001, ("a",)), (9_000, ("a",))])
def test_finals_of_a_request_may_be_a_window_apart_less_a_second(beyond_ms: int, expected: tuple[str, ...]) -> None:
    read = records(ran(asked("a"), then=later(asked("a"), after_s=2 * HOUR_S)))
    first_ms, second_ms = sorted(one.timestamp_ms for one in read if one.topic == RESULTS)

    assert expected == verdict(read, window_ms=second_ms - first_ms + beyond_ms, stall_s=9e9).ids("duplicate")


# -- more than one answer of a record


@pytest.mark.parametrize(
    ("others", "name", "detail"),
    [
        ([], "duplicate", []),
        ([{"text": "x"}], "duplicate", ["2 answers: 2 completed"]),
        ([{"text": "x"}, {"text": "y"}], "duplicate", ["3 answers: 3 completed"]),
        ([{"status": "failed"}], "conflicting-terminal", ["2 answers: 1 completed, 1 failed"]),
        ([{"status": "expired"}], "duplicate", ["2 answers: 1 completed, 1 expired"]),
    ],
)
def test_answers_of_one_record_that_differ_are_told(others: list[dict[str, str]], name: str, detail: list[str]) -> None:
    read = records(ran(asked("a")))
    for fields in others:
        read = added(read, RESULTS, "a", **fields)

    assert detail == [item.detail for item in verdict(read).found(name).items]


def test_refusals_of_one_record_that_differ_are_told() -> None:
    read = added(records(ran({"id": "r", "nope": 1})), RESULTS, "r", metadata={"x": 1})

    assert ["2 answers: 2 rejected"] == [item.detail for item in verdict(read).found("duplicate").items]


def test_two_finals_of_one_request_differ_though_it_was_sent_twice_at_once() -> None:
    read = added(records(ran(asked("a"), asked("a"))), RESULTS, "a", text="x")

    assert ("a",) == verdict(read).ids("duplicate")


@pytest.mark.parametrize(("more", "expected"), [(1, ()), (2, ("a",))])
def test_each_of_two_tenants_under_one_id_has_one_final(more: int, expected: tuple[str, ...]) -> None:
    read = records(ran(asked("a", tenant="x"), asked("a", tenant="y")))
    for number in range(more - 1):
        read = added(read, RESULTS, "a", text=f"{number}")

    assert expected == verdict(read).ids("duplicate")


@pytest.mark.parametrize("words", [("one", "two", "three", "four"), ("four", "three", "two", "one")])
def test_bodies_under_one_id_are_counted_whatever_their_order(words: tuple[str, ...]) -> None:
    """F15."""
    found = verdict(records(ran(*(asked("a", word) for word in words), asked("b", "one"))))

    assert [("a", "4 bodies")] == list(found.found("two-bodies").items)


# -- twins


@pytest.mark.parametrize("script", [["ok"], ["auth"]])
def test_twins_have_an_answer_each(script: list[str]) -> None:
    found = verdict(records(ran(*(asked(f"t{number}") for number in range(5)), script=script)))

    assert (True, 5) == (found.clean, found.counts.get("completed", 0) + found.counts.get("failed", 0))


def test_twin_whose_answer_is_missing_is_lost_alone() -> None:
    read = records(ran(*(asked(f"t{number}") for number in range(5))))

    assert ("t3",) == verdict(without(read, RESULTS, of="t3")).ids("lost")


def test_twin_waits_while_its_owner_is_on_its_way() -> None:
    line = ran(asked("a"), asked("b"))
    read = [one for one in records(line) if one.topic in (PROMPTS, ADMITTED, DEDUPED)]
    found = verdict(read, *marks(line, deduped=1))

    assert (("a", "b"), True, False) == (tuple(sorted(found.ids("unseen"))), found.clean, found.settled)


def test_stranger_is_lost_while_another_key_is_on_its_way() -> None:
    line = ran(asked("a"), asked("b", "other"))
    kept = [one for one in records(line) if one.topic in (PROMPTS, DEDUPED)]
    read = [one for one in kept if one.topic == PROMPTS or b'"id":"a"' in (one.value or b"")]
    waiting = next(one for one in read if one.topic == DEDUPED)
    mark = Mark("prompts.core", DEDUPED, waiting.partition, waiting.offset, 0, waiting.offset + 1)

    found = verdict(read, mark)

    assert (("a",), ("b",)) == (found.ids("unseen"), found.ids("lost"))


# -- on its way


@pytest.mark.parametrize(
    "short", ["prompts", "admitted", "deduped", "retrieved", "assembled_normal", "inferred", "refined"]
)
def test_request_without_answer_is_unseen_while_its_record_waits(short: str) -> None:
    line = ran(asked("a"))
    read = without(records(line), RESULTS)

    assert (("a",), 1) == (verdict(read, *marks(line, **{short: 1})).ids("unseen"), len(line.records(REFINED)))


def test_request_without_answer_is_lost_once_all_is_committed() -> None:
    line = ran(asked("a"))

    assert ("a",) == verdict(without(records(line), RESULTS), *marks(line)).ids("lost")


def test_request_that_nothing_but_its_prompt_tells_of_was_last_seen_there() -> None:
    read = [one for one in records(ran(asked("a"))) if one.topic == PROMPTS]

    assert [True] == [item.detail.endswith(", last seen on prompts") for item in verdict(read).found("lost").items]


def test_answered_request_is_not_unseen_while_a_copy_waits() -> None:
    line = ran(asked("a"))
    found = verdict(records(line), *marks(line, refined=1))

    assert (1, True) == (found.counts["completed"], found.settled)


# -- what logs no longer hold


def trimmed(read: Records, topic: str, below: int) -> Records:
    return [one for one in read if one.topic != topic or one.offset >= below]


def sequence(count: int = 4) -> Pipeline:
    """Prompts and answers in one partition, a minute apart."""
    more = [asked(f"a{number}", f"words {number}") for number in range(1, count)]

    async def then(line: Pipeline) -> None:
        for value in more:
            await line.advance(60.0)
            await line.submit(value)

    return ran(asked("a0", "words 0"), then=then, partitions=1)


def test_answer_to_a_prompt_that_was_trimmed_is_not_judged() -> None:
    found = verdict(trimmed(records(sequence()), PROMPTS, 2))

    assert (True, 2, 2) == (found.clean, found.counts["unjudged"], found.counts["accepted"])


def test_answer_younger_than_what_was_trimmed_is_a_phantom() -> None:
    read = added(trimmed(records(sequence()), PROMPTS, 2), RESULTS, "a3", id="ghost")

    assert ("ghost",) == verdict(read).ids("phantom")


def test_answer_as_old_as_the_first_prompt_in_view_is_a_phantom() -> None:
    read = added(trimmed(records(sequence()), PROMPTS, 2), RESULTS, "a2", id="ghost")

    assert ("ghost",) == verdict(read).ids("phantom")


def test_log_of_prompts_that_holds_nothing_judges_no_answer() -> None:
    line = sequence()
    read = [one for one in records(line) if one.topic != PROMPTS]
    found = verdict(read, Mark("prompts.core", PROMPTS, 0, 4, 4, 4))

    assert ({}, 4) == (dict(found.classes), found.counts["unjudged"])


def test_prompt_older_than_what_results_hold_is_too_old_to_judge() -> None:
    found = verdict(trimmed(records(sequence()), RESULTS, 2), stall_s=9e9)

    assert (True, 2, 2) == (found.clean, found.counts["aged"], found.counts["completed"])


@pytest.mark.parametrize(("before_ms", "expected"), [(1, ()), (0, ("a0",))])
def test_prompt_as_old_as_the_first_answer_in_view_is_judged(before_ms: int, expected: tuple[str, ...]) -> None:
    read = trimmed(records(sequence()), RESULTS, 2)
    first_ms = min(one.timestamp_ms for one in read if one.topic == RESULTS)
    moved = changed(read, PROMPTS, lambda one: one._replace(timestamp_ms=first_ms - before_ms), of="a0")

    assert expected == verdict(moved, stall_s=9e9).ids("lost")


def test_prompt_on_its_way_is_never_too_old_to_judge() -> None:
    line = sequence()
    found = verdict(trimmed(records(line), RESULTS, 2), *marks(line, prompts=4), stall_s=9e9)

    assert (("a0", "a1"), 0) == (found.ids("unseen"), found.counts.get("aged", 0))


def test_reading_that_began_at_a_time_judges_only_what_is_younger() -> None:
    read = records(sequence())
    since_ms = next(one.timestamp_ms for one in read if one.topic == PROMPTS and one.offset == 2)
    young = [one for one in read if one.timestamp_ms >= since_ms]
    old_answer = next(one for one in read if one.topic == RESULTS and one.offset == 1)

    found = verdict([old_answer, *young], since_ms=since_ms)

    assert (True, 1, 2) == (found.clean, found.counts["unjudged"], found.counts["accepted"])


def test_prompts_that_are_not_judged_explain_their_answers() -> None:
    line = sequence()
    fold_all = records(line)
    fold = Fold()
    for one in fold_all:
        fold.add(one, judged=one.topic != PROMPTS or one.offset < 2)
    found = judge(fold)

    assert (True, 2) == (found.clean, found.counts["accepted"])
