"""Which broker do the tests use? An explicit address, else Docker where a container really runs, else the embedded one.

``KAFKA_BOOTSTRAP_SERVERS`` names one; ``TEST_BROKER=docker|embedded`` forces a kind, which then must work.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streams.local import runtime
from streams.local.kafka import EmbeddedKafka
from tests.support import kafka_container
from topics.errors import LocalKafkaError

KINDS = ("docker", "embedded")


class Broker(Protocol):
    """What a test may ask of a broker that it owns; ``start`` also starts it again, on the same port, with its data."""

    @property
    def bootstrap_servers(self) -> str: ...

    def start(self) -> object: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def restart(self) -> None: ...

    def pause(self) -> None: ...

    def unpause(self) -> None: ...


@dataclass(frozen=True)
class External:
    """A broker that somebody else runs: it can be used, not harmed."""

    bootstrap_servers: str


class NoBroker(Exception):
    """No broker can be had; the text says why."""


def choose(env: Mapping[str, str] = os.environ, why_unusable: Callable[[], str] = kafka_container.why_unusable) -> str:
    """``external``, ``docker`` or ``embedded``; a forced kind that cannot be had raises."""
    if env.get("KAFKA_BOOTSTRAP_SERVERS"):
        return "external"
    wanted = env.get("TEST_BROKER", "")
    if wanted not in ("", *KINDS):
        raise NoBroker(f"TEST_BROKER={wanted}: use one of {', '.join(KINDS)}")
    if wanted == "embedded":
        return wanted
    why_not = why_unusable()
    if wanted == "docker" and why_not:
        raise NoBroker(f"TEST_BROKER=docker, but {why_not}")
    return "embedded" if why_not else "docker"


def absence_is_failure(env: Mapping[str, str] = os.environ) -> bool:
    """Whether a missing broker must fail the tests (CI, or a forced kind) rather than skip them."""
    return env.get("CI", "").lower() in ("true", "1") or bool(env.get("TEST_BROKER"))


@contextmanager
def owned(kind: str, data_dir: Path, settings: Mapping[str, object] | None = None) -> Iterator[Broker]:
    """A broker of its own, thrown away at the end."""
    broker: Broker
    if kind == "docker":
        broker = kafka_container.KafkaContainer(settings=settings)
    else:
        broker = EmbeddedKafka(data_dir, settings=settings, prepared=_prepared())
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
        if isinstance(broker, kafka_container.KafkaContainer):
            broker.remove()


def _prepared() -> runtime.Runtime:
    try:
        return runtime.ensure(lambda line: os.write(2, f"[kafka] {line}\n".encode()))
    except LocalKafkaError as absent:
        raise NoBroker(str(absent)) from absent
