"""What is lost, and what is paid for twice, when workers and brokers die at the worst moments?

The provider's own log is the truth about calls. Long runs of the same: ``python -m tests.chaos.go_no_go`` (the bare
engine) and ``python -m tests.chaos.crash_run`` (the pipeline).
"""

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import go_no_go
from tests.support.brokers import Broker
from tests.support.loops import in_loop
from tests.support.running import Line, RunningWorker, eventually, request, running
from tests.support.tree import production
from topics.catalog import DEAD_LETTERS, RESULTS

pytestmark = [pytest.mark.broker, pytest.mark.chaos]

IN_FLIGHT = 8
COUNT = 40
WRITTEN_S = 0.5  # a call counts as running until its row is acknowledged, shortly after its end


@pytest.fixture
def line(broker: Any) -> Line:
    return Line(broker.bootstrap_servers)


def ids(count: int = COUNT, prefix: str = "id") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def asked(id: str) -> bytes:
    """A request with words of its own, so that its call is its own."""
    return request(id, f"words of {id}")


async def finals(line: Line, wanted: list[str]) -> dict[str, set[bytes]]:
    """The distinct answers to each of these ids, once all are there and no work is left."""
    await line.results(wanted)
    await eventually(line.waiting, {})
    found: dict[str, set[bytes]] = defaultdict(set)
    for seen in await line.all(RESULTS):
        found[seen.key.decode()].add(seen.value)
    return found


def repeats(worker: RunningWorker) -> int:
    return worker.calls.started - len(worker.calls.identities)


def running_when_killed(worker: RunningWorker, pid: int, at: float) -> int:
    """Calls of that process that had begun, and whose row may not have been acknowledged."""
    known = {(row[1], row[4]): float(row[3]) for row in worker.calls.lines("end", "error") if row[2] == str(pid)}
    begun = [(row[1], row[4]) for row in worker.calls.lines("start") if row[2] == str(pid)]
    return sum(known.get(call, at) > at - WRITTEN_S for call in begun)


# -- the worker


@in_loop
async def test_worker_killed_during_calls_loses_nothing_and_repeats_only_those(line: Line, tmp_path: Path) -> None:
    """F1, I1, I2, I5, B59: every call would answer differently."""
    await line.prepare()
    worker = RunningWorker(
        line, tmp_path, settings={"infer.in_flight": IN_FLIGHT}, nonce="true", delay_s=0.4, tokens_per_s=1000
    ).start()
    try:
        worker.ready()
        await line.publish(*map(asked, ids()))
        worker.until(lambda: worker.calls.started > 2 * IN_FLIGHT, 20, "calls run after calls that ended")
        pid, killed_at = worker.pid, time.time()
        worker.kill()
        excused = running_when_killed(worker, pid, killed_at)
        worker.start().ready()
        found = await finals(line, ids())
    finally:
        worker.kill()

    assert (set(ids()), 1) == (set(found), max(map(len, found.values())))
    assert 0 < excused
    assert repeats(worker) <= excused


@in_loop
async def test_worker_told_to_stop_during_calls_finishes_them_in_time(line: Line, tmp_path: Path) -> None:
    """F2, B105, I5: what was taken is finished, the rest waits for the next start; no call is made twice."""
    await line.prepare()
    worker = RunningWorker(
        line, tmp_path, settings={"infer.in_flight": IN_FLIGHT, "worker.grace_s": 5}, delay_s=1.0
    ).start()
    try:
        worker.ready()
        await line.publish(*map(asked, ids(3 * IN_FLIGHT)))
        worker.until(lambda: worker.calls.open == IN_FLIGHT, 20, "all slots are taken")
        started = time.monotonic()
        code = worker.stop()
        took_s, left = time.monotonic() - started, worker.calls.open
        worker.start().ready()
        found = await finals(line, ids(3 * IN_FLIGHT))
    finally:
        worker.kill()

    assert (0, 0) == (code, left)
    assert took_s < 10.0
    assert set(ids(3 * IN_FLIGHT)) == set(found)
    assert repeats(worker) <= len(worker.calls.lines("cancel"))


@in_loop
async def test_stop_with_calls_longer_than_the_grace_hands_them_back(line: Line, tmp_path: Path) -> None:
    """F2, B105: the exit is in bounded time; a cancelled call is made again, and none but those."""
    await line.prepare()
    worker = RunningWorker(
        line, tmp_path, settings={"infer.in_flight": IN_FLIGHT, "worker.grace_s": 0.5}, delay_s=4.0
    ).start()
    try:
        worker.ready()
        await line.publish(*map(asked, ids(IN_FLIGHT)))
        worker.until(lambda: worker.calls.open == IN_FLIGHT, 20, "all slots are taken")
        started = time.monotonic()
        code = worker.stop()
        took_s, cancelled = time.monotonic() - started, len(worker.calls.lines("cancel"))
        worker.start().ready()
        found = await finals(line, ids(IN_FLIGHT))
    finally:
        worker.kill()

    assert (0, IN_FLIGHT) == (code, cancelled)
    assert took_s < 3.5
    assert set(ids(IN_FLIGHT)) == set(found)
    assert (IN_FLIGHT, 2 * IN_FLIGHT) == (repeats(worker), worker.calls.started)


