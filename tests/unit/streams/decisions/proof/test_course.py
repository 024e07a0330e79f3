"""Logs that are whole, answers that keep coming, and what provider and client tell."""

from collections.abc import Iterable
from typing import Any

import pytest

from streams.decisions.proof import Calls, Fold, Mark, judge
from streams.decisions.proof.course import Wait, _merged
from streams.testing import Pipeline
from tests.support.checked import Records, as_if_whole, asked, changed, ran, records, verdict, with_json, without
from topics.catalog import ADMITTED, PROMPTS, RESULTS

CORE = "prompts.core"


def mark(committed: int | None, start: int = 0, end: int = 9) -> Mark:
    return Mark(CORE, ADMITTED, 3, committed, start, end)


def run(count: int = 3, **more: Any) -> Records:
    return records(ran(*(asked(f"a{number}", f"words {number}") for number in range(count)), **more))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (mark(9), []),
        (mark(0), []),
        (mark(None), []),
        (mark(5, start=5), []),
        (mark(10), [("overrun", "prompts.core committed 10, the log ends at 9")]),
        (mark(4, start=5), [("gap", "offsets 4 to 4 went before prompts.core had done them")]),
        (mark(4, start=6), [("gap", "offsets 4 to 5 went before prompts.core had done them")]),
        (mark(None, start=5), [("gap", "offsets 0 to 4 went before prompts.core had done them")]),
    ],
)
def test_commits_are_held_against_the_log(given: Mark, expected: list[tuple[str, str]]) -> None:
    found = verdict([], given)

    assert expected == [(name, item.detail) for name, kind in found.classes.items() for item in kind.items]


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ((0, 1, 2), []),
        ((1, 2), []),
        ((0, 2), ["offsets 1 to 1 are missing"]),
        ((0, 5, 9), ["offsets 1 to 4 are missing", "offsets 6 to 8 are missing"]),
        ((2, 1, 0), []),
    ],
)
def test_holes_of_a_partition_are_told_by_their_bounds(offsets: tuple[int, ...], expected: list[str]) -> None:
    first = next(one for one in run(1) if one.topic == ADMITTED)
    read = [first._replace(offset=offset) for offset in offsets]

    assert expected == [item.detail for item in verdict(read).found("gap").items]


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [(range(9), []), (range(5), ["offsets 5 to 8 are missing"]), (range(12), []), ((), ["offsets 0 to 8 are missing"])],
)
def test_log_that_was_opened_has_gaps_where_less_was_read(offsets: Iterable[int], expected: list[str]) -> None:
    first = next(one for one in run(1) if one.topic == ADMITTED)
    fold = Fold(marks=[Mark(CORE, ADMITTED, first.partition, 9, 0, 9)])
    fold.open_all()
    for offset in offsets:
        fold.add(first._replace(offset=offset))

    assert expected == [item.detail for item in judge(fold).found("gap").items]


def waits(*began_ended: tuple[int, int]) -> list[Wait]:
    return [Wait(began, ended, f"{began}") for began, ended in began_ended]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([(0, 5)], [(0, 5)]),
        ([(0, 5), (5, 9)], [(0, 9)]),
        ([(0, 5), (6, 9)], [(0, 5), (6, 9)]),
        ([(0, 9), (1, 2), (8, 12)], [(0, 12)]),
        ([(0, 5), (7, 9), (8, 12)], [(0, 5), (7, 12)]),
        ([(0, 2), (4, 6), (6, 7), (8, 10), (9, 9)], [(0, 2), (4, 7), (8, 10)]),
    ],
)
def test_stretches_that_touch_are_one(given: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    assert expected == [(wait.began, wait.ended) for wait in _merged(waits(*given))]


def test_merged_stretch_is_named_by_who_began_it() -> None:
    assert ["0"] == [wait.id for wait in _merged(waits((0, 5), (3, 9)))]


@pytest.mark.parametrize(
    ("stall_s", "expected"), [(0.9, ("a0",)), (0.9995, ("a0",)), (1.0, ()), (1.1, ()), (0.0, ("a0",))]
)
def test_stall_is_a_silence_above_the_limit(stall_s: float, expected: tuple[str, ...]) -> None:
    assert expected == verdict(run(1, delay_s=1.0), stall_s=stall_s).ids("stalled")


def test_stall_is_told_with_its_beginning_and_end() -> None:
    [item] = verdict(run(1, delay_s=50.0), stall_s=40.0).found("stalled").items

    assert "no answer from 2026-" in item.detail


def test_quiet_time_without_work_is_no_stall() -> None:
    async def later(line: Pipeline) -> None:
        await line.advance(9_000.0)
        await line.submit(asked("b", "other"))

    assert verdict(records(ran(asked("a"), then=later)), stall_s=10.0).clean


@pytest.mark.parametrize(("later_ms", "expected"), [(0, ()), (899_000, ()), (901_000, ("a0",))])
def test_prompt_that_waits_still_stalls_as_time_goes_by(later_ms: int, expected: tuple[str, ...]) -> None:
    read = [one for one in run(1) if one.topic == PROMPTS]
    now_ms = read[0].timestamp_ms + later_ms

    assert expected == verdict(read, now_ms=now_ms).ids("stalled")


def test_answers_in_between_break_a_silence() -> None:
    async def steady(line: Pipeline) -> None:
        for number in range(6):
            await line.submit(asked(f"s{number}", f"steady {number}"))
            await line.advance(1.0)

    read = records(ran(asked("a", "one"), then=steady))
    first = without(read, RESULTS, of="a")

    assert (("a",), ()) == (verdict(first, stall_s=3.0).ids("lost"), verdict(first, stall_s=3.0).ids("stalled"))


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (None, ()),
        (Calls(3, 3), ()),
        (Calls(4, 3), ("calls",)),
        (Calls(4, 3, excused=1), ()),
        (Calls(6, 3, excused=2), ("calls",)),
        (Calls(4, 3, 0, ("key-1",)), ("key-1",)),
        (Calls(3, 3, 0, ("key-1", "key-2")), ("key-1", "key-2")),
    ],
)
def test_calls_are_held_against_what_excuses_them(calls: Calls | None, expected: tuple[str, ...]) -> None:
    """I5."""
    assert expected == verdict(run(), calls=calls).ids("repeated")


