"""How a board keeps in step with the stage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams import board as module
from streams.adapters.clock import HandClock
from streams.board import BoardKeeper
from streams.decisions.breaker import Closed, Open
from streams.engine.cluster import Cluster
from streams.engine.follow import Follower
from streams.engine.publisher import Publisher
from streams.stage import Record
from tests.support.breakers import POLICY, SERVICE
from tests.support.builders import NOW_MS
from tests.support.documents import Script
from tests.support.loops import in_loop, until
from topics import calls, wire
from topics.calls import Breaker
from topics.catalog import BREAKERS, CALLS, Names
from topics.errors import TransportError


def word(state: Any = "open", epoch: int = 1, number: int = 1, until_ms: int = NOW_MS + 1000) -> Record:
    said = Breaker(service=SERVICE, state=state, epoch=epoch, number=number, since_ms=NOW_MS, until_ms=until_ms)
    return Record(BREAKERS, 0, number, NOW_MS, SERVICE.encode(), wire.encode(said))


class Written:
    """Publishers by script: keeps what is written; ``failures`` end the next writes."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.records, self.opened = list(failures), list[tuple[str, bytes | None, bytes | None]](), 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator["Written"]:
        self.opened += 1
        yield self

    async def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.records.append((topic, key, value))


def keeper(follow: Any = None, written: Any = None, **knobs: Any) -> BoardKeeper:
    ways: Any = (follow or Script(), written or Written())
    return BoardKeeper("me", ways, POLICY, HandClock(NOW_MS), **{"pause_s": 0.001, "start_s": 0.01, **knobs})


def at_end(*words: Record) -> Script:
    script = Script(list(words))
    script.at_end.set()
    return script


# -- readiness


@in_loop
async def test_keeper_is_not_ready_before_the_end_of_the_topic() -> None:
    script = Script([word()])
    async with keeper(script).running() as kept:
        before = kept.reasons
        script.at_end.set()
        await until(lambda: not kept.reasons)

    assert ("breakers: reading to their end",) == before


@in_loop
async def test_worker_that_restarts_knows_what_is_open_before_it_calls() -> None:
    """B38."""
    async with keeper(at_end(word()), start_s=60).running() as kept:
        assert Open(NOW_MS, NOW_MS + 1000) == kept.board.verdict(SERVICE, NOW_MS)


@in_loop
async def test_keeper_that_never_comes_to_the_end_holds_up_the_worker_for_a_while_only() -> None:
    async with keeper(Script()).running() as kept:
        assert Closed(0) == kept.board.verdict(SERVICE, NOW_MS)


@in_loop
async def test_keeper_stays_ready_while_it_begins_again() -> None:
    script = at_end(word())
    script.failures = [TransportError("following", "gone")]
    async with keeper(script, start_s=60).running() as kept:
        await until(lambda: script.opened > 1)

        assert () == kept.reasons


# -- following


@in_loop
async def test_words_of_the_stage_reach_the_board() -> None:
    script = at_end()
    async with keeper(script, start_s=60).running() as kept:
        script.on_record(word())

        assert isinstance(kept.board.verdict(SERVICE, NOW_MS), Open)


@pytest.mark.parametrize("failure", [TransportError("following", "gone"), ValueError("x")])
@in_loop
async def test_follower_that_ends_is_begun_again(failure: Exception) -> None:
    script = Script([], [word()], failures=(failure,))
    async with keeper(script).running() as kept:
        await until(lambda: bool(kept.board.states))

    assert 2 == script.opened


@pytest.mark.parametrize(("state", "number"), [("closed", 0.0), ("half-open", 1.0), ("open", 2.0)])
@in_loop
async def test_states_are_numbers_for_metrics(state: str, number: float) -> None:
    async with keeper(at_end(word(state)), start_s=60).running() as kept:
        assert {(SERVICE,): number} == kept.states()


# -- telling


def told(kept: BoardKeeper, outcome: Any = "ok") -> None:
    kept.board.told(SERVICE, 0, outcome, NOW_MS, NOW_MS, False)


@in_loop
async def test_outcomes_are_written_under_their_service() -> None:
    written = Written()
    async with keeper(at_end(), written).running() as kept:
        told(kept)
        await until(lambda: bool(written.records))

    [(topic, key, value)] = written.records
    assert (CALLS, SERVICE.encode(), "told") == (topic, key, getattr(calls.read(value), "what", None))


@in_loop
async def test_outcomes_that_wait_are_written_by_and_by() -> None:
    written = Written()
    async with keeper(at_end(), written).running() as kept:
        for _ in range(3):
            told(kept)
        kept._clock.wind_to(NOW_MS + 200)  # type: ignore[attr-defined]  # it is the hand clock
        await until(lambda: len(written.records) == 2)

    assert ["o", "oo"] == [getattr(calls.read(value), "outcomes", None) for _, _, value in written.records]


@in_loop
async def test_writer_that_fails_is_opened_again_and_goes_on() -> None:
    written = Written(TransportError("publishing", "away"))
    async with keeper(at_end(), written).running() as kept:
        told(kept)
        await until(lambda: written.opened > 1)
        told(kept, "failed")
        kept.board.flush(NOW_MS + 200)
        await until(lambda: bool(written.records))

    assert ["f"] == [getattr(calls.read(value), "outcomes", None) for _, _, value in written.records]


@in_loop
async def test_evidence_that_cannot_be_written_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keeper()
    for _ in range(module.UNSENT + 5):
        kept._later(SERVICE, b"")

    assert module.UNSENT == len(kept._unsent)


@in_loop
async def test_keeper_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with keeper(at_end()).running():
        pass

    assert before == asyncio.all_tasks()


def test_ways_of_a_worker_are_the_real_topics() -> None:
    follow, publish = module.real(Cluster("127.0.0.1:1"), Names())
    follower: Any = follow(lambda record: None)

    assert (Follower, Publisher) == (type(follower), type(publish()))
    assert ("prompts.breakers", BREAKERS) == (follower._topic, follower._called)
