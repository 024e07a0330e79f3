"""Whose acknowledgement waits, and what frees it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.holding import Holding
from streams.engine.loop import Loop
from streams.stage import Output, Record, Scope, Stage
from tests.support.builders import record
from tests.support.fake_faust import NAMES, Bench, settle
from tests.support.loops import in_loop
from topics.catalog import BREAKER_TICKS, CALLS, INFERRED

HELD, COVER = CALLS, BREAKER_TICKS


class Acked:
    """Stands for an intake: remembers what is acknowledged."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.acks = self

    def done(self, ticket: int) -> None:
        self.offsets.append(ticket)


class Work:
    """A record that will be done; its offset is its ticket, its turn the order of handling."""

    def __init__(self, intake: Acked, turn: int, topic: str, partition: int = 0) -> None:
        self.intake, self.turn, self.ticket = intake, turn, turn
        self.record = record(b"", topic=topic, partition=partition, offset=turn)


def acked(*steps: tuple[int, str] | tuple[int, str, int], topics: tuple[str, ...] = (HELD,)) -> list[int]:
    """What is acknowledged after records were done: turn, topic and partition of each."""
    intake, holding = Acked(), Holding(topics)
    for step in steps:
        work: Any = Work(intake, *step)
        holding.done(work)
    return intake.offsets


def test_record_of_a_stage_that_holds_nothing_is_acknowledged_at_once() -> None:
    assert [1, 2] == acked((1, HELD), (2, COVER), topics=())


def test_held_record_waits_for_a_cover() -> None:
    assert [] == acked((1, HELD), (2, HELD))


def test_held_record_is_acknowledged_with_the_next_cover() -> None:
    assert [1, 2, 3] == acked((1, HELD), (2, HELD), (3, COVER))


def test_held_record_done_after_its_cover_is_acknowledged_at_once() -> None:
    assert [2, 1] == acked((2, COVER), (1, HELD))


def test_held_record_handled_after_a_cover_waits_for_the_next() -> None:
    """It was done before that cover, yet the cover's handler had not seen it."""
    assert [1, 2] == acked((1, HELD), (3, HELD), (2, COVER))
    assert [1, 2, 3, 4] == acked((1, HELD), (3, HELD), (2, COVER), (4, COVER))


def test_cover_of_one_partition_frees_no_other() -> None:
    assert [2] == acked((1, HELD, 0), (2, COVER, 1))


def test_older_cover_that_is_done_late_takes_nothing_back() -> None:
    assert [5, 2, 3] == acked((5, COVER), (2, COVER), (3, HELD))


def test_turns_follow_one_another() -> None:
    holding = Holding(())

    assert [1, 2, 3] == [holding.turn() for _ in range(3)]


@given(st.lists(st.tuples(st.sampled_from([HELD, COVER]), st.integers(0, 1)), max_size=12), st.randoms())
def test_records_done_in_any_order_are_free_exactly_when_a_later_cover_is(kinds: Any, chance: Any) -> None:
    steps = [(turn, topic, partition) for turn, (topic, partition) in enumerate(kinds, 1)]
    chance.shuffle(steps)
    covers = {
        where: max((t for t, topic, at in steps if (topic, at) == (COVER, where)), default=-1) for where in (0, 1)
    }

    free = {turn for turn, topic, where in steps if topic == COVER or turn < covers[where]}
    assert sorted(free) == sorted(acked(*steps))


# -- in the loop


class Folding(Bench):
    """A stage that folds one topic in memory and writes it with the other; both come from one fake consumer."""

    def __init__(self, handle: Any, *, auto: bool = True) -> None:
        super().__init__(handle, auto=auto, table="rows")
        self.stage = Stage("probe", "core", (HELD, COVER), (INFERRED,), handle, table="rows", holds=frozenset({HELD}))
        mine: Any = self
        self.loop = Loop(
            self.stage, NAMES, mine.delivery, self.lease, self.scope, self.loop._observer, self.points.append
        )
        self.intakes = {topic: self.feed(topic) for topic in (HELD, COVER)}

    async def enter(self, topic: str, offset: int) -> None:
        self.intake = self.intakes[topic]
        await self.handle(offset, topic=NAMES.topic(topic))
        await settle()


def folds(record: Record, scope: Scope) -> list[Output]:
    if record.topic == COVER:
        scope.table.put(b"k", b"v")
    return []


@in_loop
async def test_folded_records_are_acknowledged_once_the_row_is() -> None:
    bench = Folding(folds, auto=False)
    await bench.enter(HELD, 10)
    await bench.enter(HELD, 11)
    await bench.enter(COVER, 50)
    before = list(bench.consumer.acked)
    bench.delivery.answer()

    assert ([], [10, 11, 50]) == (before, sorted(bench.consumer.acked))


@in_loop
async def test_folded_records_without_a_row_to_come_hold_up_no_drain() -> None:
    bench = Folding(folds)
    await bench.enter(HELD, 10)

    assert (1, [], 0) == (await bench.loop.drain(1.0, patient=True), bench.consumer.acked, bench.loop.in_work)


@in_loop
async def test_forgotten_record_is_not_acknowledged_by_a_later_cover() -> None:
    bench = Folding(folds)
    await bench.enter(HELD, 10)
    await bench.loop.drain(1.0, patient=True)
    await bench.enter(COVER, 50)

    assert [50] == bench.consumer.acked


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x")])
@in_loop
async def test_held_record_whose_handler_raised_waits_like_the_others(error: Exception) -> None:
    def raises(record: Record, scope: Scope) -> list[Output]:
        if record.topic == HELD:
            raise error
        return []

    bench = Folding(raises)
    await bench.enter(HELD, 10)
    before = list(bench.consumer.acked)
    await bench.enter(COVER, 50)

    assert ([], [10, 50]) == (before, sorted(bench.consumer.acked))
