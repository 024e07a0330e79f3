"""What the rules share: families of records, own answers, and from when on a topic is whole."""

import doctest
from dataclasses import FrozenInstanceError

import pytest

from streams.decisions.dedup import DedupPolicy
from streams.decisions.proof import Calls, Demands, Fold, Mark, case
from streams.decisions.proof.case import Case
from streams.stage import Record
from streams.testing import Pipeline
from tests.support.builders import NOW_MS
from tests.support.checked import asked, changed, folded, ran, records, verdict, with_json
from topics.answer import rfc3339
from topics.catalog import ADMITTED, PROMPTS, RESULTS

FIRST, LATER = "2026-01-31T12:00:00.000Z", "2026-01-31T12:00:05.000Z"


def seen(partition: int, offset: int, ms: int = NOW_MS, topic: str = PROMPTS) -> Record:
    return Record(topic, partition, offset, ms, None, b'{"prompt":"hi"}')


def mark(partition: int, end: int, topic: str = PROMPTS) -> Mark:
    return Mark("prompts.core", topic, partition, end, end, end)


@pytest.mark.parametrize(
    ("read", "marks", "expected"),
    [
        ([], [], ""),
        ([seen(0, 0)], [], ""),
        ([seen(0, 3)], [], FIRST),
        ([seen(0, 1)], [], FIRST),
        ([seen(0, 3), seen(1, 0, NOW_MS + 5_000)], [], FIRST),
        ([seen(0, 3), seen(1, 7, NOW_MS + 5_000)], [], LATER),
        ([seen(0, 3)], [mark(1, 5)], "EMPTY"),
        ([seen(0, 0)], [mark(0, 5)], ""),
        ([seen(0, 0)], [mark(1, 0)], ""),
        ([seen(0, 3, topic=RESULTS)], [], ""),
        ([seen(0, 3, topic=ADMITTED)], [], ""),
        ([seen(0, 0)], [mark(1, 5, RESULTS)], ""),
        ([seen(0, 0)], [mark(1, 5, ADMITTED)], ""),
    ],
)
def test_topic_is_whole_from_the_youngest_beginning_of_its_partitions(
    read: list[Record], marks: list[Mark], expected: str
) -> None:
    assert expected == Case(folded(read, *marks), Demands()).whole_since(PROMPTS, empty="EMPTY")


def test_partition_that_holds_nothing_is_passed_over_unless_told() -> None:
    assert "" == Case(folded([], mark(1, 5)), Demands()).whole_since(PROMPTS)


def test_reading_from_a_time_is_whole_from_then_on() -> None:
    assert rfc3339(NOW_MS) == Case(folded([seen(0, 3, 5)]), Demands().since(NOW_MS)).whole_since(PROMPTS)


def test_demands_since_keep_all_else() -> None:
    assert Demands(stall_s=3, since_ms=7) == Demands(stall_s=3).since(7)


def test_window_is_that_of_dedup_unless_told() -> None:
    assert DedupPolicy().window_ms == Demands().window_ms


def test_demands_unless_told_allow_a_quarter_of_an_hour_and_leave_out_nothing() -> None:
    assert (900.0, 0, 0) == (Demands().stall_s, Demands().now_ms, Demands().since_ms)


@pytest.mark.parametrize(("beyond_ms", "expected"), [(999, ()), (1_000, ()), (1_001, ("a",))])
def test_clocks_of_two_brokers_may_differ_by_a_second(beyond_ms: int, expected: tuple[str, ...]) -> None:
    """Two finals of one request: is the window, in which there may be one, longer than the time between them?"""

    async def again(line: Pipeline) -> None:
        await line.advance(7_200.0)
        await line.submit(asked("a"))

    read = records(ran(asked("a"), then=again))
    first_ms, second_ms = sorted(one.timestamp_ms for one in read if one.topic == RESULTS)

    assert expected == verdict(read, window_ms=second_ms - first_ms + beyond_ms, stall_s=9e9).ids("duplicate")


def test_calls_of_a_provider_are_excused_by_nothing_unless_told() -> None:
    assert (0, ()) == (Calls(4, 3).excused, Calls(4, 3).baseless)


@pytest.mark.parametrize("kept", [Calls(4, 3), Demands()])
def test_what_is_known_of_a_case_cannot_be_changed(kept: Calls | Demands) -> None:
    with pytest.raises(FrozenInstanceError):
        kept.calls = 7  # type: ignore[misc, assignment]  # the claim


def test_family_holds_all_records_of_one_request() -> None:
    judged = Case(folded(records(ran(asked("a"), asked("b"), asked("a")))), Demands())

    assert {"a": 2, "b": 1} == {prompt.id: len(judged.family(prompt)) for prompt in judged.fold.prompts}


def test_families_are_kept_only_where_there_is_more_than_one() -> None:
    assert 1 == len(Case(folded(records(ran(asked("a"), asked("b"), asked("a")))), Demands()).again)


def test_own_answer_is_found_once_where_both_names_are_equal() -> None:
    judged = Case(folded(records(ran({"id": "r", "nope": 1}))), Demands())

    assert [1] == [len(judged.given(prompt)) for prompt in judged.fold.prompts]


def test_forms_are_those_of_all_own_answers() -> None:
    judged = Case(folded(records(ran(asked("a")))), Demands())

    assert [["completed"]] == [[form.status for form in judged.forms(prompt)] for prompt in judged.fold.prompts]


@pytest.mark.parametrize(("attempts", "expected"), [((1, 1), 0), ((4, 1), 3), ((3, 4), 5), ((0, 0), 0), ((0, 2), 1)])
def test_retries_are_the_calls_of_each_answer_beyond_its_first(attempts: tuple[int, int], expected: int) -> None:
    read = records(ran(asked("a"), asked("b", "other")))
    for id, told in zip("ab", attempts, strict=True):
        read = changed(read, RESULTS, with_json(attempts=told), of=id)

    assert expected == Case(folded(read), Demands()).retries()


def test_nothing_read_has_no_retries() -> None:
    assert (0, 0) == (Case(Fold(), Demands()).retries(), verdict([]).counts["retries"])


def test_examples_of_the_case_hold() -> None:
    assert 0 == doctest.testmod(case).failed
