import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.clock import HandClock
from streams.adapters.memory import Faults, Log, MemoryScope, Reader, Rows, Store, checked, refused, shelf_of
from streams.stage import Output, Outputs, Record, Scope, Stage
from tests.support.builders import NOW_MS, admitted, failed, record
from tests.support.loops import in_loop
from tests.support.scopes import turns
from topics.catalog import ADMITTED, BREAKER_TICKS, CALLS, CATALOG, DEAD_LETTERS, DEDUPED, FAILED, PROMPTS, TICKS
from topics.errors import ConfigurationError, RecordTooLarge
from topics.messages import Origin


def log(partitions: int = 4) -> Log:
    return Log(partitions, HandClock(17))


def at(topic: str, partition: int, offset: int) -> Origin:
    return Origin(topic=topic, partition=partition, offset=offset, timestamp_ms=0, hash="")


def test_record_appended_gets_the_next_offset_and_the_time() -> None:
    kept = log()

    kept.append(PROMPTS, None, b"a", (), 2)
    record = kept.append(PROMPTS, b"k", b"b", (("h", b"1"),), 2)

    assert Record(PROMPTS, 2, 1, 17, b"k", b"b", (("h", b"1"),)) == record


def test_records_of_one_key_share_a_partition() -> None:
    kept = log()

    found = {kept.append(PROMPTS, b"key", b"", (), None).partition for _ in range(5)}

    assert 1 == len(found)


def test_records_without_a_key_go_round() -> None:
    kept = log(3)

    assert [0, 1, 2, 0] == [kept.append(PROMPTS, None, b"", (), None).partition for _ in range(4)]


def test_topics_of_the_log_are_those_of_the_catalog() -> None:
    kept = log(2)

    assert {name: [[], []] for name in CATALOG} == kept.topics


def test_record_that_is_there_is_read_back() -> None:
    kept = log()
    record = kept.append(PROMPTS, None, b"a", (), 3)

    assert record == asyncio.run(kept.fetch(at(PROMPTS, 3, 0)))


@pytest.mark.parametrize("place", [("no-such", 0, 0), (PROMPTS, 9, 0), (PROMPTS, 3, 1)])
def test_record_that_is_not_there_is_none(place: tuple[str, int, int]) -> None:
    kept = log()
    kept.append(PROMPTS, None, b"a", (), 3)

    assert None is asyncio.run(kept.fetch(at(*place)))


def test_row_written_can_be_read_and_forgotten() -> None:
    rows = Rows({})

    rows.put(b"k", b"v")
    before = rows.get(b"k")
    rows.delete(b"k")

    assert (b"v", None) == (before, rows.get(b"k"))


def test_row_that_is_not_there_can_be_forgotten() -> None:
    rows = Rows({b"k": b"v"})

    rows.delete(b"other")

    assert b"v" == rows.get(b"k")


@given(st.dictionaries(st.binary(max_size=4), st.binary(max_size=4)))
def test_items_are_all_rows_in_the_order_of_their_keys(rows: dict[bytes, bytes]) -> None:
    assert sorted(rows.items()) == list(Rows(rows).items())


@given(st.dictionaries(st.binary(max_size=3), st.binary(max_size=2)), st.binary(max_size=3))
def test_items_behind_a_key_are_those_above_it(rows: dict[bytes, bytes], after: bytes) -> None:
    assert [row for row in sorted(rows.items()) if row[0] > after] == list(Rows(rows).items(after))


def test_items_asked_for_may_be_changed_while_they_are_read() -> None:
    rows = Rows({b"a": b"1", b"b": b"2"})

    for key, value in rows.items():
        rows.delete(key)
        rows.put(key + b"+", value)

    assert [(b"a+", b"1"), (b"b+", b"2")] == list(rows.items())


# -- what a worker holds


def nothing(record: Record, scope: Scope) -> Outputs:
    return ()


def stage(handle: Any = nothing, *, name: str = "one", table: str | None = "rows", slots: int = 0) -> Stage:
    return Stage(name, "core", (TICKS,), (DEDUPED,), handle, table=table, slots=slots)


def scope(store: Store, of: Stage | None = None, partition: int = 0) -> MemoryScope:
    return MemoryScope(store, of or stage(), record(b"", topic=TICKS, partition=partition))


def store(rows: dict[bytes, bytes] | None = None, partition: int = 0) -> Store:
    made = Store(HandClock(17))
    made.tables["core", "rows", partition] = dict(rows or {})
    return made


