"""# Engine: app

Responsibility: one Faust App (a consumer group) made loss-free: its settings, its stages, its drain.
Guarantees: the settings that the delivery rules need cannot be changed from outside
    (tests/unit/streams/engine/test_app.py::test_settings_of_app_are_the_measured_ones);
    Faust internals that we lean on are the ones we know
    (tests/unit/streams/engine/test_faust_facts.py::test_faust_internals_we_use_are_there).
NOT Responsible For: what stages do, processes and signals (worker).
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import faust
from faust.sensors import Sensor

from streams.decisions import membership
from streams.decisions.stall import StallPolicy
from streams.engine.buffers import queue_size
from streams.engine.calls import Calls
from streams.engine.delivery import Delivery
from streams.engine.exit import Fatal
from streams.engine.intake import TopicIntake
from streams.engine.lease import Lease, since_boot
from streams.engine.loop import Loop
from streams.engine.plan import AppPlan
from streams.engine.scope import RecordScope
from streams.engine.tables import DurableTable, NoRows, PromptTableManager, Rows, rocksdb_options
from streams.engine.ticks import Place, Ticks
from streams.engine.transport import Transport
from streams.ports import Observation
from streams.stage import Record, Stage
from topics.catalog import CLOCKS, INTERNAL_BYTES

FETCH_BYTES = 64 * 1024  # measured: with 1 MiB a late stage waits 4 s behind a backlog at the first one
POLL_RECORDS = {"core": 100, "infer": 50, "bury": 50}
AWAY_S = {"infer": 15 * 60.0}  # an answer in memory was paid for, yet not for ever; the others wait without limit


def faust_settings(plan: AppPlan) -> dict[str, Any]:
    """Faust's settings; each value was measured or is needed by a delivery rule."""
    tuning, polls = plan.tuning, POLL_RECORDS.get(plan.name, 50)
    return {
        **plan.cluster.faust_args(),
        "datadir": str(plan.datadir),
        "store": "rocksdb://",
        "key_serializer": "raw",
        "value_serializer": "raw",
        "processing_guarantee": "at_least_once",
        "broker_client_id": plan.group,
        "broker_commit_interval": 1.0,
        "broker_commit_every": 100_000,
        "broker_session_timeout": tuning.session_s,
        "broker_heartbeat_interval": tuning.heartbeat_s,
        "broker_rebalance_timeout": 60.0,
        "broker_request_timeout": 30.0,
        "broker_max_poll_interval": 86_400.0,  # with a small one a blocked member leaves its group and never returns
        "broker_max_poll_records": polls,
        "consumer_max_fetch_size": FETCH_BYTES,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": plan.place.instance_id(plan.group, plan.reads),
        "canonical_url": plan.place.canonical_url(),
        "stream_wait_empty": True,
        "stream_buffer_maxsize": queue_size(polls, tuning.partitions),
        "stream_recovery_delay": 0.0,
        "producer_linger": 0.0,
        "producer_max_batch_size": 262_144,
        "producer_max_request_size": INTERNAL_BYTES + 128 * 1024,
        "producer_request_timeout": 30.0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": tuning.partitions,
        "table_standby_replicas": 0,
        "worker_redirect_stdouts": False,
        "web_enabled": False,
        "cython_optimizations": True,
        "Table": DurableTable,
        "TableManager": PromptTableManager,
    }


class Hook(Sensor):
    """Hears of rebalances; their start comes from the consumer's thread."""

    def on_rebalance_start(self, app: Any) -> dict[str, float]:
        """Begin the drain, in the app's own loop."""
        app.main_loop.call_soon_threadsafe(app.begin_drain)
        return {"started": time.monotonic()}

    def on_rebalance_return(self, app: Any, state: dict[str, float]) -> None:
        """Partitions are assigned; tables may still recover."""
        app.main_loop.call_soon_threadsafe(app.lease.renewed, since_boot())

    def on_rebalance_end(self, app: Any, state: dict[str, float]) -> None:
        """Assigned and recovered: the calls of partitions that moved are over."""
        app.rebalanced(time.monotonic() - state["started"])


