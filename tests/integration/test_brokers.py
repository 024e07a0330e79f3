"""Every kind of test broker keeps the same promises, and the choice between them is never a silent one."""

import asyncio
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer

from streams.local import ports
from streams.local.kafka import EmbeddedKafka
from tests.support import brokers, kafka_container, plain_client
from tests.support.brokers import Broker, NoBroker
from tests.support.tcp_proxy import TcpProxy
from topics.catalog import Names

VALUES = [b"%d" % number for number in range(50)]


def usable() -> str:
    return ""


def unusable() -> str:
    return "no daemon answers"


@pytest.mark.broker
def test_records_on_shared_broker_make_round_trip(broker: Broker, names: Names) -> None:
    got = asyncio.run(plain_client.there_and_back(broker.bootstrap_servers, names.topic("prompts"), VALUES))

    assert VALUES == got


@pytest.mark.broker
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_ended_broker_that_starts_again_keeps_port_and_data(fresh_broker: Broker, names: Names, end: str) -> None:
    servers, topic = fresh_broker.bootstrap_servers, names.topic("prompts")
    asyncio.run(plain_client.create(servers, topic))
    asyncio.run(plain_client.write(servers, topic, VALUES))
    getattr(fresh_broker, end)()
    fresh_broker.start()

    assert (servers, VALUES) == (fresh_broker.bootstrap_servers, asyncio.run(plain_client.read(servers, topic, 50)))


@pytest.mark.broker
def test_restarted_broker_keeps_port_and_data(fresh_broker: Broker, names: Names) -> None:
    servers, topic = fresh_broker.bootstrap_servers, names.topic("prompts")
    asyncio.run(plain_client.create(servers, topic))
    asyncio.run(plain_client.write(servers, topic, VALUES))
    fresh_broker.restart()

    assert VALUES == asyncio.run(plain_client.read(servers, topic, 50))


@pytest.mark.broker
def test_paused_broker_answers_only_when_unpaused(fresh_broker: Broker, names: Names) -> None:
    async def send_while_paused(servers: str, topic: str) -> tuple[bool, list[bytes]]:
        await plain_client.create(servers, topic)
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
            await producer.send_and_wait(topic, b"before")
            fresh_broker.pause()
            sending = asyncio.ensure_future(producer.send_and_wait(topic, b"meanwhile"))
            answered, _ = await asyncio.wait([sending], timeout=1.0)
            fresh_broker.unpause()
            await asyncio.wait_for(sending, 20)
        return bool(answered), await plain_client.read(servers, topic, 2)

    got = asyncio.run(send_while_paused(fresh_broker.bootstrap_servers, names.topic("prompts")))

    assert (False, [b"before", b"meanwhile"]) == got


@pytest.mark.broker
@pytest.mark.parametrize("fault", ["cut", "half_open", "answers_lost"])
def test_fault_of_the_network_when_healed_lost_and_doubled_nothing(tmp_path, names: Names, fault: str) -> None:
    async def send_through(proxy: TcpProxy, topic: str) -> tuple[bool, list[bytes]]:
        servers = f"{ports.HOST}:{proxy.port}"
        await plain_client.create(servers, topic)
        quick = {"request_timeout_ms": 2_000, "retry_backoff_ms": 100, "enable_idempotence": True}
        async with AIOKafkaProducer(bootstrap_servers=servers, **quick) as producer:
            await producer.send_and_wait(topic, b"before")
            {"cut": proxy.cut, "half_open": proxy.half_open}.get(fault, lambda: proxy.half_open(up=False))()
            sending = asyncio.ensure_future(producer.send_and_wait(topic, b"meanwhile"))
            answered, _ = await asyncio.wait([sending], timeout=0.8)
            proxy.heal()
            await asyncio.wait_for(sending, 20)
            await producer.send_and_wait(topic, b"after")
        return bool(answered), await plain_client.read(servers, topic, 3)

    behind = ports.free()
    with TcpProxy(behind) as proxy:
        advertised = {"advertised.listeners": f"PLAINTEXT://{ports.HOST}:{proxy.port}"}
        with EmbeddedKafka(tmp_path, behind, settings=advertised):
            got = asyncio.run(send_through(proxy, names.topic("prompts")))

    assert (False, [b"before", b"meanwhile", b"after"]) == got