class Kills(go_no_go.Run):
    """A kill at each named point of the engine, once, under one traffic with the same two workers."""

    points: tuple[str, ...] = (*go_no_go.KILL_POINTS, "call-returned")

    async def fault(self) -> None:
        for point in self.points:
            self.point = point
            await self.kill_at_point()
            self.hits += 1

    def end(self) -> None:
        """Leaves no process behind, whatever happened."""
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()


class Zombie(Kills):
    """A worker is stopped past its session, loses its partitions, and wakes."""

    points = ("zombie",)

    async def fault(self) -> None:
        await self.zombie()
        self.hits += 1


def played(run: Kills) -> go_no_go.Verdict:
    try:
        return asyncio.run(run.play(1))
    finally:
        run.end()


@pytest.mark.parametrize("faults", [Kills, Zombie])
def test_worker_that_dies_at_a_point_or_wakes_late_loses_and_repeats_nothing(
    broker: Any, tmp_path: Path, faults: type[Kills]
) -> None:
    """F3, F5, I5"""
    verdict = played(faults("points", broker.bootstrap_servers, tmp_path, seed=7))

    assert len(faults.points) == verdict.hits
    assert ([], [], {}) == (verdict.lost, verdict.conflicting, verdict.repeated), verdict


def test_points_that_kill_are_all_that_the_engine_names() -> None:
    """F3"""
    named = re.compile(r"failpoint\(\"([a-z-]+)\"\)")
    found = {point for path in production() for point in named.findall(path.read_text("utf-8"))}

    assert found == set(Kills.points)


# -- the broker


@pytest.mark.parametrize("way", ["kill", "pause"])
@in_loop
async def test_broker_that_was_away_needs_no_help_and_loses_nothing(
    fresh_broker: Broker, tmp_path: Path, way: str
) -> None:
    """B58, I1, I2, I5: the same worker process goes on."""
    line = Line(fresh_broker.bootstrap_servers)
    await line.prepare()
    worker = RunningWorker(line, tmp_path, settings={"infer.in_flight": IN_FLIGHT}, nonce="true", delay_s=0.4).start()
    try:
        worker.ready()
        await line.publish(*map(asked, ids()))
        worker.until(lambda: worker.calls.started > IN_FLIGHT, 20, "calls run")
        getattr(fresh_broker, way)()
        worker.until(lambda: worker.calls.open == 0, 20, "the calls end while nobody takes their answers")
        fresh_broker.start() if way == "kill" else fresh_broker.unpause()
        found = await finals(line, ids())
        alive, stopped = worker.alive, worker.stop()
    finally:
        if worker.alive:
            worker.kill()

    assert (True, 0) == (alive, stopped)
    assert (set(ids()), 1) == (set(found), max(map(len, found.values())))
    assert 0 == repeats(worker)


# -- poison

DEEP = 5000
UNDECODABLE: dict[str, bytes | None] = {
    "no-json": b"not json at all",
    "cut-off": b'{"id": "p", "prompt": "never end',
    "a-list": b'["a", "b"]',
    "a-number": b"42",
    "json-null": b"null",
    "no-value": None,
    "zero-bytes": b"",
    "nul-bytes": b"\x00" * 64,
    "invalid-utf-8": b'{"prompt": "\xc3\x28"}',
    "lone-surrogate": b'{"prompt": "\xed\xa0\x80"}',
    "not-a-number": b'{"prompt": "a", "timeout_s": NaN}',
    "deep": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep-list": b"[" * DEEP + b"]" * DEEP,
}
REFUSED: dict[str, bytes] = {
    "missing-field": b'{"id": "missing-field"}',
    "wrong-type": b'{"id": "wrong-type", "prompt": 42}',
    "nested": b'{"id": "nested", "prompt": "a", "metadata": ' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}",
    "huge-number": b'{"id": "huge-number", "prompt": "a", "timeout_s": 1e300}',
}


