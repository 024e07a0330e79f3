"""What an operator is told when a secured broker lets nobody in."""

from collections.abc import Iterator

import pytest

from streams.engine import connect, topics
from streams.engine.cluster import Cluster
from streams.engine.connect import Opener
from streams.engine.publisher import Publisher
from streams.engine.reader import Tail
from streams.engine.topics import Shape
from tests.support.loops import in_loop
from tests.support.secured import Secured, secured
from topics.catalog import RESULTS, Names
from topics.errors import ConfigurationError

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured(tmp_path_factory.mktemp("locked")) as broker:
        yield broker


def cluster_of(broker: Secured, **changed: str) -> Cluster:
    more = {name.replace("_", "."): value for name, value in changed.items()}
    return Cluster(broker.bootstrap_servers, {**broker.properties, **more})


@in_loop
async def test_right_password_publishes_and_reads(locked: Secured, names: Names) -> None:
    cluster = cluster_of(locked)
    await topics.apply(cluster, await topics.plan(cluster, names, Shape(partitions=1)))
    async with Publisher(cluster, names) as publisher:
        await (await publisher.send(RESULTS, b"k", b"v"))
    async with Tail(cluster, names, RESULTS) as tail:
        got = [record.value async for record in tail]

    assert [b"v"] == got


@pytest.mark.parametrize("opener", [connect.admin, connect.consumer, connect.producer])
@in_loop
async def test_wrong_password_is_told_as_refused_login(opener: Opener, locked: Secured) -> None:
    wrong = locked.properties["sasl.jaas.config"].replace(locked.password, "wrong-one")

    with pytest.raises(ConfigurationError, match="refuses this login") as raised:
        async with opener(cluster_of(locked, sasl_jaas_config=wrong)):
            pass

    assert ("sasl.jaas.config", False) == (raised.value.field, "wrong-one" in str(raised.value))


@in_loop
async def test_unknown_certificate_is_told_as_tls_failure(locked: Secured) -> None:
    properties = {name: value for name, value in locked.properties.items() if "truststore" not in name}

    with pytest.raises(ConfigurationError, match="CERTIFICATE_VERIFY_FAILED"):
        async with connect.admin(Cluster(locked.bootstrap_servers, properties)):
            pass


@in_loop
async def test_mechanism_that_broker_lacks_is_told_as_refused_login(locked: Secured) -> None:
    with pytest.raises(ConfigurationError, match="UnsupportedSaslMechanismError"):
        async with connect.admin(cluster_of(locked, sasl_mechanism="SCRAM-SHA-512")):
            pass
