"""What is kept of records: whose answers they are, who has not acknowledged them, and how much of a log was seen."""

from typing import Any

import pytest

from streams.decisions import identity
from streams.decisions.lineage import DEAD_LETTER, LINEAGE, REQUEST_ID
from streams.decisions.proof import Fold, Mark
from streams.decisions.proof.facts import digest, packed
from streams.decisions.proof.fold import FLOW, READ
from streams.stage import Record
from tests.support.builders import NOW_MS, admitted, failed, origin
from tests.support.checked import asked, folded, marks, ran, records
from topics import wire
from topics.catalog import (
    ADMITTED,
    BREAKERS,
    CATALOG,
    DEAD_LETTERS,
    FAILED,
    LETTERS,
    PARKED,
    PROMPTS,
    REFINED,
    RESULTS,
    TICKS,
    Names,
)

CORE, BURY = Names().group("core"), Names().group("bury")
PLACE = packed(3, 1042)


def record(
    topic: str = PROMPTS, value: bytes | None = b'{"id":"a","prompt":"hi"}', offset: int = 0, **fields: Any
) -> Record:
    known = {"partition": 0, "timestamp_ms": NOW_MS, "key": None, "headers": ()}
    return Record(topic=topic, value=value, offset=offset, **{**known, **fields})


def mark(topic: str, committed: int | None, group: str = CORE, partition: int = 0) -> Mark:
    return Mark(group, topic, partition, committed, 0, 10)


def letter(place: bytes = b"17", topic: bytes = b"prompts", id: bytes = b"a") -> Record:
    told = {"original-topic": topic, "original-partition": b"3", "original-offset": place, "request-id": id}
    return record(DEAD_LETTERS, b"x", headers=tuple((f"prompts.error.{name}", value) for name, value in told.items()))


def again(lineage: bytes = b"1", id: bytes = b"a") -> Record:
    """A prompt that says it is the dead letter `0/0`, sent again."""
    headers = ((LINEAGE, lineage), (REQUEST_ID, id), (DEAD_LETTER, b"dead-letters/0/0"))
    return record(value=b'{"prompt":"hi"}', offset=7, headers=headers)


def test_effects_are_read_before_their_causes() -> None:
    assert (RESULTS, DEAD_LETTERS, FAILED) == READ[:3]
    assert (ADMITTED, PROMPTS) == READ[-2:]


def test_all_topics_of_requests_are_read() -> None:
    kept = {name for name, spec in CATALOG.items() if spec.keeps in ("until answered", "retention_d", "30 days")}

    assert kept - {LETTERS} == set(READ)  # what was done to dead letters is no request


def test_flow_starts_at_the_door_and_holds_the_tiers() -> None:
    assert (PROMPTS, True) == (FLOW[0], set(PARKED) < set(FLOW))


@pytest.mark.parametrize("topic", [TICKS, BREAKERS])
def test_record_of_another_topic_is_counted_only(topic: str) -> None:
    fold = folded([record(topic)])

    assert (1, [], {}) == (fold.records, fold.prompts, fold.views)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"id":"a","prompt":"hi"}', "a"),
        (b'{"id":"a","prompt":7}', "a"),
        (b'{"prompt":"hi"}', identity.derived_id(PROMPTS, 0, 0, NOW_MS)),
        (b"{torn", identity.derived_id(PROMPTS, 0, 0, NOW_MS)),
        (None, identity.derived_id(PROMPTS, 0, 0, NOW_MS)),
        (b'{"id":"","prompt":"hi"}', identity.derived_id(PROMPTS, 0, 0, NOW_MS)),
    ],
)
def test_prompt_has_the_id_that_the_door_gives(value: bytes | None, expected: str) -> None:
    assert [expected] == [prompt.id for prompt in folded([record(value=value)]).prompts]


def test_plain_text_is_read_as_its_header_says() -> None:
    plain = record(value=b"{torn", headers=(("content-type", b"text/plain"),))

    assert folded([plain]).prompts[0].asked != folded([record(value=b"{torn")]).prompts[0].asked


def test_prompts_with_equal_words_share_and_are_two_requests() -> None:
    one, other = folded([record(), record(value=b'{"id":"b","prompt":"hi"}', offset=1)]).prompts

    assert (True, False) == (one.shared == other.shared, one.identity == other.identity)


@pytest.mark.parametrize("name", ["accept", "content-types", "x-type"])
def test_header_of_another_name_says_nothing_of_the_text(name: str) -> None:
    other = record(value=b"{torn", headers=((name, b"text/plain"),))

    assert folded([other]).prompts[0].asked == folded([record(value=b"{torn")]).prompts[0].asked


def test_prompt_is_judged_unless_told() -> None:
    assert [True] == [prompt.judged for prompt in folded([record()]).prompts]


