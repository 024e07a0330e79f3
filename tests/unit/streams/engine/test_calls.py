"""Shared calls: who starts one, who attaches, and what outlives whom."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from streams.engine.calls import Calls
from tests.support.aio import in_virtual_time, turns
from topics.provider_errors import WorkerError

KEY, OTHER = b"k", b"other"
TIMEOUT = WorkerError("echo", "timeout", retryable=True)


@dataclass
class Provider:
    """Calls that end when the test says so."""

    begun: list[asyncio.Future[Any]] = field(default_factory=list)
    cancelled: int = 0

    async def call(self) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.begun.append(answer)
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def ask(calls: Calls, call: Callable[[], Awaitable[Any]], key: bytes = KEY, partition: int = 0) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(calls.shared(key, partition, call))


async def begun(*keys: bytes, partition: int = 0) -> tuple[Calls, Provider, list[asyncio.Task[Any]]]:
    """Calls under way, one asker for each of the keys."""
    calls, provider = Calls(), Provider()
    asked = [ask(calls, provider.call, key, partition) for key in keys]
    await turns()
    return calls, provider, asked


async def let_go(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


# -- started and attached to


@in_virtual_time
async def test_shared_first_asker_gets_what_the_call_returns() -> None:
    _, provider, [asked] = await begun(KEY)
    provider.begun[0].set_result("reply")

    assert "reply" == await asked


@in_virtual_time
async def test_shared_two_askers_one_key_start_one_call() -> None:
    _, provider, _ = await begun(KEY, KEY)

    assert 1 == len(provider.begun)


@in_virtual_time
async def test_shared_all_askers_of_a_key_get_the_one_reply() -> None:
    _, provider, asked = await begun(KEY, KEY, KEY)
    provider.begun[0].set_result("reply")

    assert ["reply"] * 3 == await asyncio.gather(*asked)


@in_virtual_time
async def test_shared_two_keys_start_a_call_each() -> None:
    _, provider, asked = await begun(KEY, OTHER)
    provider.begun[1].set_result("second")
    provider.begun[0].set_result("first")

    assert ["first", "second"] == await asyncio.gather(*asked)


@in_virtual_time
async def test_shared_asker_after_the_reply_gets_it_without_a_call() -> None:
    calls, provider, [asked] = await begun(KEY)
    provider.begun[0].set_result("reply")
    await asked

    assert ("reply", 1) == (await ask(calls, provider.call), len(provider.begun))


@in_virtual_time
async def test_shared_call_that_returns_at_once_is_still_one() -> None:
    calls, times = Calls(), list[int]()

    async def call() -> int:
        times.append(1)
        return len(times)

    replies = await asyncio.gather(ask(calls, call), ask(calls, call))

    assert [1, 1] == list(replies)


@in_virtual_time
async def test_shared_call_that_returns_nothing_is_not_repeated() -> None:
    calls, provider, [asked] = await begun(KEY)
    provider.begun[0].set_result(None)
    await asked

    assert (None, 1) == (await ask(calls, provider.call), len(provider.begun))


# -- outliving its askers


@in_virtual_time
async def test_shared_asker_cancelled_call_runs_on_and_next_attaches() -> None:
    calls, provider, [first] = await begun(KEY)
    await let_go(first)
    again = ask(calls, provider.call)
    await turns()
    provider.begun[0].set_result("reply")

    assert ("reply", 1, 0) == (await again, len(provider.begun), provider.cancelled)


@in_virtual_time
async def test_shared_first_of_two_askers_cancelled_second_gets_the_reply() -> None:
    _, provider, [first, second] = await begun(KEY, KEY)
    await let_go(first)
    provider.begun[0].set_result("reply")

    assert (True, "reply") == (first.cancelled(), await second)


@in_virtual_time
async def test_shared_second_of_two_askers_cancelled_first_gets_the_reply() -> None:
    _, provider, [first, second] = await begun(KEY, KEY)
    await let_go(second)
    provider.begun[0].set_result("reply")

    assert ("reply", True) == (await first, second.cancelled())


@in_virtual_time
async def test_shared_all_askers_cancelled_call_finishes_for_a_later_one() -> None:
    calls, provider, asked = await begun(KEY, KEY)
    for task in asked:
        await let_go(task)
    provider.begun[0].set_result("paid for")
    await turns()

    assert ("paid for", 1) == (await ask(calls, provider.call), len(provider.begun))


@in_virtual_time
async def test_shared_asker_cancelled_before_the_call_began_still_begins_it() -> None:
    calls, provider = Calls(), Provider()
    first = ask(calls, provider.call)
    await turns(1)
    await let_go(first)
    await turns()

    assert ([KEY], 1) == (list(calls.running), len(provider.begun))


@in_virtual_time
async def test_shared_asker_cancelled_as_the_reply_comes_keeps_it_for_the_next() -> None:
    calls, provider, [first] = await begun(KEY)
    provider.begun[0].set_result("reply")
    await let_go(first)

    assert ("reply", 1) == (await ask(calls, provider.call), len(provider.begun))


# -- failing


@in_virtual_time
async def test_shared_failing_call_raises_to_every_asker() -> None:
    _, provider, asked = await begun(KEY, KEY)
    provider.begun[0].set_exception(TIMEOUT)

    assert [TIMEOUT, TIMEOUT] == await asyncio.gather(*asked, return_exceptions=True)


@in_virtual_time
async def test_shared_failed_call_raises_to_a_later_asker_too() -> None:
    calls, provider, [first] = await begun(KEY)
    provider.begun[0].set_exception(TIMEOUT)
    await asyncio.wait([first])

    with pytest.raises(WorkerError):
        await ask(calls, provider.call)
    assert 1 == len(provider.begun)


@in_virtual_time
async def test_shared_failed_call_once_forgotten_is_made_again() -> None:
    calls, provider, [first] = await begun(KEY)
    provider.begun[0].set_exception(TIMEOUT)
    await asyncio.wait([first])
    calls.forget(KEY)
    again = ask(calls, provider.call)
    await turns()
    provider.begun[1].set_result("reply")

    assert "reply" == await again


@in_virtual_time
async def test_shared_call_failing_with_nobody_attached_complains_nowhere() -> None:
    complaints = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    calls, provider, [first] = await begun(KEY)
    await let_go(first)
    provider.begun[0].set_exception(WorkerError("echo", "secret", retryable=False))
    await turns()
    calls.forget(KEY)
    del first, provider
    gc.collect()

    assert [] == complaints


@in_virtual_time
async def test_shared_call_cancelled_with_nobody_attached_complains_nowhere() -> None:
    complaints = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    calls, provider, [first] = await begun(KEY)
    await let_go(first)
    calls.keep(set())
    await turns()

    assert ([], 1) == (complaints, provider.cancelled)


@in_virtual_time
async def test_shared_call_failing_with_nobody_attached_raises_to_the_next() -> None:
    calls, provider, [first] = await begun(KEY)
    await let_go(first)
    provider.begun[0].set_exception(TIMEOUT)
    await turns()

    with pytest.raises(WorkerError):
        await ask(calls, provider.call)


# -- forgotten


@in_virtual_time
async def test_forget_finished_call_lets_the_key_be_called_again() -> None:
    calls, provider, [asked] = await begun(KEY)
    provider.begun[0].set_result("reply")
    await asked
    calls.forget(KEY)
    ask(calls, provider.call)
    await turns()

    assert 2 == len(provider.begun)


@in_virtual_time
async def test_forget_unknown_key_changes_nothing() -> None:
    calls, _, _ = await begun(KEY)
    calls.forget(OTHER)

    assert [KEY] == list(calls.running)


# -- moved away


@in_virtual_time
async def test_keep_partition_moved_call_is_cancelled_and_counted() -> None:
    calls, provider, [asked] = await begun(KEY, partition=3)
    moved = calls.keep({0, 1, 2})
    await asyncio.wait([asked])

    assert (1, 1, 1, True) == (moved, calls.moved, provider.cancelled, asked.cancelled())


@in_virtual_time
async def test_keep_partition_that_came_back_lets_its_call_run() -> None:
    calls, provider, [asked] = await begun(KEY, partition=3)
    moved = calls.keep({3})
    await turns()
    provider.begun[0].set_result("reply")

    assert (0, 0, "reply") == (moved, calls.moved, await asked)


@in_virtual_time
async def test_keep_reply_not_yet_written_down_counts_when_its_partition_moved() -> None:
    calls, provider, [asked] = await begun(KEY, partition=3)
    provider.begun[0].set_result("reply")
    await asked

    assert (1, 1, {}) == (calls.keep(set()), calls.moved, calls.running)


@in_virtual_time
async def test_keep_call_that_was_forgotten_is_not_counted() -> None:
    calls, provider, [asked] = await begun(KEY, partition=3)
    provider.begun[0].set_result("reply")
    await asked
    calls.forget(KEY)

    assert (0, 0) == (calls.keep(set()), calls.moved)


@in_virtual_time
async def test_keep_several_rebalances_adds_up_what_was_cancelled() -> None:
    calls, provider = Calls(), Provider()
    for partition in range(4):
        ask(calls, provider.call, bytes([partition]), partition)
    await turns()

    assert ([1, 2, 0], 3) == ([calls.keep({0, 1, 2}), calls.keep({0}), calls.keep({0})], calls.moved)


@in_virtual_time
async def test_keep_call_nobody_waits_for_is_cancelled_when_it_moved() -> None:
    calls, provider, [asked] = await begun(KEY, partition=3)
    await let_go(asked)
    moved = calls.keep({0})
    await turns()

    assert (1, 1) == (moved, provider.cancelled)


@in_virtual_time
async def test_keep_partition_moved_away_and_back_calls_again() -> None:
    calls, provider, _ = await begun(KEY, partition=3)
    calls.keep({0})
    again = ask(calls, provider.call, partition=3)
    await turns()
    provider.begun[1].set_result("second")

    assert "second" == await again


# -- stopped


@in_virtual_time
async def test_stop_cancels_running_calls_and_counts_them() -> None:
    calls, provider, _ = await begun(KEY, OTHER)

    assert (2, 2, {}) == (await calls.stop(), provider.cancelled, calls.running)


@in_virtual_time
async def test_stop_counts_no_finished_call() -> None:
    calls, provider, [asked, _] = await begun(KEY, OTHER)
    provider.begun[0].set_result("reply")
    await asked

    assert 1 == await calls.stop()


@in_virtual_time
async def test_stop_without_calls_returns_at_once() -> None:
    assert 0 == await Calls().stop()


@in_virtual_time
async def test_stop_waits_until_a_call_has_cleaned_up() -> None:
    calls, closed, may_close = Calls(), list[str](), asyncio.Event()

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await may_close.wait()
            closed.append("connection")

    ask(calls, call)
    await turns()
    stopping = asyncio.ensure_future(calls.stop())
    await turns()
    assert not stopping.done()
    may_close.set()

    assert (1, ["connection"]) == (await stopping, closed)


@in_virtual_time
async def test_stop_ends_the_askers_of_running_calls() -> None:
    calls, _, asked = await begun(KEY, KEY)
    await calls.stop()
    await asyncio.wait(asked)

    assert [True, True] == [task.cancelled() for task in asked]
