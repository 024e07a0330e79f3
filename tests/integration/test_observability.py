"""What does a running worker show of itself, and does it keep prompts, answers and secrets to itself?"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from streams.adapters.telemetry import COUNTERS, GAUGES, HISTOGRAMS
from tests.support.loops import in_loop
from tests.support.running import Line, RunningWorker, eventually, request, running
from topics.catalog import ADMITTED, DEAD_LETTERS, RESULTS

pytestmark = pytest.mark.broker

PROMPT, REPLY, SECRET = "marker-of-the-prompt", "echo: marker-of-the-prompt", "marker-of-a-secret"
MARKS = ("marker-of", "echo: mark")
FAILING = "error:malformed"
Samples = dict[tuple[str, tuple[str, ...]], float]

MISUSES: dict[str, bytes | None] = {
    "cut-off": b'{"prompt": "marker-of-the-prompt',
    "plain-line": b"marker-of-the-prompt",
    "invalid-utf-8": b"marker-of-the-prompt \xff\xfe",
    "control-characters": b"marker-of-the-prompt\x00",
    "no-object": b'["marker-of-the-prompt"]',
    "wrong-type": b'{"prompt": ["marker-of-the-prompt"]}',
    "wrong-content": b'{"messages": [{"role": "user", "content": {"text": "marker-of-the-prompt"}}]}',
    "wrong-role": b'{"messages": [{"role": "marker-of-the-prompt", "content": "marker-of-the-prompt"}]}',
    "two-prompts": b'{"prompt": "marker-of-the-prompt", "messages": [{"role": "user", "content": "marker-of-it"}]}',
    "secret-param": b'{"prompt": "hi", "params": {"api_key": "marker-of-a-secret"}}',
    "secret-header-param": b'{"prompt": "hi", "params": {"extra_headers": {"authorization": "marker-of-a-secret"}}}',
    "deep": b'{"prompt": "hi", "metadata": ' + b'{"a":' * 80 + b'"marker-of-the-prompt"' + b"}" * 80 + b"}",
    "retrieve": b'{"prompt": "marker-of-the-prompt", "retrieve": {"filter": {"word": {"in": "marker-of-the-prompt"}}}}',
    "timeout": b'{"prompt": "marker-of-the-prompt", "timeout_s": -1}',
}


@pytest.fixture(scope="module")
def worker(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """One call at a time, every second one fails; passwords of the cluster are set, and unused."""
    properties = json.dumps({"sasl.jaas.config": jaas(), "security.protocol": "PLAINTEXT"})
    settings = {"kafka.properties": properties, "infer.in_flight": 1}
    asked = {"settings": settings, "faults": f"ok,{FAILING}", "delay_s": 0.7}
    with running(Line(broker.bootstrap_servers), tmp_path_factory.mktemp("observed"), **asked) as worker:
        yield worker


def jaas() -> str:
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return f'{module} required username="u" password="{SECRET}";'


UNREADABLE = 5  # of the misuses: bytes that are no request, which admit gives up; the others it answers


@pytest.fixture(scope="module")
def traffic(worker: RunningWorker) -> list[Samples]:
    """The metrics before, while and after requests of every outcome passed."""
    samples = [worker.metrics()]

    async def ask() -> None:
        line = worker.line
        ids = [f"id-{number}" for number in range(10)]
        await line.publish(*(request(id, f"{PROMPT} {id}") for id in ids), *MISUSES.values())
        await line.publish(PROMPT.encode(), topic=ADMITTED)  # no message of ours: the stage that reads it raises
        answered = 0
        while answered <= len(ids) + len(MISUSES):
            samples.append(worker.metrics())
            answered = len({seen.key for seen in await line.all(RESULTS)})
        await eventually(line.waiting, {})

    asyncio.run(asyncio.wait_for(ask(), 60))
    worker.until(lambda: lag_of(worker.metrics()) == 0, 30, "the lag is seen to be nothing")
    return [*samples, worker.metrics()]


def lag_of(samples: Samples) -> float:
    return sum(value for (name, _), value in samples.items() if name == "lag_records")


def moved(samples: list[Samples], name: str) -> float:
    """How far a metric rose, over all its labels, between the first and the highest sample."""
    sums = [sum(value for (known, _), value in sample.items() if known == name) for sample in samples]
    return max(sums) - sums[0]


# -- pages


def test_ready_before_the_first_assignment_is_refused_with_a_reason(broker: Any, tmp_path: Any) -> None:
    line = Line(broker.bootstrap_servers)
    asyncio.run(line.prepare())
    starting = RunningWorker(line, tmp_path).start()
    try:
        starting.until(lambda: starting.get("/live")[0] == 200, 30, "the page is there")
        status, body = starting.get("/ready")
    finally:
        starting.kill()

    assert (503, False) == (status, json.loads(body)["ready"])
    assert json.loads(body)["reasons"]


def test_worker_that_is_ready_says_so_without_reasons(worker: RunningWorker) -> None:
    status, body = worker.get("/ready")

    assert (200, {"ready": True, "reasons": []}) == (status, json.loads(body))


def test_worker_that_runs_is_live(worker: RunningWorker) -> None:
    assert (200, {"live": True}) == (worker.get("/live")[0], json.loads(worker.get("/live")[1]))


@pytest.mark.parametrize("path", ["/", "/admin", "/ready/"])
def test_other_pages_are_not_there(worker: RunningWorker, path: str) -> None:
    assert 404 == worker.get(path)[0]


# -- metrics


@pytest.mark.parametrize("name", sorted({"records", "outputs", "failures"} & set(COUNTERS)))
def test_counter_moves_with_requests(traffic: list[Samples], name: str) -> None:
    """B100: the counter of cancelled calls moves where a worker is stopped."""
    assert 0 < moved(traffic, f"{name}_total")


@pytest.mark.parametrize("name", sorted(HISTOGRAMS))
@pytest.mark.parametrize("part", ["bucket", "count", "sum"])
def test_histogram_moves_with_requests(traffic: list[Samples], name: str, part: str) -> None:
    """B100"""
    assert 0 < moved(traffic, f"{name}_{part}")


@pytest.mark.parametrize("name", sorted(set(GAUGES) - {"ready", "breaker_state"}))
def test_gauge_rises_with_requests_and_falls_to_nothing(traffic: list[Samples], name: str) -> None:
    """B100"""
    last = sum(value for (known, _), value in traffic[-1].items() if known == name)

    assert 0 < moved(traffic, name)
    assert 0 == last


def test_gauge_of_readiness_is_one(traffic: list[Samples]) -> None:
    assert 1.0 == traffic[-1]["ready", ()]


def test_names_of_the_metrics_are_all_accounted_for_here() -> None:
    """What is trimmed is counted in the tests of the metrics themselves: it takes a week."""
    counted = {"records", "outputs", "failures", "calls_cancelled", "trimmed_records"}

    assert (counted, {"work_seconds", "wait_seconds"}) == (set(COUNTERS), set(HISTOGRAMS))


@pytest.mark.parametrize(
    ("stage", "action", "expected"),
    [
        ("admit", "handled", 10 + len(MISUSES) - UNREADABLE),
        ("admit", "failed", UNREADABLE),
        ("infer", "handled", 5),
        ("infer", "failed", 5),
        ("refine", "handled", 5),
        ("dedup", "handled", 10),
    ],
)
def test_records_are_counted_by_stage_and_action(
    traffic: list[Samples], stage: str, action: str, expected: int
) -> None:
    assert expected == traffic[-1]["records_total", (action, stage)]


def test_process_tells_its_memory(traffic: list[Samples]) -> None:
    assert 0 < traffic[-1]["process_resident_memory_bytes", ()]


# -- nothing leaks


def test_lines_of_the_log_are_json_with_level_time_and_action(worker: RunningWorker, traffic: list[Samples]) -> None:
    lines = [json.loads(line) for line in worker.said.splitlines()]

    assert 2 <= len(lines)
    assert [] == [line for line in lines if not {"level", "time", "event"} <= set(line)]
    assert {"listening", "ready"} <= {line.get("action") for line in lines}


@pytest.mark.parametrize("mark", MARKS)
def test_log_holds_no_word_of_prompts_answers_or_secrets(
    worker: RunningWorker, traffic: list[Samples], mark: str
) -> None:
    """B98"""
    assert mark not in worker.said


@pytest.mark.parametrize("mark", MARKS)
def test_metrics_hold_no_word_of_prompts_answers_or_secrets(
    worker: RunningWorker, traffic: list[Samples], mark: str
) -> None:
    """B98"""
    assert mark not in worker.get("/metrics")[1]


@in_loop
async def test_error_answers_hold_no_word_of_prompts_or_secrets(worker: RunningWorker, traffic: list[Samples]) -> None:
    """B98: also for bytes that are no request."""
    answers = [seen.value.decode() for seen in await worker.line.all(RESULTS)]
    errors = [answer for answer in answers if json.loads(answer)["status"] != "completed"]

    assert 6 + len(MISUSES) == len(errors)
    assert [] == [answer for answer in errors for mark in MARKS if mark in answer]


@in_loop
async def test_evidence_of_dead_letters_holds_no_word_of_prompts(worker: RunningWorker, traffic: list[Samples]) -> None:
    """B98: their value is the original; their headers tell only why."""
    letters = await worker.line.all(DEAD_LETTERS)
    told = [value.decode() for letter in letters for _, value in letter.headers]

    assert len(letters) >= 10
    assert [] == [value for value in told for mark in MARKS if mark in value]


@in_loop
async def test_answers_that_are_good_hold_the_words(worker: RunningWorker, traffic: list[Samples]) -> None:
    """The marks would be found where they may stand."""
    good = [seen for seen in await worker.line.all(RESULTS) if json.loads(seen.value)["status"] == "completed"]

    assert 5 == len([seen for seen in good if REPLY.encode() in seen.value])


# -- settings


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"worker.slots": 1}, "worker.slots"),
        ({"wroker.slot": 1}, "wroker"),
        ({"infer.in_flight": 0}, "infer.in_flight"),
    ],
)
def test_worker_with_a_wrong_setting_ends_at_once_and_names_it(
    broker: Any, tmp_path: Any, wrong: dict[str, object], told: str
) -> None:
    """B92"""
    refused = RunningWorker(Line(broker.bootstrap_servers), tmp_path, settings=wrong).start()

    assert 2 == refused.ended()
    assert told in refused.said


def test_worker_without_its_topics_names_them_and_the_command_that_makes_them(broker: Any, tmp_path: Any) -> None:
    line = Line(broker.bootstrap_servers)
    refused = RunningWorker(line, tmp_path).start()

    assert 2 == refused.ended()
    assert line.names.topic(DEAD_LETTERS) in refused.said
    assert "streams topics apply" in refused.said