def test_latency_of_proxy_is_added_on_both_ways() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(10))
        writer.close()

    async def round_trip() -> tuple[bytes, float]:
        server = await asyncio.start_server(echo, ports.HOST, 0)
        with TcpProxy(server.sockets[0].getsockname()[1]) as proxy:
            proxy.latency_s = 0.1
            began = time.monotonic()
            reader, writer = await asyncio.open_connection(ports.HOST, proxy.port)
            writer.write(b"hello")
            got = await reader.read(10)
            took = time.monotonic() - began
            writer.close()
        server.close()
        return got, took

    got, took = asyncio.run(round_trip())

    assert (b"hello", True) == (got, 0.2 <= took < 2.0)


@pytest.mark.parametrize(
    ("env", "docker", "expected"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092"}, usable, "external"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092", "TEST_BROKER": "embedded"}, usable, "external"),
        ({}, usable, "docker"),
        ({}, unusable, "embedded"),
        ({"TEST_BROKER": "embedded"}, usable, "embedded"),
        ({"TEST_BROKER": "docker"}, usable, "docker"),
    ],
)
def test_choice_of_broker_follows_environment_then_docker(env: dict[str, str], docker, expected: str) -> None:
    assert expected == brokers.choose(env, docker)


def test_docker_that_is_asked_for_and_unusable_is_an_error() -> None:
    with pytest.raises(NoBroker, match="TEST_BROKER=docker, but no daemon answers"):
        brokers.choose({"TEST_BROKER": "docker"}, unusable)


def test_kind_of_broker_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(NoBroker, match="TEST_BROKER=podman: use one of docker, embedded"):
        brokers.choose({"TEST_BROKER": "podman"}, usable)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False),
        ({"CI": ""}, False),
        ({"CI": "false"}, False),
        ({"CI": "true"}, True),
        ({"CI": "1"}, True),
        ({"TEST_BROKER": "docker"}, True),
    ],
)
def test_missing_broker_fails_in_ci_and_where_one_was_asked_for(env: dict[str, str], expected: bool) -> None:
    assert expected == brokers.absence_is_failure(env)


@pytest.mark.parametrize(
    ("env", "outcome"),
    [
        ({"CI": "", "TEST_BROKER": ""}, "skipped"),
        ({"CI": "true", "TEST_BROKER": ""}, "error"),
        ({"CI": "", "TEST_BROKER": "docker"}, "error"),
        ({"CI": "", "TEST_BROKER": "embedded"}, "error"),
    ],
)
def test_session_without_any_broker_skips_only_where_none_was_asked_for(
    tmp_path, env: dict[str, str], outcome: str
) -> None:
    nothing = {
        "STREAMS_CACHE": str(tmp_path),
        "https_proxy": f"http://127.0.0.1:{ports.free()}",
        "DOCKER_HOST": f"unix://{tmp_path}/no.sock",
        "KAFKA_BOOTSTRAP_SERVERS": "",
    }
    one = f"{__file__}::test_records_on_shared_broker_make_round_trip"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", one],
        env={**os.environ, **nothing, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert f"1 {outcome}" in run.stdout


def test_container_of_dead_test_run_is_abandoned_and_one_of_ours_is_not() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, ours = (SimpleNamespace(labels={kafka_container.OWNER: str(pid)}) for pid in (ended.pid, os.getpid()))

    assert [left] == kafka_container.abandoned([left, ours])


def test_sweep_without_docker_does_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")

    assert 0 == kafka_container.sweep()
