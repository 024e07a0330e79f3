"""The embedded broker on the real thing: quick, small, tied to its parent, and honest when something is missing."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.local import jars, ports, runtime
from streams.local.kafka import EmbeddedKafka
from tests.support import plain_client
from topics.catalog import Names
from topics.errors import LocalKafkaError

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
FIRST_PRODUCE_S = 6.0  # 1.5 s on an idle machine (benches/bench_embedded_kafka.py); CI shares its cores
RSS_MB = 220

PARENT = """
import pathlib, sys
from streams.local.kafka import EmbeddedKafka
kafka = EmbeddedKafka(pathlib.Path(sys.argv[1])).start()
print(kafka.pid, kafka.bootstrap_servers, flush=True)
sys.stdin.read()
"""
PREPARE = "from streams.local import runtime; print(runtime.ensure(lambda line: print(line, flush=True)).root)"


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.01)  # why: polls, bounded by a deadline
    return not Path(f"/proc/{pid}").exists()


def copied_runtime(folder: Path) -> runtime.Runtime:
    """A cache of one's own, to damage."""
    source = runtime.ensure(print)
    shutil.copytree(source.root, folder / source.root.name)
    return runtime.Runtime(source.java, folder / source.root.name)


def test_later_start_reaches_the_first_produce_in_time(tmp_path: Path, names: Names) -> None:
    prepared, began = runtime.ensure(print), time.monotonic()
    with EmbeddedKafka(tmp_path, prepared=prepared) as kafka:
        topic = names.topic("prompts")
        asyncio.run(plain_client.create(kafka.bootstrap_servers, topic))
        asyncio.run(plain_client.write(kafka.bootstrap_servers, topic, [b"first"]))
        took, rss = time.monotonic() - began, kafka.rss_mb
    print(f"first produce after {took:.2f} s, {rss} MB")

    assert took < FIRST_PRODUCE_S


def test_memory_of_broker_after_many_records_stays_small(tmp_path: Path, names: Names) -> None:
    with EmbeddedKafka(tmp_path) as kafka:
        values = [b"x" * 10_000] * 300
        asyncio.run(plain_client.there_and_back(kafka.bootstrap_servers, names.topic("prompts"), values))
        rss = kafka.rss_mb
    print(f"{rss} MB after {len(values)} records there and back")

    assert rss <= RSS_MB


def test_topic_that_nobody_created_is_not_created_by_writing(tmp_path: Path, names: Names) -> None:
    async def write() -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=1_500) as producer:
            await producer.send_and_wait(names.topic("prompts"), b"lost?")

    with EmbeddedKafka(tmp_path) as kafka, pytest.raises(KafkaError):
        asyncio.run(write())


def test_broker_of_killed_parent_dies_and_its_data_survives(tmp_path: Path, names: Names) -> None:
    topic = names.topic("prompts")
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], cwd=ROOT, stdin=-1, stdout=-1) as parent:
        assert parent.stdout is not None
        pid, servers = parent.stdout.readline().decode().split()
        asyncio.run(plain_client.create(servers, topic))
        asyncio.run(plain_client.write(servers, topic, [b"kept"]))
        parent.send_signal(signal.SIGKILL)
    dead = gone_within(int(pid), 5)
    with EmbeddedKafka(tmp_path) as kafka:
        got = asyncio.run(plain_client.read(kafka.bootstrap_servers, topic, 1))

    assert (True, servers, [b"kept"]) == (dead, kafka.bootstrap_servers, got)


def test_start_right_after_parent_was_killed_waits_for_the_old_broker(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], cwd=ROOT, stdin=-1, stdout=-1) as parent:
        assert parent.stdout is not None
        _, servers = parent.stdout.readline().decode().split()
        parent.send_signal(signal.SIGKILL)
    with EmbeddedKafka(tmp_path) as kafka:
        assert servers == kafka.bootstrap_servers