@pytest.mark.parametrize(("table", "shelf"), [("rows", ("core", "rows", 3)), (None, ("core", "", 3))])
def test_shelf_of_a_record_is_by_app_table_and_partition(table: str | None, shelf: tuple[str, str, int]) -> None:
    assert shelf == shelf_of(stage(table=table), record(b"", partition=3))


def test_rows_of_a_scope_are_those_of_its_partition() -> None:
    kept = store()

    scope(kept, partition=1).table.put(b"k", b"v")

    assert (None, b"v") == tuple(scope(kept, partition=number).table.get(b"k") for number in (0, 1))


def test_rows_of_two_stages_with_one_table_are_the_same() -> None:
    kept = store()

    scope(kept, stage(name="one")).table.put(b"k", b"v")

    assert b"v" == scope(kept, stage(name="two")).table.get(b"k")


def test_rows_of_a_stage_without_a_table_are_refused_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match="stage one"):
        _ = scope(store(), stage(table=None)).table


@pytest.mark.parametrize(("reads_clock", "now_ms"), [(False, NOW_MS), (True, 17)])
def test_time_of_a_scope_is_the_clocks_only_for_who_reads_it(reads_clock: bool, now_ms: int) -> None:
    timed = Stage("one", "core", (TICKS,), (), nothing, reads_clock=reads_clock)

    assert now_ms == scope(store(), timed).now_ms


def test_derived_is_made_once_for_all_stages_of_the_table() -> None:
    kept, made = store({b"k": b"v"}), list[object]()

    def build(rows: Any) -> list[Any]:
        made.append(list(rows.items()))
        return []

    indexes = [scope(kept, stage(name=name)).derived(build) for name in ("one", "two", "one")]

    assert ([[(b"k", b"v")]], True) == (made, all(each is indexes[0] for each in indexes))


@pytest.mark.parametrize(("moved", "left"), [(None, []), (0, [1]), (1, [0]), (7, [0, 1])])
@in_loop
async def test_derived_of_a_partition_that_moved_is_forgotten(moved: int | None, left: list[int]) -> None:
    kept = store()
    for partition in (0, 1):
        scope(kept, partition=partition).derived(lambda rows: [rows])

    await kept.moved(moved)

    assert left == [partition for _, _, partition in kept.derived]


@in_loop
async def test_rows_of_a_partition_that_moved_come_along() -> None:
    kept = store({b"k": b"v"})

    await kept.moved(None)

    assert b"v" == scope(kept).table.get(b"k")


# -- calls


class Provider:
    """Calls that end when they are let."""

    def __init__(self) -> None:
        self.started, self.cancelled, self.let = 0, 0, asyncio.Event()

    async def __call__(self) -> str:
        self.started += 1
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return f"answer {self.started}"


def asking(kept: Store, call: Callable[[], Awaitable[Any]], key: bytes = b"k", partition: int = 0) -> Any:
    return asyncio.ensure_future(scope(kept, partition=partition).shared(key, call))


@in_loop
async def test_call_of_one_key_is_shared_by_all_who_ask() -> None:
    kept, call = store(), Provider()
    handlers = [asking(kept, call) for _ in range(3)]
    await turns()
    call.let.set()

    assert ["answer 1"] * 3 == await asyncio.gather(*handlers)
    assert {} == kept.calls


@in_loop
async def test_call_of_each_key_is_its_own() -> None:
    kept, call = store(), Provider()
    handlers = [asking(kept, call, key) for key in (b"a", b"b")]
    await turns()
    call.let.set()
    await asyncio.gather(*handlers)

    assert 2 == call.started


@in_loop
async def test_call_outlives_a_handler_that_is_cancelled() -> None:
    kept, call = store(), Provider()
    first, second = asking(kept, call), asking(kept, call)
    await turns()
    first.cancel()
    await turns()
    call.let.set()

    assert ("answer 1", 0) == (await second, call.cancelled)


@pytest.mark.parametrize(("moved", "cancelled"), [(None, 2), (0, 1), (7, 0)])
@in_loop
async def test_calls_of_a_partition_that_moved_are_cancelled(moved: int | None, cancelled: int) -> None:
    kept, call = store(), Provider()
    handlers = [asking(kept, call, b"%d" % partition, partition) for partition in (0, 1)]
    await turns()
    await kept.moved(moved)
    await turns()

    assert (cancelled, 2 - cancelled) == (call.cancelled, len(kept.calls))
    call.let.set()
    await asyncio.gather(*handlers, return_exceptions=True)


