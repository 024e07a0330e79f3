"""Dead letters: whose they are, what they hold, and when one is due."""

from typing import Any

import orjson
import pytest

from streams.decisions import burial
from streams.decisions.dedup import DedupPolicy
from streams.decisions.proof import Mark
from streams.testing import Pipeline
from tests.support.checked import (
    BROKEN,
    Records,
    added,
    asked,
    changed,
    marks,
    ran,
    records,
    verdict,
    with_json,
    without,
)
from topics.catalog import ASSEMBLED, DEAD_LETTERS, FAILED, PROMPTS, RESULTS


def failing(*more: Any, **run: Any) -> Records:
    return records(ran(asked("f"), *more, **{"script": ["auth"], **run}))


def header(name: str, value: bytes) -> Any:
    """A dead letter with another word of evidence."""
    return lambda one: one._replace(
        headers=tuple((n, value if n == f"prompts.error.{name}" else v) for n, v in one.headers)
    )


@pytest.mark.parametrize("value", [BROKEN, b"", None, b"\xff\xfe", b"[1]"])
def test_letter_of_bytes_that_are_no_request_is_their_equal(value: bytes | None) -> None:
    found = verdict(records(ran(value)))

    assert (True, 1, 1) == (found.clean, found.counts["rejected"], found.counts["letters"])


def test_letter_of_a_refusal_is_explained_by_it() -> None:
    assert () == verdict(records(ran(BROKEN))).ids("buried-unanswered")


async def _thinned_and_again(pipeline: Pipeline) -> None:
    """Hours later all that `infer` ever read is delivered to it again."""
    await pipeline.advance(2 * 3600)
    await pipeline.submit(asked("later", "what else?"), key=b"k")
    await pipeline.settle()
    pipeline.redeliver(ASSEMBLED["normal"], 0, 0)


def late(window_s: float = 86_400) -> Records:
    """While the door knows its answers, unless told otherwise."""
    policy = DedupPolicy(window_s=window_s)
    return records(ran(asked("a"), then=_thinned_and_again, partitions=1, dedup=policy))


@pytest.mark.parametrize(("window_s", "answers"), [(86_400, 2), (3600, 3)])
def test_letter_of_an_answer_that_is_kept_no_longer_is_no_anomaly(window_s: float, answers: int) -> None:
    """B148: its request was answered before, and stays so; a door that has forgotten it tells that it is gone."""
    read = late(window_s)
    found = verdict(read)

    told = [burial.told(one.headers)["kind"] for one in read if one.topic == DEAD_LETTERS]
    assert (True, 2, ["answer_gone"]) == (found.clean, found.counts["completed"], told)
    assert answers == len({one.value for one in read if one.topic == RESULTS})


def test_other_letter_of_an_answered_request_is_one_too_many() -> None:
    read = changed(late(), DEAD_LETTERS, header("kind", b"worker_error"))

    assert ("a",) == verdict(read).ids("buried-unanswered")


def test_letter_of_an_answer_gone_must_hold_its_original_all_the_same() -> None:
    read = changed(late(), DEAD_LETTERS, lambda one: one._replace(value=b"other"))

    assert ("a",) == verdict(read).ids("dead-letter-changed")


def test_letter_of_an_expired_request_is_one_too_many() -> None:
    read = changed(failing(), RESULTS, with_json(status="expired"), of="f")
    found = verdict(read).found("buried-unanswered")

    assert [("f", "answered expired")] == [(item.id, item.detail.split(", ")[1]) for item in found.items]


def test_letter_of_a_request_without_any_answer_is_that_of_a_lost_one() -> None:
    found = verdict(without(failing(), RESULTS))

    assert (("f",), ()) == (found.ids("lost"), found.ids("buried-unanswered"))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("original-offset", b"99"),
        ("original-partition", b"7"),
        ("original-topic", b"elsewhere"),
        ("original-offset", b"none"),
        ("original-topic", b"admitted"),
    ],
)
def test_letter_whose_original_is_nowhere_is_astray(word: str, value: bytes) -> None:
    assert ("f",) == verdict(changed(failing(), DEAD_LETTERS, header(word, value))).ids("dead-letter-astray")


def test_letter_astray_tells_where_it_lies_and_what_it_names() -> None:
    [item] = (
        verdict(changed(failing(), DEAD_LETTERS, header("original-offset", b"99"))).found("dead-letter-astray").items
    )

    assert item.detail.startswith("dead-letters/") and item.detail.endswith("/99")


def test_letter_of_a_prompt_that_was_trimmed_is_not_astray() -> None:
    read = failing(asked("b", "other"), partitions=1)
    kept = [one for one in read if one.topic != PROMPTS or one.offset > 0]

    assert () == verdict(kept).ids("dead-letter-astray")


def test_letter_of_a_trimmed_prompt_is_looked_up_in_its_partition() -> None:
    read = changed(failing(asked("b", "other"), partitions=1), DEAD_LETTERS, header("original-partition", b"3"))
    moved = [one._replace(partition=3) if one.topic == PROMPTS else one for one in read]

    assert () == verdict([one for one in moved if one.topic != PROMPTS or one.offset > 0]).ids("dead-letter-astray")


