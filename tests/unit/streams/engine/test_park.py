"""One worker's share of the tiers, on a broker in memory and in virtual time."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka import errors as kafka

from streams.decisions import parking
from streams.engine.cluster import Cluster
from streams.engine.exit import Fatal
from streams.engine.lease import since_boot
from streams.engine.park import COMMIT_S, PAUSE_S, POLL_S, YIELD_EVERY, ParkApp
from streams.engine.plan import AppPlan, Tuning
from streams.engine.slots import Place
from streams.stages import park
from tests.support.aio import in_virtual_time, now_s
from tests.support.fake_faust import Told
from tests.support.fake_group import FakeBroker, FakeMember, FakeWriter, through
from topics.catalog import ASSEMBLED, FAILED, PARK_TICKS, PARKED, Names

HOUR_MS = 3_600_000
TIERS_S = (5.0, 30.0, 120.0, 600.0)
NAMES = Names()
LOW = NAMES.topic(ASSEMBLED["low"])
FIRST = NAMES.topic(PARKED[0])


class Now:
    """The wall clock of this machine; the tiers must not look at it."""

    def now_ms(self) -> int:
        raise AssertionError("the local wall clock was read")


class Parking:
    """An app over a broker in memory; times are seconds since the start."""

    def __init__(self, partitions: int = 1, skew_ms: int = 0, **tuning: Any) -> None:
        self.broker = FakeBroker(skew_ms)
        self.member, self.writer = FakeMember(self.broker, partitions), FakeWriter(self.broker)
        self.told, self.ends = Told(), list[Fatal]()
        place = Place("slot-0", Path("/nonexistent"), static=True, lock=None)
        knobs = Tuning(direct=False, tiers_s=TIERS_S, **tuning)
        plan = AppPlan("park", (park.stage(),), Cluster("a:1"), NAMES, place, Now(), self.told, self.ends.append, knobs)
        self.app = ParkApp(plan, now=now_s, members=through(self.member), producers=through(self.writer))
        self.began_s = now_s()

    async def __aenter__(self) -> "Parking":
        await self.app.start()
        await self.pass_s(0.01)
        self.began_s = now_s()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.app.stop()

    async def pass_s(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # why: in virtual time

    def put(self, key: bytes = b"k", tiers: tuple[float, ...] = (5.0,), partition: int = 0, **more: Any) -> None:
        """A record that waits, as `infer` writes it."""
        topic, headers = parking.output(ASSEMBLED["low"], tiers, TIERS_S)
        known = {"value": b"{}", "headers": headers, **more}
        self.broker.append(NAMES.topic(topic), partition, key, known["value"], known["headers"])

    def back(self, topic: str = LOW) -> list[Any]:
        """What was written to a topic, by partition."""
        return [one for place, log in sorted(self.broker.logs.items()) if place.topic == topic for one in log]

    @property
    def keys(self) -> list[bytes | None]:
        return [one.key for one in self.back()]

    @property
    def committed(self) -> dict[tuple[str, int], int]:
        return {(place.topic, place.partition): offset for place, offset in self.broker.commits.items()}

    def waited_s(self) -> list[float]:
        """How long each record was away, by the broker's clock: of one key after another."""
        began_ms = {one.key: one.timestamp for tier in PARKED for one in self.back(NAMES.topic(tier))}
        return [(one.timestamp - began_ms[one.key]) / 1000 for one in self.back()]


def scenario(**made: Any) -> Callable[[Callable[[Parking], Any]], Callable[[], None]]:
    """A test of one running app, in virtual time."""

    def decorated(test: Callable[[Parking], Any]) -> Callable[[], None]:
        @in_virtual_time
        async def run() -> None:
            async with Parking(**made) as here:
                await test(here)

        run.__name__ = test.__name__
        return run

    return decorated


# -- waiting


