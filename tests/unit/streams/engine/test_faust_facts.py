"""What we know of Faust's and aiokafka's inside and lean on: a release that changes it must turn red here first."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import ref

import faust
import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator, MessageBatch
from aiokafka.producer.producer import AIOKafkaProducer
from faust.events import Event
from faust.sensors import Sensor
from faust.stores.rocksdb import Store
from faust.streams import Stream, _current_event
from faust.transport import consumer as stock
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from hypothesis import given
from hypothesis import strategies as st
from mode.utils.queues import FlowControlEvent, FlowControlQueue, ThrowableQueue

from streams.engine.transport import Consumer
from tests.support.fake_faust import GENERATION, PHYSICAL, event, message, settle, stage, stage_app
from tests.support.loops import in_loop

HERE = TP(PHYSICAL, 0)


def versions(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version(package).split(".")[:2])


@contextmanager
def consumer_at(directory: Path) -> Iterator[Any]:
    """A real consumer of a real app that has met no broker; it has all the partitions."""
    with stage_app(directory) as app:
        consumer = app.consumer
        app.consumer_generation_id = GENERATION
        consumer.assignment = lambda: {HERE}
        app.topics._acking_topics.add(PHYSICAL)
        yield consumer


# -- what is there
INTERNALS: list[tuple[Any, tuple[str, ...]]] = [
    (stock.Consumer, ("ack", "perform_seek", "seek", "wait_empty", "commit", "flow_active", "_waiting_for_ack")),
    (stock.Consumer, ("on_buffer_full", "on_buffer_drop", "_wait_next_records", "_new_offset", "_drain_messages")),
    (driver.Consumer, ("_new_consumer_thread", "_to_message", "verify_event_path", "getmany", "earliest_offsets")),
    (driver.Consumer, ("assignment", "highwaters", "seek_to_committed")),
    (driver.AIOKafkaConsumerThread, ("on_start", "_create_consumer", "_consumer")),
    (driver.Producer, ("_settings_extra", "_settings_default", "flush", "_producer")),
    (driver.Transport, ("Consumer", "Producer")),
    (Stream, ("_set_current_event",)),
    (Store, ("set_persisted_offset", "persisted_offset", "offset_key", "partition_path", "apply_changelog_batch")),
    (faust.Table, ("on_key_get", "on_key_set", "on_key_del", "persisted_offset")),
    (faust.App, ("_new_transport", "_new_producer_transport", "on_start", "on_stop", "consumer", "producer")),
    (faust.App, ("on_rebalance_start", "on_rebalance_return", "on_rebalance_end", "crashed", "crash_reason")),
    (Sensor, ("on_rebalance_start", "on_rebalance_return", "on_rebalance_end")),
    (FlowControlQueue, ("put_nowait_enhanced", "pressure_high_size", "pressure_drop_size")),
    (GroupCoordinator, ("reset_generation", "_do_heartbeat", "_maybe_leave_group")),
    (AIOKafkaProducer, ("send", "flush", "start", "stop")),
    (MessageAccumulator, ("_append_batch", "create_builder")),
    (MessageBatch, ("tp", "done", "failure")),
    (BatchBuilder, ("append",)),
]


@pytest.mark.parametrize(("owner", "names"), INTERNALS, ids=lambda value: getattr(value, "__name__", ""))
def test_faust_internals_we_use_are_there(owner: Any, names: tuple[str, ...]) -> None:
    assert [] == [name for name in names if not hasattr(owner, name) and name not in owner.__annotations__]


FIELDS = (
    "_unacked_messages",
    "_waiting_for_ack",
    "_committed_offset",
    "_read_offset",
    "_acked",
    "_buffered_partitions",
    "_thread",
    "flow_active",
    "should_stop",
)


@pytest.mark.parametrize("name", FIELDS)
@in_loop
async def test_consumer_field_we_touch_is_there(tmp_path: Path, name: str) -> None:
    with consumer_at(tmp_path) as consumer:
        assert hasattr(consumer, name)


@pytest.mark.parametrize(
    "name", ["rebalancing", "consumer_generation_id", "flow_control", "sensors", "_consumer", "in_recovery", "assignor"]
)
@in_loop
async def test_app_field_we_touch_is_there(tmp_path: Path, name: str) -> None:
    with stage_app(tmp_path) as app:
        assert hasattr(app, name)


SIGNATURES: list[tuple[Callable[..., Any], list[str]]] = [
    (stock.Consumer.ack, ["self", "message"]),
    (stock.Consumer.seek, ["self", "partition", "offset"]),
    (stock.Consumer.getmany, ["self", "timeout"]),
    (stock.Consumer._wait_next_records, ["self", "timeout"]),
    (driver.Consumer._to_message, ["self", "tp", "record"]),
    (Stream._set_current_event, ["self", "event"]),
    (Store.set_persisted_offset, ["self", "tp", "offset"]),
    (FlowControlQueue.put_nowait_enhanced, ["self", "value", "on_pressure_high", "on_pressure_drop"]),
    (Sensor.on_rebalance_end, ["self", "app", "state"]),
    (GroupCoordinator.reset_generation, ["self"]),
    (GroupCoordinator._do_heartbeat, ["self"]),
    (AIOKafkaProducer.send, ["self", "topic", "value", "key", "partition", "timestamp_ms", "headers"]),
]


@pytest.mark.parametrize(("function", "names"), SIGNATURES, ids=lambda value: getattr(value, "__qualname__", ""))
def test_signature_we_call_is_the_one_we_know(function: Callable[..., Any], names: list[str]) -> None:
    assert names == list(inspect.signature(function).parameters)


@pytest.mark.parametrize(("package", "known"), [("faust-streaming", (0, 15)), ("aiokafka", (0, 14))])
def test_installed_release_is_the_one_that_was_measured(package: str, known: tuple[int, int]) -> None:
    assert known == versions(package)


def test_streams_are_the_compiled_ones() -> None:
    assert faust.streams._CStreamIterator is not None
    assert "faust._cython.streams" == faust.streams._CStreamIterator.__module__


# -- fetching
@pytest.mark.parametrize("owner", [stock.Consumer, Consumer])
def test_getmany_is_an_async_generator(owner: Any) -> None:
    assert inspect.isasyncgenfunction(owner.getmany)


def test_fetch_loop_takes_records_from_getmany() -> None:
    source = inspect.getsource(stock.Consumer._drain_messages)

    assert "getmany = self.getmany" in source
    assert "async for tp, message in ait" in source


def test_fetch_loop_drops_what_lies_below_the_read_offset() -> None:
    assert "offset >= r_offset" in inspect.getsource(stock.Consumer._drain_messages)


@in_loop
async def test_fetched_record_is_stamped_with_the_current_generation(tmp_path: Path) -> None:
    fields = {"topic": PHYSICAL, "partition": 0, "offset": 7, "timestamp": 2500, "timestamp_type": 1, "headers": ()}
    sizes = {"key": b"k", "value": b"v", "checksum": None, "serialized_key_size": 1, "serialized_value_size": 1}
    with consumer_at(tmp_path) as consumer:
        made = consumer._to_message(HERE, SimpleNamespace(**fields, **sizes))

    assert (GENERATION, 7, 2.5, HERE) == (made.generation_id, made.offset, made.timestamp, made.tp)


@in_loop
async def test_seek_to_committed_moves_read_and_committed_offsets(tmp_path: Path) -> None:
    async def committed() -> dict[TP, int | None]:
        return {HERE: 5, TP(PHYSICAL, 1): None, TP(PHYSICAL, 2): 0}

    with consumer_at(tmp_path) as consumer:
        consumer.seek_to_committed = committed
        await stock.Consumer.perform_seek(consumer)
        read = [consumer._read_offset[TP(PHYSICAL, number)] for number in range(3)]
        known = [consumer._committed_offset.get(TP(PHYSICAL, number)) for number in range(3)]

    assert ([5, None, 0], [5, None, None]) == (read, known)


# -- acknowledging
@in_loop
async def test_stock_ack_notes_the_offset_and_untracks_the_message(tmp_path: Path) -> None:
    held = message(5)
    with consumer_at(tmp_path) as consumer:
        consumer._unacked_messages.add(held)
        told = stock.Consumer.ack(consumer, held)
        left = (consumer._acked[HERE], len(consumer._unacked_messages))

    assert (True, [5], 0) == (told, *left)


@in_loop
async def test_commit_asks_for_each_pending_partition_and_its_offset(tmp_path: Path) -> None:
    """The two questions of Faust's commit that our own acknowledgements answer."""
    with consumer_at(tmp_path) as consumer:
        consumer.done_to[HERE] = 8

        assert {HERE: 8} == consumer._filter_committable_offsets(consumer._filter_tps_with_pending_acks(None))


