import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.local import ports
from streams.local.jars import Jar
from streams.local.kafka import EmbeddedKafka
from streams.local.secure import Security
from tests.support.fake_java import RUNS, fake_java, fake_runtime
from topics.errors import LocalKafkaError


@contextmanager
def broker(folder: Path, runs: str = RUNS, jars: tuple[Jar, ...] = (), **options: object) -> Iterator[EmbeddedKafka]:
    prepared = fake_runtime(folder, runs=runs, jars=jars)
    kafka = EmbeddedKafka(folder / "data", prepared=prepared, **options)  # type: ignore[arg-type] # the caller's
    try:
        yield kafka
    finally:
        kafka.kill()


def refusal(folder: Path, runs: str = RUNS, **options: object) -> str:
    with broker(folder, runs, **options) as kafka, pytest.raises(LocalKafkaError) as failed:  # type: ignore[arg-type] # as given
        kafka.start()
    return str(failed.value)


def told(folder: Path) -> dict[str, str]:
    lines = (folder / "data" / "server.properties").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def reached(pid: int, states: str) -> bool:
    end = time.monotonic() + 5
    while state_of(pid) not in states and time.monotonic() < end:
        time.sleep(0.01)  # why: polls, bounded by a deadline
    return state_of(pid) in states


def test_started_broker_is_alive(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        assert kafka.start().alive


def test_started_broker_is_told_the_port_it_names(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        kafka.start()

        assert f"PLAINTEXT://{kafka.bootstrap_servers}" == told(tmp_path)["advertised.listeners"]


def test_wanted_port_when_free_is_used(tmp_path: Path) -> None:
    port = ports.free()
    with broker(tmp_path, port=port) as kafka:
        assert f"127.0.0.1:{port}" == kafka.start().bootstrap_servers


def test_wanted_port_when_taken_names_the_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = refusal(tmp_path, port=server.getsockname()[1])

    assert f"is taken by pid {os.getpid()} " in said


def test_wanted_port_when_taken_leaves_the_directory_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusal(tmp_path, port=server.getsockname()[1])

    with broker(tmp_path) as kafka:
        assert kafka.start().alive


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_ended_broker_is_not_alive(tmp_path: Path, end: str) -> None:
    with broker(tmp_path) as kafka:
        kafka.start()
        getattr(kafka, end)()

        assert not kafka.alive


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_ended_broker_that_starts_again_keeps_port_and_cluster(tmp_path: Path, end: str) -> None:
    with broker(tmp_path) as kafka:
        kafka.start()
        before = kafka.bootstrap_servers, kafka.cluster_id
        getattr(kafka, end)()
        kafka.start()

        assert before == (kafka.bootstrap_servers, kafka.cluster_id)


def test_new_broker_over_old_data_keeps_port_and_cluster(tmp_path: Path) -> None:
    with broker(tmp_path) as first:
        first.start()
        before = first.bootstrap_servers, first.cluster_id

    with broker(tmp_path) as second:
        second.start()

        assert before == (second.bootstrap_servers, second.cluster_id)


def test_new_broker_whose_old_port_is_taken_gets_another(tmp_path: Path) -> None:
    with broker(tmp_path) as first:
        taken = int(first.start().bootstrap_servers.split(":")[1])

    with socket.create_server(("127.0.0.1", taken)), broker(tmp_path) as second:
        assert f"127.0.0.1:{taken}" != second.start().bootstrap_servers


def test_restarted_broker_is_another_process(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        before = kafka.start().pid
        kafka.restart()

        assert (True, False) == (kafka.alive, before == kafka.pid)


def test_broker_that_ended_by_itself_can_be_started_again(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        kafka.start()
        os.kill(kafka.pid, 9)
        while kafka.alive:
            time.sleep(0.01)  # why: polls, bounded by a deadline

        assert kafka.start().alive


def test_running_broker_that_is_started_again_is_refused_by_name(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        kafka.start()

        with pytest.raises(LocalKafkaError, match=rf"already runs: pid {kafka.pid} "):
            kafka.start()

        assert kafka.alive


def test_second_broker_over_the_same_directory_names_the_first(tmp_path: Path) -> None:
    with broker(tmp_path) as first, broker(tmp_path) as second:
        first.start()

        with pytest.raises(LocalKafkaError, match=rf"{tmp_path}/data is in use by the broker of pid {os.getpid()} "):
            second.start()


def test_paused_broker_is_stopped_and_goes_on_when_unpaused(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        kafka.start()
        kafka.pause()
        paused = reached(kafka.pid, "T")
        kafka.unpause()

        assert (True, True) == (paused, reached(kafka.pid, "SR"))


def test_paused_broker_can_be_stopped(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        kafka.start()
        kafka.pause()
        kafka.stop()

        assert not kafka.alive


def test_broker_as_context_runs_inside_and_not_after(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        with kafka as inside:
            during = inside.alive

        assert (True, False) == (during, kafka.alive)


@pytest.mark.parametrize("fact", ["pid", "rss_mb"])
def test_fact_of_broker_that_was_never_started_says_so(tmp_path: Path, fact: str) -> None:
    with broker(tmp_path) as kafka, pytest.raises(LocalKafkaError, match=r"call start\(\) first"):
        getattr(kafka, fact)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_end_of_broker_that_was_never_started_does_nothing(tmp_path: Path, end: str) -> None:
    with broker(tmp_path) as kafka:
        getattr(kafka, end)()

        assert (False, None) == (kafka.alive, kafka.cluster_id)


def test_memory_of_running_broker_is_told(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        assert 0 <= kafka.start().rss_mb < 220


def test_settings_of_caller_reach_the_broker(tmp_path: Path) -> None:
    with broker(tmp_path, settings={"log.segment.bytes": 1_048_576}) as kafka:
        kafka.start()

        assert "1048576" == told(tmp_path)["log.segment.bytes"]


def test_log_of_broker_goes_where_it_is_wanted(tmp_path: Path) -> None:
    with broker(tmp_path, log_file=tmp_path / "logs" / "kafka.log") as kafka:
        kafka.start()

        assert "Kafka Server started\n" == (tmp_path / "logs" / "kafka.log").read_text()


def test_broker_that_fails_to_start_says_why_and_where_to_read_on(tmp_path: Path) -> None:
    said = refusal(tmp_path, "echo FATAL ERROR no space left; exit 1")

    assert f"no space left | full log: {tmp_path}/data/broker.log" in said


def test_broker_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    with broker(tmp_path, "sleep 100", start_timeout_s=0.2) as kafka:
        with pytest.raises(LocalKafkaError, match="was not ready within"):
            kafka.start()

        assert not kafka.alive


def test_broker_whose_port_was_snatched_tries_another(tmp_path: Path) -> None:
    snatched = (
        f'[ -e {tmp_path}/tried ] || {{ touch {tmp_path}/tried; echo "ERROR Address already in use"; exit 1; }}; {RUNS}'
    )
    with broker(tmp_path, snatched) as kafka:
        assert kafka.start().alive


def test_broker_whose_ports_are_always_snatched_gives_up(tmp_path: Path) -> None:
    said = refusal(tmp_path, f'echo x >> {tmp_path}/tries; echo "ERROR Address already in use"; exit 1')

    assert (True, 3) == ("Address already in use" in said, len((tmp_path / "tries").read_text().splitlines()))


def test_broker_that_fails_over_damaged_jars_names_them(tmp_path: Path) -> None:
    said = refusal(tmp_path, "exit 1", jars=(Jar("org.example:thing:1.0", 7, "00"),))

    assert f"Damaged in the cache: thing-1.0.jar. Fix: delete {tmp_path}/cache/libs" in said


def test_secured_broker_listens_on_a_port_of_its_own(tmp_path: Path) -> None:
    with broker(tmp_path, secure=Security("alice", "p", tmp_path / "k.p12", "q")) as kafka:
        kafka.start()

        assert f"SECURED://{kafka.secured_servers}" == told(tmp_path)["listeners"].split(",")[1]


def test_secured_broker_is_formatted_with_its_user(tmp_path: Path) -> None:
    with broker(tmp_path, secure=Security("alice", "p", tmp_path / "k.p12", "q")) as kafka:
        kafka.start()
        template = (tmp_path / "data" / "storage" / "bootstrap.checkpoint").read_text()

        assert "--add-scram\nSCRAM-SHA-256=[name=alice,password=p]" in template


def test_settings_file_of_secured_broker_is_for_its_owner_only(tmp_path: Path) -> None:
    with broker(tmp_path, secure=Security("alice", "p", tmp_path / "k.p12", "q")) as kafka:
        kafka.start()

        assert 0o600 == (tmp_path / "data" / "server.properties").stat().st_mode & 0o777


def test_broker_without_prepared_runtime_prepares_one_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{ports.free()}")
    said: list[str] = []

    with pytest.raises(LocalKafkaError, match=f"Cache: {tmp_path}/cache"):
        EmbeddedKafka(tmp_path / "data", say=said.append).start()

    assert said[0].startswith("downloading Apache Kafka")


def test_start_of_program_that_is_no_java_is_refused(tmp_path: Path) -> None:
    with broker(tmp_path) as kafka:
        fake_java(tmp_path).unlink()

        with pytest.raises(LocalKafkaError, match="cannot be started"):
            kafka.start()


def test_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file stands here")

    with (
        broker(tmp_path) as kafka,
        pytest.raises(LocalKafkaError, match=f"data directory {tmp_path}/data cannot be used"),
    ):
        kafka.start()
