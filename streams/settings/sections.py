"""Which settings exist, with type, bounds and default? One frozen section a part of the product."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource

from streams.decisions.budget import BudgetPolicy
from streams.decisions.dedup import DedupPolicy
from streams.decisions.limits import DEEPEST, AdmissionPolicy
from streams.decisions.refinement import Choice, RefinementPolicy
from streams.settings.breakers import Breaker
from streams.settings.calls import FREE, Infer, Retry, Routes
from streams.settings.section import Section, listed
from topics.catalog import INTERNAL_BYTES, MIB, PROMPT_BYTES

LIMITS = AdmissionPolicy()
BUDGET = BudgetPolicy()
REPLIES = RefinementPolicy()
TWINS = DedupPolicy()


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
    max_k: int = Field(LIMITS.max_k, ge=1, le=1000, description="passages of a request")
    max_filters: int = Field(LIMITS.max_filters, ge=0, le=1000, description="values that its filter names")

    def policy(self, *, embedded: bool) -> AdmissionPolicy:
        """The rule's knobs; unset ``plain_text`` is on for the embedded broker only."""
        given = self.model_dump(exclude={"plain_text"})
        return AdmissionPolicy(plain_text=embedded if self.plain_text is None else self.plain_text, **given)


class Dedup(Section):
    """How long, and how many, `dedup` and `deliver` remember: ``DedupPolicy`` as settings."""

    window_s: float = Field(TWINS.window_s, gt=0, le=30 * 86_400, description="seconds for which an answer is shared")
    max_completed: int = Field(
        TWINS.max_completed, ge=10_000, description="finished requests a partition; twice the un-acked span at least"
    )
    max_running: int = Field(TWINS.max_running, ge=1, description="requests in progress a partition")
    max_waiters: int = Field(TWINS.max_waiters, ge=0, description="equal requests that wait for one answer")
    max_waiter_bytes: int = Field(TWINS.max_waiter_bytes, ge=0, description="of their messages")
    max_answer_bytes: int = Field(TWINS.max_answer_bytes, ge=0, le=PROMPT_BYTES, description="larger are not kept")
    takeover_slack_s: float = Field(TWINS.takeover_slack_s, ge=1, le=86_400, description="after an owner's deadline")

    def policy(self) -> DedupPolicy:
        """The rule's knobs."""
        return DedupPolicy(**self.model_dump())


class RetrieveSettings(Section):
    """How `retrieve` searches, and how `streams documents load` cuts."""

    max_terms: int = Field(16, ge=1, le=256, description="words of a question that are looked up, the rarest")
    part_chars: int = Field(2000, ge=100, le=100_000, description="a longer text is loaded in parts")


class Assemble(Section):
    """What `assemble` puts around a request's words, and how much of it: ``AssemblyPolicy`` as settings."""

    templates_dir: Path | None = Field(None, description="directory of templates, NAME.j2 each")
    max_rendered_bytes: int = Field(PROMPT_BYTES, ge=1, le=PROMPT_BYTES, description="what a template may make")
    max_steps: int = Field(20_000, ge=1, le=1_000_000, description="loop steps, filters and calls of one rendering")
    system: str | None = Field(None, min_length=1, description="system text for requests that bring none")
    system_file: Path | None = Field(None, description="file with that text instead")
    bytes_per_token: float = Field(BUDGET.bytes_per_token, ge=0.01, le=100, description="see `streams tokens ratio`")
    ratio_version: str = Field(BUDGET.ratio_version, min_length=1, description="names the ratio in messages")
    max_input_tokens: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="by model, `*` for the others; not named: no limit"
    )

    @model_validator(mode="after")
    def _one_system_text(self) -> Self:
        if self.system is not None and self.system_file is not None:
            raise ValueError("system and system_file are both set: leave one out")
        return self


class Refine(Section):
    """Which replies `refine` lets through: ``RefinementPolicy`` as settings."""

    empty: Choice = Field(REPLIES.empty, description="a reply with neither text nor tool calls")
    truncated: Choice = Field(REPLIES.truncated, description="a reply that was cut short by the token limit")
    max_answer_bytes: int = Field(REPLIES.max_answer_bytes, ge=1, le=INTERNAL_BYTES, description="of its text")


