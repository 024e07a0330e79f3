"""How many tokens is a text, how many may a model be sent, and what is left out when it is too much?

Tokens are estimated by bytes, by a ratio that has a version; what providers counted proposes a better one.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from topics.errors import ConfigurationError
from topics.wire import canonical

EVERY_OTHER = "*"  # the limit of models that are not named
CAREFUL = 0.05  # share of the recorded calls that the proposed ratio may underestimate


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """The knobs of the budget.

    Args:
        bytes_per_token: UTF-8 bytes of text that make one token; smaller is more careful.
        ratio_version: Names the ratio in messages.
        max_input_tokens: Model → estimated tokens of one call, inclusive; ``*`` for the others. Not named: no limit.

    Raises:
        ConfigurationError: The ratio is not above 0.
    """

    bytes_per_token: float = 4.0
    ratio_version: str = "default"
    max_input_tokens: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.bytes_per_token > 0:
            raise ConfigurationError("assemble.bytes_per_token", self.bytes_per_token, "set a number above 0")


@dataclass(frozen=True, slots=True)
class Measured:
    """One recorded call: the model, bytes of text sent, tokens as the provider counted them."""

    model: str
    sent_bytes: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """What recorded calls of a model say; ``careful`` underestimates at most one call in twenty.

    Args:
        model: The model.
        calls: Recorded calls.
        sent_bytes: Bytes of all of them; ``tokens`` likewise.
        tokens: See ``sent_bytes``.
        careful: Bytes per token, rounded down to hundredths.
    """

    model: str
    calls: int
    sent_bytes: int
    tokens: int
    careful: float

    @property
    def ratio(self) -> float:
        """Bytes per token over all calls."""
        return self.sent_bytes / self.tokens


def limit(model: str, policy: BudgetPolicy) -> int | None:
    """How many tokens a call may have.

    Args:
        model: Whom the call is for.
        policy: The limits.

    Returns:
        Tokens, or None for no limit.

    >>> limit("m", BudgetPolicy(max_input_tokens={"*": 8}))
    8
    """
    return policy.max_input_tokens.get(model, policy.max_input_tokens.get(EVERY_OTHER))


def tokens(sent_bytes: int, policy: BudgetPolicy) -> int:
    """An estimate, rounded up.

    Args:
        sent_bytes: UTF-8 bytes of text.
        policy: The ratio.

    Returns:
        Tokens.

    >>> tokens(9, BudgetPolicy(bytes_per_token=4.0))
    3
    """
    return math.ceil(sent_bytes / policy.bytes_per_token)


def weight(message: Mapping[str, Any]) -> int:
    """What a message adds to a call: its texts and tool calls; images and other parts without text count nothing.

    Args:
        message: A message in OpenAI's shape.

    Returns:
        UTF-8 bytes.

    >>> weight({"role": "user", "content": "né"})
    3
    """
    content = message.get("content")
    if isinstance(content, str):
        said = len(content.encode())
    else:
        said = sum(len(str(part["text"]).encode()) for part in content or () if "text" in part)
    calls = message.get("tool_calls")
    return said + len(canonical(calls)) if calls else said


def tools_weight(params: Mapping[str, Any]) -> int:
    """What the definitions of tools add to a call.

    Args:
        params: Provider parameters by name.

    Returns:
        UTF-8 bytes of ``tools`` as JSON, 0 without any.

    >>> tools_weight({"tools": [1]})
    3
    """
    tools = params.get("tools")
    return len(canonical(tools)) if tools else 0


def propose(calls: Iterable[Measured]) -> tuple[Proposal, ...]:
    """Which ratio the recorded calls of each model speak for.

    Args:
        calls: Any; those without bytes or without tokens say nothing and are left out.

    Returns:
        One proposal a model, by name.

    >>> [one.careful for one in propose([Measured("m", 40, 10), Measured("m", 30, 10)])]
    [3.0]
    """
    by_model: dict[str, list[Measured]] = {}
    for call in calls:
        if call.sent_bytes > 0 and call.tokens > 0:
            by_model.setdefault(call.model, []).append(call)
    return tuple(_proposal(model, by_model[model]) for model in sorted(by_model))


def _proposal(model: str, calls: list[Measured]) -> Proposal:
    ratios = sorted(call.sent_bytes / call.tokens for call in calls)
    careful = math.floor(ratios[math.floor(len(ratios) * CAREFUL)] * 100) / 100
    sums = sum(call.sent_bytes for call in calls), sum(call.tokens for call in calls)
    return Proposal(model, len(calls), *sums, max(careful, 0.01))


__all__ = ["BudgetPolicy", "Measured", "Proposal", "limit", "propose", "tokens", "tools_weight", "weight"]