@in_loop
async def test_call_after_its_partition_moved_is_a_new_one() -> None:
    kept, call = store(), Provider()
    first = asking(kept, call)
    await turns()
    await kept.moved(None)
    second = asking(kept, call)
    await turns()
    call.let.set()
    await asyncio.gather(first, return_exceptions=True)

    assert ("answer 2", {}) == (await second, kept.calls)


@pytest.mark.parametrize(("handlers", "busy"), [(0, 0), (1, 0), (4, -3)])
@in_loop
async def test_busy_counts_a_call_less_those_who_wait_for_it(handlers: int, busy: int) -> None:
    kept, call = store(), Provider()
    waiting = [asking(kept, call) for _ in range(handlers)]
    await turns()
    found = kept.busy
    call.let.set()
    await asyncio.gather(*waiting)

    assert (busy, 0) == (found, kept.busy)


@in_loop
async def test_busy_counts_who_waited_for_a_call_that_has_ended() -> None:
    """Else the clock would be wound before they have gone on."""
    kept, call = store(), Provider()
    waiting = asking(kept, call)
    await turns()
    call.let.set()
    [running] = kept.calls.values()
    while not running.task.done():  # noqa: ASYNC110 - the very turn in which it ends is looked for
        await asyncio.sleep(0)

    assert (0, 1) == (kept.busy, running.attached)
    await waiting


# -- what a record would come to


def writes(record: Record, scope: Scope) -> Outputs:
    scope.table.put(b"k", b"new")
    return ()


def writes_again(record: Record, scope: Scope) -> Outputs:
    scope.table.put(b"k", scope.table.get(b"k") or b"")
    return ()


def says(record: Record, scope: Scope) -> Outputs:
    return (Output(DEDUPED, None, None, "said"),)


def breaks(record: Record, scope: Scope) -> Outputs:
    raise KeyError("x")


def indexes(record: Record, scope: Scope) -> Outputs:
    scope.derived(lambda rows: list[int]()).append(1)
    return ()


@pytest.mark.parametrize(
    ("handle", "changes"),
    [(nothing, False), (writes_again, False), (indexes, False), (writes, True), (says, True), (breaks, True)],
)
def test_record_changes_something_where_it_writes_says_or_breaks(handle: Any, changes: bool) -> None:
    assert changes == store({b"k": b"old"}).changes(stage(handle), record(b"", topic=TICKS, partition=0))


@pytest.mark.parametrize("handle", [writes, says, breaks, indexes])
def test_record_that_is_only_tried_leaves_everything_as_it_was(handle: Any) -> None:
    kept = store({b"k": b"old"})

    kept.changes(stage(handle), record(b"", topic=TICKS, partition=0))

    assert ({("core", "rows", 0): {b"k": b"old"}}, {}) == (dict(kept.tables), kept.derived)


def test_record_of_a_stage_that_awaits_may_change_anything() -> None:
    assert store().changes(stage(nothing, slots=1), record(b"", topic=TICKS))


# -- faults, and what is written


@pytest.mark.parametrize(
    ("topic", "times", "raised"),
    [(None, 1, [1, 0, 0]), (None, 2, [1, 1, 0]), (TICKS, 9, [1, 1, 1]), (FAILED, 9, [0, 0, 0])],
)
def test_fault_comes_as_often_as_it_was_asked_for(topic: str | None, times: int, raised: list[int]) -> None:
    faults, error = Faults(), KeyError("x")
    faults.add("one", error, times, topic)

    found = [faults.next_of(stage(), record(b"", topic=TICKS)) for _ in range(3)]

    assert [error if each else None for each in raised] == found


def test_fault_of_another_stage_does_not_come() -> None:
    faults = Faults()
    faults.add("two", KeyError("x"), 1, None)

    assert None is faults.next_of(stage(), record(b"", topic=TICKS))


def test_faults_of_one_stage_come_one_after_the_other() -> None:
    faults, errors = Faults(), [KeyError("x"), ValueError("y")]
    for error in errors:
        faults.add("one", error, 1, None)

    assert errors == [faults.next_of(stage(), record(b"", topic=TICKS)) for _ in errors]


