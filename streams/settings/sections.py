"""Which settings exist, with type, bounds and default? One frozen section a part of the product."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource

from streams.decisions.limits import DEEPEST, AdmissionPolicy
from topics.catalog import PROMPT_BYTES

LIMITS = AdmissionPolicy()
FREE = "echo"  # the one provider kind that costs nothing, so the environment alone may choose it


def _listed(given: object) -> object:
    return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, no NaN, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Kafka(Section):
    """Which cluster; ``properties`` are Java client properties (``security.protocol``, ``sasl.jaas.config``, …)."""

    brokers: str | None = Field(None, description="host:port, several separated by commas")
    properties: dict[str, str] = Field(default_factory=dict, description="Java client properties for secured clusters")

    @field_validator("properties", mode="before")
    @classmethod
    def _texts(cls, given: object) -> object:
        return {name: str(value) for name, value in given.items()} if isinstance(given, dict) else given


class NameSettings(Section):
    """How topics and groups are called in Kafka."""

    namespace: str = Field("prompts.", pattern=r"^[a-zA-Z0-9._-]+[._-]$", description="starts every internal name")
    prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="starts the public names")


class TopicSettings(Section):
    """What `streams topics apply` makes."""

    partitions: int = Field(8, ge=1, le=1024)
    replication: int = Field(1, ge=1, le=15)
    retention_d: float = Field(7.0, gt=0, le=3650, description="days")


class Admit(Section):
    """What `admit` takes as a request: ``AdmissionPolicy`` as settings."""

    plain_text: bool | None = Field(None, description="each line is a prompt; unset: only on the embedded broker")
    max_prompt_bytes: int = Field(LIMITS.max_prompt_bytes, ge=1, le=PROMPT_BYTES)
    max_messages: int = Field(LIMITS.max_messages, ge=1, le=100_000)
    max_params: int = Field(LIMITS.max_params, ge=0, le=1000)
    max_depth: int = Field(LIMITS.max_depth, ge=4, le=DEEPEST, description="levels of nesting")
    max_metadata_bytes: int = Field(LIMITS.max_metadata_bytes, ge=2, le=PROMPT_BYTES)
    max_id_bytes: int = Field(LIMITS.max_id_bytes, ge=1, le=4096)
    max_timeout_s: float = Field(LIMITS.max_timeout_s, gt=0, le=LIMITS.max_timeout_s, description="seconds")

    def policy(self, *, embedded: bool) -> AdmissionPolicy:
        """The rule's knobs; unset ``plain_text`` is on for the embedded broker only."""
        given = self.model_dump(exclude={"plain_text"})
        return AdmissionPolicy(plain_text=embedded if self.plain_text is None else self.plain_text, **given)


class Infer(Section):
    """How `infer` calls the provider."""

    in_flight: int = Field(256, ge=1, le=10_000, description="provider calls at once, per worker")


class Echo(Section):
    """The free provider: deterministic text, with faults on demand."""

    delay_s: float = Field(0.0, ge=0, le=3600)
    tokens_per_s: float | None = Field(None, gt=0)
    nonce: bool = Field(False, description="each call answers differently")
    faults: Annotated[tuple[str, ...], NoDecode] = Field((), description="scripted faults, in call order")
    log_path: Path | None = Field(None, description="file that gets one line per call")

    _split = field_validator("faults", mode="before")(_listed)


class ProviderSettings(Section):
    """Who answers."""

    kind: str = Field(FREE, pattern=r"^[a-z][a-z0-9_-]*$")
    echo: Echo = Echo()


class WorkerSettings(Section):
    """One worker process."""

    apps: Annotated[tuple[Literal["core", "infer", "park"], ...], NoDecode] = Field(
        ("core", "infer", "park"), min_length=1
    )
    state_dir: Path = Path(".streams/state")
    slot: int = Field(0, ge=0, le=999, description="number of this worker on this host")
    http_host: str = "127.0.0.1"
    http_port: int = Field(9464, ge=0, le=65_535, description="0 = any free port")
    session_timeout_s: float = Field(10.0, ge=6, le=300)
    static_membership: bool = True
    grace_s: float = Field(5.0, ge=0, le=600, description="time for running work at a stop")
    lost_offsets: Literal["stop", "skip"] = Field("stop", description="the log starts later than what is committed")
    allow_create_time: bool = Field(False, description="accept a prompts topic with producer timestamps")

    _split = field_validator("apps", mode="before")(_listed)


class Settings(BaseSettings):
    """Everything that can be set; built by ``load`` only."""

    model_config = {"frozen": True, "extra": "forbid", "allow_inf_nan": False}

    kafka: Kafka = Kafka()
    names: NameSettings = NameSettings()
    topics: TopicSettings = TopicSettings()
    admit: Admit = Admit()
    infer: Infer = Infer()
    provider: ProviderSettings = ProviderSettings()
    worker: WorkerSettings = WorkerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what ``load`` hands over: the process environment is read there, never here."""
        return (init_settings,)


def paths(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Dotted path of every setting, in order; the free-form ``kafka.properties`` is left out."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from paths(inner, f"{above}{name}.")
        elif name != "properties":
            yield above + name


SECTIONS = tuple(Settings.model_fields)
