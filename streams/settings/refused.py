"""Which settings were refused, and what mends each? All at once; secrets and unknown values never show."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.settings.sections import SECTIONS, Settings, paths
from topics.errors import ConfigurationError

MASK = "********"
SECRET = re.compile(
    r"password|jaas|secret|api[-_.]?key|credential|keystore\.key|(^|[._])(?<!per_)token$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Violation:
    """One refused setting; ``value`` is masked where it is a secret."""

    path: str
    value: str
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path} = {self.value}: {self.reason} ({self.hint})"


class SettingsRefused(ConfigurationError):
    """Some settings are unusable; all of them are listed in ``violations``."""

    kind = "settings_refused"

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        first = violations[0]
        super().__init__(first.path, first.value, f"{first.reason} ({first.hint})")
        self.args = ("\n".join(map(str, violations)),)
        self.violations = violations


def violation(error: Any, origins: Mapping[str, str]) -> Violation:
    """One of pydantic's errors, with where its value came from."""
    path = ".".join(map(str, error["loc"]))
    near_by = (
        said for name, said in origins.items() if f"{name}.".startswith(f"{path}.") or path.startswith(f"{name}.")
    )
    said = origins.get(path) or next(near_by, "default")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path, [*paths(Settings), *SECTIONS], 1, 0.5)
        advice = f"did you mean {near[0]}? " if near else ""
        return Violation(path, MASK, "unknown setting", f"{advice}set by {said}")
    if error["type"] == "model_type":
        return Violation(path, _quoted(path, error["input"]), "this is a section", f"write [{path}]; set by {said}")
    return Violation(path, _quoted(path, error["input"]), error["msg"], f"set by {said}")


def secret(path: str) -> bool:
    """Whether the value of that setting must not be shown."""
    return SECRET.search(path) is not None


def _quoted(path: str, value: object) -> str:
    if secret(path) or path.startswith("kafka.properties") or "@" in str(value):  # an address with a password
        return MASK
    return repr(value)[:80] if isinstance(value, str | int | float | None) else type(value).__name__