def test_prompt_that_is_not_judged_is_marked_so() -> None:
    fold = Fold()
    fold.add(record(), judged=False)

    assert [False] == [prompt.judged for prompt in fold.prompts]


@pytest.mark.parametrize(
    ("lineage", "same"), [(b"1", False), (b"2", True), (b"none", True)], ids=["true", "too high", "no number"]
)
def test_prompt_sent_again_is_another_request_only_where_its_letter_says_so(lineage: bytes, same: bool) -> None:
    plain = folded([record(value=b'{"prompt":"hi"}', offset=7)]).prompts[0]
    fold = folded([letter(), again(lineage)])

    assert same == (fold.prompts[0].id != "a")
    assert plain.identity != fold.prompts[0].identity


def test_prompt_sent_again_is_believed_where_its_letter_is_not_in_view() -> None:
    assert "a" == folded([again()]).prompts[0].id


def test_prompt_sent_again_keeps_the_id_and_gets_another_identity() -> None:
    first, second = folded([letter(), record(), again()]).prompts

    assert (True, True, False) == (
        first.id == second.id,
        first.asked == second.asked,
        first.identity == second.identity,
    )


@pytest.mark.parametrize(("committed", "waits"), [(None, True), (0, True), (4, True), (5, False), (9, False)])
def test_prompt_waits_until_its_reader_has_committed_it(committed: int | None, waits: bool) -> None:
    fold = folded([record(offset=4)], mark(PROMPTS, committed))

    assert waits == (packed(0, 4) in fold.waiting)


def test_first_record_of_a_log_waits_before_the_first_commit() -> None:
    assert {0} == folded([record(offset=0)], mark(PROMPTS, None)).waiting


@pytest.mark.parametrize("topic", [topic for topic in FLOW if topic != PROMPTS])
def test_message_on_its_way_makes_its_prompt_wait(topic: str) -> None:
    message = record(topic, wire.encode(admitted()), offset=4)

    assert ({PLACE}, set()) == (folded([message], mark(topic, 4)).waiting, folded([message], mark(topic, 5)).waiting)


def test_message_on_its_way_makes_wait_who_shares_its_key() -> None:
    message = record(ADMITTED, wire.encode(admitted()), offset=4)

    assert 1 == len(folded([message], mark(ADMITTED, 4)).sharing)


@pytest.mark.parametrize(
    ("message", "key"), [(admitted(dedup_key="k-1"), b"k-1"), (admitted(dedup_key=""), b"%d" % PLACE)]
)
def test_message_on_its_way_shares_by_its_key_or_else_with_nobody(message: Any, key: bytes) -> None:
    fold = folded([record(ADMITTED, wire.encode(message), offset=4)], mark(ADMITTED, 4))

    assert {digest(key)} == fold.sharing


@pytest.mark.parametrize("topic", [ADMITTED, REFINED])
def test_message_that_is_no_failure_is_never_due_to_be_buried(topic: str) -> None:
    fold = folded([record(topic, wire.encode(admitted()), offset=4)], mark(topic, 4, BURY))

    assert (set(), set()) == (fold.unburied, fold.waiting)


@pytest.mark.parametrize("group", ["another", "somebody"])
def test_failure_that_waits_for_another_group_is_not_due_to_be_buried(group: str) -> None:
    fold = folded([record(FAILED, wire.encode(failed()), offset=4)], mark(FAILED, 4, group))

    assert ({PLACE}, set()) == (fold.waiting, fold.unburied)


def test_failure_that_waits_to_be_buried_keeps_nobody_waiting() -> None:
    message = record(FAILED, wire.encode(failed()), offset=4)
    fold = folded([message], mark(FAILED, 5), mark(FAILED, 4, BURY))

    assert (set(), {PLACE}) == (fold.waiting, fold.unburied)


def test_failure_that_waits_to_be_answered_is_on_its_way() -> None:
    message = record(FAILED, wire.encode(failed()), offset=4)
    fold = folded([message], mark(FAILED, 4), mark(FAILED, 5, BURY))

    assert ({PLACE}, set()) == (fold.waiting, fold.unburied)


def test_groups_are_known_by_the_names_of_the_cluster() -> None:
    names = Names(namespace="other.")
    marked = (mark(FAILED, 4, names.group("bury")),)

    assert {PLACE} == folded([record(FAILED, wire.encode(failed()), offset=4)], *marked, names=names).unburied


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"[1]",
        b'{"origin": 3}',
        b'{"origin": {"topic": "prompts"}}',
        b'{"origin": {"topic": "prompts", "partition": 1, "offset": "x"}}',
        wire.encode(admitted(origin=origin(topic="admitted"))),
        wire.encode(admitted(origin=origin(topic="results"))),
    ],
)
def test_message_that_names_no_prompt_is_passed_over(value: bytes | None) -> None:
    fold = folded([record(ADMITTED, value)], mark(ADMITTED, 0))

    assert ({}, set()) == (fold.farthest, fold.waiting)


