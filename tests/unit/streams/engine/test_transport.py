"""Faust's transport as we bend it: the hand-over without tasks, the fence around rebalances, the coordinator's news."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.types import TP

from streams.engine import transport
from streams.engine.transport import YIELD_EVERY, Consumer, ConsumerThread, Producer, Transport
from tests.support.builders import NOW_MS
from tests.support.fake_faust import GENERATION, NAMES, PHYSICAL, message, settle, stage_app
from tests.support.loops import in_loop

CHANGELOG = NAMES.changelog("core", "rows")
STAGE, LOG = TP(PHYSICAL, 0), TP(CHANGELOG, 0)


def fetched(offset: int, topic: str = PHYSICAL, partition: int = 0, headers: Any = ()) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(topic, partition, offset, NOW_MS, 1, b"k", b"v", None, 1, 1, headers)


class TakesAll:
    """An intake that takes what it is offered, or as much as ``room`` says."""

    def __init__(self, room: int = 10_000) -> None:
        self.room = room
        self.events: list[Any] = []

    def offered(self, tp: TP, event: Any, consumer: Any) -> bool:
        if len(self.events) >= self.room:
            return False
        self.events.append(event)
        return True

    @property
    def offsets(self) -> list[int]:
        return [event.message.offset for event in self.events]


class Rig:
    """A real consumer whose fetches and seeks are scripted."""

    def __init__(self, app: Any, room: int = 10_000) -> None:
        self.app, self.intake = app, TakesAll(room)
        self.consumer = app.consumer
        self.fetches: list[list[ConsumerRecord[Any, Any]]] = []
        self.active: set[TP] | None = {STAGE, LOG}
        self.seeks: list[Any] = []
        self.committed: dict[TP, int | None] = {STAGE: None}
        self.asked: list[set[TP]] = []
        self.starts = 0
        self.before_return: Any = lambda: None
        app.intakes.clear()
        app.intakes[PHYSICAL] = self.intake
        app.consumer_generation_id = GENERATION
        app.flow_control.resume()
        app.main_loop = asyncio.get_running_loop()
        self.consumer._wait_next_records = self.fetch
        self.consumer.seek_to_committed = self.seek_to_committed
        self.consumer.earliest_offsets = self.earliest_offsets
        self.consumer.seek = self.seek
        self.consumer.assignment = lambda: {STAGE, LOG}

    async def fetch(self, timeout: float) -> Any:
        self.before_return()
        batches: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = {}
        for record in self.fetches.pop(0) if self.fetches else []:
            batches.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        return batches, self.active

    async def seek_to_committed(self) -> dict[TP, int | None]:
        self.seeks.append("committed")
        return dict(self.committed)

    async def earliest_offsets(self, *tps: TP) -> dict[Any, int]:
        self.asked.append(set(tps))
        return {TopicPartition(tp.topic, tp.partition): self.starts for tp in tps}

    async def seek(self, tp: TP, offset: int) -> None:
        self.seeks.append((tp, offset))

    async def getmany(self, *records: ConsumerRecord[Any, Any]) -> list[tuple[TP, int]]:
        """One fetch; what was left to Faust's own loop."""
        self.fetches.append(list(records))
        return [(tp, message.offset) async for tp, message in self.consumer.getmany(1.0)]


@contextmanager
def rig_at(directory: Path, room: int = 10_000) -> Iterator[Rig]:
    with stage_app(directory) as app:
        yield Rig(app, room)


