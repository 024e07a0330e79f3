"""Who lets time pass, where, and when it is better not to."""

import asyncio
from typing import Any

import pytest

from streams.engine.delivery import Delivery
from streams.engine.exit import Fatal
from streams.engine.ticks import EVERY_S, VALUE, Ticks
from tests.support.aio import in_virtual_time, pass_s
from tests.support.fake_faust import FakeDelivery, settle
from tests.support.loops import in_loop
from topics.catalog import CATALOG, TICKS
from topics.errors import OrchestratorError, RecordTooLarge, TopicRefused

TOPIC, OTHER = "prompts.ticks", "prompts.clock"


class Bench:
    """Ticks over a delivery that answers soon, or when told to; ``mine`` are the partitions read here."""

    def __init__(self, *mine: int, auto: bool = True) -> None:
        self.mine = set(mine)
        self.delivery = FakeDelivery(auto=auto)
        delivery: Any = self.delivery
        self.ticks = Ticks(delivery, lambda: {(TOPIC, number) for number in self.mine})

    async def tick(self, times: int = 1) -> list[int | None]:
        """So many seconds pass; returns the partitions written to so far, in order."""
        for _ in range(times):
            await self.ticks.tick()
            await settle()
        return self.written

    @property
    def written(self) -> list[int | None]:
        return [parcel.partition for parcel in self.delivery.parcels]


@pytest.mark.parametrize("mine", [(), (0,), (0, 3, 7), tuple(range(8))])
@in_loop
async def test_tick_partitions_read_here_get_one_each(mine: tuple[int, ...]) -> None:
    bench = Bench(*mine)

    assert list(mine) == await bench.tick()


@in_loop
async def test_tick_is_a_small_record_without_a_key() -> None:
    bench = Bench(2)
    await bench.tick()

    [parcel] = bench.delivery.parcels
    assert (TOPIC, None, VALUE) == (parcel.topic, parcel.key, parcel.value)
    assert len(VALUE) <= CATALOG[TICKS].max_bytes


@in_loop
async def test_tick_acknowledged_predecessor_is_followed_by_the_next() -> None:
    assert [0, 0, 0] == await Bench(0).tick(3)


@in_loop
async def test_tick_unacknowledged_predecessor_is_waited_for() -> None:
    bench = Bench(0, 1, auto=False)
    before = await bench.tick(3)
    bench.delivery.answer()

    assert ([0, 1], [0, 1]) == (before, await bench.tick())


@in_loop
async def test_tick_unacknowledged_on_one_partition_leaves_the_others_alone() -> None:
    bench = Bench(0, auto=False)
    await bench.tick()
    bench.mine = {0, 1}

    assert [0, 1] == await bench.tick()


@pytest.mark.parametrize("error", [TopicRefused(TOPIC, "no right"), RecordTooLarge(TOPIC, 9, 1)])
@in_loop
async def test_tick_refused_by_the_broker_is_tried_again(error: OrchestratorError) -> None:
    bench = Bench(0, auto=False)
    await bench.tick()
    bench.delivery.answer(error)

    assert [0] == await bench.tick()


@in_loop
async def test_tick_while_not_in_charge_writes_nothing() -> None:
    bench = Bench(0, 1)
    bench.mine = set()
    while_away = list(await bench.tick(3))
    bench.mine = {1}

    assert ([], [1]) == (while_away, await bench.tick())


@in_loop
async def test_tick_of_two_clocks_waits_for_each_by_itself() -> None:
    delivery: Any = FakeDelivery(auto=False)
    ticks = Ticks(delivery, lambda: {(TOPIC, 0), (OTHER, 0)})
    await ticks.tick()
    [waiting] = [parcel for parcel in delivery.parcels if parcel.topic == OTHER]
    waiting.settled(None)
    await ticks.tick()

    assert [OTHER, OTHER, TOPIC] == sorted(delivery.topics)


@pytest.mark.parametrize(("seconds", "ticks"), [(0.5, 0), (1.5, 1), (3.5, 3), (60.5, 60)])
@in_virtual_time
async def test_run_writes_one_record_a_second(seconds: float, ticks: int) -> None:
    bench = Bench(0)
    running = asyncio.get_running_loop().create_task(bench.ticks.run())
    await pass_s(seconds * EVERY_S)
    running.cancel()

    assert ticks == len(bench.written)


@in_virtual_time
async def test_run_asks_each_second_who_is_in_charge() -> None:
    bench = Bench(0)
    running = asyncio.get_running_loop().create_task(bench.ticks.run())
    await pass_s(1.5)
    bench.mine = {5}
    await pass_s(1.0)
    running.cancel()

    assert [0, 5] == bench.written


class Unanswered:
    """A producer that never hears of what it sent."""

    def __init__(self) -> None:
        self.sent = list[tuple[str, bytes | None, int | None]]()

    async def send(
        self, topic: str, value: Any = None, key: Any = None, partition: Any = None, *, headers: Any = None
    ) -> "asyncio.Future[Any]":
        self.sent.append((topic, value, partition))
        return asyncio.get_running_loop().create_future()


@in_loop
async def test_tick_through_the_real_delivery_reaches_its_partition() -> None:
    producer, ended = Unanswered(), list[Fatal]()
    policy: Any = None
    ticks = Ticks(Delivery("core", lambda: producer, ended.append, policy), lambda: ((TOPIC, 4),))
    await ticks.tick()
    await ticks.tick()

    assert ([(TOPIC, VALUE, 4)], []) == (producer.sent, ended)
