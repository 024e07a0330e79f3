"""How may clients prove who they are to the embedded broker? SASL over TLS, user and password by SCRAM."""

from dataclasses import dataclass, field
from pathlib import Path

LISTENER = "SECURED"


@dataclass(frozen=True, slots=True)
class Security:
    """A second listener. ``keystore``: a PKCS 12 file with the server's key and certificate, under one password."""

    user: str
    password: str = field(repr=False)
    keystore: Path
    keystore_password: str = field(repr=False)
    mechanism: str = "SCRAM-SHA-256"

    def scram_clause(self) -> str:
        """The user for Kafka's format tool."""
        return f"{self.mechanism}=[name={self.user},password={self.password}]"

    def settings(self) -> dict[str, object]:
        """The broker's settings of this listener."""
        prefix = f"listener.name.{LISTENER.lower()}"
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            f"{prefix}.sasl.enabled.mechanisms": self.mechanism,
            f"{prefix}.{self.mechanism.lower()}.sasl.jaas.config": login,
            f"{prefix}.ssl.keystore.type": "PKCS12",
            f"{prefix}.ssl.keystore.location": self.keystore,
            f"{prefix}.ssl.keystore.password": self.keystore_password,
            f"{prefix}.ssl.key.password": self.keystore_password,
        }