def test_second_broker_over_the_same_data_names_the_first(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], cwd=ROOT, stdin=-1, stdout=-1) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        with pytest.raises(LocalKafkaError, match=rf"{tmp_path} is in use by the broker of pid {parent.pid} "):
            EmbeddedKafka(tmp_path).start()
        parent.kill()


def test_cluster_id_of_broker_is_what_clients_see(tmp_path: Path) -> None:
    async def seen(servers: str) -> str:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        try:
            return str((await admin.describe_cluster())["cluster_id"])
        finally:
            await admin.close()

    with EmbeddedKafka(tmp_path) as kafka:
        assert kafka.cluster_id == asyncio.run(seen(kafka.bootstrap_servers))


@pytest.mark.parametrize("snatched", ["PLAINTEXT", "CONTROLLER"])
def test_port_that_is_snatched_at_the_last_moment_ends_the_start_at_once(tmp_path: Path, snatched: str) -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        chosen = {"PLAINTEXT": ports.free(), "CONTROLLER": ports.free(), snatched: taken.getsockname()[1]}
        listeners = ",".join(f"{name}://{ports.HOST}:{port}" for name, port in chosen.items())
        voters = f"1@{ports.HOST}:{chosen['CONTROLLER']}"
        told = {"listeners": listeners, "controller.quorum.voters": voters}
        with pytest.raises(LocalKafkaError, match="Address already in use"):
            EmbeddedKafka(tmp_path, settings=told).start()


def test_setting_that_kafka_refuses_is_quoted_from_its_log(tmp_path: Path) -> None:
    with pytest.raises(LocalKafkaError, match=r"num\.io\.threads.*full log: "):
        EmbeddedKafka(tmp_path, settings={"num.io.threads": "many"}).start()


def test_jar_of_right_size_and_wrong_content_is_named_when_kafka_fails(tmp_path: Path) -> None:
    prepared = copied_runtime(tmp_path)
    victim = next(jar for jar in prepared.jars if jar.name.startswith("kafka-clients"))
    (prepared.libs / victim.name).write_bytes(b"\0" * victim.size)

    with pytest.raises(LocalKafkaError, match=rf"Damaged in the cache: {victim.name}\. Fix: delete {prepared.libs}"):
        EmbeddedKafka(tmp_path / "data", prepared=prepared).start()


def test_lost_jar_is_fetched_again_and_the_start_up_cache_stays_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, said = copied_runtime(tmp_path / "cache"), list[str]()
    monkeypatch.setenv("STREAMS_CACHE", str(tmp_path / "cache"))
    (damaged.libs / "jopt-simple-5.0.4.jar").unlink()
    prepared = runtime.ensure(said.append)
    strict = prepared.command("kafka.Kafka", jvm=(f"-XX:AOTCache={prepared.start_up_cache}", "-XX:AOTMode=on"))
    printed = subprocess.run(strict, capture_output=True, text=True, check=False)

    assert (1, True) == (len(said), "USAGE" in printed.stdout + printed.stderr)


@pytest.mark.parametrize("part", ["org", "Cache: {cache}", "Fix: run again with a working network"])
def test_first_start_without_network_names_artifact_cache_and_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setenv("STREAMS_CACHE", str(tmp_path))
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{ports.free()}")

    with pytest.raises(LocalKafkaError, match=r"the embedded Kafka needs [\w.-]+:[\w.-]+:[\w.-]+, which") as failed:
        runtime.ensure(lambda line: None)

    assert part.format(cache=tmp_path) in str(failed.value)


def test_parallel_first_starts_share_one_download(tmp_path: Path) -> None:
    env = {**os.environ, "STREAMS_CACHE": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", PREPARE], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=300)[0] for one in both]
    leading, waiting = sorted(said, key=lambda lines: "another process is preparing" in lines)

    assert ([0, 0], 4, 2, ()) == (
        [one.returncode for one in both],
        len(leading.splitlines()),
        len(waiting.splitlines()),
        jars.damaged(tmp_path / f"kafka-{jars.KAFKA_VERSION}" / "libs", jars.pinned(), deep=True),
    )