@pytest.fixture(scope="module")
def poisoned(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """A worker that has met the whole corpus, with good requests before, between and after."""
    with running(Line(broker.bootstrap_servers), tmp_path_factory.mktemp("poison")) as worker:
        poison = [(name.encode(), value) for name, value in (UNDECODABLE | REFUSED).items()]

        async def feed() -> None:
            for number, (key, value) in enumerate(poison):
                await worker.line.publish(request(f"good-{number}"))
                await worker.line.publish(value, key=key)
            await worker.line.publish(request("good-last"))
            await worker.line.results(["good-last", *ids(len(poison), "good")])
            await eventually(worker.line.waiting, {})

        asyncio.run(asyncio.wait_for(feed(), 60))
        yield worker


@in_loop
async def test_each_undecodable_value_ends_as_a_dead_letter_with_its_bytes(poisoned: RunningWorker) -> None:
    """F12, B60"""
    letters = {seen.key.decode(): seen.value for seen in await poisoned.line.all(DEAD_LETTERS)}

    assert UNDECODABLE == letters


@in_loop
async def test_each_value_that_breaks_a_rule_is_refused_under_its_own_id(poisoned: RunningWorker) -> None:
    """F12"""
    answers = {seen.key.decode(): json.loads(seen.value) for seen in await poisoned.line.all(RESULTS)}

    assert dict.fromkeys(REFUSED, "rejected") == {name: answers[name]["status"] for name in REFUSED}


@in_loop
async def test_each_prompt_of_a_poisoned_topic_has_its_answer(poisoned: RunningWorker) -> None:
    """F12, I1, B61"""
    answers = [json.loads(seen.value)["status"] for seen in await poisoned.line.all(RESULTS)]
    poison = len(UNDECODABLE) + len(REFUSED)

    assert (poison, poison + 1) == (answers.count("rejected"), answers.count("completed"))


def test_worker_that_met_poison_is_ready_and_stops_in_order(poisoned: RunningWorker) -> None:
    """F12, B105"""
    ready, _ = poisoned.get("/ready")

    assert (200, 0) == (ready, poisoned.stop())
    assert [] == [line for line in poisoned.told if line["level"] in ("error", "critical")]


# -- defects inside stages

SECRET = "marker-of-the-prompt"
ANSWERED = ("admit", "dedup", "retrieve", "assemble", "infer", "refine", "deliver")


@pytest.fixture(scope="module")
def defective(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """A worker whose every stage raises on the requests that name it, between good ones."""
    directory, main = tmp_path_factory.mktemp("defects"), ("tests.support.raising_worker",)
    with running(Line(broker.bootstrap_servers), directory, main=main, faults="ok") as worker:

        async def feed() -> None:
            for stage in (*ANSWERED, "bury"):
                await worker.line.publish(request(f"raise-in-{stage}", f"{SECRET} {stage}"), request(f"good-{stage}"))
            await worker.line.results([f"{kind}-{stage}" for kind in ("raise-in", "good") for stage in ANSWERED])
            await eventually(worker.line.waiting, {})

        asyncio.run(asyncio.wait_for(feed(), 60))
        yield worker


@pytest.mark.parametrize("stage", ANSWERED)
@in_loop
async def test_request_on_which_a_stage_raises_is_answered_and_buried_as_it_was(
    defective: RunningWorker, stage: str
) -> None:
    """B61, I1"""
    id = f"raise-in-{stage}"
    answer = await defective.line.answer(id)
    asked_for = request(id, f"{SECRET} {stage}")
    letters = [seen for seen in await defective.line.all(DEAD_LETTERS) if seen.value == asked_for]
    told = dict(letters[0].headers)

    assert ("failed", "internal") == (answer["status"], answer["error"]["kind"])
    assert (stage.encode(), b"ZeroDivisionError") == (
        told["prompts.error.stage"],
        told["prompts.error.exception-message"],
    )


@pytest.mark.parametrize("stage", [*ANSWERED, "bury"])
@in_loop
async def test_request_beside_one_on_which_a_stage_raises_is_answered(defective: RunningWorker, stage: str) -> None:
    """B61: the stage lives on and skips no offset."""
    answer = await defective.line.answer(f"good-{stage}")

    assert "completed" == answer["status"]


@in_loop
async def test_failure_that_cannot_be_buried_is_kept_as_evidence(defective: RunningWorker) -> None:
    """B61: nobody comes after `bury`, so what it could not handle lies in the dead letters itself."""
    letters = [seen for seen in await defective.line.all(DEAD_LETTERS) if b"raise-in-bury" in (seen.value or b"")]

    assert ["bury"] == [dict(seen.headers)["prompts.stage"].decode() for seen in letters]
    assert [b"ZeroDivisionError"] == [dict(seen.headers)["prompts.error.exception-class"] for seen in letters]


def test_worker_with_defects_is_ready_and_tells_no_word_of_the_prompts(defective: RunningWorker) -> None:
    """B61, B98: the texts of the exceptions hold the prompt."""
    assert 200 == defective.get("/ready")[0]
    assert SECRET not in defective.said + defective.get("/metrics")[1]
    assert len(ANSWERED) + 2 == sum(v for (name, _), v in defective.metrics().items() if name == "failures_total")
