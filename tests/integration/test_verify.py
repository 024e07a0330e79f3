"""The checker on a live cluster: a worker's real run is clean, and what is tampered with is found with its id."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams import pipeline
from streams.cli.connect import Outside
from streams.decisions.offsets import AtOffset, FromStart
from streams.decisions.proof import Verdict
from streams.engine.cluster import Cluster
from streams.settings import Settings
from streams.verify import check
from tests.support.brokers import Broker
from tests.support.commands import Ran, run_at
from tests.support.loops import in_loop
from tests.support.running import Line, RunningWorker, request, running
from topics.catalog import RESULTS

pytestmark = pytest.mark.broker

GOOD = tuple(f"good-{number}" for number in range(12))
BODIES = "twice"


@pytest.fixture(scope="module")
def worked(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Line, RunningWorker]]:
    """A worker that has answered everything: requests, twins, a resend, two bodies, a refusal, and bytes."""
    line = Line(broker.bootstrap_servers)
    with running(line, tmp_path_factory.mktemp("worker"), delay_s=0.05) as worker:
        asyncio.run(asked(line))
        yield line, worker


async def asked(line: Line) -> None:
    values = [request(id, f"words {number % 5}") for number, id in enumerate(GOOD)]
    await line.publish(*values, request(BODIES, "one"), request(BODIES, "other"), b"{torn", request("no", nope=1))
    await line.results([*GOOD, BODIES, "no"])
    await line.publish(request(GOOD[0], "words 0"))
    await line.read(RESULTS, lambda found: sum(seen.key == GOOD[0].encode() for seen in found) == 2)
    await line.read("dead-letters", lambda found: len(found) == 1)


def verified(line: Line, *arguments: object, cwd: Path) -> Ran:
    environ = {"STREAMS_NAMES__NAMESPACE": line.names.namespace, "STREAMS_NAMES__PREFIX": line.names.prefix}
    return run_at(("verify", "-b", line.brokers, *arguments), Outside(environ, cwd))


def verdict_of(ran: Ran) -> dict[str, Any]:
    return json.loads(ran.out)


def test_run_of_a_worker_is_clean_and_adds_up(worked: tuple[Line, RunningWorker], tmp_path: Path) -> None:
    ran = verified(worked[0], cwd=tmp_path)

    told = "17 accepted = 15 completed + 0 failed + 2 rejected + 0 expired + 0 unseen + 0 lost; 1 copies; nothing wrong"
    assert (0, told) == (ran.code, ran.err.strip())


def test_two_bodies_under_one_id_are_listed(worked: tuple[Line, RunningWorker], tmp_path: Path) -> None:
    """F15."""
    found = verdict_of(verified(worked[0], "-o", "json", cwd=tmp_path))

    assert {"two-bodies": [BODIES]} == {
        name: [item["id"] for item in kind["findings"]] for name, kind in found["classes"].items()
    }


def test_export_of_a_cluster_gives_the_same_verdict(worked: tuple[Line, RunningWorker], tmp_path: Path) -> None:
    live = verified(worked[0], "--export", tmp_path / "kept", "-o", "json", cwd=tmp_path)
    again = run_at(("verify", "--files", tmp_path / "kept", "-o", "json"), Outside({}, tmp_path))

    assert (0, live.out) == (again.code, again.out)


@in_loop
async def test_range_of_a_cluster_judges_its_prompts(worked: tuple[Line, RunningWorker]) -> None:
    line, stages = worked[0], pipeline.stages(Settings())
    found: Verdict = await check(Cluster(line.brokers), line.names, stages, start=FromStart(), stop=AtOffset(2))

    assert (True, 4) == (found.clean, found.counts["accepted"])


def test_work_on_its_way_is_unseen_and_no_failure(broker: Broker, tmp_path: Path) -> None:
    """I10: what is not done is not committed, and so seen from outside."""
    line = Line(broker.bootstrap_servers)
    with running(line, tmp_path / "worker", delay_s=600.0) as worker:
        asyncio.run(line.publish(request("slow")))
        worker.until(lambda: worker.calls.started == 1, 30.0, "the call")
        ran = verified(line, "-o", "json", cwd=tmp_path)

    found = verdict_of(ran)
    assert (0, True, False, 1) == (ran.code, found["clean"], found["settled"], found["counts"]["unseen"])


def test_fake_answer_is_found_by_its_id(broker: Broker, tmp_path: Path) -> None:
    """I3: known to be able to fail."""
    line = Line(broker.bootstrap_servers)
    asyncio.run(line.prepare())
    fake = {"id": "ghost", "status": "completed", "request_hash": "0", "received_at": "2999-01-01T00:00:00.000Z"}
    asyncio.run(line.publish(json.dumps(fake).encode(), key=b"ghost", topic=RESULTS))
    ran = verified(line, "-o", "jsonl", cwd=tmp_path)

    assert (5, [("phantom", "ghost")]) == (ran.code, [(row["class"], row["id"]) for row in ran.jsonl])


def test_other_answer_of_an_answered_request_is_found(worked: tuple[Line, RunningWorker], tmp_path: Path) -> None:
    """I2; last, as the cluster is no longer clean after it."""
    line = worked[0]
    first = asyncio.run(line.result(GOOD[3]))
    other = json.dumps({**json.loads(first.value), "text": "another"}).encode()
    asyncio.run(line.publish(other, key=first.key, topic=RESULTS))
    ran = verified(line, "-o", "jsonl", cwd=tmp_path)

    assert (5, [("duplicate", GOOD[3])]) == (ran.code, [(row["class"], row["id"]) for row in ran.jsonl if row["wrong"]])
