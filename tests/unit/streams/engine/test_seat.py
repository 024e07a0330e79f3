"""A plain consumer's seat in its group."""

import pytest
from aiokafka import TopicPartition

from streams.engine.seat import Seat
from tests.support.fake_group import FakeBroker, FakeMember
from tests.support.loops import in_loop

PLACES = (TopicPartition("a", 0), TopicPartition("b", 0))


class Taken:
    """A seat that was taken, and the ends of generations that it told."""

    def __init__(self, session_s: float = 10.0) -> None:
        self.ends: list[object] = []
        self.seat = Seat(session_s, self._ended)
        self.member = FakeMember(FakeBroker())
        self.seat.take(self.member, ["a", "b"])
        self.coordinator = self.member._coordinator

    async def _ended(self) -> None:
        self.ends.append(self.seat.granted)

    def thrown_out(self) -> None:
        self.coordinator.generation = 1
        self.coordinator.reset_generation()


@in_loop
async def test_seat_that_is_taken_subscribes_to_its_topics() -> None:
    assert ["a", "b"] == Taken().member.topics


@in_loop
async def test_partitions_that_are_granted_are_known() -> None:
    assert frozenset(PLACES) == Taken().seat.granted


@in_loop
async def test_partitions_are_nobodys_after_they_were_revoked() -> None:
    taken = Taken()
    await taken.member.revoke()

    assert (None, [None]) == (taken.seat.granted, taken.ends)


@in_loop
async def test_each_end_of_a_generation_is_counted() -> None:
    taken = Taken()
    before = taken.seat.generation
    await taken.member.revoke()
    taken.member.assign()
    taken.seat.left()

    assert [0, 2] == [before, taken.seat.generation]


@pytest.mark.parametrize(("confirmed", "valid"), [(True, True), (False, False)])
def test_heartbeat_that_is_confirmed_renews_the_lease(confirmed: bool, valid: bool) -> None:
    @in_loop
    async def scenario() -> None:
        taken = Taken()
        taken.seat.lease._since -= 60
        taken.coordinator.beats = [confirmed]
        alive = await taken.coordinator._do_heartbeat()

        assert (confirmed, valid) == (alive, taken.seat.lease.valid())

    scenario()


@in_loop
async def test_generation_that_begins_renews_the_lease() -> None:
    taken = Taken()
    taken.seat.lease._since -= 60
    taken.member.assign()

    assert taken.seat.lease.valid()


@in_loop
async def test_member_inside_its_group_is_not_lost() -> None:
    taken = Taken()

    assert [None, None] == [taken.seat.lost(now) for now in (0.0, 100.0)]


@in_loop
async def test_member_that_was_thrown_out_twice_is_lost() -> None:
    taken = Taken()
    taken.thrown_out()
    once = taken.seat.lost(1.0)
    taken.thrown_out()

    assert (None, True) == (once, "thrown out of the group 2 times" in (taken.seat.lost(2.0) or ""))


@in_loop
async def test_member_that_leaves_by_itself_was_not_thrown_out() -> None:
    """The client resets a generation that it never had when it joins."""
    taken = Taken()
    taken.coordinator.generation = -1
    for _ in range(3):
        taken.coordinator.reset_generation()

    assert (3, None) == (taken.coordinator.resets, taken.seat.lost(1.0))


@pytest.mark.parametrize(("seconds", "lost"), [(60.0, False), (61.0, True)])
def test_member_that_stays_outside_is_lost_after_a_minute(seconds: float, lost: bool) -> None:
    @in_loop
    async def scenario() -> None:
        taken = Taken()
        taken.coordinator.generation = -1
        taken.seat.lost(0.0)

        assert lost is (taken.seat.lost(seconds) is not None)

    scenario()
