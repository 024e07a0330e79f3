"""The right to send: who has it, who waits for it, who is let go."""

import asyncio
from dataclasses import dataclass

import pytest

from streams.engine.lease import MARGIN, Lease
from tests.support.aio import in_virtual_time, now_s, pass_s, turns

SESSION_S = 10.0


@dataclass
class Wound:
    """A clock that stands until it is wound."""

    at: float = 100.0

    def __call__(self) -> float:
        return self.at


def lease() -> tuple[Lease, Wound]:
    clock = Wound()
    return Lease(SESSION_S, clock), clock


def slept() -> tuple[Lease, Wound]:
    """A process that slept past its session."""
    one, clock = lease()
    clock.at += SESSION_S
    return one, clock


def never() -> bool:
    return False


def waiting(one: Lease, given_up: list[bool]) -> asyncio.Task[bool]:
    """A record that is held back; it is given up as soon as the list holds something."""
    return asyncio.get_running_loop().create_task(one.held(lambda: bool(given_up)))


@pytest.mark.parametrize(
    ("silent_s", "valid"), [(0.0, True), (5.0, True), (8.99, True), (9.0, False), (10.0, False), (3600.0, False)]
)
def test_lease_is_valid_up_to_a_margin_below_the_session(silent_s: float, valid: bool) -> None:
    one, clock = lease()
    clock.at += silent_s

    assert valid == one.valid()


def test_margin_leaves_time_for_a_record_to_arrive() -> None:
    assert 0.5 < MARGIN < 1.0


def test_renewed_lease_counts_from_when_the_request_was_sent() -> None:
    one, clock = slept()
    one.renewed(clock.at - 8.0)
    valid_now = one.valid()
    clock.at += 1.5

    assert (True, False) == (valid_now, one.valid())


def test_renewal_that_came_late_takes_nothing_away() -> None:
    one, clock = lease()
    one.renewed(clock.at)
    one.renewed(clock.at - 60.0)

    assert one.valid()


def test_renewal_of_long_ago_makes_nothing_valid() -> None:
    one, clock = slept()
    one.renewed(clock.at - SESSION_S)

    assert not one.valid()


def test_waking_those_who_wait_renews_nothing() -> None:
    one, _ = slept()
    one.wake()

    assert not one.valid()


@in_virtual_time
async def test_lease_of_its_own_clock_starts_valid() -> None:
    assert Lease(SESSION_S).valid()


@in_virtual_time
async def test_lease_on_the_loops_clock_runs_out() -> None:
    one = Lease(SESSION_S, now_s)
    await pass_s(SESSION_S)

    assert not one.valid()


@in_virtual_time
async def test_held_with_a_valid_lease_returns_true_at_once() -> None:
    one, _ = lease()

    assert await one.held(never)


@in_virtual_time
async def test_held_given_up_before_returns_false_whatever_the_lease() -> None:
    one, _ = lease()

    assert not await one.held(lambda: True)


@in_virtual_time
async def test_held_after_silence_waits_for_renewal() -> None:
    one, clock = slept()
    record = waiting(one, [])
    await turns()
    held_back = not record.done()
    one.renewed(clock.at)

    assert (True, True) == (held_back, await record)


@in_virtual_time
async def test_held_given_up_record_returns_false() -> None:
    one, _ = slept()
    given_up = list[bool]()
    record = waiting(one, given_up)
    await turns()
    given_up.append(True)
    one.wake()

    assert not await record


@in_virtual_time
async def test_held_given_up_while_the_lease_is_renewed_returns_false() -> None:
    one, clock = slept()
    given_up = list[bool]()
    record = waiting(one, given_up)
    await turns()
    one.renewed(clock.at)
    given_up.append(True)

    assert not await record


@in_virtual_time
async def test_held_woken_without_news_waits_on() -> None:
    one, clock = slept()
    record = waiting(one, [])
    for _ in range(3):
        one.wake()
        await turns()
    held_back = not record.done()
    one.renewed(clock.at)

    assert (True, True) == (held_back, await record)


@in_virtual_time
async def test_held_with_a_renewal_too_old_waits_for_the_next() -> None:
    one, clock = slept()
    record = waiting(one, [])
    await turns()
    one.renewed(clock.at - SESSION_S)
    await turns()
    held_back = not record.done()
    one.renewed(clock.at)

    assert (True, True) == (held_back, await record)


@in_virtual_time
async def test_lease_ending_again_before_the_record_wakes_holds_it_back() -> None:
    one, clock = slept()
    record = waiting(one, [])
    await turns()
    one.renewed(clock.at)
    clock.at += SESSION_S
    await turns()

    assert not record.done()
    record.cancel()


@in_virtual_time
async def test_renewal_releases_all_who_wait() -> None:
    one, clock = slept()
    records = [waiting(one, []) for _ in range(5)]
    await turns()
    one.renewed(clock.at)

    assert [True] * 5 == await asyncio.gather(*records)


@in_virtual_time
async def test_wake_releases_only_those_given_up() -> None:
    one, clock = slept()
    given_up, kept = [waiting(one, [True])], waiting(one, [])
    late = list[bool]()
    given_up.append(waiting(one, late))
    await turns()
    late.append(True)
    one.wake()
    await turns()
    done = [record.done() for record in (*given_up, kept)]
    one.renewed(clock.at)

    assert ([True, True, False], [False, False], True) == (done, await asyncio.gather(*given_up), await kept)


@in_virtual_time
async def test_waiter_cancelled_leaves_the_others_waiting() -> None:
    one, clock = slept()
    first, second = waiting(one, []), waiting(one, [])
    await turns()
    first.cancel()
    await asyncio.wait([first])
    one.renewed(clock.at)

    assert (True, True) == (first.cancelled(), await second)
