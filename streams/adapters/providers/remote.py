"""What do all providers behind HTTP share? The way of a call: model, line, refusals, reply, price; dialects differ."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from streams.adapters.providers.line import Line, LinePolicy, Response
from streams.adapters.providers.refusals import accepted
from streams.ports import Call
from topics import wire
from topics.errors import DecodingError
from topics.messages import Reply, Usage
from topics.provider_errors import ProviderMalformed

PER = 1_000_000
DEFAULT = "default"  # what a request names that names no model
WORD = re.compile(r"[\w.:/@+-]{1,200}", re.ASCII)
DEEPEST = 100  # levels of an answer: what is kept of it must be writable inside of messages
MOST_TOKENS = 10**9  # of one call; more than that is no count


@dataclass(frozen=True, slots=True)
class Price:
    """Millionths of a dollar for a million tokens."""

    input: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class Models:
    """Names of models: ``default`` is for those who ask for none, ``alias`` translates, ``prices`` go by real name."""

    default: str | None = None
    alias: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)

    def real(self, asked: str) -> str:
        """The provider's name of a model."""
        known = self.alias.get(asked)
        return known or (self.default if asked == DEFAULT and self.default else asked)

    def cost_usd_micros(self, model: str, usage: Usage) -> int:
        """What a call cost, rounded up; 0 for a model without a price."""
        price = self.prices.get(model)
        return (
            0 if price is None else -(-(usage.input_tokens * price.input + usage.output_tokens * price.output) // PER)
        )


class Dialect(Protocol):
    """How a kind of provider is spoken to; pure."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str: ...

    def asked(self, call: Call, model: str) -> dict[str, Any]: ...

    def reply(self, data: object, model: str, response: Response) -> Reply:
        """Raises ``ProviderMalformed`` or ``ProviderEmpty``."""
        ...


class RemoteProvider:
    """A provider behind HTTP; close it when no call is left."""

    def __init__(self, dialect: Dialect, line: LinePolicy, models: Models | None = None) -> None:
        self._dialect, self._models = dialect, models or Models()
        self._line = Line(dialect.name, line)

    @property
    def name(self) -> str:
        """The provider's name in answers and errors."""
        return self._dialect.name

    async def complete(self, call: Call) -> Reply:
        """One reply; raises a ``ProviderError``."""
        model = self._models.real(call.model)
        response = accepted(await self._line.post(self._dialect.path, self._dialect.asked(call, model), call.id))
        reply = self._dialect.reply(parsed(response), model, response)
        cost = self._models.cost_usd_micros(model, reply.usage)
        return reply.model_copy(update={"cost_usd_micros": cost, "request_id": response.request_id})

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._line.aclose()


def parsed(response: Response) -> object:
    """The JSON of an answer; raises ``ProviderMalformed``."""
    try:
        data = wire.parse(response.raw, "answer", len(response.raw))
    except DecodingError:
        raise response.error(ProviderMalformed, "no JSON") from None  # the cause keeps the bytes
    if not _shallow(data, DEEPEST):
        raise response.error(ProviderMalformed, "nested too deeply")
    return data


def _shallow(data: object, levels: int) -> bool:
    if not isinstance(data, dict | list):
        return True
    inner = data.values() if isinstance(data, dict) else data
    return levels > 0 and all(_shallow(one, levels - 1) for one in inner)


def word(told: object, otherwise: str) -> str:
    """A name that a provider told, where it is a plain word."""
    return told if isinstance(told, str) and WORD.fullmatch(told) else otherwise


def usage(told: object, asked: tuple[str, ...], said: str) -> tuple[Usage, bool]:
    """Token counts, and whether they are known: fields ``asked`` are added up, ``said`` counts what was written."""
    counts = told if isinstance(told, dict) else {}
    read = [counts.get(name) for name in asked if counts.get(name) is not None]
    tokens = [*read, counts.get(said)]
    if not read or not all(_counts(number) for number in tokens):
        return Usage(), False
    return Usage(input_tokens=sum(read), output_tokens=counts[said]), True


def _counts(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MOST_TOKENS
