"""Fixtures of every level: a shared broker, a broker to harm, and names that no other test uses."""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import brokers, kafka_container, secured
from topics.catalog import Names

# A loaded machine is no failure of a law: no deadline per example, and the cost of generating does not count.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Removes containers that a killed run left behind."""
    if os.environ.get("TEST_BROKER") != "embedded":
        kafka_container.sweep()


@pytest.fixture(scope="session")
def broker_kind() -> str:
    """``external``, ``docker`` or ``embedded``; without any: a failure in CI, a skip on a laptop."""
    try:
        return brokers.choose()
    except brokers.NoBroker as absent:
        pytest.fail(str(absent))


@pytest.fixture(scope="session")
def broker(broker_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Broker | brokers.External]:
    """One broker for the whole session; tests share it and isolate by ``names``, so never harm it."""
    if broker_kind == "external":
        yield brokers.External(os.environ["KAFKA_BOOTSTRAP_SERVERS"])
        return
    with ExitStack() as stack:
        yield _entered(stack, broker_kind, tmp_path_factory.mktemp("broker"))


@pytest.fixture
def fresh_broker(broker_kind: str, tmp_path: Path) -> Iterator[brokers.Broker]:
    """A broker of one's own, to kill, pause and restart; embedded when the shared one is external."""
    with ExitStack() as stack:
        yield _entered(stack, "embedded" if broker_kind == "external" else broker_kind, tmp_path / "broker")


@pytest.fixture(scope="session")
def secured_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[secured.Secured]:
    """An embedded broker behind SASL_SSL and SCRAM, with the client properties to get in."""
    with secured.secured(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.fixture
def names() -> Names:
    """Topics and groups that no other test uses."""
    unique = f"t{uuid.uuid4().hex[:8]}."
    return Names(namespace=f"{unique}prompts.", prefix=unique)


def _entered(stack: ExitStack, kind: str, data_dir: Path) -> brokers.Broker:
    try:
        return stack.enter_context(brokers.owned(kind, data_dir))
    except brokers.NoBroker as absent:
        if brokers.absence_is_failure():
            pytest.fail(str(absent))
        pytest.skip(str(absent))
