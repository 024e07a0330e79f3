"""A broker that wants TLS, a user and a password; and what a client needs to get in, under Java's names."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.local import java
from streams.local.kafka import EmbeddedKafka
from streams.local.secure import Security

STORE_PASSWORD = "for-tests-only"


@dataclass(frozen=True)
class Secured:
    """``bootstrap_servers`` is the SASL_SSL listener; ``properties`` are a client's, under Java's names."""

    bootstrap_servers: str
    user: str
    password: str
    mechanism: str
    certificate: Path
    broker: EmbeddedKafka

    @property
    def properties(self) -> dict[str, str]:
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": self.mechanism,
            "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
            f'username="{self.user}" password="{self.password}";',
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificate),
        }


@contextmanager
def secured(folder: Path, mechanism: str = "SCRAM-SHA-256", password: str = "p-5f2a") -> Iterator[Secured]:
    """A running broker with that listener, its certificate for 127.0.0.1 made here."""
    keystore, certificate = _certificate(folder)
    security = Security("alice", password, keystore, STORE_PASSWORD, mechanism)
    broker = EmbeddedKafka(folder / "data", secure=security)
    with broker:
        yield Secured(broker.secured_servers, "alice", password, mechanism, certificate, broker)


def _certificate(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    keystore, certificate = folder / "server.p12", folder / "server.pem"
    store = ("-alias", "kafka", "-keystore", str(keystore), "-storepass", STORE_PASSWORD)
    names = ("-dname", "CN=127.0.0.1", "-ext", "SAN=ip:127.0.0.1,dns:localhost", "-validity", "30")
    _keytool("-genkeypair", *store, *names, "-storetype", "PKCS12", "-keyalg", "EC", "-groupname", "secp256r1")
    certificate.write_text(_keytool("-exportcert", "-rfc", *store))
    return keystore, certificate


def _keytool(*arguments: str) -> str:
    program = java.find().with_name("keytool")
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