def test_outputs_checked_carry_stage_decision_and_cause() -> None:
    (output,) = checked(stage(), record(b"", topic=ADMITTED, partition=3, offset=7), says(record(b""), scope(store())))

    assert {"prompts.stage": b"one", "prompts.decision": b"said", "prompts.cause": b"admitted/3/7"} == dict(
        output.headers
    )


@pytest.mark.parametrize("topic", [DEDUPED, TICKS, DEAD_LETTERS])
@pytest.mark.parametrize("over", [0, 1])
def test_output_checked_may_weigh_what_its_topic_takes(topic: str, over: int) -> None:
    output = Output(topic, b"12345678", b"x" * (CATALOG[topic].max_bytes - 8 + over), "big")
    limit = CATALOG[topic].max_bytes

    try:
        found: object = len(checked(stage(), record(b""), (output,)))
    except RecordTooLarge as refused:
        found = (refused.topic, refused.size, refused.limit)

    assert ((topic, limit + 1, limit) if over else 1) == found


@pytest.mark.parametrize(("topic", "written"), [(ADMITTED, FAILED), (PROMPTS, FAILED), (FAILED, DEAD_LETTERS)])
def test_record_refused_goes_where_the_engine_writes_it(topic: str, written: str) -> None:
    [output] = refused(stage(), record(admitted(), topic=topic), KeyError("secret"), NOW_MS)

    assert (written, "failed", b"one") == (output.topic, output.decision, dict(output.headers)["prompts.stage"])


def test_record_refused_as_a_dead_letter_names_its_group() -> None:
    [output] = refused(stage(), record(failed(), topic=FAILED), KeyError("secret"), NOW_MS)

    assert b"prompts.core" == dict(output.headers)["prompts.error.group"]


def test_record_refused_tells_no_words_of_a_foreign_error() -> None:
    """B98."""
    [output] = refused(stage(), record(admitted()), KeyError("secret"), NOW_MS)

    assert "KeyError" == orjson.loads(output.value or b"")["failure"]["message"]


# -- who hears, and who reads


@pytest.mark.parametrize(("topic", "heard"), [(ADMITTED, [b"a", b"b"]), (PROMPTS, [])])
def test_record_appended_is_told_to_who_hears_its_topic(topic: str, heard: list[bytes]) -> None:
    kept, told = log(), list[bytes | None]()
    kept.heard[ADMITTED] = lambda record: told.append(record.value)
    for value in (b"a", b"b"):
        kept.append(topic, None, value, (), None)

    assert heard == told


HOLDING = Stage("one", "core", (CALLS, BREAKER_TICKS), (), lambda record, scope: (), holds=frozenset({CALLS}))


def reader(topic: str, number: int = 0, of: Stage = HOLDING, **fields: int) -> Reader:
    return Reader(of, topic, number, [], **fields)


@pytest.mark.parametrize(("topic", "done"), [(CALLS, 3), (BREAKER_TICKS, 7)])
def test_reader_of_a_held_topic_is_done_up_to_what_was_kept(topic: str, done: int) -> None:
    assert done == reader(topic, next=7, kept=3).done


@pytest.mark.parametrize(
    ("covering", "covered", "covers"),
    [
        (reader(BREAKER_TICKS), reader(CALLS), True),
        (reader(CALLS), reader(BREAKER_TICKS), False),
        (reader(CALLS), reader(CALLS), False),
        (reader(BREAKER_TICKS), reader(BREAKER_TICKS), False),
        (reader(BREAKER_TICKS, 1), reader(CALLS), False),
        (reader(BREAKER_TICKS, of=stage()), reader(CALLS), False),
    ],
)
def test_reader_covers_what_its_stage_holds_in_its_partition(covering: Reader, covered: Reader, covers: bool) -> None:
    assert covers == covering.covers(covered)


@pytest.mark.parametrize(("offset", "next_one"), [(-5, 0), (0, 0), (3, 3), (9, 7)])
def test_reader_goes_back_but_never_on(offset: int, next_one: int) -> None:
    one = reader(CALLS, next=7)
    one.back_to(offset)

    assert next_one == one.next


@pytest.mark.parametrize("topic", [TICKS, BREAKER_TICKS, CALLS])
def test_record_that_is_nobodys_work_is_refused_in_silence(topic: str) -> None:
    assert [] == refused(stage(), record(b"", topic=topic), KeyError("x"), NOW_MS)


def test_idle_record_gets_what_it_waited_for() -> None:
    async def news() -> str:
        return "news"

    assert "news" == asyncio.run(scope(Store(HandClock())).idle(news()))
