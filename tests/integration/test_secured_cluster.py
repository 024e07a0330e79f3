"""SASL_SSL with SCRAM against a real broker: the right user gets in, nobody else does."""

import asyncio
import ssl

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError

from tests.support.secured import Secured, secured
from topics.catalog import Names

pytestmark = pytest.mark.broker


def arguments(broker: Secured, password: str | None = None) -> dict[str, object]:
    return {
        "bootstrap_servers": broker.bootstrap_servers,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": broker.mechanism,
        "sasl_plain_username": broker.user,
        "sasl_plain_password": password or broker.password,
        "ssl_context": ssl.create_default_context(cafile=str(broker.certificate)),
        "request_timeout_ms": 5_000,
    }


async def there_and_back(client: dict[str, object], topic: str) -> bytes | None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(**client) as producer:
        await producer.send_and_wait(topic, b"secret")
    async with AIOKafkaConsumer(topic, **client, auto_offset_reset="earliest") as consumer:
        record = await asyncio.wait_for(consumer.getone(), 20)
    return record.value


async def connects(client: dict[str, object]) -> bool:
    producer = AIOKafkaProducer(**client)
    try:
        await producer.start()
    except KafkaError:
        return False
    finally:
        await producer.stop()
    return True


def test_record_with_right_user_makes_round_trip(secured_broker: Secured, names: Names) -> None:
    got = asyncio.run(there_and_back(arguments(secured_broker), names.topic("prompts")))

    assert b"secret" == got


def test_record_over_scram_sha_512_makes_round_trip(tmp_path, names: Names) -> None:
    with secured(tmp_path, "SCRAM-SHA-512") as broker:
        got = asyncio.run(there_and_back(arguments(broker), names.topic("prompts")))

    assert b"secret" == got


def test_wrong_password_over_tls_is_refused(secured_broker: Secured) -> None:
    assert not asyncio.run(connects(arguments(secured_broker, password="wrong")))


def test_client_that_does_not_trust_certificate_does_not_connect(secured_broker: Secured) -> None:
    distrusting = arguments(secured_broker) | {"ssl_context": ssl.create_default_context()}

    assert not asyncio.run(connects(distrusting))


def test_plain_client_on_secured_listener_does_not_connect(secured_broker: Secured) -> None:
    async def start() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=secured_broker.bootstrap_servers, request_timeout_ms=2_000)
        try:
            await producer.start()
        finally:
            await producer.stop()

    with pytest.raises(KafkaConnectionError):
        asyncio.run(start())


def test_secured_restart_with_same_data_keeps_user_and_port(tmp_path, names: Names) -> None:
    with secured(tmp_path) as broker:
        broker.broker.kill()
        broker.broker.start()
        got = asyncio.run(there_and_back(arguments(broker), names.topic("prompts")))

    assert (broker.bootstrap_servers, b"secret") == (broker.broker.secured_servers, got)


@pytest.mark.parametrize("name", ["server.properties", "broker.log"])
def test_file_of_secured_broker_never_holds_user_password(secured_broker: Secured, name: str) -> None:
    text = (secured_broker.broker.data_dir / name).read_text()

    assert secured_broker.password not in text


def test_client_properties_under_java_names_are_complete(secured_broker: Secured) -> None:
    wanted = {
        "security.protocol",
        "sasl.mechanism",
        "sasl.jaas.config",
        "ssl.truststore.type",
        "ssl.truststore.location",
    }

    assert wanted == secured_broker.properties.keys()
