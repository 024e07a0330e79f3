"""What does each source say? A layer is dotted path → (value, origin); later layers win, leaf by leaf."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from streams.settings.sections import SECTIONS, Settings
from topics.errors import ConfigurationError

FILE, PREFIX, BOOTSTRAP = "streams.toml", "STREAMS_", "KAFKA_BOOTSTRAP_SERVERS"

WHOLE = frozenset(
    {"routes", *(f"provider.{kind}.{table}" for kind in ("openai", "anthropic") for table in ("models", "prices"))}
)

Layer = dict[str, tuple[object, str]]


def file(cwd: Path) -> Layer:
    """`streams.toml` of ``cwd`` or the nearest parent that has one."""
    path = next((at / FILE for at in (cwd, *cwd.parents) if (at / FILE).is_file()), None)
    if path is None:
        return {}
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as bad:
        raise ConfigurationError(FILE, str(path), f"cannot be read as TOML: {bad}") from bad
    return {name: (value, f"file {path}") for name, value in leaves(given)}


class _Environment(EnvSettingsSource):
    """pydantic's reading of nested variables, of a given mapping instead of the process environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._given = {name.lower(): value for name, value in environ.items()}
        super().__init__(Settings, env_prefix=PREFIX, env_nested_delimiter="__")

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given


def environment(environ: Mapping[str, str]) -> Layer:
    """`STREAMS_SECTION__KEY` variables, and Kafka's own name for the brokers."""
    ours = {name: value for name, value in environ.items() if name.startswith(PREFIX) and "__" in name}
    try:
        known = dict(leaves(_Environment(ours)()))
    except SettingsError as bad:
        raise ConfigurationError("environment", ", ".join(sorted(ours)), f"{bad}: it must be JSON") from bad
    foreign = {_path_of(name): value for name, value in ours.items() if _path_of(name).split(".")[0] not in SECTIONS}
    found = {path: (value, f"environment {_name_of(path)}") for path, value in (foreign | known).items()}
    if environ.get(BOOTSTRAP):
        found.setdefault("kafka.brokers", (environ[BOOTSTRAP], f"environment {BOOTSTRAP}"))
    return found


def _path_of(name: str) -> str:
    return name.removeprefix(PREFIX).lower().replace("__", ".")


def _name_of(path: str) -> str:
    known = "kafka.properties" if path.startswith("kafka.properties.") else path
    return PREFIX + known.upper().replace(".", "__")


def flags(named: Mapping[str, object]) -> Layer:
    """What the command line named; None = not given."""
    given = {path: value for path, value in named.items() if value is not None}
    return {path: (value, "flag") for path, value in leaves(given)}


def leaves(value: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of everything that is no mapping, or a table whose names are the user's own."""
    if not isinstance(value, dict) or path in WHOLE:
        yield path, value
        return
    for key, inner in value.items():
        yield from leaves(inner, f"{path}.{key}" if path else str(key))


def nested(values: Mapping[str, object]) -> dict[str, Any]:
    """Back from dotted paths; a plain value where a section belongs stays, so that validation names it."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".", 2)
        node: Any = tree
        for part in parents:
            node = node.setdefault(part, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node[last] = value
    return tree