def test_farthest_topic_of_a_prompt_is_kept_whatever_the_order() -> None:
    steps = [record(topic, wire.encode(admitted())) for topic in (FAILED, ADMITTED)]

    assert {PLACE: FLOW.index(FAILED)} == folded(steps).farthest == folded(reversed(steps)).farthest


@pytest.mark.parametrize(
    ("given", "kept", "astray"),
    [
        (letter(), {packed(3, 17)}, 0),
        (letter(topic=b"elsewhere"), set(), 1),
        (letter(place=b"-1"), set(), 1),
        (letter(place=b"9" * 5000), set(), 1),
        (letter(place="٣".encode()), set(), 1),
        (record(DEAD_LETTERS, b"somebody's"), set(), 1),
    ],
)
def test_dead_letter_is_filed_under_its_original(given: Record, kept: set[int], astray: int) -> None:
    fold = folded([given])

    assert (kept, astray) == (set(fold.letters), len(fold.astray))


def test_dead_letter_without_an_id_goes_by_its_place() -> None:
    assert ["dead-letters/0/0"] == [one.id for one in folded([record(DEAD_LETTERS, b"x")]).astray]


def test_dead_letter_of_a_cluster_with_prefix_finds_its_prompt() -> None:
    fold = folded([letter(topic=b"acme-prompts")], names=Names(prefix="acme-"))

    assert {packed(3, 17)} == set(fold.letters)


def test_answers_under_one_name_are_counted_and_their_times_kept() -> None:
    said = b'{"id":"a","request_hash":"h","received_at":"t","status":"completed","attempts":2}'
    copies = [record(RESULTS, said, offset, timestamp_ms=NOW_MS + ms) for offset, ms in enumerate((5, 1, 9))]
    [given] = folded(copies).answers.values()

    assert (3, 1, NOW_MS + 1, NOW_MS + 9) == (given.count, len(given.forms), given.first_ms, given.last_ms)


def test_answers_under_one_name_that_differ_are_kept_once_each() -> None:
    said = [b'{"id":"a","request_hash":"h","received_at":"t","status":"failed","attempts":%d}' % n for n in range(6)]
    read = [record(RESULTS, value, offset) for offset, value in enumerate([*said, *said])]
    [given] = folded(read).answers.values()

    assert (12, [0, 1, 2, 3, 4, 5]) == (given.count, [form.attempts for form in given.forms])


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (b'"status":"failed","error":{"kind":"too_large"},"attempts":3', ("failed", "too_large", 3)),
        (b'"status":"completed","error":null', ("completed", "", 0)),
        (b'"status":"completed","attempts":"many"', ("completed", "", 0)),
    ],
)
def test_form_of_an_answer_holds_status_kind_and_attempts(rest: bytes, expected: tuple[str, str, int]) -> None:
    [given] = folded(
        [record(RESULTS, b'{"id":"a","request_hash":"h","received_at":"t",' + rest + b"}")]
    ).answers.values()

    assert [expected] == [form[1:] for form in given.forms]


@pytest.mark.parametrize("value", [None, b"{", b"{}", b'{"id":1,"request_hash":"h","received_at":"t","status":"s"}'])
def test_result_that_is_no_answer_is_kept_by_its_place(value: bytes | None) -> None:
    assert ["results/2/9"] == folded([record(RESULTS, value, 9, partition=2)]).unreadable


def test_hole_in_offsets_is_kept_with_its_bounds() -> None:
    fold = folded([record(offset=offset) for offset in (3, 4, 7, 5, 9)])

    view = fold.views[PROMPTS, 0]
    assert (3, 10, [(5, 7), (8, 9)]) == (view.first, view.next, view.holes)


def test_time_of_a_log_is_that_of_its_first_record() -> None:
    fold = folded([record(offset=offset, timestamp_ms=NOW_MS + ms) for offset, ms in ((3, 5), (4, 1), (5, 9))])

    assert NOW_MS + 5 == fold.views[PROMPTS, 0].first_ms


def test_log_that_is_opened_is_expected_from_its_start_to_its_end() -> None:
    fold = Fold(marks=[Mark(CORE, PROMPTS, 0, 0, 2, 9)])
    fold.open_all()
    fold.add(record(offset=4))

    view = fold.views[PROMPTS, 0]
    assert (2, 5, 9, [(2, 4)]) == (view.first, view.next, view.end, view.holes)


def test_newest_time_is_that_of_any_record() -> None:
    assert NOW_MS + 9 == folded([record(TICKS, timestamp_ms=NOW_MS + 9), record()]).newest_ms


def test_settled_pipeline_leaves_nothing_waiting() -> None:
    line = ran(asked("a"), asked("b"), b"{torn")
    fold = folded(records(line), *marks(line))

    assert (set(), set(), set()) == (fold.waiting, fold.sharing, fold.unburied)