@pytest.mark.parametrize("skew_ms", [-HOUR_MS, 0, HOUR_MS])
def test_record_is_handed_over_by_the_clock_of_the_broker_alone(skew_ms: int) -> None:
    """F16: the local wall clock is an hour ahead, right, or an hour behind."""

    @in_virtual_time
    async def waits() -> None:
        async with Parking(skew_ms=skew_ms) as here:
            here.put()
            await here.pass_s(4.9)
            early = here.keys
            await here.pass_s(0.2)

            assert ([], [b"k"]) == (early, here.keys)

    waits()


@scenario()
async def test_record_is_back_within_a_hundredth_of_a_second_of_its_time(here: Parking) -> None:
    here.put()
    await here.pass_s(6.0)

    assert [True] == [5.0 <= waited <= 5.01 for waited in here.waited_s()]


@scenario()
async def test_record_that_was_due_before_the_start_is_handed_over_at_once(here: Parking) -> None:
    """The broker's clock says so: no waiting anew after a restart."""
    await here.app.stop()
    here.put()
    await here.pass_s(100.0)
    again = Parking()
    again.broker.logs = here.broker.logs
    async with again:
        await again.pass_s(POLL_S)

        assert [b"k"] == again.keys


@scenario()
async def test_record_waits_in_all_its_tiers(here: Parking) -> None:
    here.put(tiers=(30.0, 5.0, 5.0))
    await here.pass_s(41.0)

    assert [(1, 0), (2, 1)] == [
        (len(here.back(NAMES.topic(PARKED[1]))), len(here.back(NAMES.topic(PARKED[2])))),
        (len(here.back(FIRST)), len(here.keys)),
    ]


@scenario()
async def test_records_of_one_partition_come_back_in_their_order(here: Parking) -> None:
    for number in range(300):
        here.put(b"%d" % number)
    await here.pass_s(6.0)

    assert [b"%d" % number for number in range(300)] == here.keys


@scenario(partitions=3)
async def test_record_comes_back_into_its_partition(here: Parking) -> None:
    for number in (2, 0, 1):
        here.put(b"%d" % number, partition=number)
    await here.pass_s(6.0)

    assert [(0, b"0"), (1, b"1"), (2, b"2")] == [(one.partition, one.key) for one in here.back()]


@scenario()
async def test_short_wait_does_not_stand_behind_a_long_one(here: Parking) -> None:
    here.put(b"long", (600.0,))
    here.put(b"short")
    await here.pass_s(6.0)

    assert [b"short"] == here.keys


@scenario()
async def test_nothing_is_fetched_of_a_partition_while_its_records_wait(here: Parking) -> None:
    """So what is held is bounded, however much is parked."""
    here.member.batch = 2
    for number in range(10):
        here.put(b"%d" % number)
    await here.pass_s(4.0)

    assert (2, 8) == (here.member.at[TopicPartition(FIRST, 0)], 10 - len(here.app.intakes[FIRST].waiting[0]))


@in_virtual_time
async def test_nothing_is_handed_over_before_the_broker_has_told_its_time() -> None:
    here = Parking()
    here.writer.refusals[NAMES.topic(PARK_TICKS)] = kafka.KafkaConnectionError()
    async with here:
        here.put()
        await here.pass_s(60.0)

        assert ([], False) == (here.keys, here.app.ready)


# -- what it writes


@scenario()
async def test_record_that_cannot_be_read_becomes_a_failure_and_the_next_goes_on(here: Parking) -> None:
    here.put(b"bad", headers=())
    here.put(b"good")
    await here.pass_s(6.0)

    assert ([b"bad"], [b"good"]) == ([one.key for one in here.back(NAMES.topic(FAILED))], here.keys)


@scenario()
async def test_record_that_was_handed_over_is_told_as_handled(here: Parking) -> None:
    here.put()
    await here.pass_s(6.0)

    assert [("park", "handled", PARKED[0], 0)] == [seen[:3] + seen[4:5] for seen in here.told.seen]


@scenario()
async def test_refused_write_stops_the_tiers_and_commits_nothing(here: Parking) -> None:
    here.put(b"a")
    here.put(b"b")
    here.writer.refusals[LOW] = kafka.TopicAuthorizationFailedError(LOW)
    await here.pass_s(20.0)

    assert ({}, [], False, True) == (here.committed, here.keys, here.app.ready, here.app.loop.refused is not None)