@in_loop
async def test_getmany_stage_records_go_to_the_intake(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        left = await rig.getmany(*(fetched(offset) for offset in range(3)))

    assert ([], [0, 1, 2]) == (left, rig.intake.offsets)


@in_loop
async def test_getmany_handed_record_moves_the_read_offset(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        await rig.getmany(fetched(7), fetched(8))

    assert 8 == rig.consumer._read_offset[STAGE]


@in_loop
async def test_getmany_handed_record_keeps_all_its_fields(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        await rig.getmany(fetched(7, headers=(("h", b"1"),)))
        [event] = rig.intake.events

    message = event.message
    assert (b"k", b"v", (("h", b"1"),)) == (message.key, message.value, message.headers)
    assert (7, NOW_MS / 1000, GENERATION, 1) == (
        message.offset,
        message.timestamp,
        message.generation_id,
        message.refcount,
    )


@in_loop
async def test_getmany_changelog_record_goes_fausts_own_way(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        left = await rig.getmany(fetched(5, CHANGELOG), fetched(6, CHANGELOG))

    assert ([(LOG, 5), (LOG, 6)], []) == (left, rig.intake.offsets)


@in_loop
async def test_getmany_direct_off_yields_every_record(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer.direct = False
        left = await rig.getmany(fetched(0), fetched(1))

    assert ([(STAGE, 0), (STAGE, 1)], []) == (left, rig.intake.offsets)


@in_loop
async def test_getmany_full_intake_leaves_the_rest_to_faust(tmp_path: Path) -> None:
    with rig_at(tmp_path, room=1) as rig:
        left = await rig.getmany(fetched(0), fetched(1))

    assert ([(STAGE, 1)], [0], 0) == (left, rig.intake.offsets, rig.consumer._read_offset[STAGE])


@in_loop
async def test_getmany_record_left_to_faust_has_no_reference_yet(tmp_path: Path) -> None:
    with rig_at(tmp_path, room=0) as rig:
        rig.fetches.append([fetched(0)])
        [(_, message)] = [one async for one in rig.consumer.getmany(1.0)]

    assert 0 == message.refcount


@in_loop
async def test_getmany_suspended_flow_control_leaves_records_to_faust(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.app.flow_control.suspend()
        left = await rig.getmany(fetched(0))

    assert [(STAGE, 0)] == left


@in_loop
async def test_getmany_record_below_the_read_offset_is_dropped_as_faust_does(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer._read_offset[STAGE] = 5
        left = await rig.getmany(fetched(3), fetched(4), fetched(5), fetched(6))

    assert ([], [5, 6]) == (left, rig.intake.offsets)


@in_loop
async def test_getmany_empty_fetch_hands_over_nothing(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        left = await rig.getmany()

    assert ([], [], []) == (left, rig.intake.offsets, rig.seeks)


@in_loop
async def test_getmany_stopped_consumer_hands_over_nothing(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer._stopped.set()
        left = await rig.getmany(fetched(0))

    assert ([], []) == (left, rig.intake.offsets)


@in_loop
async def test_getmany_flow_stopped_meanwhile_seeks_to_committed(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.before_return = rig.consumer.stop_flow
        left = await rig.getmany(fetched(0))

    assert ([], [], ["committed"]) == (left, rig.intake.offsets, rig.seeks)


@pytest.mark.parametrize(("buffered", "offsets"), [(False, []), (True, [0])])
@in_loop
async def test_getmany_inactive_partition_is_taken_only_when_buffered(
    tmp_path: Path, buffered: bool, offsets: list[int]
) -> None:
    with rig_at(tmp_path) as rig:
        rig.active = {LOG}
        if buffered:
            rig.consumer._buffered_partitions.add(STAGE)
        await rig.getmany(fetched(0))

    assert offsets == rig.intake.offsets


@in_loop
async def test_getmany_without_active_set_takes_everything(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.active = None
        await rig.getmany(fetched(0))

    assert [0] == rig.intake.offsets


@in_loop
async def test_getmany_generation_changed_midway_stops_the_hand_over(tmp_path: Path) -> None:
    with rig_at(tmp_path, room=0) as rig:
        rig.fetches.append([fetched(offset) for offset in range(3)])
        seen = []
        async for _, message in rig.consumer.getmany(1.0):
            seen.append(message.offset)
            rig.app.consumer_generation_id = GENERATION + 1

    assert [0] == seen


@in_loop
async def test_getmany_flow_stopped_midway_stops_the_hand_over(tmp_path: Path) -> None:
    with rig_at(tmp_path, room=0) as rig:
        rig.fetches.append([fetched(offset) for offset in range(3)])
        seen = []
        async for _, message in rig.consumer.getmany(1.0):
            seen.append(message.offset)
            rig.consumer.stop_flow()

    assert [0] == seen


@in_loop
async def test_getmany_large_batch_lets_others_run(tmp_path: Path) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)  # why: counts the turns of the loop
            turns += 1

    with rig_at(tmp_path) as rig:
        counting = asyncio.ensure_future(other())
        await settle(2)
        before = turns
        await rig.getmany(*(fetched(offset) for offset in range(4 * YIELD_EVERY)))
        counting.cancel()

    assert 4 <= turns - before


# -- the fence
@in_loop
async def test_getmany_record_during_rebalance_is_sought_again(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.app.rebalancing = True
        left = await rig.getmany(fetched(4), fetched(5))
        fenced = (left, list(rig.intake.offsets), list(rig.seeks), dict(rig.consumer.seek_again))
        rig.app.rebalancing = False
        await rig.getmany()

    assert ([], [], [], {STAGE: 4}) == fenced
    assert (["committed", (STAGE, 4)], {}) == (rig.seeks, rig.consumer.seek_again)


@in_loop
async def test_getmany_changelog_during_rebalance_passes_the_fence(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.app.rebalancing = True
        left = await rig.getmany(fetched(4, CHANGELOG))

    assert ([(LOG, 4)], {}) == (left, rig.consumer.seek_again)


@in_loop
async def test_getmany_fenced_twice_keeps_the_first_offset(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.app.rebalancing = True
        await rig.getmany(fetched(4))
        await rig.getmany(fetched(9))

    assert {STAGE: 4} == rig.consumer.seek_again


@in_loop
async def test_getmany_fence_lasts_while_the_rebalance_does(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.app.rebalancing = True
        await rig.getmany(fetched(4))
        await rig.getmany()

    assert ([], {STAGE: 4}) == (rig.seeks, rig.consumer.seek_again)


@in_loop
async def test_getmany_rebalance_ended_during_the_fetch_still_fences(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.app.rebalancing = True
        await rig.getmany(fetched(4))
        rig.app.rebalancing = True

        def ended() -> None:
            rig.app.rebalancing = False

        rig.before_return = ended
        left = await rig.getmany(fetched(5))

    assert ([], [], {STAGE: 4}) == (left, rig.intake.offsets, rig.consumer.seek_again)


@in_loop
async def test_getmany_fenced_partition_with_commit_is_not_sought_past_it(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.committed = {STAGE: 3}
        rig.consumer.seek_again[STAGE] = 4
        await rig.getmany()

    assert ["committed"] == rig.seeks


@in_loop
async def test_getmany_fenced_partition_that_moved_away_is_not_sought(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer.seek_again[TP(PHYSICAL, 7)] = 4
        await rig.getmany()

    assert (["committed"], {}) == (rig.seeks, rig.consumer.seek_again)


@in_loop
async def test_getmany_fence_waits_for_the_flow(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer.seek_again[STAGE] = 4
        rig.consumer.stop_flow()
        await rig.getmany()

    assert ([], {STAGE: 4}) == (rig.seeks, rig.consumer.seek_again)


@in_loop
async def test_getmany_after_the_fence_hands_over_again(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer.seek_again[STAGE] = 4
        await rig.getmany(fetched(4))

    assert [4] == rig.intake.offsets


# -- seeking
@pytest.mark.parametrize("committed", [None, 0])
@in_loop
async def test_seek_without_commit_learns_where_the_log_starts(tmp_path: Path, committed: int | None) -> None:
    with rig_at(tmp_path) as rig:
        rig.committed, rig.starts = {STAGE: committed}, 17
        await rig.consumer.perform_seek()

    assert ([{STAGE}], {STAGE: 17}) == (rig.asked, rig.consumer.log_starts)


@in_loop
async def test_seek_to_a_commit_asks_the_broker_nothing_more(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.committed = {STAGE: 5}
        await rig.consumer.perform_seek()

    assert ([], 5, 5) == (rig.asked, rig.consumer._committed_offset[STAGE], rig.consumer._read_offset[STAGE])


@in_loop
async def test_seek_never_asks_for_the_start_of_a_changelog(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.committed = {STAGE: 5, LOG: None}
        await rig.consumer.perform_seek()

    assert [] == rig.asked


# -- the coordinator
class Coordinator:
    """A group coordinator's client whose heartbeats are scripted."""

    def __init__(self, alive: bool = True) -> None:
        self.generation, self.alive, self.resets = GENERATION, alive, 0

    def reset_generation(self) -> None:
        self.generation = -1
        self.resets += 1

    async def _do_heartbeat(self) -> bool:
        return self.alive


@contextmanager
def started_thread(directory: Path, coordinator: Coordinator) -> Iterator[ConsumerThread]:
    async def start() -> None:
        return None

    with stage_app(directory) as app:
        app.main_loop = asyncio.get_running_loop()
        thread = app.consumer._thread
        thread._create_consumer = lambda loop: SimpleNamespace(_coordinator=coordinator, start=start)
        yield thread


@pytest.mark.parametrize(("generations", "evictions"), [([3], 1), ([-1], 0), ([3, 4], 2), ([3, -1], 1)])
@in_loop
async def test_thread_counts_resets_of_a_member_only(tmp_path: Path, generations: list[int], evictions: int) -> None:
    coordinator = Coordinator()
    with started_thread(tmp_path, coordinator) as thread:
        await thread.on_start()
        for generation in generations:
            coordinator.generation = generation
            coordinator.reset_generation()

    assert (evictions, len(generations)) == (thread.evictions, coordinator.resets)


@pytest.mark.parametrize("alive", [True, False])
@in_loop
async def test_thread_renews_the_lease_only_with_confirmed_heartbeats(tmp_path: Path, alive: bool) -> None:
    coordinator = Coordinator(alive)
    with started_thread(tmp_path, coordinator) as thread:
        thread.app.lease._since = -100.0
        await thread.on_start()
        answered = await coordinator._do_heartbeat()
        await settle(2)

    assert (alive, alive) == (answered, thread.app.lease._since > 0)


@in_loop
async def test_thread_renews_the_lease_from_when_it_asked(tmp_path: Path) -> None:
    coordinator = Coordinator()
    seen: list[float] = []

    async def slow() -> bool:
        seen.append(transport.since_boot())
        return True

    coordinator._do_heartbeat = slow  # type: ignore[method-assign]  # a heartbeat that notes when it was sent
    with started_thread(tmp_path, coordinator) as thread:
        thread.app.lease._since = -100.0
        await thread.on_start()
        await coordinator._do_heartbeat()
        await settle(2)

    assert thread.app.lease._since <= seen[0]


# -- the parts
@in_loop
async def test_transport_of_the_app_is_made_of_our_parts(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        parts = (app.transport, app.consumer, app.consumer._thread, app.producer)

    assert [Transport, Consumer, ConsumerThread, Producer] == [type(part) for part in parts]


@in_loop
async def test_producer_is_idempotent_and_waits_for_all(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        extra = app.producer._settings_extra()

    assert {"acks": "all", "enable_idempotence": True} == extra


@in_loop
async def test_stall_warnings_of_faust_say_nothing(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        said = app.consumer.verify_event_path(0.0, STAGE)

    assert said is None


# -- acknowledging
async def nothing(*_: Any, **__: Any) -> None:
    """Stands for what Faust does at an assignment, which needs a broker."""


def done(offset: int, partition: int = 0) -> Any:
    return message(offset, partition=partition)


@in_loop
async def test_ack_says_how_far_the_partition_is_done(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        held = done(5)
        rig.consumer._unacked_messages.add(held)
        rig.consumer.ack(held)

        assert (6, set(), True) == (rig.consumer._new_offset(STAGE), rig.consumer._unacked_messages, held.acked)


@in_loop
async def test_ack_once_committed_is_not_committed_again(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer.ack(done(5))
        rig.consumer._new_offset(STAGE)

        assert ([], None) == (rig.consumer._filter_tps_with_pending_acks(), rig.consumer._new_offset(STAGE))


@pytest.mark.parametrize(
    ("topics", "pending"), [(None, [STAGE]), ({STAGE}, [STAGE]), ({PHYSICAL}, [STAGE]), ({LOG}, []), ({CHANGELOG}, [])]
)
@in_loop
async def test_pending_acks_of_asked_topics_are_told(tmp_path: Path, topics: Any, pending: list[TP]) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer.ack(done(5))

        assert pending == rig.consumer._filter_tps_with_pending_acks(topics)


@in_loop
async def test_ack_wakes_who_waits_for_it(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer._waiting_for_ack = waiting = asyncio.get_running_loop().create_future()
        rig.consumer.ack(done(5))
        rig.consumer.ack(done(6))

        assert waiting.done()


@in_loop
async def test_assignment_forgets_what_the_last_generation_did_not_commit(tmp_path: Path) -> None:
    with rig_at(tmp_path) as rig:
        rig.consumer.ack(done(5))
        rig.consumer._on_partitions_assigned = lambda *_, **__: asyncio.sleep(
            0
        )  # why: what Faust does then needs a broker
        await rig.consumer.on_partitions_assigned({STAGE}, GENERATION + 1)

        assert {} == rig.consumer.done_to
