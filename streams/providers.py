"""Who can be called, and by which names? Providers and routes from the settings; connections open with a first call."""

from collections.abc import Callable, Mapping

from streams.adapters.providers import anthropic, openai
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.adapters.providers.line import LinePolicy
from streams.adapters.providers.remote import Models, Price
from streams.decisions.attempts import Candidate, Route
from streams.ports import Closing, Provider
from streams.settings import Settings, kinds
from streams.settings.calls import split
from streams.settings.sections import Remote
from topics.errors import ConfigurationError


def provider_of(settings: Settings, kind: str | None = None) -> Provider:
    """The provider of that kind; None: the configured one, who answers models without a route."""
    match kind or settings.provider.kind:
        case "echo":
            return EchoProvider(EchoPolicy(**settings.provider.echo.model_dump()))
        case "openai":
            section = settings.provider.openai
            return openai.provider(_line(settings, section, openai.headers), _models(section))
        case "anthropic":
            other = settings.provider.anthropic
            line = _line(settings, other, anthropic.headers)
            return anthropic.provider(line, _models(other), other.max_tokens)
        case unknown:
            raise ConfigurationError("provider.kind", unknown, "there are `echo`, `openai` and `anthropic`")


def providers_of(settings: Settings) -> Mapping[str, Provider]:
    """One provider for each kind that the settings name, the configured one first, and no other."""
    return {kind: provider_of(settings, kind) for kind in kinds(settings)}


def routes_of(settings: Settings) -> Mapping[str, Route]:
    """The candidates of each name that requests may give instead of a model."""
    return {
        alias: tuple(Candidate(*split(candidate)) for candidate in route) for alias, route in settings.routes.items()
    }


async def close(providers: Mapping[str, Provider]) -> None:
    """Ends the connections of all of them."""
    for provider in providers.values():
        if isinstance(provider, Closing):
            await provider.aclose()


def _line(settings: Settings, section: Remote, headers: Callable[[str | None], dict[str, str]]) -> LinePolicy:
    knobs = section.model_dump(include={"connect_s", "first_byte_s", "idle_s", "total_s", "max_bytes"})
    key = section.api_key.get_secret_value() if section.api_key else None
    pool = section.pool or settings.infer.in_flight
    return LinePolicy(section.base_url or "", headers(key), pool=pool, **knobs)


def _models(section: Remote) -> Models:
    prices = {model: Price(price.input, price.output) for model, price in section.prices.items()}
    return Models(section.model, section.models, prices)