def test_letter_that_somebody_else_wrote_is_astray_by_its_place() -> None:
    read = changed(failing(), DEAD_LETTERS, lambda one: one._replace(headers=()))
    at = next(one.at for one in read if one.topic == DEAD_LETTERS)

    assert (at,) == verdict(read).ids("dead-letter-astray")


def test_letter_that_names_another_prompt_has_not_its_bytes() -> None:
    read = failing(asked("b", "other"), partitions=1, script=["auth", "ok"])
    found = verdict(changed(read, DEAD_LETTERS, header("original-offset", b"1")))

    assert (("f",), ("f",), ("f",)) == tuple(
        found.ids(name) for name in ("dead-letter-changed", "buried-unanswered", "failed-unburied")
    )


@pytest.mark.parametrize("position", [0, 5, -1])
def test_one_byte_of_a_letter_changed_is_found(position: int) -> None:
    def flipped(one: Any) -> Any:
        raw = bytearray(one.value)
        raw[position] ^= 1
        return one._replace(value=bytes(raw))

    assert ("f",) == verdict(changed(failing(), DEAD_LETTERS, flipped)).ids("dead-letter-changed")


def test_failure_that_waits_to_be_buried_is_no_offence() -> None:
    line = ran(asked("f"), script=["auth"])
    read = without(records(line), DEAD_LETTERS)
    short = tuple(one._replace(committed=0) if one.group == "prompts.bury" else one for one in marks(line))

    assert (True, ("f",)) == (verdict(read, *short).clean, verdict(read, *marks(line)).ids("failed-unburied"))


def test_letter_that_is_made_while_its_failure_waits_is_made() -> None:
    line = ran(asked("f"), script=["auth"])
    short = tuple(one._replace(committed=0) if one.group == "prompts.bury" else one for one in marks(line))

    assert verdict(records(line), *short).clean


@pytest.mark.parametrize("given", [asked("a"), asked("a", timeout_s=0.5), {"id": "a", "nope": 1}])
def test_answer_that_is_no_failure_needs_no_letter(given: Any) -> None:
    found = verdict(records(ran(given)))

    assert ((), 0) == (found.ids("failed-unburied"), found.counts["letters"])


def test_one_failure_of_two_tenants_under_one_id_needs_one_letter() -> None:
    read = records(ran(asked("f", tenant="x"), asked("f", tenant="y"), script=["auth", "ok"]))

    assert (1, ()) == (verdict(read).counts["letters"], verdict(read).ids("failed-unburied"))


def test_failure_of_which_a_resend_was_buried_has_its_letter() -> None:
    async def again(line: Any) -> None:
        await line.advance(10.0)
        await line.submit(asked("f"))

    assert verdict(failing(then=again)).clean


def test_failed_twin_without_a_letter_of_its_own_is_told() -> None:
    read = without(failing(asked("t")), DEAD_LETTERS, of="t")

    assert ("t",) == verdict(read).ids("failed-unburied")


@pytest.mark.parametrize(
    ("kind", "attempts", "expected"),
    [("too_large", 0, ()), ("too_large", 1, ("f",)), ("auth", 0, ("f",)), ("unknown", 0, ("f",))],
)
def test_only_an_answer_too_large_for_a_twin_needs_no_letter(
    kind: str, attempts: int, expected: tuple[str, ...]
) -> None:
    error = {"kind": kind, "message": "x"}
    read = changed(failing(), RESULTS, with_json(error=error, attempts=attempts), of="f")

    assert expected == verdict(without(read, DEAD_LETTERS)).ids("failed-unburied")


def test_letters_that_aged_out_are_not_asked_for() -> None:
    async def more(line: Any) -> None:
        await line.advance(60.0)
        await line.submit(asked("g", "other"))

    read = failing(then=more, script=["auth", "auth"], partitions=1)
    kept = [one for one in read if one.topic != DEAD_LETTERS or one.offset > 0]

    assert () == verdict(kept, stall_s=9e9).ids("failed-unburied")


def test_failure_that_is_told_names_its_kind() -> None:
    [item] = verdict(without(failing(), DEAD_LETTERS)).found("failed-unburied").items

    kind = next(orjson.loads(one.value or b"")["error"]["kind"] for one in failing() if one.topic == RESULTS)
    assert item.detail.endswith(kind)


def test_letter_written_twice_is_counted_and_no_offence() -> None:
    found = verdict(added(failing(), DEAD_LETTERS, "f"))

    assert (True, 2) == (found.clean, found.counts["letters"])


def test_mark_of_another_group_does_not_excuse_a_missing_letter() -> None:
    read = without(failing(), DEAD_LETTERS)
    behind = [Mark("somebody", FAILED, number, 0, 0, 9) for number in range(2)]

    assert ("f",) == verdict(read, *behind).ids("failed-unburied")
