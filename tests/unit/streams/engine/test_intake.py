"""What one agent takes from its queue, leaves there, and refuses to go on with."""

import asyncio
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import continuity
from streams.engine import intake as intake_module
from streams.engine.buffers import HELD_BYTES
from streams.engine.exit import Fatal
from streams.engine.intake import SPAN
from streams.stage import Output, Record, Scope
from tests.support.builders import NOW_MS
from tests.support.fake_faust import GENERATION, NAMES, PHYSICAL, Bench, FakeStream, event, message, settle
from tests.support.loops import in_loop, until
from topics.catalog import ADMITTED, CATALOG, EXPENDABLE, TICKS
from topics.errors import TopicRefused

HERE = TP(PHYSICAL, 0)


def fatal(reason: Any, expected: int, got: int) -> Fatal:
    return Fatal(reason, "core", f"{ADMITTED}/0: expected {expected}, got {got}", ADMITTED, 0, expected)


async def read(bench: Bench, *offsets: int, **fields: Any) -> None:
    """The agent works off these records."""
    bench.put(*offsets, **fields)
    with bench.reading():
        await settle(60)


def committed(bench: Bench, offset: int) -> Bench:
    bench.consumer._committed_offset[HERE] = offset
    return bench


# -- taking
@in_loop
async def test_read_records_in_order_are_handled_and_acked() -> None:
    bench = committed(Bench(), 5)
    await read(bench, 5, 6, 7)

    assert ([5, 6, 7], 3) == (bench.consumer.acked, len(bench.seen))


@in_loop
async def test_read_record_becomes_current_before_it_is_handled() -> None:
    current: list[list[int]] = []

    def handle(record: Record, scope: Scope) -> list[Output]:
        current.append(list(bench.stream.current))
        return []

    bench = committed(Bench(handle, table="rows"), 5)
    await read(bench, 5, 6)

    assert [[5], [5, 6]] == current


@in_loop
async def test_read_waits_for_a_record_that_comes_later() -> None:
    bench = committed(Bench(), 0)
    with bench.reading():
        await settle()
        bench.put(0)
        await until(lambda: bool(bench.consumer.acked))

    assert [0] == bench.consumer.acked


@in_loop
async def test_read_end_of_stream_ends_the_agent() -> None:
    bench = Bench()
    with bench.reading() as agent:
        await settle()
        await bench.stream.channel.queue.throw(StopAsyncIteration())
        await asyncio.wait_for(agent, 5)

    assert agent.done()


@in_loop
async def test_read_handed_record_is_tracked_until_it_is_acked() -> None:
    bench = committed(Bench(auto=False), 0)
    await read(bench, 0)
    tracked = [held.offset for held in bench.consumer._unacked_messages]
    bench.delivery.answer()

    assert ([0], set()) == (tracked, bench.consumer._unacked_messages)
    assert [0] == bench.consumer.acked


@in_loop
async def test_read_many_records_lets_others_run() -> None:
    bench = committed(Bench(), 0)
    bench.put(*range(90))
    with bench.reading():
        await asyncio.sleep(0)  # why: one turn of the loop is what is measured
        first = len(bench.seen) + len(bench.delivery.parcels)

    assert first <= 2 * intake_module.YIELD_EVERY


# -- leaving
@in_loop
async def test_read_record_during_rebalance_is_left() -> None:
    bench = committed(Bench(), 5)
    bench.app.rebalancing = True
    await read(bench, 5)

    assert ([], set(), []) == (bench.consumer.acked, bench.consumer._unacked_messages, bench.seen)


@in_loop
async def test_read_record_during_stop_is_left() -> None:
    bench = committed(Bench(), 5)
    bench.app.stopping = True
    await read(bench, 5)

    assert ([], []) == (bench.consumer.acked, bench.seen)


@in_loop
async def test_read_record_of_an_old_generation_is_left() -> None:
    bench = committed(Bench(), 5)
    await read(bench, 5, generation=GENERATION - 1)

    assert ([], []) == (bench.consumer.acked, bench.stream.current)


@in_loop
async def test_read_record_while_flow_is_suspended_is_left() -> None:
    bench = committed(Bench(), 5)
    bench.put(5)
    bench.app.flow_control.suspend()
    with bench.reading():
        await settle()

    assert [] == bench.seen


