from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.local import broker_settings
from streams.local.broker_settings import Ports

PORT = st.integers(1025, 65_535)


PLAIN = Ports(19_092, 19_093)


def parsed(ports: Ports = PLAIN, **extra: object) -> dict[str, str]:
    lines = broker_settings.text(Path("/data"), ports, extra).splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_topics_by_accident_are_never_created() -> None:
    assert "false" == parsed()["auto.create.topics.enable"]


def test_settings_of_caller_win_over_ours() -> None:
    assert "7" == parsed(**{"num.io.threads": 7})["num.io.threads"]


def test_every_setting_stands_once() -> None:
    names = [line.partition("=")[0] for line in broker_settings.text(Path("/d"), Ports(1, 2), {"x": 1}).splitlines()]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "name",
    ["offsets.topic.replication.factor", "transaction.state.log.replication.factor", "transaction.state.log.min.isr"],
)
def test_internal_topics_of_single_broker_have_one_replica(name: str) -> None:
    assert "1" == parsed()[name]


def test_plain_broker_has_no_secured_listener() -> None:
    assert "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093" == parsed()["listeners"]


def test_secured_broker_advertises_both_listeners_and_not_the_controller() -> None:
    advertised = parsed(Ports(19_092, 19_093, 19_094))["advertised.listeners"]

    assert "PLAINTEXT://127.0.0.1:19092,SECURED://127.0.0.1:19094" == advertised


def test_every_listener_has_a_protocol() -> None:
    told = parsed(Ports(1, 2, 3))
    protocols = dict(pair.split(":") for pair in told["listener.security.protocol.map"].split(","))

    assert {one.partition(":")[0] for one in told["listeners"].split(",")} == protocols.keys()


def test_killed_broker_session_ends_well_before_two_seconds() -> None:
    assert 2_000 > int(parsed()["broker.session.timeout.ms"]) > 5 * int(parsed()["broker.heartbeat.interval.ms"])


@given(st.builds(Ports, PORT, PORT, PORT | st.just(0)))
def test_ports_written_to_a_properties_file_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, ports: Ports
) -> None:
    file = tmp_path_factory.mktemp("settings") / "server.properties"
    file.write_text(broker_settings.text(Path("/data"), ports, {}))

    assert ports == broker_settings.saved_ports(file)


@pytest.mark.parametrize(
    "content", ["", "listeners=\n", "listeners=PLAINTEXT://h:1\n", "#listeners=PLAINTEXT://h:1,CONTROLLER://h:2\n"]
)
def test_properties_file_without_both_listeners_saves_no_ports(tmp_path: Path, content: str) -> None:
    (tmp_path / "p").write_text(content)

    assert broker_settings.saved_ports(tmp_path / "p") is None


def test_missing_properties_file_saves_no_ports(tmp_path: Path) -> None:
    assert broker_settings.saved_ports(tmp_path / "p") is None
