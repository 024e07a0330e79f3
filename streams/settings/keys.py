"""Where do the keys of paid providers come from, and is all there that their calls need?

A key is written down, or else read from the file or the variable that the settings name, and from nowhere else.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from streams.settings.calls import KINDS, split
from streams.settings.refused import MASK, SettingsRefused, Violation
from streams.settings.sections import Remote, Settings

DEFAULT = "default"  # what a request asks for that names no model
SOURCES = ("api_key_file", "api_key_env")


def remotes(settings: Settings) -> dict[str, Remote]:
    """The sections of the providers behind HTTP, by kind."""
    return {"openai": settings.provider.openai, "anthropic": settings.provider.anthropic}


def with_keys(settings: Settings, environ: Mapping[str, str], cwd: Path) -> tuple[Settings, dict[str, str]]:
    """The settings with the keys that could be read, and the origin of each by path; what is missing stays unset."""
    read = {kind: _read(section, environ, cwd) for kind, section in remotes(settings).items()}
    found = {kind: known for kind, known in read.items() if known}
    sections = {
        kind: remotes(settings)[kind].model_copy(update={"api_key": SecretStr(key)}) for kind, (key, _) in found.items()
    }
    provider = settings.provider.model_copy(update=sections)
    origins = {f"provider.{kind}.api_key": origin for kind, (_, origin) in found.items()}
    return settings.model_copy(update={"provider": provider}), origins


def _read(section: Remote, environ: Mapping[str, str], cwd: Path) -> tuple[str, str] | None:
    if section.api_key is not None:
        return None
    name, file = section.api_key_env, section.api_key_file
    key, origin = (environ.get(name, ""), f"environment {name}") if name else ("", "")
    if file is not None:
        key, origin = _text(cwd / file), f"file {cwd / file}"
    return (key.strip(), origin) if key.strip() else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def kinds(settings: Settings) -> tuple[str, ...]:
    """The kinds of provider that may be called: the configured one, then those of the routes."""
    routed = (split(candidate)[0] for route in settings.routes.values() for candidate in route)
    return tuple(dict.fromkeys((settings.provider.kind, *routed)))


def check(settings: Settings) -> None:
    """Whether each of these can be called; raises ``SettingsRefused`` with all that is missing."""
    sections, unnamed = remotes(settings), _unnamed(settings)
    found = list[Violation]()
    for kind in kinds(settings):
        section = sections.get(kind)
        found += _missing(kind, section, needs_model=kind in unnamed) if section else _unknown(kind)
    if found:
        raise SettingsRefused(tuple(found))


def _unnamed(settings: Settings) -> set[str]:
    """The kinds that are asked for their default model."""
    route = settings.routes.get(DEFAULT)
    routed = (split(candidate) for route in settings.routes.values() for candidate in route)
    return {kind for kind, model in routed if model == DEFAULT} | (set() if route else {settings.provider.kind})


def _unknown(kind: str) -> list[Violation]:
    wrong = kind not in KINDS
    return [Violation("provider.kind", kind, "no such provider", f"use one of {', '.join(KINDS)}")] if wrong else []


def _missing(kind: str, section: Remote, *, needs_model: bool) -> list[Violation]:
    here, found = f"provider.{kind}", list[Violation]()
    if not section.base_url:
        example = f'write base_url = "http://127.0.0.1:8000/v1" under [{here}], or where your server listens'
        found.append(Violation(f"{here}.base_url", "unset", "nobody knows where it listens", example))
    if needs_model and not section.model and DEFAULT not in section.models:
        name = f'write model = "…" under [{here}]'
        found.append(Violation(f"{here}.model", "unset", "requests that name no model need one", name))
    return [*found, *_key(here, section)]


def _key(here: str, section: Remote) -> list[Violation]:
    given = [name for name in SOURCES if getattr(section, name) is not None]
    at, key = f"{here}.api_key", section.api_key.get_secret_value() if section.api_key else ""
    if len(given) > 1:
        return [Violation(at, MASK, f"{' and '.join(given)} are given", "leave one of them")]
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        return [Violation(at, MASK, "no key looks like that", "it has no spaces, line ends or letters beyond ASCII")]
    if key or (not given and _is_here(section.base_url or "")):
        return []
    if given:
        return [Violation(f"{here}.{given[0]}", MASK, "nothing is there", "it names a file or a variable with the key")]
    fix = f"set api_key_file (a path) or api_key_env (a variable's name) under [{here}]"
    return [Violation(at, "unset", "only a server on this machine may need none", fix)]


def _is_here(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