@in_loop
async def test_read_after_rebalance_starts_over_at_the_committed_offset() -> None:
    bench = committed(Bench(), 5)
    await read(bench, 5, 6)
    bench.intake.forget(bench.intake.leave())
    bench.app.consumer_generation_id += 1
    await read(bench, 5, 6, generation=GENERATION + 1)

    assert ([5, 6, 5, 6], []) == (bench.consumer.acked, bench.app.ended)


@in_loop
async def test_read_rebalance_during_the_question_leaves_the_record() -> None:
    bench = committed(Bench(), 5)

    def rebalance() -> None:
        bench.app.rebalancing = True

    bench.consumer.asking = rebalance
    await read(bench, 9)

    assert ([HERE], [], []) == (bench.consumer.asked, bench.seen, bench.app.ended)


# -- order
@in_loop
async def test_read_hole_behind_a_handled_record_ends_the_process() -> None:
    bench = committed(Bench(), 5)
    bench.consumer.starts[HERE] = 0
    await read(bench, 5, 8)

    assert [fatal("hole_in_offsets", 6, 8)] == bench.app.ended
    assert [5] == bench.consumer.acked


@in_loop
async def test_read_first_record_above_the_committed_offset_ends_the_process() -> None:
    bench = committed(Bench(), 5)
    bench.consumer.starts[HERE] = 0
    await read(bench, 9)

    assert ([fatal("hole_in_offsets", 5, 9)], []) == (bench.app.ended, bench.seen)


@in_loop
async def test_read_first_record_of_a_new_group_must_be_the_first_of_the_log() -> None:
    bench = Bench()
    bench.consumer.log_starts[HERE] = bench.consumer.starts[HERE] = 3
    await read(bench, 4)

    assert [fatal("hole_in_offsets", 3, 4)] == bench.app.ended


@in_loop
async def test_read_first_record_of_a_trimmed_log_is_taken_by_a_new_group() -> None:
    bench = Bench()
    bench.consumer.log_starts[HERE] = 3
    await read(bench, 3, 4)

    assert ([3, 4], []) == (bench.consumer.acked, bench.app.ended)


@in_loop
async def test_read_records_in_order_ask_the_broker_nothing() -> None:
    bench = committed(Bench(), 5)
    await read(bench, 5, 6, 7)

    assert [] == bench.consumer.asked


@in_loop
async def test_read_committed_offset_counts_before_the_start_of_the_log() -> None:
    bench = committed(Bench(), 5)
    bench.consumer.log_starts[HERE] = 0
    await read(bench, 5)

    assert ([5], []) == (bench.consumer.acked, bench.app.ended)


@in_loop
async def test_read_later_log_start_ends_the_process_and_names_the_gap() -> None:
    bench = committed(Bench(), 5)
    bench.consumer.starts[HERE] = 9
    await read(bench, 9)

    assert ([fatal("log_starts_later", 5, 9)], []) == (bench.app.ended, bench.seen)


@in_loop
async def test_read_later_log_start_goes_on_by_setting_and_tells_what_is_lost() -> None:
    bench = committed(Bench(skip_lost_offsets=True), 5)
    bench.consumer.starts[HERE] = 9
    await read(bench, 9, 10)

    assert ([(ADMITTED, 0, 5, 9)], [9, 10]) == (bench.app.lost, bench.consumer.acked)


@in_loop
async def test_read_later_start_of_an_expendable_log_is_passed_and_told() -> None:
    """Ticks are kept for a day: what is gone of them said only that time passed."""
    bench = Bench()
    intake, there = bench.feed(TICKS), TP(NAMES.topic(TICKS), 0)
    bench.consumer._committed_offset[there], bench.consumer.starts[there] = 5, 9
    taken = [event(offset, topic=NAMES.topic(TICKS)) for offset in (9, 10)]
    for each in taken:
        await intake._take(each)
    await settle()

    assert ([(TICKS, 0, 5, 9)], [9, 10], []) == (bench.app.lost, bench.consumer.acked, bench.app.ended)


