"""How a cluster is reached: Java properties become arguments, secrets stay hidden, errors become ours."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from streams.engine.cluster import MECHANISMS, UNDERSTOOD, Cluster, load_properties
from tests.support.loops import in_loop
from topics.errors import ConfigurationError

SCRAM = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="hunter2";'
PEM = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")


def cluster(brokers: str = "localhost:9092", **properties: str) -> Cluster:
    return Cluster(brokers, {name.replace("_", "."): value for name, value in properties.items()})


def secured(protocol: str = "SASL_PLAINTEXT", **more: str) -> Cluster:
    return cluster(security_protocol=protocol, sasl_mechanism="SCRAM-SHA-512", sasl_jaas_config=SCRAM, **more)


@pytest.mark.parametrize(
    ("brokers", "addresses"),
    [
        ("a:1", ("a:1",)),
        ("a:1,b:2", ("a:1", "b:2")),
        (" a:1 , b:2 ", ("a:1", "b:2")),
        ("kafka-1.example.org:9092", ("kafka-1.example.org:9092",)),
        ("127.0.0.1:19092", ("127.0.0.1:19092",)),
        ("[::1]:9092", ("[::1]:9092",)),
    ],
)
def test_brokers_are_split_into_addresses(brokers: str, addresses: tuple[str, ...]) -> None:
    assert addresses == cluster(brokers).addresses


@pytest.mark.parametrize("brokers", ["", "localhost", "a:1,", "a:b", "kafka://a:1", "a:1 b:2", "a:123456", "::1:9092"])
def test_address_without_host_and_port_is_refused(brokers: str) -> None:
    with pytest.raises(ConfigurationError, match=r"kafka\.brokers.*write host:port"):
        cluster(brokers)


def test_property_unknown_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"group\.id") as raised:
        cluster(group_id="x")

    assert all(name in str(raised.value) for name in UNDERSTOOD)


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"request_timeout_ms": "soon"}, "request.timeout.ms"),
        ({"request_timeout_ms": "-1"}, "request.timeout.ms"),
        ({"retry_backoff_ms": "1.5"}, "retry.backoff.ms"),
        ({"security_protocol": "TLS"}, "security.protocol"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"}, "sasl.mechanism"),
        ({"security_protocol": "SASL_SSL"}, "sasl.jaas.config"),
        ({"security_protocol": "SASL_SSL", "sasl_jaas_config": "username=me"}, "sasl.jaas.config"),
        ({"security_protocol": "SASL_SSL", "sasl_jaas_config": 'x required username="me";'}, "sasl.jaas.config"),
    ],
)
def test_property_with_unusable_value_is_refused_by_name(properties: dict[str, str], field: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        cluster(**properties)

    assert field == raised.value.field


def test_refused_login_does_not_show_it() -> None:
    with pytest.raises(ConfigurationError) as raised:
        cluster(security_protocol="SASL_SSL", sasl_jaas_config='x password="hunter2";')

    assert "hunter2" not in str(raised.value)


def test_repr_with_password_masks_it() -> None:
    shown = repr(secured(ssl_key_password="opensesame"))

    assert "security.protocol" in shown
    assert "hunter2" not in shown
    assert "opensesame" not in shown


def test_client_args_without_properties_are_plain() -> None:
    expected = {
        "bootstrap_servers": ["a:1", "b:2"],
        "client_id": "prompt-streams",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }

    assert expected == cluster("a:1,b:2").client_args()


@pytest.mark.parametrize(
    ("java", "ours"),
    [
        ("request_timeout_ms", "request_timeout_ms"),
        ("metadata_max_age_ms", "metadata_max_age_ms"),
        ("connections_max_idle_ms", "connections_max_idle_ms"),
        ("retry_backoff_ms", "retry_backoff_ms"),
    ],
)
def test_milliseconds_are_handed_to_the_client(java: str, ours: str) -> None:
    assert 1234 == cluster(**{java: "1234"}).client_args()[ours]


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("spelling", [str.upper, str.lower])
def test_login_is_handed_to_the_client(mechanism: str, spelling: Any) -> None:
    given = cluster(
        security_protocol=spelling("SASL_PLAINTEXT"), sasl_mechanism=spelling(mechanism), sasl_jaas_config=SCRAM
    )

    args = given.client_args()

    assert ("SASL_PLAINTEXT", mechanism) == (args["security_protocol"], args["sasl_mechanism"])
    assert ("me", "hunter2") == (args["sasl_plain_username"], args["sasl_plain_password"])


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("simple", "simple"),
        (r"with \"quotes\"", 'with "quotes"'),
        (r"back\\slash", r"back\slash"),
        ("semi;colon=equals", "semi;colon=equals"),
        ("", ""),
    ],
)
def test_password_in_jaas_is_unescaped(written: str, password: str) -> None:
    given = cluster(
        security_protocol="SASL_PLAINTEXT", sasl_jaas_config=f'Plain required username="u" password="{written}";'
    )

    assert password == given.client_args()["sasl_plain_password"]


@pytest.mark.parametrize("name", ["ssl_ca_location", "ssl_truststore_location"])
def test_tls_with_pem_verifies_the_broker(name: str) -> None:
    context = cluster(security_protocol="SSL", **{name: str(PEM)}).client_args()["ssl_context"]

    assert (True, ssl.CERT_REQUIRED) == (context.check_hostname, context.verify_mode)


def test_tls_without_location_trusts_the_system() -> None:
    assert isinstance(cluster(security_protocol="SSL").client_args()["ssl_context"], ssl.SSLContext)


def test_tls_without_endpoint_algorithm_still_verifies_the_chain() -> None:
    given = cluster(security_protocol="SSL", ssl_endpoint_identification_algorithm="")
    context = given.client_args()["ssl_context"]

    assert (False, ssl.CERT_REQUIRED) == (context.check_hostname, context.verify_mode)


@pytest.mark.parametrize("name", ["ssl_ca_location", "ssl_truststore_location", "ssl_keystore_location"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unreadable_pem_is_refused_with_its_path(name: str, content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "some.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ConfigurationError, match=r"no readable PEM"):
        cluster(security_protocol="SSL", **{name: str(path)}).client_args()


def test_java_truststore_is_refused_with_conversion() -> None:
    with pytest.raises(ConfigurationError, match="keytool"):
        cluster(security_protocol="SSL", ssl_truststore_type="JKS").client_args()


@pytest.mark.parametrize("kind", [aiokafka.AIOKafkaConsumer, aiokafka.AIOKafkaProducer, AIOKafkaAdminClient])
@pytest.mark.parametrize("given", [cluster(), secured(), secured("SASL_SSL"), cluster(security_protocol="SSL")])
@in_loop
async def test_client_args_are_accepted_by_each_client(kind: Any, given: Cluster) -> None:
    client = kind(**given.client_args())

    assert client is not None
    await (client.close() if kind is AIOKafkaAdminClient else client.stop())


@pytest.mark.parametrize(
    ("given", "credentials", "protocol"),
    [
        (cluster(), type(None), None),
        (cluster(security_protocol="SSL"), faust.SSLCredentials, "SSL"),
        (secured(), faust.SASLCredentials, "SASL_PLAINTEXT"),
        (secured("SASL_SSL"), faust.SASLCredentials, "SASL_SSL"),
    ],
)
def test_faust_credentials_follow_the_protocol(given: Cluster, credentials: type, protocol: str | None) -> None:
    got = given.faust_args()["broker_credentials"]

    assert credentials is type(got)
    assert protocol == (got and got.protocol.value)


def test_faust_login_is_the_same_as_the_clients() -> None:
    got = secured().faust_args()["broker_credentials"]

    assert ("me", "hunter2", "SCRAM-SHA-512") == (got.username, got.password, got.mechanism.value)


def test_faust_app_takes_addresses_and_timeout() -> None:
    app = faust.App("x", **cluster("a:1,b:2", request_timeout_ms="4500", client_id="me").faust_args())

    assert ["kafka://a:1", "kafka://b:2"] == [str(url) for url in app.conf.broker]
    assert (4.5, "me") == (app.conf.broker_request_timeout, app.conf.broker_client_id)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        ("a = b \n c: d\n", {"a": "b", "c": "d"}),
        ("# note\n! note\n\na=b", {"a": "b"}),
        ("a b", {"a": "b"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=b \\\n   c", {"a": "b c"}),
        (r"path=C\:\\x", {"path": "C:\\x"}),
        (f"sasl.jaas.config={SCRAM}", {"sasl.jaas.config": SCRAM}),
    ],
)
def test_properties_file_is_read_as_java_does(text: str, expected: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text(text)

    assert expected == load_properties(path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_unreadable_properties_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"client\.properties.*cannot be read"):
        load_properties(path)