@scenario()
async def test_refused_write_is_alarmed_once(here: Parking) -> None:
    here.put()
    here.writer.refusals[LOW] = kafka.TopicAuthorizationFailedError(LOW)
    await here.pass_s(60.0)

    assert [("stopped", "topic_refused")] == [(seen.action, seen.kind) for seen in here.told.seen]


@scenario()
async def test_topic_of_the_time_that_refuses_stops_the_tiers_too(here: Parking) -> None:
    here.writer.refusals[NAMES.topic(PARK_TICKS)] = kafka.TopicAuthorizationFailedError("x")
    here.put()
    await here.pass_s(60.0)

    assert ([], f"Kafka refuses writes to '{NAMES.topic(PARK_TICKS)}': TopicAuthorizationFailedError") == (
        here.keys,
        str(here.app.loop.refused),
    )


@pytest.mark.parametrize(
    "error", [kafka.TopicAuthorizationFailedError(FIRST), kafka.GroupAuthorizationFailedError("g")]
)
def test_right_to_read_that_is_missing_stops_the_tiers_with_an_alarm(error: Exception) -> None:
    @in_virtual_time
    async def denied() -> None:
        async with Parking() as here:
            here.member.errors = [error, error]
            await here.pass_s(5.0)

            assert ["stopped"] == [seen.action for seen in here.told.seen]
            assert not here.app.crashed

    denied()


# -- what it commits


@scenario()
async def test_record_is_committed_once_its_copy_is_acknowledged(here: Parking) -> None:
    here.put()
    here.writer.holds = LOW
    await here.pass_s(8.0)
    before = here.committed
    here.writer.release()
    await here.pass_s(COMMIT_S * 2)

    assert ({}, {(FIRST, 0): 1}) == (before, here.committed)


@scenario()
async def test_record_done_before_the_one_in_front_of_it_is_not_committed(here: Parking) -> None:
    here.put(b"a")
    here.put(b"b")
    await here.pass_s(4.5)
    here.writer.holds = LOW
    await here.pass_s(1.0)
    here.writer.release(1)
    await here.pass_s(COMMIT_S * 2)

    assert {} == here.committed


@scenario()
async def test_commit_that_fails_is_made_again(here: Parking) -> None:
    here.member.refused_commits = [kafka.CommitFailedError(), kafka.RebalanceInProgressError()]
    here.put()
    await here.pass_s(5.0 + COMMIT_S * 4)

    assert {(FIRST, 0): 1} == here.committed


@in_virtual_time
async def test_record_that_is_done_is_committed_when_the_app_stops() -> None:
    here = Parking()
    async with here:
        here.put()
        await here.pass_s(5.05)

    assert ({(FIRST, 0): 1}, True, True) == (here.committed, here.member.closed, here.writer.closed)


# -- partitions come and go


@scenario()
async def test_record_that_is_being_written_when_partitions_go_is_committed_first(here: Parking) -> None:
    here.put()
    await here.pass_s(4.9)
    here.writer.holds = LOW
    await here.pass_s(0.2)
    going = asyncio.ensure_future(here.member.revoke())
    await here.pass_s(0.1)
    here.writer.release()
    await going

    assert {(FIRST, 0): 1} == here.committed


@scenario()
async def test_record_that_was_not_committed_comes_again_with_its_partition(here: Parking) -> None:
    here.put()
    here.member.refused_commits = [kafka.CommitFailedError()] * 3
    await here.pass_s(5.1)
    await here.member.revoke()
    here.member.assign()
    await here.pass_s(1.0)

    assert [b"k", b"k"] == here.keys


@scenario()
async def test_record_of_a_partition_that_went_is_left_to_its_next_owner(here: Parking) -> None:
    here.put()
    await here.pass_s(3.0)
    await here.member.revoke()
    await here.pass_s(10.0)

    assert ([], {}, False) == (here.keys, here.committed, here.app.ready)


