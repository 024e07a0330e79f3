"""A provider slower than the prompts: what waits where, and what goes on beside it?"""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.loops import in_loop
from tests.support.running import Line, RunningWorker, eventually, request, running
from topics.catalog import ASSEMBLED, PROMPTS, RESULTS

pytestmark = pytest.mark.broker

IN_FLIGHT = 3
SLOW = "x" * 4000  # a thousand tokens: half a second
BURST = 45
LANE = "infer:assembled.low"
UPSTREAM = {"core:prompts", "core:admitted", "core:deduped", "core:retrieved"}


@pytest.fixture(scope="module")
def worker(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """Three calls at once, two thousand tokens a second each."""
    asked = {"settings": {"infer.in_flight": IN_FLIGHT}, "tokens_per_s": 2000}
    with running(Line(broker.bootstrap_servers), tmp_path_factory.mktemp("slow"), **asked) as worker:
        yield worker


class Burst:
    """What a burst of slow prompts did, looked at from outside while it was worked off."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.waiting: list[dict[str, int]] = []
        self.gauges: list[dict[tuple[str, tuple[str, ...]], float]] = []
        self.beside: dict[str, tuple[str, float, int]] = {}

    def held(self, topic: str) -> list[float]:
        """Records taken and not acknowledged on a topic, by sample."""
        return [
            sum(value for (name, labels), value in sample.items() if name == "held_records" and topic == labels[1])
            for sample in self.gauges
        ]


@pytest.fixture(scope="module")
def burst(worker: RunningWorker) -> Burst:
    """Slow prompts on the low lane; while they wait, a refusal, bytes that are none, and an expiry pass by."""
    seen = Burst()

    @in_loop
    async def play() -> None:
        line = worker.line
        seen.ids = [f"slow-{number}" for number in range(BURST)]
        await line.publish(*(request(id, f"{id} {SLOW}", priority="low") for id in seen.ids))
        assert await eventually(lambda: full(line), True, 5.0)
        for id, value in (("refused", request("refused", stream=True)), ("none", b"{ no request")):
            await beside(seen, worker, id, value)
        while not await worked_off(line, seen):
            seen.waiting.append(await line.waiting())
            seen.gauges.append(worker.metrics())

    play()
    return seen


async def full(line: Line) -> bool:
    """All that was published has reached the lane, and most of it is not yet called."""
    waiting = await line.waiting()
    return not UPSTREAM & set(waiting) and waiting.get(LANE, 0) > BURST / 2


async def beside(seen: Burst, worker: RunningWorker, id: str, value: bytes) -> None:
    started = time.monotonic()
    before = len(await worker.line.all(RESULTS))
    await worker.line.publish(value)
    found = await worker.line.read(RESULTS, lambda answers: [one for one in answers if not one.key.startswith(b"slow")])
    answer = json.loads(next(one for one in reversed(found) if not one.key.startswith(b"slow")).value)
    left = (await worker.line.waiting()).get(LANE, 0)
    assert before <= len(found)
    seen.beside[id] = (answer["status"], time.monotonic() - started, left)


async def worked_off(line: Line, seen: Burst) -> bool:
    return {id.encode() for id in seen.ids} <= {one.key for one in await line.all(RESULTS)}


def test_calls_at_once_never_exceed_the_setting(worker: RunningWorker, burst: Burst) -> None:
    assert worker.calls.most_at_once() == IN_FLIGHT


def test_gauge_of_running_calls_never_exceeds_the_setting(burst: Burst) -> None:
    running = [sample[("calls_running", ("infer",))] for sample in burst.gauges]

    assert 0 < max(running) <= IN_FLIGHT


def test_slow_calls_let_their_lane_wait_and_nothing_before_it(burst: Burst) -> None:
    """The lag grows in the topic, on disk, where it is safe."""
    at_first = burst.waiting[0]

    assert set() == UPSTREAM & set(at_first)
    assert IN_FLIGHT < at_first[LANE]


def test_lag_of_the_lane_shrinks_to_nothing(burst: Burst) -> None:
    lags = [waiting.get(LANE, 0) for waiting in burst.waiting]

    assert lags == sorted(lags, reverse=True)


def test_records_held_before_infer_are_those_in_flight(burst: Burst, worker: RunningWorker) -> None:
    """Each partition holds one record more: the one that waits for its turn."""
    assert 0 < max(burst.held("assembled.low")) <= IN_FLIGHT + worker.line.partitions


@pytest.mark.parametrize("topic", ["admitted", "deduped", "retrieved", "inferred", "refined", "failed"])
def test_records_held_at_fast_stages_stay_near_none(burst: Burst, topic: str) -> None:
    assert max(burst.held(topic)) <= IN_FLIGHT


@pytest.mark.parametrize("id", ["refused", "none"])
def test_refusal_beside_a_full_lane_is_answered_at_once(burst: Burst, id: str) -> None:
    status, seconds, left = burst.beside[id]

    assert "rejected" == status
    assert IN_FLIGHT < left
    assert seconds < 3.0


@in_loop
async def test_prompt_after_the_burst_is_answered_as_ever(worker: RunningWorker, burst: Burst) -> None:
    await worker.line.publish(request("after"))

    assert "completed" == (await worker.line.answer("after"))["status"]
    assert {} == await eventually(worker.line.waiting, {})


@in_loop
async def test_prompts_of_a_burst_are_called_once_each(worker: RunningWorker, burst: Burst) -> None:
    """I1, I5: waiting costs no second call."""
    finals = {seen.key.decode(): seen.value for seen in await worker.line.all(RESULTS)}

    assert set(burst.ids) <= set(finals)
    assert worker.calls.started == len(worker.calls.identities)


@in_loop
async def test_slow_calls_leave_prompts_committed_to_the_end(worker: RunningWorker, burst: Burst) -> None:
    places = await worker.line.publish(*(request(f"more-{number}", SLOW, priority="low") for number in range(9)))

    async def upstream() -> set[str]:
        return UPSTREAM & set(await worker.line.waiting())

    assert set() == await eventually(upstream, set())
    assert sum((await worker.line.commits(PROMPTS)).values()) >= len(places)
    await worker.line.results([f"more-{number}" for number in range(9)])


@pytest.mark.parametrize("lane", ["critical", "high", "normal"])
@in_loop
async def test_prompt_of_another_lane_passes_the_ones_that_wait(worker: RunningWorker, lane: str) -> None:
    """Lanes share the slots of a worker, so one that is full delays another by no more than the calls under way."""
    ids = [f"gate-{lane}-{number}" for number in range(15)]
    await worker.line.publish(*(request(id, f"{id} {SLOW}", priority="low") for id in ids))
    await eventually(lambda: gated(worker.line), True)

    await worker.line.publish(request(f"passes-{lane}", priority=lane))
    await worker.line.result(f"passes-{lane}")
    left = await worker.line.waiting("infer")
    await worker.line.results(ids)

    assert IN_FLIGHT < left.get(LANE, 0)


async def gated(line: Line) -> bool:
    return (await line.waiting("infer")).get(LANE, 0) >= 10


def test_lanes_of_these_tests_are_the_ones_of_the_catalog() -> None:
    assert {"critical", "high", "normal", "low"} == set(ASSEMBLED)
