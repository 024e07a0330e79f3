"""`streams submit -f … --out …` against a real broker and worker: killed, run again, each row answered once."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from streams.client import Client, KafkaDoor
from streams.engine.cluster import Cluster
from tests.support.running import Line, running
from tests.support.tree import ROOT

pytestmark = pytest.mark.broker

ROWS = 400
WITHIN_S = 90.0
CHAT = {"method": "POST", "url": "/v1/chat/completions"}


@pytest.fixture(scope="module")
def worker(broker, tmp_path_factory):
    """Each call takes a while and answers differently."""
    directory = tmp_path_factory.mktemp("batch")
    with running(Line(broker.bootstrap_servers), directory, nonce="true", delay_s=0.05) as worker:
        yield worker


def row(number):
    """Requests, texts and lines of OpenAI's, in turn; all contents differ."""
    text = f"question {number} of the batch"
    shapes = (
        {"id": f"own-{number}", "prompt": text, "metadata": {"n": number}},
        text,
        {"custom_id": f"theirs-{number}", **CHAT, "body": {"messages": [{"role": "user", "content": text}], "seed": 7}},
    )
    return json.dumps(shapes[number % 3])


def submit(worker, directory, *arguments, **how):
    line = worker.line
    names = {"STREAMS_NAMES__NAMESPACE": line.names.namespace, "STREAMS_NAMES__PREFIX": line.names.prefix}
    env = {**os.environ, **names, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "streams", "submit", "-b", line.brokers, *map(str, arguments)]
    return subprocess.Popen(command, cwd=directory, env=env, stderr=subprocess.PIPE, text=True, **how)


def answers(path):
    """Whole lines of OUT; the last may be torn while the run goes on."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def killed_at(process, path, count):
    """Ends the process without warning as soon as OUT has so many answers."""
    end = time.monotonic() + WITHIN_S
    while len(answers(path)) < count:
        assert time.monotonic() < end, f"only {len(answers(path))} answers"
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)  # why: polls a foreign process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def done(worker, tmp_path_factory):
    """What a batch left behind that was killed twice: the closing line, exit code and files."""
    directory = tmp_path_factory.mktemp("files")
    source, out = directory / "in.jsonl", directory / "out.jsonl"
    source.write_text("\n".join([*map(row, range(ROWS)), "broken", '{"custom_id": "e", "url": "/v1/embeddings"}']))
    for count in (ROWS // 4, ROWS // 2):
        killed_at(submit(worker, directory, "-f", source, "--out", out), out, count)
    last = submit(worker, directory, "-f", source, "--out", out)
    said = last.communicate(timeout=WITHIN_S)[1]
    return last.returncode, said, out


def test_batch_killed_twice_has_each_row_exactly_once(done):
    """I1, F1"""
    said = [answer["text"].split(" [")[0] for answer in answers(done[2])]

    assert Counter({f"echo: question {number} of the batch": 1 for number in range(ROWS)}) == Counter(said)


def test_batch_killed_twice_keeps_the_ids_of_its_rows(done):
    ids = {answer["id"] for answer in answers(done[2])}

    assert {f"{'own' if n % 3 == 0 else 'theirs'}-{n}" for n in range(ROWS) if n % 3 != 1} == {
        id for id in ids if not id.startswith("r-")
    }


def test_batch_with_bad_rows_ends_as_partial_and_tells_their_lines(done):
    code, said, out = done
    told = [json.loads(line) for line in out.with_name("out.jsonl.errors.jsonl").read_text().splitlines()]

    assert (3, [(ROWS + 1, "line"), (ROWS + 2, "url")]) == (code, [(one["line"], one["field"]) for one in told])
    assert "2 bad rows" in said


def test_batch_killed_twice_pays_for_each_row_once(done, worker):
    """The provider's own log is the truth."""
    per_request = Counter(line[1] for line in worker.calls.lines("start"))

    assert (ROWS, {1}) == (len(per_request), set(per_request.values()))


def test_batch_that_is_done_asks_nothing_more(done, worker):
    before, out = worker.calls.started, done[2]
    again = submit(worker, out.parent, "-f", out.with_name("in.jsonl"), "--out", out)
    said = again.communicate(timeout=WITHIN_S)[1]

    assert (before, ROWS) == (worker.calls.started, len(answers(out)))
    assert f"{ROWS} answered before" in said


def test_client_goes_on_after_the_broker_was_away(fresh_broker, tmp_path):
    """B58"""
    with running(Line(fresh_broker.bootstrap_servers), tmp_path) as worker:
        door = KafkaDoor(Cluster(worker.line.brokers), worker.line.names)

        async def asked():
            found = Counter()
            async with Client(door=door) as client:
                first = asyncio.Event()

                async def rows():
                    for number in range(40):
                        if number == 20:
                            await first.wait()
                            await asyncio.to_thread(fresh_broker.restart)
                        yield {"id": f"a-{number}", "prompt": f"x {number}"}

                async for answer in client.ask(rows(), timeout_s=WITHIN_S):
                    found[answer.id] += 1
                    first.set()
            return found

        assert Counter({f"a-{number}": 1 for number in range(40)}) == asyncio.run(asked())