@scenario(partitions=2)
async def test_partition_that_stays_goes_on_after_a_rebalance(here: Parking) -> None:
    here.put(b"goes", partition=0)
    here.put(b"stays", partition=1)
    await here.pass_s(3.0)
    await here.member.revoke()
    here.member.assign(1)
    await here.pass_s(3.0)

    assert ([b"stays"], {(FIRST, 1): 1}) == (here.keys, here.committed)


@scenario()
async def test_record_that_a_fetch_of_the_last_generation_took_is_read_again(here: Parking) -> None:
    """A fetch under way goes on over a rebalance, and the client's position with it."""
    await here.member.revoke()
    here.put()
    here.member.assign()
    here.member.at = dict.fromkeys(here.member.at, 1)
    await here.pass_s(6.0)

    assert [b"k"] == here.keys


@scenario()
async def test_generation_that_ends_before_it_began_is_not_begun(here: Parking) -> None:
    """The partitions go while it is asked where they begin."""
    await here.member.revoke()
    here.member.committed = losing(here)  # type: ignore[method-assign]  # the same, with a rebalance inside
    here.member.assign()
    await here.pass_s(1.0)

    assert (False, {}) == (here.app.assigned, here.app.intakes[FIRST].waiting)


def losing(here: Parking) -> Callable[..., Any]:
    async def committed(place: Any) -> None:
        here.app.seat.left()

    return committed


@pytest.mark.parametrize(("count", "turn"), [(YIELD_EVERY - 1, False), (YIELD_EVERY, True)])
def test_others_have_their_turn_while_many_are_handed_over(count: int, turn: bool) -> None:
    @in_virtual_time
    async def crowd() -> None:
        async with Parking() as here:
            for number in range(count):
                here.put(b"%d" % number)
            here.member.batch = count
            await here.pass_s(4.0)
            here.app.time.heard = parking.Heard(here.broker.now_ms() + 2000, now_s())
            turned = list[bool]()
            asyncio.get_running_loop().call_soon(turned.append, True)
            await here.app._forward()

            assert (count, turn) == (len(here.keys), bool(turned))

    crowd()


@scenario()
async def test_batch_of_a_generation_that_is_over_is_not_taken(here: Parking) -> None:
    """It was fetched before the partitions went, and the next owner fetches it again."""
    here.put()
    fetching = here.app._fetch()
    here.member.getmany = slowly(here, here.member.getmany)  # type: ignore[method-assign]  # the same, with a rebalance inside
    await fetching

    assert None is here.app.intakes[FIRST].due_ms()


def slowly(here: Parking, fetch: Callable[..., Any]) -> Callable[..., Any]:
    async def getmany(*places: Any, timeout_ms: int) -> Any:
        found = await fetch(*places, timeout_ms=timeout_ms)
        await here.member.revoke()
        return found

    return getmany


@scenario()
async def test_app_without_any_partition_is_ready_and_asks_for_nothing(here: Parking) -> None:
    await here.member.revoke()
    here.member.at = {}
    here.member.listener.on_partitions_assigned([])
    here.member.asked.clear()
    await here.pass_s(1.0)

    assert (True, []) == (here.app.ready, here.member.asked)


@scenario()
async def test_process_that_slept_past_its_session_hands_nothing_over(here: Parking) -> None:
    here.put()
    await here.pass_s(4.0)
    here.app.seat.lease._since -= 60
    await here.pass_s(4.0)
    held = here.keys
    here.app.seat.lease.renewed(since_boot())
    await here.pass_s(0.1)

    assert ([], [b"k"]) == (held, here.keys)


# -- nothing is skipped


@pytest.mark.parametrize(("start", "reason"), [(5, "log_starts_later"), (0, "hole_in_offsets")])
def test_gap_in_a_tier_ends_the_process_and_names_the_record(start: int, reason: str) -> None:
    @in_virtual_time
    async def gap() -> None:
        here, place = Parking(), TopicPartition(FIRST, 0)
        here.broker.starts[place], here.broker.commits[place] = 5, 2
        here.put()
        here.broker.starts[place] = start
        async with here:
            [fatal] = here.ends

            assert (reason, "parked.1/0: expected 2, got 5", 2) == (fatal.reason, fatal.detail, fatal.offset)

    gap()


