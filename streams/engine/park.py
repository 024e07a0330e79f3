"""# Engine: park

Responsibility: one worker's share of the parked tiers: fetches, waits, hands each record to the loop when it is due.
Guarantees: due is the append time plus the tier, by the broker's clock, whatever the local ones show
    (tests/unit/streams/engine/test_park.py::test_record_is_handed_over_by_the_clock_of_the_broker_alone);
    a write that is refused stops the tiers until a person has looked, and nothing from there on is committed
    (tests/unit/streams/engine/test_park.py::test_refused_write_stops_the_tiers_and_commits_nothing);
    what a killed worker had not committed comes back
    (tests/integration/test_parked.py::test_records_parked_under_a_killed_worker_all_come_back).
NOT Responsible For: what is written (streams/stages/park), who is parked and for how long (infer).
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from streams.decisions import continuity
from streams.decisions.stall import StallPolicy
from streams.engine.broker_time import BrokerTime
from streams.engine.calls import Calls
from streams.engine.connect import Opener, answers, member, producer
from streams.engine.delivery import Delivery
from streams.engine.exit import Fatal, Reason
from streams.engine.lease import since_boot
from streams.engine.loop import Loop
from streams.engine.plan import AppPlan
from streams.engine.reader import as_record
from streams.engine.scope import RecordScope
from streams.engine.seat import Seat
from streams.engine.tables import NoRows
from streams.engine.tier import Tier
from streams.ports import Observation
from streams.stage import Record, Stage
from topics.catalog import INTERNAL_BYTES, PARK_TICKS
from topics.errors import TopicRefused

POLL_S, PAUSE_S, COMMIT_S, COMMIT_WITHIN_S = 0.2, 0.5, 1.0, 5.0
YIELD_EVERY = 512  # measured: beside busy calls a turn of the loop is long, and 64 a turn were too few
FOR_EVER_MS = 86_400_000  # with a small one a member that waits leaves its group
JOINED = {
    "auto_offset_reset": "earliest",
    "max_poll_interval_ms": FOR_EVER_MS,
    "rebalance_timeout_ms": 60_000,
    "fetch_max_wait_ms": 100,  # a partition that has run empty waits for the fetch that is under way
    "max_partition_fetch_bytes": 512 * 1024,  # at most twice that is held of each
}


class Event(NamedTuple):
    """What the loop is handed."""

    message: Record


class ParkApp:
    """The tiers in this process, with the face of a ``StageApp``; ``now`` counts seconds and never goes back."""

    def __init__(
        self,
        plan: AppPlan,
        *,
        now: Callable[[], float] = since_boot,
        members: Opener = member,
        producers: Opener = producer,
    ) -> None:
        [stage] = plan.stages
        self.plan, self._now, self._members, self._producers = plan, now, members, producers
        places = zip(stage.reads, map(plan.names.topic, stage.reads), plan.tuning.tiers_s, strict=True)
        self.intakes = {tier.physical: tier for tier in (Tier(*place) for place in places)}
        self.calls, self.seat = Calls(), Seat(plan.tuning.session_s, self.revoked)
        self.delivery = Delivery(
            plan.name, self._sender, plan.end, StallPolicy(), self.broker_answers, direct=plan.tuning.direct
        )
        self.loop = self._fed(stage)
        self.loops = [self.loop]
        ticks = plan.names.topic(PARK_TICKS)
        self.time = BrokerTime(ticks, self._sender, now, self.broker_answers, self._refuse)
        self.assigned = False
        self._expected: dict[TopicPartition, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._open = AsyncExitStack()

    def _fed(self, stage: Stage) -> Loop:
        plan = self.plan

        def scope(record: Record) -> RecordScope:
            return RecordScope(record, NoRows(), None, self.calls, self.delivery, self.seat.lease, plan.failpoint)

        loop = Loop(stage, plan.names, self.delivery, self.seat.lease, scope, plan.observer, plan.failpoint)
        for tier in self.intakes.values():
            loop.feed(tier)
        return loop

    def _sender(self) -> Any:
        return self._producer

    @property
    def name(self) -> str:
        """The app's short name."""
        return self.plan.name

    # -- life
    async def start(self) -> None:
        """Connect, join the group, and begin."""
        plan, tuning = self.plan, self.plan.tuning
        seat = {
            "group_instance_id": plan.place.instance_id(plan.group, plan.reads),
            "session_timeout_ms": round(tuning.session_s * 1000),
            "heartbeat_interval_ms": round(tuning.heartbeat_s * 1000),
        }
        sizes = {"max_request_size": INTERNAL_BYTES + 128 * 1024, "max_batch_size": 262_144}
        self._producer = await self._open.enter_async_context(self._producers(plan.cluster, **sizes))
        self._consumer = await self._open.enter_async_context(self._members(plan.cluster, plan.group, **seat, **JOINED))
        self.seat.take(self._consumer, self.intakes)
        make = asyncio.get_running_loop().create_task
        self._tasks = [make(forever) for forever in (self._run(), self._keep_committing(), self.time.run())]

    async def stop(self) -> None:
        """Hand over nothing more, commit what is done, leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.seat.left()
        await self.revoked()
        self.delivery.stop()
        await self._open.aclose()

    # -- partitions come and go
    async def revoked(self) -> None:
        """The generation ends: finish what is being written, commit it, forget the rest."""
        self.assigned = False
        for tier in self.intakes.values():
            tier.end()
        tuning = self.plan.tuning
        await self.loop.drain(min(tuning.grace_s, tuning.session_s / 2), patient=True)
        await self._commit()

    async def _begin(self, granted: Iterable[TopicPartition]) -> None:
        """Read each partition from what is committed, or from its start; a fetch of before may have read on already."""
        generation, places = self.seat.generation, sorted(granted)
        starts = dict(zip(places, await asyncio.gather(*map(self._consumer.committed, places)), strict=True))
        fresh = [place for place, start in starts.items() if start is None]
        starts |= await self._consumer.beginning_offsets(fresh) if fresh else {}
        if generation != self.seat.generation:
            return
        self._expected = starts
        for place, start in starts.items():
            self._consumer.seek(place, start)
        for tier in self.intakes.values():
            tier.begin(place.partition for place in places if place.topic == tier.physical)
        self.assigned = True

    # -- the work
    async def _run(self) -> None:
        while True:
            try:
                await self._fetch()
            except (TopicAuthorizationFailedError, GroupAuthorizationFailedError) as error:
                self._refuse(TopicRefused(", ".join(self.intakes), type(error).__name__))
                await asyncio.sleep(PAUSE_S)
            except (KafkaError, OSError) as error:
                if isinstance(error, KafkaError) and not (error.retriable or isinstance(error, KafkaTimeoutError)):
                    raise
                await asyncio.sleep(PAUSE_S)  # the client reconnects by itself; positions are kept in it
            await self._forward()

    async def _fetch(self) -> None:
        """Ask for records where none wait, for as long as nothing is due."""
        if self.seat.granted is not None and not self.assigned:
            await self._begin(self.seat.granted)
        generation = self.seat.generation
        hungry = [TopicPartition(name, number) for name, tier in self.intakes.items() for number in tier.hungry()]
        if not hungry:
            await asyncio.sleep(self._idle_s())
            return
        batches = await self._consumer.getmany(*hungry, timeout_ms=round(self._idle_s() * 1000))
        for place, batch in batches.items():
            if generation == self.seat.generation and await self._follows(place, batch[0].offset):
                self._put(place, batch)

    def _put(self, place: TopicPartition, batch: Sequence[Any]) -> None:
        tier = self.intakes[place.topic]
        self._expected[place] = batch[-1].offset + 1
        tier.put(place.partition, (as_record(message, tier.topic) for message in batch))

    def _idle_s(self) -> float:
        """How long there is nothing to hand over, as far as is known; never longer than a poll."""
        now_ms = self.time.now_ms()
        due = [due_ms for due_ms in (tier.due_ms() for tier in self.intakes.values()) if due_ms is not None]
        if not due or now_ms is None or self.loop.refused:
            return POLL_S
        return min(max((min(due) - now_ms) / 1000, 0.001), POLL_S)

    async def _forward(self) -> None:
        """Hand over what is due; a refusal, or the end of the generation, leaves the rest."""
        now_ms, handed = self.time.now_ms(), 0
        if now_ms is None:
            return
        for tier in self.intakes.values():
            for record in tier.ripe(now_ms, lambda: self.loop.refused is not None):
                await self.loop.handle(tier, Event(record), tier.opened(record))
                handed += 1
                if not handed % YIELD_EVERY:
                    await asyncio.sleep(0)

    def _refuse(self, refused: TopicRefused) -> None:
        if self.loop.refused is None:
            self.loop.refused = refused
            self.plan.observer.observe(Observation(self.name, "stopped", refused.topic, -1, -1, kind=refused.kind))

    # -- nothing is skipped
    async def _follows(self, place: TopicPartition, offset: int) -> bool:
        """Whether this offset may come next; what is gone from the log is named, and passed over only by setting."""
        expected = self._expected.get(place)
        verdict = continuity.judge(offset, expected, None)
        if not isinstance(verdict, continuity.InOrder):
            starts = await self._consumer.beginning_offsets([place])
            verdict = continuity.judge(offset, expected, starts[place])
        return isinstance(verdict, continuity.InOrder) or self._passes(verdict, place)

    def _passes(self, gap: continuity.Hole | continuity.LaterStart, place: TopicPartition) -> bool:
        topic, plan = self.intakes[place.topic].topic, self.plan
        if isinstance(gap, continuity.LaterStart) and plan.tuning.skip_lost_offsets:
            lost = Observation("engine", "lost", topic, place.partition, gap.expected, outputs=gap.got - gap.expected)
            plan.observer.observe(lost)
            return True
        reason: Reason = "hole_in_offsets" if isinstance(gap, continuity.Hole) else "log_starts_later"
        where = f"{topic}/{place.partition}: expected {gap.expected}, got {gap.got}"
        plan.end(Fatal(reason, plan.name, where, topic, place.partition, gap.expected))
        return False

    # -- commits
    async def _keep_committing(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            await self._commit()

    async def _commit(self) -> None:
        """Commit what is done since; where that fails, it is tried again, or done again by the next owner."""
        news = {tier: tier.news() for tier in self.intakes.values()}
        offsets = {
            TopicPartition(tier.physical, number): to for tier, its in news.items() for number, to in its.items()
        }
        if not offsets:
            return
        try:
            await asyncio.wait_for(self._consumer.commit(offsets), COMMIT_WITHIN_S)
        except (KafkaError, OSError, TimeoutError):
            return
        for tier, its in news.items():
            tier.committed(its)

    # -- looked at from outside
    @property
    def ready(self) -> bool:
        """In the group, the broker's time known, and nothing refused."""
        return self.assigned and self.time.heard is not None and self.loop.refused is None

    @property
    def crashed(self) -> bool:
        """Whether a task that runs for ever has ended."""
        return self.crash_reason is not None

    @property
    def crash_reason(self) -> BaseException | None:
        """What ended it."""
        return next((task.exception() for task in self._tasks if task.done() and not task.cancelled()), None)

    def persist(self) -> None:
        """There is no table."""

    def look(self) -> None:
        """Watch the membership; ends the process when it is lost."""
        why = self.seat.lost(self._now())
        if why is not None:
            self.end(Fatal("lost_group", self.name, why))

    async def broker_answers(self) -> bool:
        """Does the broker answer a metadata request?"""
        return await answers(self._producer.client)

    def end(self, fatal: Fatal) -> None:
        """End the process."""
        self.plan.end(fatal)
