"""Apache Kafka in Docker. Testcontainers' own class knows only another vendor's image.

The host port is chosen before the start, so that the advertised listener is known and a restart keeps it; Docker would
give a restarted container another one.
"""

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import docker
import docker.errors
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from streams.local import ports, storage
from streams.local.broker_settings import SMALL
from streams.local.training import READY

IMAGE = "apache/kafka:4.3.1"
OWNER = "prompt-streams.test.pid"  # label: the process whose end makes a container garbage
PROBE_EXIT = 7
START_S = 60.0
UNREACHABLE = (OSError, docker.errors.DockerException)  # requests' errors are OSErrors
BUSY_PORT = ("port is already allocated", "address already in use")

testcontainers_config.ryuk_disabled = True  # the reaper is an image of its own; `sweep` does its work


class KafkaContainer:
    """One broker; same names as ``EmbeddedKafka``. ``start`` after ``stop`` or ``kill`` keeps port and data."""

    def __init__(self, settings: Mapping[str, object] | None = None) -> None:
        self._settings, self._port = {**SMALL, **(settings or {})}, 0
        self._container: Any = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{ports.HOST}:{self._port}"

    def start(self) -> "KafkaContainer":
        since = time.time()
        if self._container is None:
            self._container = self._create()
        else:
            self._container.start()
        self._wait_ready(since)
        return self

    def stop(self) -> None:
        self._container.stop(timeout=20)

    def kill(self) -> None:
        if self._container is None:
            return
        self._container.reload()
        if self._container.status in ("running", "paused"):
            self.unpause()
            self._container.kill("SIGKILL")
            self._container.wait(timeout=10)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        self._container.pause()

    def unpause(self) -> None:
        self._container.reload()
        if self._container.status == "paused":
            self._container.unpause()

    def remove(self) -> None:
        if self._container is not None:
            self._container.remove(force=True, v=True)
            self._container = None

    def _create(self, attempts: int = 5) -> Any:
        self._port = ports.free()
        described = self._described()
        try:
            return described.start().get_wrapped_container()
        except docker.errors.APIError as refused:
            described.stop()
            if attempts == 1 or not any(text in str(refused) for text in BUSY_PORT):
                raise
            return self._create(attempts - 1)

    def _described(self) -> DockerContainer:
        container = DockerContainer(IMAGE).with_kwargs(labels={OWNER: str(os.getpid())})
        container.ports["9092/tcp"] = (ports.HOST, self._port)
        for name, value in self._environment().items():
            container.with_env(name, value)
        return container

    def _environment(self) -> dict[str, str]:
        properties = {
            "node.id": 1,
            "process.roles": "broker,controller",
            "controller.quorum.voters": "1@localhost:9093",
            "controller.listener.names": "CONTROLLER",
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093,BROKER://:9094",
            "advertised.listeners": f"PLAINTEXT://{ports.HOST}:{self._port},BROKER://localhost:9094",
            "inter.broker.listener.name": "BROKER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT",
            "log.dirs": "/var/lib/kafka/data",
            **self._settings,
        }
        named = {f"KAFKA_{_spelled(name)}": str(value) for name, value in properties.items()}
        return {**named, "CLUSTER_ID": storage.new_id(), "KAFKA_HEAP_OPTS": "-Xmx256m"}

    def _wait_ready(self, since: float) -> None:
        end = time.monotonic() + START_S
        while READY.encode() not in self._container.logs(since=since):
            self._container.reload()
            if self._container.status in ("exited", "dead") or time.monotonic() > end:
                raise RuntimeError(f"{IMAGE} is {self._container.status}: {self._container.logs().decode()[-2000:]}")
            time.sleep(0.05)


def _spelled(setting: str) -> str:
    """A setting as the image's environment spells it."""
    return setting.replace("-", "___").replace("_", "__").replace(".", "_").upper()


@cache
def why_unusable() -> str:
    """Empty when a container with a published port really runs here (a daemon that answers proves less), or why not."""
    try:
        with client() as docker_client:
            docker_client.images.get(IMAGE)
            return _probe(docker_client)
    except docker.errors.ImageNotFound:
        return f"the image {IMAGE} is not here: docker pull it, or run infra/kafka-image/build.py"
    except UNREACHABLE as broken:
        return f"Docker cannot run a container: {str(broken)[:300]}"


@contextmanager
def client() -> Iterator[docker.DockerClient]:
    """A client, closed at the end; docker's own leaks a socket when nobody answers, so the door is tried first."""
    where = urlparse(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    if where.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(where.path)
    with closing(docker.from_env(timeout=20)) as connected:
        yield connected


def _probe(docker_client: docker.DockerClient) -> str:
    published = {"9092/tcp": (ports.HOST, None)}
    labels = {OWNER: str(os.getpid())}
    probe = docker_client.containers.create(
        IMAGE, ["/bin/sh", "-c", f"exit {PROBE_EXIT}"], ports=published, labels=labels
    )
    try:
        probe.start()
        code = probe.wait(timeout=15)["StatusCode"]
    finally:
        probe.remove(force=True, v=True)
    return "" if code == PROBE_EXIT else f"a probe container exited with {code}"


def sweep() -> int:
    """Removes containers whose owner is dead and returns how many; nothing when there is no Docker."""
    try:
        with client() as docker_client:
            dead = abandoned(docker_client.containers.list(all=True, filters={"label": OWNER}))
            for container in dead:
                container.remove(force=True, v=True)
            return len(dead)
    except UNREACHABLE:
        return 0


def abandoned(containers: Iterable[Any]) -> list[Any]:
    """Those whose owner, the process in the label, is gone."""
    return [container for container in containers if not Path("/proc", container.labels[OWNER]).exists()]
