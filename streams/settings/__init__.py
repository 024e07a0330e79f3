"""Which value has each setting, and who said so? Flags > environment > `streams.toml` > defaults, read once.

Read `sections` first (what can be set), then `layers` (where values come from), `keys` (of paid providers), then
`refused` (what is told when not).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from streams.settings import layers
from streams.settings.calls import FREE
from streams.settings.keys import check, kinds, with_keys
from streams.settings.refused import MASK, SettingsRefused, Violation, secret, violation
from streams.settings.sections import Settings, paths
from topics.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the origin of each value: ``flag``, ``environment NAME``, ``file PATH`` or ``default``."""

    settings: Settings
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of `streams config show`; secrets are masked."""

    path: str
    value: str
    origin: str


def load(flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Loaded:
    """All settings from ``flags`` (dotted path → value, None = not given), the environment and the nearest file.

    Raises ``SettingsRefused`` with every violation, ``ConfigurationError`` when the file cannot be read.
    """
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for layer in (layers.file(cwd), layers.environment(environ), layers.flags(flags)):
        if "provider.kind" in layer:  # who names the provider puts the routes of weaker sources aside, too
            values.pop("routes", None)
            origins.pop("routes", None)
        for path, (value, origin) in layer.items():
            values[path], origins[path] = value, origin
    settings = _validated(values, origins)
    _refuse_paid_by_environment(settings, origins)
    complete, read = with_keys(settings, environ, cwd)
    known = dict.fromkeys(paths(Settings), "default") | origins | read
    return Loaded(complete, MappingProxyType(known))


def brokers(loaded: Loaded, running: str | None = None) -> tuple[str, str]:
    """Address and its origin; ``running`` is the address of the nearest running `streams up`, if there is one.

    Order: flag, environment, file, ``bootstrap.servers`` of the properties, running. Raises ``ConfigurationError``.
    """
    kafka, origins = loaded.settings.kafka, loaded.origins
    if kafka.brokers:
        return kafka.brokers, origins["kafka.brokers"]
    if "bootstrap.servers" in kafka.properties:
        return kafka.properties["bootstrap.servers"], origins["kafka.properties.bootstrap.servers"]
    if running:
        return running, "running `streams up`"
    fix = (
        f"give -b/--brokers, set {layers.BOOTSTRAP}, write [kafka] brokers in {layers.FILE}, or start `streams up` here"
    )
    raise ConfigurationError("kafka.brokers", None, fix)


def schema() -> dict[str, Any]:
    """JSON Schema of ``streams.toml``."""
    return Settings.model_json_schema()


def shown(loaded: Loaded) -> tuple[Shown, ...]:
    """Every setting with value and origin, in the order of the sections."""
    values = dict.fromkeys(paths(Settings)) | dict(layers.leaves(loaded.settings.model_dump()))
    return tuple(
        Shown(path, MASK if secret(path) and value is not None else _text(value), loaded.origins.get(path, "default"))
        for path, value in values.items()
    )


def _validated(values: Mapping[str, object], origins: Mapping[str, str]) -> Settings:
    try:
        return Settings(**layers.nested(values))
    except ValidationError as bad:
        errors = bad.errors(include_url=False, include_context=False)
        raise SettingsRefused(tuple(violation(error, origins) for error in errors)) from None  # its text quotes values


def _refuse_paid_by_environment(settings: Settings, origins: Mapping[str, str]) -> None:
    kind, origin = settings.provider.kind, origins.get("provider.kind", "default")
    reason = "the environment alone may not choose it"
    if kind != FREE and origin.startswith("environment"):
        hint = f"name it with --provider or in {layers.FILE}; set by {origin}"
        raise SettingsRefused((Violation("provider.kind", kind, reason, hint),))
    routed, origin = set(kinds(settings)) - {kind, FREE}, origins.get("routes", "default")
    if routed and origin.startswith("environment"):
        hint = f"write [routes] in {layers.FILE}; set by {origin}"
        raise SettingsRefused((Violation("routes", ", ".join(sorted(routed)), reason, hint),))


def _text(value: object) -> str:
    if value is None:
        return "unset"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


__all__ = [
    "MASK",
    "Loaded",
    "Settings",
    "SettingsRefused",
    "Shown",
    "Violation",
    "brokers",
    "check",
    "kinds",
    "load",
    "schema",
    "shown",
]
