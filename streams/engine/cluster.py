"""# Engine: cluster

Responsibility: how Kafka is reached: addresses and Java client properties, as arguments for aiokafka and for Faust.
Guarantees:
- an unknown property is refused by name:
  tests/unit/streams/engine/test_cluster.py::test_property_unknown_refused_by_name
- secrets never show:
  tests/unit/streams/engine/test_cluster.py::test_repr_with_password_masks_it
- each client takes the arguments:
  tests/unit/streams/engine/test_cluster.py::test_client_args_are_accepted_by_each_client
NOT Responsible For: connecting (connect); what is sent or read.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topics.errors import ConfigurationError

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
NUMBERS = {
    "request.timeout.ms": "request_timeout_ms",
    "metadata.max.age.ms": "metadata_max_age_ms",
    "connections.max.idle.ms": "connections_max_idle_ms",
    "retry.backoff.ms": "retry_backoff_ms",
}
UNDERSTOOD = (
    "bootstrap.servers",  # in every client.properties; whoever builds a Cluster has read it already
    "client.id",
    *NUMBERS,
    "security.protocol",
    "sasl.mechanism",
    "sasl.jaas.config",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.ca.location",
    "ssl.keystore.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
)
SECRET = ("sasl.jaas.config", "ssl.key.password")
ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s:,/\[\]]+):\d{1,5}")
JAAS_OPTION = re.compile(r'(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, repr=False)
class Cluster:
    """One Kafka cluster: ``brokers`` as ``host:port,…`` and Java client properties; refuses what it does not know."""

    brokers: str
    properties: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for address in self.addresses:
            _check("kafka.brokers", address, ADDRESS.fullmatch(address) is not None, "write host:port, …")
        for name in self.properties:
            _check("kafka.properties", name, name in UNDERSTOOD, f"not understood; known: {', '.join(UNDERSTOOD)}")
        for name in NUMBERS.keys() & self.properties.keys():
            _check(name, self.properties[name], self.properties[name].isdecimal(), "milliseconds, digits only")
        _check("security.protocol", self.protocol, self.protocol in PROTOCOLS, f"one of {', '.join(PROTOCOLS)}")
        if self.protocol.startswith("SASL"):
            _check("sasl.mechanism", self.mechanism, self.mechanism in MECHANISMS, f"one of {', '.join(MECHANISMS)}")
            jaas = 'write "….ScramLoginModule required username=\\"…\\" password=\\"…\\";"'
            _check("sasl.jaas.config", "********", {"username", "password"} <= self._login().keys(), jaas)

    def __repr__(self) -> str:
        shown = {name: "********" if name in SECRET else value for name, value in self.properties.items()}
        return f"Cluster(brokers={self.brokers!r}, properties={shown!r})"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The brokers one by one."""
        return tuple(part.strip() for part in self.brokers.split(","))

    @property
    def protocol(self) -> str:
        """Kafka's word for encryption and login together."""
        return self.properties.get("security.protocol", "PLAINTEXT").upper()

    @property
    def mechanism(self) -> str:
        """How the login is done, where there is one."""
        return self.properties.get("sasl.mechanism", "PLAIN").upper()

    def client_args(self) -> dict[str, Any]:
        """Arguments that every aiokafka client takes."""
        numbers = {ours: int(self.properties[java]) for java, ours in NUMBERS.items() if java in self.properties}
        client_id = self.properties.get("client.id", "prompt-streams")
        return {"bootstrap_servers": list(self.addresses), "client_id": client_id, **numbers, **self._security()}

    def faust_args(self) -> dict[str, Any]:
        """Arguments of a ``faust.App`` for the same cluster."""
        timeout = self.properties.get("request.timeout.ms")
        return {
            "broker": [f"kafka://{address}" for address in self.addresses],
            "broker_client_id": self.properties.get("client.id", "prompt-streams"),
            "broker_credentials": self._credentials(),
            **({"broker_request_timeout": int(timeout) / 1000} if timeout else {}),
        }

    def _security(self) -> dict[str, Any]:
        login = self._login()
        sasl = {"sasl_mechanism": self.mechanism} if self.protocol.startswith("SASL") else {}
        names = {"sasl_plain_username": login["username"], "sasl_plain_password": login["password"]} if sasl else {}
        return {"security_protocol": self.protocol, "ssl_context": self._tls(), **sasl, **names}

    def _credentials(self) -> Any:
        # Faust takes most of a second to import, which only workers should pay.
        import faust

        if self.protocol.startswith("SASL"):
            login, tls = self._login(), self._tls()
            given = {"username": login["username"], "password": login["password"], "mechanism": self.mechanism}
            return faust.SASLCredentials(**given, ssl_context=tls)
        return faust.SSLCredentials(self._tls()) if self.protocol == "SSL" else None

    def _login(self) -> dict[str, str]:
        found = JAAS_OPTION.findall(self.properties.get("sasl.jaas.config", ""))
        return {name: re.sub(r"\\(.)", r"\1", value) for name, value in found}

    def _tls(self) -> ssl.SSLContext | None:
        if not self.protocol.endswith("SSL"):
            return None
        _pem(self.properties.get("ssl.truststore.type", "PEM"))
        location = self.properties.get("ssl.truststore.location", self.properties.get("ssl.ca.location"))
        try:
            context = ssl.create_default_context(cafile=location)
            if own := self.properties.get("ssl.keystore.location"):
                context.load_cert_chain(own, password=self.properties.get("ssl.key.password"))
        except (OSError, ssl.SSLError) as bad:
            raise ConfigurationError("ssl.*.location", location, f"no readable PEM file: {bad.strerror}") from bad
        context.check_hostname = self.properties.get("ssl.endpoint.identification.algorithm", "https") != ""
        return context


def _check(name: str, value: object, good: bool, fix: str) -> None:
    if not good:
        raise ConfigurationError(name, value, fix)


def _pem(kind: str) -> None:
    fix = "only PEM is read; convert with `keytool -exportcert -rfc -keystore FILE -alias NAME`"
    _check("ssl.truststore.type", kind, kind.upper() == "PEM", fix)


def load_properties(path: Path) -> dict[str, str]:
    """A Java ``client.properties`` file: ``name=value`` or ``name: value``, # and ! comments, \\ continues a line."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as bad:
        raise ConfigurationError("client.properties", str(path), f"cannot be read: {type(bad).__name__}") from bad
    lines = (line.strip() for line in re.sub(r"\\\r?\n\s*", "", text).splitlines())
    pairs = (re.split(r"\s*[=:]\s*|\s+", line, maxsplit=1) for line in lines if line and line[0] not in "#!")
    return {pair[0]: re.sub(r"\\(.)", r"\1", pair[1]) if len(pair) > 1 else "" for pair in pairs}
