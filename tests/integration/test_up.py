"""`streams up` as a user runs it: a first answer, a command to paste, a second one refused, a clean end."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
START_S, ANSWER_S, STOP_S = 150.0, 60.0, 60.0


def environment():
    """A fresh shell: nothing that names a broker."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "STREAMS_"))}


def streams(*arguments, cwd, timeout=ANSWER_S):
    command = [sys.executable, "-P", "-m", "streams", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


def eventually(what, within_s, every_s=0.1):
    """The first true result of ``what``, or its last one when the time is over."""
    end = time.monotonic() + within_s
    while not (found := what()) and time.monotonic() < end:
        time.sleep(every_s)  # why: polls, bounded by a deadline
    return found


@dataclass
class Running:
    """A `streams up` in a directory of its own."""

    process: "subprocess.Popen[bytes]"
    cwd: Path

    @property
    def out(self):
        return (self.cwd / "up.out").read_text()

    @property
    def err(self):
        return (self.cwd / "up.err").read_text()

    @property
    def next_command(self):
        return next(line for line in self.out.splitlines() if line.startswith("Next:")).removeprefix("Next:").strip()

    @property
    def installation(self):
        return json.loads((self.cwd / ".streams" / "up.json").read_text())

    def worker_pids(self, slot=0):
        """Children of this `up` that run that slot."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                command = (status.parent / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError):
                continue
            if parent == self.process.pid and b"worker" in command and str(slot).encode() in command:
                found.append(int(status.parent.name))
        return found

    def end(self, number=signal.SIGTERM):
        """Asks it to end and returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


@contextmanager
def up(cwd, *arguments):
    """Runs while the block does; entered once it said what comes next."""
    with (cwd / "up.out").open("wb") as out, (cwd / "up.err").open("wb") as err:
        command = [sys.executable, "-P", "-m", "streams", "up", *arguments]
        process = subprocess.Popen(command, cwd=cwd, env=environment(), stdout=out, stderr=err)
    running = Running(process, cwd)
    try:
        eventually(lambda: "Stop:" in running.out or process.poll() is not None, START_S)
        assert process.poll() is None, running.err
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One installation for the tests that leave it as it is."""
    with up(tmp_path_factory.mktemp("up")) as running:
        yield running


def test_first_prompt_after_the_banner_is_answered(shared):
    ran = streams("submit", "hello", "--wait", cwd=shared.cwd)

    assert (0, "echo: hello\n") == (ran.returncode, ran.stdout), ran.stderr


def test_banner_names_everything_that_listens(shared):
    words = ["Kafka", "Provider", "Metrics", "Workers", "Next:", "Stop:"]

    assert words == [line.split()[0] for line in shared.out.splitlines() if line.split()[0] in words]


def test_metrics_address_of_the_banner_answers(shared):
    address = re.search(r"http://\S+/metrics", shared.out)[0]

    with urllib.request.urlopen(address, timeout=5) as page:
        assert page.status == 200


def test_next_command_pasted_into_a_fresh_shell_gets_an_answer(shared, tmp_path):
    (tmp_path / "streams").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m streams "$@"\n')
    (tmp_path / "streams").chmod(0o755)
    shell = ["env", "-i", f"PATH={tmp_path}:/usr/bin:/bin", f"HOME={tmp_path}", "bash", "-c", shared.next_command]
    ran = subprocess.run(shell, cwd=shared.cwd, capture_output=True, text=True, timeout=ANSWER_S, check=False)

    assert (0, "echo: Summarise Kafka in one line\n") == (ran.returncode, ran.stdout), ran.stderr


def test_next_command_in_a_checkout_names_a_script_that_exists():
    from streams.cli.banner import Facts, next_command

    facts = Facts("127.0.0.1:1", True, ROOT / ".streams", ROOT, "echo", ["http://127.0.0.1:2/metrics"], ["core"])
    script = ROOT / shlex.split(next_command(facts, ()))[0]

    assert os.access(script, os.X_OK)


def test_second_up_over_the_same_data_says_it_is_already_running(shared):
    ran = streams("up", cwd=shared.cwd)

    assert 1 == ran.returncode
    assert f"already running over {shared.cwd / '.streams'} (pid {shared.process.pid}" in ran.stderr


def test_commands_in_a_directory_below_find_the_installation(shared):
    below = shared.cwd / "a" / "b"
    below.mkdir(parents=True, exist_ok=True)

    assert 0 == streams("tail", cwd=below).returncode


def test_answer_is_found_again_by_its_id(shared):
    streams("submit", "again", "--id", "known-id", "--wait", cwd=shared.cwd)
    ran = streams("get", "known-id", "-o", "json", cwd=shared.cwd)

    assert "echo: again" == json.loads(ran.stdout)["text"]


def test_status_says_that_the_worker_is_ready(shared):
    ran = streams("status", cwd=shared.cwd)

    assert f"worker {shared.installation['metrics']}: ready" in ran.stderr


def test_line_of_plain_text_is_a_prompt_on_the_embedded_broker(shared):
    import asyncio

    from streams.client import KafkaDoor
    from streams.engine.cluster import Cluster
    from topics.catalog import PROMPTS, RESULTS, Names

    async def plain():
        door = KafkaDoor(Cluster(shared.installation["brokers"]), Names())
        async with door.from_end(RESULTS) as results, door.publisher() as publisher:
            await (await publisher.send(PROMPTS, None, b"just words"))
            async for record in results:
                if b"just words" in (record.value or b""):
                    break
        return json.loads(record.value)["status"]

    assert "completed" == asyncio.run(asyncio.wait_for(plain(), ANSWER_S))


def test_batch_of_prompts_is_answered_one_for_one(shared, tmp_path):
    rows = tmp_path / "in.jsonl"
    rows.write_text("".join(json.dumps({"id": f"batch-{n}", "prompt": f"prompt {n}"}) + "\n" for n in range(200)))
    out = tmp_path / "out.jsonl"
    ran = streams("submit", "-f", rows, "--out", out, cwd=shared.cwd)
    found = {answer["id"]: answer["text"] for answer in map(json.loads, out.read_text().splitlines())}

    assert {f"batch-{n}": f"echo: prompt {n}" for n in range(200)} == found, ran.stderr
    assert 0 == ran.returncode


def test_killed_worker_is_restarted_and_answers_again(tmp_path):
    with up(tmp_path) as running:
        [killed] = running.worker_pids()
        os.kill(killed, signal.SIGKILL)
        ran = streams("submit", "after the kill", "--wait", cwd=tmp_path)
        [restarted] = running.worker_pids()

        assert (0, "echo: after the kill\n") == (ran.returncode, ran.stdout), ran.stderr
        assert killed != restarted
        assert "worker 0 ended (signal 9): restarting" in running.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_everything_in_order_and_keeps_the_data(tmp_path, number):
    with up(tmp_path) as running:
        streams("submit", "keep me", "--id", "kept", "--wait", cwd=tmp_path)
        workers = running.worker_pids()

        assert 0 == running.end(number)
        assert not (tmp_path / ".streams" / "up.json").exists()
        assert [] == [pid for pid in workers if Path(f"/proc/{pid}").exists()]

    with up(tmp_path):
        assert "echo: keep me" == json.loads(streams("get", "kept", "-o", "json", cwd=tmp_path).stdout)["text"]


def test_killed_up_takes_its_workers_along(tmp_path):
    with up(tmp_path) as running:
        [worker] = running.worker_pids()
        running.process.kill()
        running.process.wait()

    assert eventually(lambda: not Path(f"/proc/{worker}").exists(), 10.0)


def test_two_workers_are_both_ready_and_share_the_work(tmp_path):
    with up(tmp_path, "--workers", "2") as running:
        ran = streams("submit", "a", "b", "c", "d", "--wait", cwd=tmp_path)

        assert 2 == running.installation["metrics"].count("/metrics")
        assert "4 answered, 0 failed" in ran.stderr


def test_demo_shows_answers_arriving(tmp_path):
    with up(tmp_path, "--demo") as running:
        assert eventually(lambda: "→  echo: " in running.out, ANSWER_S)


def test_data_elsewhere_puts_the_address_into_the_next_command(tmp_path):
    with up(tmp_path, "--data", "elsewhere") as running:
        options = shlex.split(running.next_command)
        ran = streams(*options[1:], cwd=tmp_path)

        assert (0, "-b") == (ran.returncode, options[-2]), ran.stderr


def test_given_broker_without_topics_is_left_alone_and_names_the_way(fresh_broker, tmp_path):
    ran = streams("up", "-b", fresh_broker.bootstrap_servers, cwd=tmp_path)

    assert 2 == ran.returncode
    assert "streams topics apply" in ran.stderr


def test_given_broker_with_topics_gets_workers(fresh_broker, tmp_path):
    address = fresh_broker.bootstrap_servers
    streams("topics", "apply", "-b", address, cwd=tmp_path)
    with up(tmp_path, "-b", address):
        ran = streams("submit", "hello", "--wait", "-b", address, cwd=tmp_path)

        assert (0, "echo: hello\n") == (ran.returncode, ran.stdout), ran.stderr