@pytest.mark.parametrize("topic", [name for name in CATALOG if name not in EXPENDABLE])
@in_loop
async def test_read_later_start_of_a_log_with_requests_is_never_passed(topic: str) -> None:
    bench = Bench()
    intake, there = bench.feed(topic), TP(NAMES.topic(topic), 0)
    bench.consumer._committed_offset[there], bench.consumer.starts[there] = 5, 9
    await intake._take(event(9, topic=NAMES.topic(topic)))

    assert (["log_starts_later"], []) == ([fatal.reason for fatal in bench.app.ended], bench.app.lost)


@in_loop
async def test_read_hole_inside_an_expendable_log_ends_the_process() -> None:
    bench = Bench()
    intake, there = bench.feed(TICKS), TP(NAMES.topic(TICKS), 0)
    bench.consumer._committed_offset[there], bench.consumer.starts[there] = 5, 0
    await intake._take(event(9, topic=NAMES.topic(TICKS)))

    assert ["hole_in_offsets"] == [fatal.reason for fatal in bench.app.ended]


@in_loop
async def test_read_hole_above_the_start_is_never_skipped_by_setting() -> None:
    bench = committed(Bench(skip_lost_offsets=True), 5)
    bench.consumer.starts[HERE] = 7
    await read(bench, 9)

    assert ([fatal("hole_in_offsets", 5, 9)], []) == (bench.app.ended, bench.app.lost)


@in_loop
async def test_read_redelivered_record_is_handled_again() -> None:
    bench = committed(Bench(), 5)
    await read(bench, 4, 5)

    assert ([4, 5], []) == (bench.consumer.acked, bench.app.ended)


@in_loop
async def test_read_partitions_are_judged_apart() -> None:
    bench = committed(Bench(), 5)
    bench.consumer._committed_offset[TP(PHYSICAL, 1)] = 70
    await read(bench, 5)
    await read(bench, 70, partition=1)

    assert ([5, 70], []) == (bench.consumer.acked, bench.app.ended)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_read_first_record_is_taken_exactly_when_the_rule_says_so(offset: int, expected: int, start: int) -> None:
    bench = committed(Bench(), expected)
    bench.consumer.starts[HERE] = start

    asyncio.run(read(bench, offset))

    verdict = continuity.judge(offset, expected, start)
    assert isinstance(verdict, continuity.InOrder) == (len(bench.seen) == 1) == (not bench.app.ended)


# -- room
@in_loop
async def test_read_full_window_waits_for_room() -> None:
    gate = asyncio.Event()
    running: list[int] = []

    async def handle(record: Record, scope: Scope) -> list[Output]:
        running.append(record.offset)
        await gate.wait()
        return []

    bench = committed(Bench(handle, slots=2), 0)
    bench.put(*range(5))
    with bench.reading():
        await settle(60)
        waiting = (list(running), bench.stream.channel.queue.qsize())
        gate.set()
        await until(lambda: 5 == len(bench.consumer.acked))

    assert ([0, 1], 2) == waiting  # two run, one is in the agent's hand
    assert [0, 1, 2, 3, 4] == bench.consumer.acked


@in_loop
async def test_read_waiting_record_is_let_go_by_a_drain() -> None:
    async def handle(record: Record, scope: Scope) -> list[Output]:
        await asyncio.Event().wait()
        return []

    bench = committed(Bench(handle, slots=1), 0)
    bench.put(0, 1)
    with bench.reading() as agent:
        await settle(60)
        forgotten = await bench.loop.drain(0.0, patient=False)
        await settle()
        alive = not agent.done()

    assert (2, True, []) == (forgotten, alive, bench.seen)


@in_loop
async def test_read_refused_stage_takes_nothing_more() -> None:
    bench = committed(Bench(), 0)
    bench.loop.refused = TopicRefused("x", "y")
    await read(bench, 0, 1)

    assert ([], 1) == (bench.seen, bench.stream.channel.queue.qsize())


@pytest.mark.parametrize(("span", "room"), [(SPAN, True), (SPAN + 1, False)])
def test_room_ends_above_the_span_of_a_partition(span: int, room: bool) -> None:
    bench = Bench()
    for offset in range(span):
        bench.intake.acks.open(message(offset), 0)

    assert room == bench.intake._has_room(0)