@in_loop
async def test_commit_below_the_committed_offset_is_left_out(tmp_path: Path) -> None:
    with consumer_at(tmp_path) as consumer:
        consumer._committed_offset[HERE] = 8
        consumer.done_to[HERE] = 8

        assert {} == consumer._filter_committable_offsets([HERE])


@in_loop
async def test_stock_commit_steps_over_an_unacked_offset(tmp_path: Path) -> None:
    """Why acks must come in order: offset 5 is not done, and yet 7 is to be committed."""
    with consumer_at(tmp_path) as consumer:
        consumer._committed_offset[HERE] = 5
        stock.Consumer.ack(consumer, message(6))

        assert 7 == stock.Consumer._new_offset(consumer, HERE)


@in_loop
async def test_stock_commit_of_in_order_acks_is_the_next_offset(tmp_path: Path) -> None:
    with consumer_at(tmp_path) as consumer:
        consumer._committed_offset[HERE] = 5
        for offset in (5, 6, 7):
            stock.Consumer.ack(consumer, message(offset))
        new = stock.Consumer._new_offset

        assert (8, None) == (new(consumer, HERE), new(consumer, HERE))


@given(st.integers(1, 100), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_stock_commit_of_in_order_acks_never_passes_them(first: int, batches: list[int]) -> None:
    fake = SimpleNamespace(
        _acked={HERE: []}, _gap={HERE: None}, _acked_index={HERE: set()}, _committed_offset={HERE: first}
    )
    following, wanted, got = first, [], []
    for size in batches:
        fake._acked[HERE].extend(range(following, following + size))
        following += size
        offset = stock.Consumer._new_offset(fake, HERE)
        fake._committed_offset[HERE] = offset or fake._committed_offset[HERE]
        wanted.append(following if size else None)
        got.append(offset)

    assert wanted == got


class FlushFirst:
    """A consumer's surroundings that note the order of flush and commit."""

    def __init__(self, consumer: Any, done: bool) -> None:
        self.steps: list[str] = []
        self.done = done
        consumer.app._producer = SimpleNamespace(flush=self.flush)
        consumer._commit = self.commit

    async def flush(self) -> None:
        self.steps.append("flush")

    async def commit(self, offsets: Any) -> bool:
        self.steps.append(f"commit {dict(offsets)[HERE]}")
        return self.done


@in_loop
async def test_commit_flushes_the_producer_first(tmp_path: Path) -> None:
    with consumer_at(tmp_path) as consumer:
        around = FlushFirst(consumer, done=True)
        done = await consumer._commit_offsets({HERE: 8})

    assert (True, ["flush", "commit 8"]) == (done, around.steps)


@in_loop
async def test_commit_that_failed_counts_as_committed_all_the_same(tmp_path: Path) -> None:
    """Why a lower offset than expected is a redelivery, and no fault."""
    with consumer_at(tmp_path) as consumer:
        FlushFirst(consumer, done=False)
        done = await consumer._commit_offsets({HERE: 8})

        assert (False, 8) == (done, consumer._committed_offset[HERE])


@in_loop
async def test_commit_for_a_partition_that_moved_away_is_dropped(tmp_path: Path) -> None:
    with consumer_at(tmp_path) as consumer:
        around = FlushFirst(consumer, done=True)
        done = await consumer._commit_offsets({TP(PHYSICAL, 7): 8})

    assert (False, []) == (done, around.steps)


@in_loop
async def test_wait_empty_goes_on_when_the_unacked_are_discarded_and_it_is_woken(tmp_path: Path) -> None:
    held = message(5)

    async def commit(*args: Any, **kwargs: Any) -> bool:
        return True

    with consumer_at(tmp_path) as consumer:
        consumer.commit = commit
        consumer._unacked_messages.add(held)
        waiting = asyncio.ensure_future(consumer.wait_empty())
        await settle()
        before = (waiting.done(), consumer._waiting_for_ack is not None)
        consumer._unacked_messages.discard(held)
        consumer._waiting_for_ack.set_result(None)
        await asyncio.wait_for(waiting, 0.9)

    assert (False, True) == before


# -- buffers
@pytest.mark.parametrize(("recovering", "fetched"), [(False, False), (True, True)])
@in_loop
async def test_full_buffer_takes_a_partition_out_unless_recovering(
    tmp_path: Path, recovering: bool, fetched: bool
) -> None:
    with consumer_at(tmp_path) as consumer:
        consumer.app.in_recovery = recovering
        consumer._active_partitions.add(HERE)
        consumer.on_buffer_full(HERE)

        assert fetched == (HERE in consumer._active_partitions) == (HERE not in consumer._buffered_partitions)


@in_loop
async def test_dropped_buffer_puts_back_only_what_was_taken_out(tmp_path: Path) -> None:
    with consumer_at(tmp_path) as consumer:
        consumer._active_partitions.add(HERE)
        consumer.on_buffer_full(HERE)
        for tp in (HERE, TP(PHYSICAL, 7)):
            consumer.on_buffer_drop(tp)

        assert ({HERE}, set()) == (consumer._active_partitions, consumer._buffered_partitions)


def queue_of(maxsize: int) -> Any:
    return ThrowableQueue(maxsize, flow_control=FlowControlEvent(initially_suspended=False), clear_on_resume=True)


def test_queue_pressure_ratios_are_the_ones_buffers_are_computed_for() -> None:
    assert (1.25, 0.40) == (FlowControlQueue.pressure_high_ratio, FlowControlQueue.pressure_drop_ratio)


@in_loop
async def test_queue_tells_high_and_low_pressure_once() -> None:
    told: list[tuple[str, int]] = []
    queue = queue_of(10)

    def high() -> None:
        told.append(("high", queue.qsize()))

    def low() -> None:
        told.append(("low", queue.qsize()))

    for number in range(10):
        queue.put_nowait_enhanced(number, on_pressure_high=high, on_pressure_drop=low)
    for _ in range(10):
        queue.get_nowait()

    assert [("high", 8), ("low", 4)] == told


@in_loop
async def test_queue_takes_more_than_its_size_without_waiting() -> None:
    queue = queue_of(2)
    for number in range(5):
        queue.put_nowait_enhanced(number, on_pressure_high=lambda: None, on_pressure_drop=lambda: None)

    assert (5, True) == (queue.qsize(), queue.full())


@in_loop
async def test_queue_waiting_getter_is_woken_by_the_direct_hand_over() -> None:
    queue = queue_of(2)
    getting = asyncio.ensure_future(queue.get())
    await settle()
    queue.put_nowait_enhanced("x", on_pressure_high=lambda: None, on_pressure_drop=lambda: None)

    assert "x" == await asyncio.wait_for(getting, 5)


@in_loop
async def test_queue_that_is_cleared_cancels_its_putter() -> None:
    queue = queue_of(1)
    queue.put_nowait(1)
    putting = asyncio.ensure_future(queue.put(2))
    await settle()
    queue.clear()
    await settle()

    assert putting.cancelled()


@in_loop
async def test_resumed_flow_clears_the_queues_of_agents(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        [agent] = app.agents.values()
        agent.channel.queue.put_nowait(event(0))
        app.flow_control.resume()

        assert 0 == agent.channel.queue.qsize()


@in_loop
async def test_flow_control_is_suspended_until_faust_has_assigned(tmp_path: Path) -> None:
    with stage_app(tmp_path) as app:
        assert not app.flow_control.is_active()


# -- events
@in_loop
async def test_event_is_made_of_app_key_value_headers_and_message(tmp_path: Path) -> None:
    held = message(5)
    with stage_app(tmp_path) as app:
        made = Event(app, b"k", b"v", (), held)

    assert (b"k", b"v", held) == (made.key, made.value, made.message)


@pytest.mark.parametrize("name", ["refcount", "tracked", "acked", "generation_id", "headers", "tp"])
def test_message_field_we_set_or_read_is_there(name: str) -> None:
    assert hasattr(message(5), name)
    assert isinstance(message(5), ConsumerMessage)


def test_current_event_is_held_weakly() -> None:
    class Host:
        current_event: Any = None

    host: Any = Host()
    held: Any = event(5)
    token = _current_event.set(None)
    Stream._set_current_event(host, held)
    weak = _current_event.get()
    host.current_event = held = None
    gone = weak() if weak is not None else "never set"
    _current_event.reset(token)

    assert gone is None


@in_loop
async def test_stream_that_ends_throws_into_the_queue() -> None:
    queue = queue_of(10)
    await queue.throw(StopAsyncIteration())

    with pytest.raises(StopAsyncIteration):
        await queue.get()


# -- tables
@contextmanager
def table_at(directory: Path, **fields: Any) -> Iterator[Any]:
    with stage_app(directory, stage(table="rows")) as app:
        held = event(partition=2)
        token = _current_event.set(ref(held))
        yield app._rows["rows"]
        _current_event.reset(token)


@pytest.mark.parametrize("what", ["set", "del"])
@in_loop
async def test_table_hook_is_called_before_the_store_is_written(tmp_path: Path, what: str) -> None:
    seen: list[Any] = []
    with table_at(tmp_path) as table:
        table[b"k"] = b"old"
        table.on_key_set = lambda key, value: seen.append(table.data._get(key))
        table.on_key_del = lambda key: seen.append(table.data._get(key))
        if what == "set":
            table[b"k"] = b"new"
        else:
            del table[b"k"]

    assert [b"old"] == seen


@in_loop
async def test_store_opens_the_partition_of_the_current_event(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        table[b"k"] = b"v"

        assert [2] == list(table.data._dbs)


@in_loop
async def test_store_without_a_current_event_refuses_to_write(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        _current_event.set(None)
        with pytest.raises(AssertionError):
            table.data._set(b"k", b"v")


@in_loop
async def test_store_keeps_its_offset_under_a_key_of_its_own(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        table.data.set_persisted_offset(TP("log", 2), 41)

        assert b"41" == table.data._dbs[2].get(Store.offset_key)
        assert b"__faust\0offset__" == Store.offset_key


@in_loop
async def test_store_without_an_offset_recovers_from_the_start(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        assert table.data.persisted_offset(TP("log", 2)) is None


@in_loop
async def test_store_takes_options_out_of_the_dict_it_was_given(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        opened = table.data

    assert opened.use_rocksdict
    assert "driver" not in table.options


@in_loop
async def test_store_files_end_as_the_wipe_expects(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        table[b"k"] = b"v"
        found = [path.name for path in (tmp_path / "slot-0").rglob("*.db") if path.is_dir()]

    assert ["rows-2.db"] == found


@in_loop
async def test_store_directory_lacks_the_name_of_the_group(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        assert "prompts.core" not in str(table.data.partition_path(0))


@in_loop
async def test_store_recovers_puts_and_tombstones_from_the_changelog(tmp_path: Path) -> None:
    log = [(b"a", b"1"), (b"b", b"1"), (b"a", None), (b"b", b"2")]
    with table_at(tmp_path) as table:
        batch = [
            event(offset, partition=2, key=key, value=value, topic="log") for offset, (key, value) in enumerate(log)
        ]
        table.data.apply_changelog_batch(batch, lambda key: key, lambda value: value)
        rows = {key: table.get(key) for key in (b"a", b"b")}
        offset = table.data.persisted_offset(TP("log", 2))

    assert ({b"a": None, b"b": b"2"}, 3) == (rows, offset)


@in_loop
async def test_store_url_is_honoured_on_the_app(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        assert isinstance(table.data, Store)


# -- the group
class Group:
    """The part of aiokafka's coordinator that leaves a group; ``sent`` are its requests."""

    def __init__(self, instance: str | None, generation: int = 4) -> None:
        self.generation, self._group_instance_id = generation, instance
        self.group_id, self.member_id = "g", "m"
        self.sent: list[Any] = []
        self.rejoins = 0

    async def _send_req(self, request: Any) -> None:
        self.sent.append(request)

    def request_rejoin(self) -> None:
        self.rejoins += 1

    def reset_generation(self) -> None:
        unbound: Any = GroupCoordinator.reset_generation
        unbound(self)


@pytest.mark.parametrize(("instance", "generation", "requests"), [(None, 4, 1), ("slot-0", 4, 0), (None, -1, 0)])
@in_loop
async def test_only_a_dynamic_member_leaves_its_group(instance: str | None, generation: int, requests: int) -> None:
    group: Any = Group(instance, generation)
    await GroupCoordinator._maybe_leave_group(group)

    assert (requests, -1) == (len(group.sent), group.generation)


def test_reset_generation_forgets_the_member_and_joins_again() -> None:
    group = Group(None)
    group.reset_generation()

    assert (-1, "", 1) == (group.generation, group.member_id, group.rejoins)


class Beat(Group):
    """The same with heartbeats answered by a code of Kafka's."""

    def __init__(self, code: int) -> None:
        super().__init__(None)
        self.code = code
        self.coordinator_id = 1

    async def _send_req(self, request: Any) -> Any:
        return SimpleNamespace(error_code=self.code)

    def coordinator_dead(self) -> None:
        self.rejoins += 10


@pytest.mark.parametrize(
    ("code", "alive", "generation"), [(0, True, 4), (27, True, 4), (22, None, -1), (25, None, -1), (16, None, 4)]
)
@in_loop
async def test_heartbeat_is_true_only_while_the_group_knows_the_member(
    code: int, alive: bool | None, generation: int
) -> None:
    group: Any = Beat(code)
    answered = await GroupCoordinator._do_heartbeat(group)

    assert (bool(alive), generation) == (bool(answered), group.generation)


@pytest.mark.parametrize(
    ("caller", "called"), [("_heartbeat_routine", "self._do_heartbeat()"), ("_do_heartbeat", "self.reset_generation()")]
)
def test_coordinator_calls_through_the_names_we_replace(caller: str, called: str) -> None:
    assert called in inspect.getsource(getattr(GroupCoordinator, caller))


class ListenedThread:
    """A consumer thread that hears of revoked and assigned partitions."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.app = SimpleNamespace(on_rebalance_start=lambda: self.told.append("start"), consumer_generation_id=0)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        self.told.append("revoked")

    async def on_partitions_assigned(self, assigned: Any, generation: int) -> None:
        self.told.append((self.app.consumer_generation_id, generation))

    def _ensure_consumer(self) -> Any:
        return SimpleNamespace(_coordinator=SimpleNamespace(generation=9))


@in_loop
async def test_rebalance_start_is_told_before_anything_is_awaited() -> None:
    thread: Any = ListenedThread()
    listening = driver.ConsumerRebalanceListener(thread)
    coroutine = listening.on_partitions_revoked([])
    before = list(thread.told)
    await coroutine

    assert (["start"], ["start", "revoked"]) == (before, thread.told)


@in_loop
async def test_generation_of_the_app_is_set_before_partitions_are_assigned() -> None:
    thread: Any = ListenedThread()
    await driver.ConsumerRebalanceListener(thread).on_partitions_assigned([])

    assert [(9, 9)] == thread.told


@in_loop
async def test_sensors_hear_of_a_rebalance_in_the_thread_that_starts_it(tmp_path: Path) -> None:
    heard: list[tuple[str, bool]] = []

    class Listening(Sensor):
        def on_rebalance_start(self, app: Any) -> dict[str, int]:
            heard.append(("start", threading.current_thread() is threading.main_thread()))
            return {"state": 1}

        def on_rebalance_end(self, app: Any, state: Any) -> None:
            heard.append((f"end {state}", app.rebalancing))

    with stage_app(tmp_path) as app:
        app.sensors.add(Listening())
        await asyncio.to_thread(app.on_rebalance_start)
        during = app.rebalancing
        app.on_rebalance_end()

    assert (True, [("start", False), ("end {'state': 1}", False)]) == (during, heard)


@in_loop
async def test_kafka_consumer_is_made_with_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(driver.aiokafka, "AIOKafkaConsumer", lambda **options: made.update(options))
    with stage_app(tmp_path, session_s=6.0) as app:
        app.consumer._thread._create_consumer(loop=asyncio.get_running_loop())
        instance = app.plan.place.instance_id(app.plan.group, app.plan.reads)

    assert {
        "group_id": "prompts.core",
        "group_instance_id": instance,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_poll_records": 100,
        "max_poll_interval_ms": 86_400_000,
        "max_partition_fetch_bytes": 65_536,
        "session_timeout_ms": 6_000,
        "heartbeat_interval_ms": 1_000,
        "rebalance_timeout_ms": 60_000,
        "request_timeout_ms": 30_000,
        "isolation_level": "read_uncommitted",
    }.items() <= made.items()


@pytest.mark.parametrize("table", [None, "rows"])
@in_loop
async def test_assignor_of_faust_is_used_where_there_are_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str | None
) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(driver.aiokafka, "AIOKafkaConsumer", lambda **options: made.update(options))
    with stage_app(tmp_path, stage(table=table)) as app:
        app.consumer._thread._create_consumer(loop=asyncio.get_running_loop())
        [assignor] = made["partition_assignment_strategy"]

        assert (table is not None) == (assignor is app.assignor)
