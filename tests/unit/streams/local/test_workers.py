"""A worker process here: its command, its port, its log, and whether it is ready."""

import asyncio
import os
import socket
import sys
import time

import pytest

from streams.local import workers
from tests.support.ready_page import page
from topics.errors import LocalKafkaError


def ready(address):
    return asyncio.run(workers.is_ready(address))


def test_command_runs_this_python_and_our_package_only():
    assert [sys.executable, "-P", "-m", "streams", "worker"] == workers.command(0, ("core",), 9464, ())[:5]


def test_command_names_slot_roles_and_port_before_the_flags():
    command = workers.command(3, ("core", "infer"), 9500, ("-b", "k:1"))

    assert ["--slot", "3", "--apps", "core,infer", "--http-port", "9500", "-b", "k:1"] == command[5:]


@pytest.mark.parametrize(
    ("slots", "taken", "ports"),
    [
        (1, (), {0: 9464}),
        (3, (), {0: 9464, 1: 9465, 2: 9466}),
        (2, (9464,), {0: 9465, 1: 9466}),
        (2, (9465, 9466), {0: 9464, 1: 9467}),
    ],
)
def test_port_of_each_slot_is_the_next_free_one(slots, taken, ports):
    assert ports == workers.port_of_each(range(slots), lambda port: port not in taken)


def test_no_free_port_at_all_is_an_error_that_names_the_worker():
    with pytest.raises(LocalKafkaError, match="worker 0"):
        workers.port_of_each(range(1), lambda port: False)


def test_port_that_somebody_listens_on_is_left_out():
    first = workers.port_of_each(range(1))[0]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first))
        taken.listen()

        assert first < workers.port_of_each(range(1))[0]


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False), (500, False)])
def test_worker_is_ready_when_its_page_says_so(status, expected):
    with page(status) as address:
        assert expected == ready(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/metrics", "nonsense", "http://127.0.0.1:port/metrics"])
def test_worker_without_a_page_is_not_ready(address):
    assert not ready(address)


def test_page_that_never_answers_counts_as_not_ready(monkeypatch):
    monkeypatch.setattr(workers, "ASK_S", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        assert not ready(workers.address(silent.getsockname()[1]))


def test_started_worker_writes_its_output_to_its_log(tmp_path):
    start = workers.starter(tmp_path / "home", tmp_path, {4: 9468}, ("--help",))
    process = start(4, ("core",))
    log, end = workers.log_path(tmp_path / "home", 4), time.monotonic() + 20.0
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)  # why: polls, bounded by a deadline

    assert 0 == process.poll()
    assert "worker-4.log" == log.name
    assert "Run one worker" in log.read_text()


def test_started_worker_has_a_session_of_its_own(tmp_path):
    process = workers.starter(tmp_path, tmp_path, {0: 9464}, ("--help",))(0, ("core",))
    session = os.getsid(process.pid)
    process.kill()
    process.wait()

    assert os.getsid(0) != session


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "read {log}"),
        ("", "read {log}"),
        ('{"event": "listening"}\n', "read {log}"),
        ("error: old\nerror: topics = 'a': missing\n{}\n", "error: topics = 'a': missing; read {log}"),
    ],
)
def test_complaint_of_a_worker_is_its_last_error_and_its_log(tmp_path, text, words):
    log = tmp_path / "worker-0.log"
    if text is not None:
        log.write_text(text)

    assert words.format(log=log) == workers.complaint(log)
