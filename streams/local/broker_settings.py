"""What is the embedded broker told? Small, quick to start and to come back after a kill, no topics by accident."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streams.local import secure
from streams.local.ports import HOST

SMALL: dict[str, object] = {
    "auto.create.topics.enable": "false",  # a typing error in a topic name must not become a topic
    "num.partitions": 1,
    "num.network.threads": 1,
    "num.io.threads": 2,
    "background.threads": 2,
    "num.recovery.threads.per.data.dir": 1,
    "group.initial.rebalance.delay.ms": 0,
    "log.cleaner.dedupe.buffer.size": 4 << 20,  # Kafka's own 128 MiB are most of a small broker's memory
    "log.cleaner.io.buffer.size": 64 << 10,
    "offsets.topic.num.partitions": 4,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 2,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # A killed broker may not register again before its session ends: 9 s by default, a restart then takes 11 s.
    "broker.session.timeout.ms": 1_500,
    "broker.heartbeat.interval.ms": 200,
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the broker listens; ``secured`` 0 means no such listener."""

    plain: int
    controller: int
    secured: int = 0


def listeners(ports: Ports) -> Mapping[str, object]:
    """The settings that follow from the ports."""
    clients = [f"PLAINTEXT://{HOST}:{ports.plain}"]
    if ports.secured:
        clients.append(f"{secure.LISTENER}://{HOST}:{ports.secured}")
    return {
        "controller.quorum.voters": f"1@{HOST}:{ports.controller}",
        "listeners": ",".join([*clients, f"CONTROLLER://{HOST}:{ports.controller}"]),
        "advertised.listeners": ",".join(clients),
    }


def text(storage: Path, ports: Ports, extra: Mapping[str, object]) -> str:
    """The properties file; ``extra`` wins."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{secure.LISTENER}:SASL_SSL",
        "log.dirs": storage,
        **SMALL,
        **listeners(ports),
        **extra,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def saved_ports(properties: Path) -> Ports | None:
    """The ports of the run before, from its properties file."""
    found = re.search(r"^listeners=(.*)$", properties.read_text(), re.MULTILINE) if properties.exists() else None
    by_name = dict(re.findall(r"(\w+)://[^:,]*:(\d+)", found[1])) if found else {}
    if not {"PLAINTEXT", "CONTROLLER"} <= by_name.keys():
        return None
    return Ports(int(by_name["PLAINTEXT"]), int(by_name["CONTROLLER"]), int(by_name.get(secure.LISTENER, 0)))