@pytest.mark.parametrize(("records", "room"), [(1, True), (2, False)])
def test_room_ends_above_the_bytes_but_one_record_always_passes(records: int, room: bool) -> None:
    bench = Bench()
    for offset in range(records):
        bench.intake.acks.open(message(offset), HELD_BYTES + 1)

    assert room == bench.intake._has_room(0)


def test_room_in_one_partition_does_not_depend_on_the_span_of_another() -> None:
    bench = Bench()
    for offset in range(SPAN + 1):
        bench.intake.acks.open(message(offset), 0)

    assert bench.intake._has_room(1)


# -- offered by the consumer
@in_loop
async def test_offered_before_the_agent_runs_is_refused() -> None:
    bench = Bench()

    assert not bench.intake.offered(HERE, event(0), bench.consumer)


@in_loop
async def test_offered_to_a_full_queue_is_refused() -> None:
    bench = Bench()
    bench.stream = FakeStream(bench.app.flow_control, maxsize=2)
    bench.intake.queue = bench.stream.channel.queue
    taken = [bench.intake.offered(HERE, event(offset), bench.consumer) for offset in range(3)]

    assert [True, True, False] == taken


@in_loop
async def test_offered_under_pressure_takes_the_partition_out_and_back() -> None:
    bench = committed(Bench(), 0)
    bench.stream = FakeStream(bench.app.flow_control, maxsize=10)
    bench.intake.queue = bench.stream.channel.queue
    for offset in range(10):
        bench.intake.offered(HERE, event(offset), bench.consumer)
    stopped = list(bench.consumer.stopped)
    with bench.reading():
        await settle(60)

    assert ([HERE], [HERE]) == (stopped, bench.consumer.resumed)


@in_loop
async def test_offered_bytes_above_the_cap_take_the_partition_out() -> None:
    bench = Bench()
    bench.stream = FakeStream(bench.app.flow_control, maxsize=1000)
    with bench.reading():
        await settle()
        assert bench.intake.held is not None
        bench.intake.held.cap = 100
        bench.app.rebalancing = True  # nothing is taken into work: only the bytes count here
        bench.intake.offered(HERE, event(0, value=b"x" * 101), bench.consumer)

        assert [HERE] == bench.consumer.stopped


@in_loop
async def test_offered_tombstone_weighs_nothing() -> None:
    bench = committed(Bench(), 0)
    with bench.reading():
        await settle()
        bench.intake.offered(HERE, event(0, value=None, key=None), bench.consumer)
        await settle()

    assert ([0], 0) == (bench.consumer.acked, bench.intake.acks.held_bytes)


# -- forgetting
@in_loop
async def test_forget_counts_and_untracks_what_is_unacked() -> None:
    bench = committed(Bench(auto=False), 0)
    await read(bench, 0, 1, 2)

    assert 3 == bench.intake.forget(bench.intake.leave())
    assert (set(), 0) == (bench.consumer._unacked_messages, bench.intake.acks.held_bytes)


def test_forget_before_the_agent_ran_is_nothing() -> None:
    bench = Bench()
    bench.intake.acks.consumer = None

    assert 0 == bench.intake.forget(bench.intake.leave())


@in_loop
async def test_cleared_queue_empties_the_count_of_held_bytes() -> None:
    bench = Bench()
    with bench.reading():
        await settle()
        assert bench.intake.held is not None
        bench.intake.held.put(HERE, 1000)
        bench.intake.cleared()

        assert 0 == bench.intake.held.held


# -- the record
def test_record_has_the_catalog_name_and_the_appended_time() -> None:
    record = Bench().intake.record(message(7, 2, b"v", b"k", headers=[("h", b"1")]))

    assert Record(ADMITTED, 2, 7, NOW_MS, b"k", b"v", (("h", b"1"),)) == record


@pytest.mark.parametrize("headers", [None, (), []])
def test_record_without_headers_has_none(headers: Any) -> None:
    assert () == Bench().intake.record(message(headers=headers)).headers


@given(st.integers(0, 4_102_444_800_000))
def test_record_time_survives_fausts_seconds(stamp_ms: int) -> None:
    held = message()
    held.timestamp = stamp_ms / 1000.0

    assert stamp_ms == Bench().intake.record(held).timestamp_ms
