import asyncio
import time

import pytest

from streams.adapters.clock import HandClock, SystemClock
from tests.support.scopes import turns, until


def asleep(clock: HandClock, seconds: float) -> "asyncio.Task[None]":
    return asyncio.ensure_future(clock.sleep(seconds))  # why: the thing itself


def test_time_of_the_machine_is_in_milliseconds() -> None:
    before = int(time.time() * 1000)

    assert before <= SystemClock().now_ms() <= int(time.time() * 1000) + 1


def test_time_by_hand_stands_still_until_wound() -> None:
    clock = HandClock(1000)

    before = clock.now_ms()
    clock.wind_to(1500)

    assert (1000, 1500) == (before, clock.now_ms())


def test_time_by_hand_is_never_wound_back() -> None:
    clock = HandClock(1000)

    clock.wind_to(10)

    assert 1000 == clock.now_ms()


@pytest.mark.parametrize(("wound_to", "woken"), [(1499, False), (1500, True), (9000, True)])
def test_sleeper_wakes_once_its_time_has_come(wound_to: int, woken: bool) -> None:
    async def scenario() -> bool:
        clock = HandClock(1000)
        task = asleep(clock, 0.5)
        await until(lambda: clock.sleepers)
        clock.wind_to(wound_to)
        await turns()
        done = task.done()
        task.cancel()
        return done

    assert woken is asyncio.run(scenario())


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    async def scenario() -> list[tuple[str, int]]:
        clock, woken = HandClock(0), list[tuple[str, int]]()

        for name, due in (("late", 30), ("early", 10), ("also early", 10)):
            clock.call_after(due / 1000, lambda name=name: woken.append((name, clock.now_ms())))
        clock.wind_to(100)
        return woken

    assert [("early", 10), ("also early", 10), ("late", 30)] == asyncio.run(scenario())


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_sleeper_without_time_is_due_at_once(seconds: float) -> None:
    async def scenario() -> int | None:
        clock = HandClock(1000)
        task = asleep(clock, seconds)
        await until(lambda: clock.sleepers)
        due = clock.next_ms
        clock.wind_to(1000)
        await task
        return due

    assert 1000 == asyncio.run(scenario())


def test_sleeper_that_is_cancelled_is_forgotten() -> None:
    async def scenario() -> tuple[int, int | None]:
        clock = HandClock(1000)
        task = asleep(clock, 5)
        await until(lambda: clock.sleepers)
        task.cancel()
        await asyncio.wait({task})
        return clock.sleepers, clock.next_ms

    assert (0, None) == asyncio.run(scenario())


def test_sleeper_cancelled_in_the_turn_of_its_waking_raises_nothing() -> None:
    async def scenario() -> bool:
        clock = HandClock(1000)
        task = asleep(clock, 5)
        await until(lambda: clock.sleepers)
        task.cancel()
        clock.wind_to(6000)
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(scenario())


def test_next_time_without_sleepers_is_none() -> None:
    assert None is HandClock().next_ms


def test_timeout_that_is_not_reached_lets_the_result_through() -> None:
    async def scenario() -> tuple[bool, int | None]:
        clock = HandClock(0)
        async with clock.within(1.0) as bound:
            await turns()
        return bound.expired(), clock.next_ms

    assert (False, None) == asyncio.run(scenario())


def test_timeout_that_passes_cancels_and_says_so() -> None:
    async def scenario() -> tuple[bool, int]:
        clock = HandClock(0)
        bound = clock.within(1.0)

        async def bounded() -> None:
            async with bound:
                await asyncio.Event().wait()

        task = asyncio.ensure_future(bounded())
        await until(lambda: clock.next_ms)
        clock.wind_to(1000)
        await asyncio.wait({task})
        with pytest.raises(TimeoutError):
            task.result()
        return bound.expired(), clock.now_ms()

    assert (True, 1000) == asyncio.run(scenario())


def test_timeout_without_an_end_never_passes() -> None:
    async def scenario() -> bool:
        clock = HandClock(0)
        async with clock.within(None) as bound:
            clock.wind_to(10**12)
            await turns()
        return bound.expired()

    assert False is asyncio.run(scenario())


def test_timeout_that_passes_is_ending_until_its_body_has_ended() -> None:
    clock = HandClock()
    seen = list[int]()

    async def scenario() -> None:
        async def bounded() -> None:
            async with clock.within(1.0):
                await clock.sleep(9.0)  # why: the thing itself, by the hand clock

        task = asyncio.ensure_future(bounded())
        await asyncio.sleep(0)
        seen.append(clock.ending)
        clock.wind_to(clock.now_ms() + 1000)
        seen.append(clock.ending)
        await asyncio.gather(task, return_exceptions=True)
        seen.append(clock.ending)

    asyncio.run(scenario())
    assert [0, 1, 0] == seen


def test_timeout_that_is_left_in_time_is_never_ending() -> None:
    clock = HandClock()

    async def scenario() -> int:
        async with clock.within(1.0):
            pass
        clock.wind_to(clock.now_ms() + 5000)
        return clock.ending

    assert 0 == asyncio.run(scenario())