class DeadLetters(Section):
    """How `streams dlq redrive` sends dead letters again."""

    max_lineage: int = Field(5, ge=1, le=1000, description="times a request is sent again without --force")
    rate: float = Field(100.0, gt=0, le=10_000, description="prompts a second")
    max_lag: int = Field(5_000, ge=0, description="records in `prompts` and the lanes above which it waits")
    claim_s: float = Field(60.0, ge=1, le=3600, description="after that a run that did not end has nothing on its way")


class Echo(Section):
    """The free provider: deterministic text, with faults on demand."""

    delay_s: float = Field(0.0, ge=0, le=3600)
    tokens_per_s: float | None = Field(None, gt=0)
    nonce: bool = Field(False, description="each call answers differently")
    faults: Annotated[tuple[str, ...], NoDecode] = Field((), description="scripted faults, in call order")
    log_path: Path | None = Field(None, description="file that gets one line per call")

    _split = field_validator("faults", mode="before")(listed)


class Price(Section):
    """What a model costs: millionths of a dollar for a million tokens."""

    input: int = Field(0, ge=0, le=10**12)
    output: int = Field(0, ge=0, le=10**12)


class Remote(Section):
    """A provider behind HTTP, and with which key it is asked."""

    base_url: str | None = Field(None, description="where its API begins, up to /v1")
    api_key: SecretStr | None = Field(None, min_length=1, description="better: name where it is kept")
    api_key_file: Path | None = Field(None, description="file with the key alone")
    api_key_env: str | None = Field(None, pattern=r"^[A-Z_][A-Z0-9_]*$", description="variable with the key")
    model: str | None = Field(None, min_length=1, description="for requests that name none")
    models: dict[str, str] = Field(default_factory=dict, description="a name in requests → the provider's own")
    prices: dict[str, Price] = Field(default_factory=dict, description="by the provider's name of the model")
    connect_s: float = Field(5.0, gt=0, le=600, description="until there is a connection")
    first_byte_s: float = Field(120.0, gt=0, le=3600, description="until the answer begins")
    idle_s: float = Field(60.0, gt=0, le=3600, description="between two pieces of an answer")
    total_s: float = Field(600.0, gt=0, le=86_400, description="for a whole call")
    pool: int | None = Field(None, ge=1, le=10_000, description="connections; unset: as many as calls in flight")
    max_bytes: int = Field(8 * MIB, ge=1024, le=64 * MIB, description="of one answer")

    @field_validator("base_url")
    @classmethod
    def _http(cls, given: str | None) -> str | None:
        at = urlsplit(given or "http://unset")
        bare = at.hostname and at.port != 0 and not at.query and not at.fragment  # a port beyond 65535 is a ValueError
        if at.scheme not in {"http", "https"} or not bare or "@" in at.netloc:
            raise ValueError("should be http(s)://host[:port][/path], with no user and no question mark")
        return given


class Anthropic(Remote):
    """The API of messages."""

    base_url: str | None = Field("https://api.anthropic.com", description="where its API begins, without /v1")
    max_tokens: int = Field(4096, ge=1, le=10**7, description="of an answer, for requests that set none")


class ProviderSettings(Section):
    """Who answers."""

    kind: str = Field(FREE, pattern=r"^[a-z][a-z0-9_-]*$")
    echo: Echo = Echo()
    openai: Remote = Remote()
    anthropic: Anthropic = Anthropic()


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
    take_over: bool = Field(False, description="wait until the slot's worker has ended, then go on in its place")
    grace_s: float = Field(5.0, ge=0, le=600, description="time for running work at a stop")
    lost_offsets: Literal["stop", "skip"] = Field("stop", description="the log starts later than what is committed")
    allow_create_time: bool = Field(False, description="accept a prompts topic with producer timestamps")

    _split = field_validator("apps", mode="before")(listed)


class Settings(BaseSettings):
    """Everything that can be set; built by ``load`` only."""

    model_config = {"frozen": True, "extra": "forbid", "allow_inf_nan": False}

    kafka: Kafka = Kafka()
    names: NameSettings = NameSettings()
    topics: TopicSettings = TopicSettings()
    admit: Admit = Admit()
    dedup: Dedup = Dedup()
    retrieve: RetrieveSettings = RetrieveSettings()
    assemble: Assemble = Assemble()
    infer: Infer = Infer()
    routes: Routes = Field(default_factory=dict)
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    refine: Refine = Refine()
    dlq: DeadLetters = DeadLetters()
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
