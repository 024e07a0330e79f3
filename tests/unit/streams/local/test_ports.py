import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.local import ports
from topics.errors import LocalKafkaError


@pytest.fixture
def taken():
    with socket.create_server((ports.HOST, 0)) as server:
        yield server.getsockname()[1]


def ephemeral_from() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def test_free_port_is_below_ephemeral_range() -> None:
    found = {ports.free() for _ in range(50)}

    assert all(ports.LOWEST <= port < ephemeral_from() for port in found)


def test_free_port_when_asked_again_is_mostly_another() -> None:
    assert len({ports.free() for _ in range(20)}) > 10


@given(st.sets(st.integers(ephemeral_from() - ports.SPAN, ephemeral_from() - 1), max_size=50))
def test_free_port_is_never_one_of_the_excluded(excluded: set[int]) -> None:
    assert ports.free(*excluded) not in excluded


def test_free_port_when_none_can_be_bound_raises() -> None:
    with pytest.raises(LocalKafkaError, match="no free TCP port below"):
        ports.free(host="192.0.2.1")  # documentation address: no interface has it


def test_port_with_listener_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)


def test_port_with_listener_on_every_address_is_not_free() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_port_just_closed_is_free() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]

    assert ports.is_free(port)


def test_wanted_port_when_free_is_given() -> None:
    port = ports.free()

    assert port == ports.demand(port)


def test_wanted_port_when_taken_names_process_program_and_directory(taken: int) -> None:
    expected = rf"port {taken} is taken by pid {os.getpid()} \(\S+, started in {Path.cwd()}\)"

    with pytest.raises(LocalKafkaError, match=expected):
        ports.demand(taken)


def test_wanted_port_when_taken_by_ipv6_listener_names_it() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        assert f"pid {os.getpid()} " in ports.holder(server.getsockname()[1])


def test_holder_of_child_process_is_the_child(tmp_path: Path) -> None:
    listen = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", listen, "--password=hunter2"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        said = ports.holder(int(child.stdout.readline()))
        child.kill()

    assert (True, str(tmp_path) in said, "hunter2" in said) == (f"pid {child.pid}" in said, True, False)


def test_holder_that_cannot_be_seen_is_another_users() -> None:
    assert "a process of another user" == ports.holder(ports.free())


def test_description_of_process_that_is_gone_is_its_number() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()

    assert f"pid {gone.pid}" == ports.describe(gone.pid)