@pytest.mark.parametrize(("attempts", "expected"), [(1, ("calls",)), (3, ())])
def test_calls_for_an_answer_that_is_kept_no_longer_were_made_once(attempts: int, expected: tuple[str, ...]) -> None:
    """B148: it tells how many it took."""
    gone = with_json(status="failed", attempts=attempts, error={"kind": "answer_gone", "message": "gone"})

    assert expected == verdict(changed(run(), RESULTS, gone, of="a0"), calls=Calls(5, 3)).ids("repeated")


@pytest.mark.parametrize(("attempts", "expected"), [(1, ("calls",)), (2, ("calls",)), (3, ()), (9, ())])
def test_retries_that_answers_tell_excuse_calls(attempts: int, expected: tuple[str, ...]) -> None:
    read = changed(run(), RESULTS, with_json(attempts=attempts), of="a0")

    assert expected == verdict(read, calls=Calls(5, 3)).ids("repeated")


def test_calls_beyond_what_is_told_are_counted() -> None:
    read = changed(run(), RESULTS, with_json(attempts=3), of="a0")
    [item] = verdict(read, calls=Calls(12, 3, excused=2)).found("repeated").items

    assert "12 for 3 keys, 5 beyond what is told" == item.detail


def test_retries_of_copies_are_told_once() -> None:
    read = changed(run(1), RESULTS, with_json(attempts=4))
    twice = [*read[:1], read[0]._replace(offset=1), *read[1:]]

    assert (3, 1) == (verdict(twice).counts["retries"], verdict(twice).counts["copies"])


@pytest.mark.parametrize(
    ("words", "lost"), [({"ok"}, ("gone",)), ({"ok", "failed"}, ("gone",)), ({"unknown"}, ()), ({"failed"}, ())]
)
def test_prompt_that_is_not_there_is_lost_where_it_was_acknowledged(words: Any, lost: tuple[str, ...]) -> None:
    assert lost == verdict(run(), client={"gone": frozenset(words)}).ids("lost")


@pytest.mark.parametrize(
    ("words", "phantom"),
    [({"failed"}, ("a0",)), (set(), ()), ({"unknown"}, ()), ({"failed", "ok"}, ()), ({"failed", "unknown"}, ())],
)
def test_answer_to_a_failed_publishing_is_a_phantom(words: Any, phantom: tuple[str, ...]) -> None:
    """I3."""
    assert phantom == verdict(run(), client={"a0": frozenset(words)}).ids("phantom")


def test_prompts_of_other_clients_are_no_offence() -> None:
    assert verdict(run(), client={"a0": frozenset({"ok"})}).clean


def test_acknowledged_prompt_without_answer_is_lost_once() -> None:
    found = verdict(without(run(), RESULTS, of="a0"), client={"a0": frozenset({"ok"})})

    assert (("a0",), 1, 3) == (found.ids("lost"), found.count("lost"), found.counts["accepted"])


def test_order_of_reading_within_a_topic_changes_nothing() -> None:
    read = run(5)
    backwards = as_if_whole(reversed([one for one in read if one.topic == RESULTS]))

    assert verdict(read).counts == verdict([*backwards, *(one for one in read if one.topic != RESULTS)]).counts