class StageApp(faust.App):
    """One consumer group: its stages, their tables, and what they share."""

    def __init__(self, plan: AppPlan) -> None:
        self.plan = plan
        self.intakes: dict[str, TopicIntake] = {}
        self.loops: list[Loop] = []
        self.calls = Calls()
        self.stopping = False
        self.rebalances = 0
        self.member = membership.Membership()
        self.main_loop: Any = None
        self._drains: set[asyncio.Task[int]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._evictions_seen = 0
        super().__init__(plan.group, **faust_settings(plan))
        self.lease = Lease(plan.tuning.session_s)
        policy = StallPolicy(away_s=AWAY_S.get(plan.name))
        self.delivery = Delivery(
            plan.name, self._sender, plan.end, policy, self.broker_answers, direct=plan.tuning.direct
        )
        self._rows = {name: self._table(name) for name in sorted({stage.table or "" for stage in plan.stages} - {""})}
        for stage in plan.stages:
            self._add(stage)

    @property
    def name(self) -> str:
        """The app's short name."""
        return self.plan.name

    def _sender(self) -> Any:
        """aiokafka's producer, inside Faust's."""
        return self.producer._producer

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)

    def _table(self, name: str) -> Any:
        return self.Table(
            name, partitions=self.plan.tuning.partitions, key_type=bytes, value_type=bytes, options=rocksdb_options()
        )

    def _add(self, stage: Stage) -> None:
        plan = self.plan
        scope_of = self._scope_of(stage)
        loop = Loop(stage, plan.names, self.delivery, self.lease, scope_of, plan.observer, plan.failpoint)
        self.loops.append(loop)
        for topic in stage.reads:
            physical = plan.names.topic(topic)
            intake = self.intakes[physical] = TopicIntake(self, loop, topic, physical)
            loop.feed(intake)
            channel = self.topic(
                physical, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
            )
            self.agent(channel, name=f"{stage.name}:{topic}")(intake.read)

    def _scope_of(self, stage: Stage) -> Callable[[Record], RecordScope]:
        plan, table = self.plan, self._rows.get(stage.table or "")
        clock = plan.clock if stage.reads_clock else None
        changelog = plan.names.changelog(plan.name, stage.table) if stage.table else ""

        def scope(record: Record) -> RecordScope:
            rows = NoRows() if table is None else Rows(table, changelog, record.partition)
            return RecordScope(record, rows, clock, self.calls, self.delivery, self.lease, plan.failpoint)

        return scope

    # -- life
    async def on_start(self) -> None:
        """Before Faust starts: listen to rebalances, choose the hand-over."""
        self.main_loop = asyncio.get_running_loop()
        self.sensors.add(Hook())
        self.producer.buffer.max_messages = 10_000
        if not set(CLOCKS).isdisjoint(self.plan.reads):
            ticks = Ticks(self.delivery, self._in_charge_of)
            self._ticking = asyncio.get_running_loop().create_task(ticks.run())
        await super().on_start()

    def _in_charge_of(self) -> set[Place]:
        """The partitions of clocks that this worker moves on; none while that may be another's."""
        if self.stopping or self.rebalancing or not self.rebalances or not self.lease.valid():
            return set()
        clocks = {self.plan.names.topic(topic) for topic in CLOCKS}
        return {(tp.topic, tp.partition) for tp in self.consumer.assignment() if tp.topic in clocks}

    async def on_stop(self) -> None:
        """Drain first, then let Faust commit and leave."""
        if self._consumer is not None and self.main_loop is not None:
            self.stopping = True
            if self._ticking is not None:
                self._ticking.cancel()
            self.begin_drain()
            await asyncio.gather(*self._drains)
            cancelled = await self.calls.stop()
            if cancelled:
                self._tell("cancelled", 0.0, outputs=cancelled)
            self.persist()
            self.delivery.stop()
        await super().on_stop()

    def begin_drain(self) -> None:
        """Start to drain what was taken so far; an earlier drain may still be under way, with what was taken before."""
        if self._consumer is None:
            return
        self.consumer.seek_again.clear()
        drain = asyncio.get_running_loop().create_task(self._drained())
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)

    async def _drained(self) -> int:
        grace_s = self.plan.tuning.grace_s
        left = await asyncio.gather(*(loop.drain(grace_s, patient=self.stopping) for loop in self.loops))
        for table in self._rows.values():
            table.persisted.acknowledged.clear() if not self.stopping else None
        return sum(left)

    def rebalanced(self, seconds: float) -> None:
        """A rebalance is over: what moved away is another's."""
        self.rebalances += 1
        for table in self._rows.values():
            table.derived.clear()  # rows may have been recovered from the changelog meanwhile
        for intake in self.intakes.values():
            intake.cleared()
        mine = {tp.partition for tp in self.consumer.assignment() if tp.topic in self.intakes}
        moved = self.calls.keep(mine)
        self._tell("rebalanced", seconds, outputs=moved)

    # -- looked at from outside
    @property
    def ready(self) -> bool:
        """Assigned, tables recovered, and no stage stopped by a refusing topic."""
        return self.rebalances > 0 and not self.rebalancing and not any(loop.refused for loop in self.loops)

    def persist(self) -> None:
        """Note in the stores how far their changelogs are known to go."""
        for table in self._rows.values():
            table.persisted.flush(table)

    def look(self) -> None:
        """Watch the membership; ends the process when it is lost."""
        thread = self.consumer._thread
        consumer, now = thread._consumer, time.monotonic()
        inside = consumer is not None and getattr(consumer._coordinator, "generation", -1) > 0
        evicted, self._evictions_seen = thread.evictions - self._evictions_seen, thread.evictions
        self.member = membership.seen(self.member, inside, evicted, now)
        why = membership.lost(self.member, now)
        if why is not None:
            self.plan.end(Fatal("lost_group", self.name, why))

    async def broker_answers(self) -> bool:
        """Does the broker answer a metadata request?"""
        producer = self.producer._producer
        try:
            return producer is not None and bool(await asyncio.wait_for(producer.client.force_metadata_update(), 3.0))
        except (TimeoutError, OSError):
            return False

    def end(self, fatal: Fatal) -> None:
        """End the process."""
        self.plan.end(fatal)

    def observe_lost(self, topic: str, partition: int, first: int, after: int) -> None:
        """Records ``first`` to ``after`` − 1 are gone from the log, and the settings say to go on."""
        self.plan.observer.observe(Observation("engine", "lost", topic, partition, first, outputs=after - first))

    def _tell(self, action: str, seconds: float, outputs: int = 0) -> None:
        self.plan.observer.observe(Observation("engine", action, self.name, -1, -1, work_s=seconds, outputs=outputs))