@in_virtual_time
async def test_log_that_starts_later_is_passed_over_where_the_settings_say_so() -> None:
    here, place = Parking(skip_lost_offsets=True), TopicPartition(FIRST, 0)
    here.broker.starts[place], here.broker.commits[place] = 5, 2
    here.put()
    async with here:
        await here.pass_s(6.0)

        assert ([], ("engine", "lost", "parked.1", 0, 2), 3, [b"k"]) == (
            here.ends,
            here.told.seen[0][:5],
            here.told.seen[0].outputs,
            here.keys,
        )


# -- what goes wrong


@pytest.mark.parametrize("error", [kafka.RequestTimedOutError(), kafka.KafkaTimeoutError(), OSError("gone")])
def test_fetch_that_fails_in_passing_is_made_again(error: Exception) -> None:
    @in_virtual_time
    async def away() -> None:
        async with Parking() as here:
            here.member.errors = [error] * 3
            here.put()
            await here.pass_s(6.0 + 3 * PAUSE_S)

            assert [b"k"] == here.keys

    away()


@scenario()
async def test_record_that_is_here_is_handed_over_while_fetches_fail(here: Parking) -> None:
    here.put()
    await here.pass_s(1.0)
    here.member.errors = [kafka.KafkaConnectionError()] * 100
    await here.pass_s(5.0)

    assert [b"k"] == here.keys


@pytest.mark.parametrize("error", [kafka.KafkaError("the coordination died"), RuntimeError("a bug")])
def test_failure_for_good_is_told_as_a_crash(error: Exception) -> None:
    @in_virtual_time
    async def broken() -> None:
        async with Parking() as here:
            here.member.errors = [error]
            await here.pass_s(1.0)

            assert (True, error) == (here.app.crashed, here.app.crash_reason)

    broken()


@scenario()
async def test_running_app_has_not_crashed(here: Parking) -> None:
    assert (False, None) == (here.app.crashed, here.app.crash_reason)


@scenario()
async def test_lost_group_ends_the_process(here: Parking) -> None:
    for _ in range(2):
        here.member._coordinator.generation = 1
        here.member._coordinator.reset_generation()
    here.app.look()

    assert [("lost_group", "park")] == [(fatal.reason, fatal.app) for fatal in here.ends]


@scenario()
async def test_look_at_a_member_ends_nothing(here: Parking) -> None:
    here.app.look()
    here.app.persist()

    assert [] == here.ends


@pytest.mark.parametrize("answering", [True, False])
def test_broker_is_asked_through_the_producer(answering: bool) -> None:
    @in_virtual_time
    async def asked() -> None:
        async with Parking() as here:
            here.writer.answering = answering

            assert answering is await here.app.broker_answers()

    asked()


# -- how it joins


@scenario()
async def test_app_joins_as_a_static_member_that_is_never_too_slow(here: Parking) -> None:
    wanted = {"auto_offset_reset": "earliest", "max_poll_interval_ms": 86_400_000, "session_timeout_ms": 10_000}
    options = here.member.options

    assert (wanted, True) == (
        {name: options[name] for name in wanted},
        options["group_instance_id"].startswith("prompts.park-"),
    )


@scenario()
async def test_app_reads_all_tiers_with_the_seconds_of_its_plan(here: Parking) -> None:
    assert {NAMES.topic(topic): seconds for topic, seconds in zip(PARKED, TIERS_S, strict=True)} == {
        name: tier.seconds for name, tier in here.app.intakes.items()
    }


@in_virtual_time
async def test_app_that_could_not_start_can_be_stopped() -> None:
    @asynccontextmanager
    async def refused(*_: Any, **__: Any) -> Any:
        raise kafka.KafkaConnectionError()
        yield

    here = Parking()
    app = ParkApp(replace(here.app.plan), now=now_s, members=refused, producers=through(here.writer))
    with pytest.raises(kafka.KafkaConnectionError):
        await app.start()
    await app.stop()

    assert (False, False, True) == (app.ready, app.crashed, here.writer.closed)
