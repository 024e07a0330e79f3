"""Which provider costs nothing and fails on demand? It says back what it was told, at a set pace."""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.ports import Call
from topics.errors import ConfigurationError
from topics.messages import Reply, Usage
from topics.provider_errors import WorkerError

NAME = "echo"
GOOD = "ok"
TRANSIENT = frozenset({"timeout", "rate_limited", "overloaded", "unavailable", "connection"})
PERMANENT = frozenset({"auth", "invalid_request", "content_filter", "budget", "malformed"})
BYTES_PER_TOKEN = 4  # the usual estimate for English text; echo bills nobody, so an estimate is enough


@dataclass(frozen=True, slots=True)
class EchoPolicy:
    """The knobs of ``echo``.

    ``delay_s`` before each reply, and the time ``tokens_per_s`` needs for its text; ``nonce``: each call answers
    differently; ``faults``: words for the first, second, … call, then again from the first: ``ok``, a reason
    (``timeout``), or ``error:`` and a reason; ``log_path``: a file that gets one line at the start and end of a call.
    """

    delay_s: float = 0.0
    tokens_per_s: float | None = None
    nonce: bool = False
    faults: Sequence[str] = ()
    log_path: Path | None = None


def script(faults: Sequence[str]) -> tuple[str | None, ...]:
    """Fault words as reasons, None for a good call; ``faults`` may be one text with commas."""
    words = faults.split(",") if isinstance(faults, str) else faults
    return tuple(_reason(word.strip()) for word in words if word.strip())


def _reason(word: str) -> str | None:
    reason = word.removeprefix("error:")
    if reason == GOOD:
        return None
    if reason not in TRANSIENT | PERMANENT:
        raise ConfigurationError("provider.echo.faults", word, f"use one of {', '.join(_words())}")
    return reason


def _words() -> list[str]:
    return [GOOD, *sorted(TRANSIENT | PERMANENT)]


class EchoProvider:
    """Answers ``echo: <last user message>``; equal calls get equal replies unless ``nonce`` is on."""

    def __init__(
        self,
        policy: EchoPolicy | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        fresh: Callable[[], str] = lambda: secrets.token_hex(8),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy or EchoPolicy()
        self._script = script(self._policy.faults)
        self._sleep, self._fresh, self._now = sleep, fresh, now
        self.calls = 0

    @property
    def name(self) -> str:
        """The provider's name in answers."""
        return NAME

    async def complete(self, call: Call) -> Reply:
        """One reply; raises ``WorkerError`` where the script says so."""
        policy, fault = self._policy, self._turn()
        nonce = self._fresh() if policy.nonce or policy.log_path is not None else ""
        self._note("start", call, nonce)
        try:
            text = self._text(call, nonce)
            await self._sleep(self._pace_s(text))
        except asyncio.CancelledError:
            self._note("cancel", call, nonce)
            raise
        if fault is not None:
            self._note("error", call, nonce)
            raise WorkerError(NAME, fault, retryable=fault in TRANSIENT)
        self._note("end", call, nonce)
        return Reply(text=text, model=call.model, provider=NAME, usage=_usage(call, text))

    def _turn(self) -> str | None:
        turn, self.calls = self.calls, self.calls + 1
        return self._script[turn % len(self._script)] if self._script else None

    def _text(self, call: Call, nonce: str) -> str:
        said = f"echo: {last_said(call.messages)}"
        return f"{said} [{nonce}]" if self._policy.nonce else said

    def _pace_s(self, text: str) -> float:
        rate = self._policy.tokens_per_s
        return self._policy.delay_s + (tokens(text) / rate if rate else 0.0)

    def _note(self, action: str, call: Call, nonce: str) -> None:
        """One line in one write, so that lines of several processes do not mix."""
        if self._policy.log_path is None:
            return
        line = f"{action} {call.id} {os.getpid()} {self._now():.6f} {nonce}\n"
        file = os.open(self._policy.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def last_said(messages: Sequence[dict[str, Any]]) -> str:
    """The text of the last user message; parts are joined, what is no text is left out."""
    said = [message.get("content") for message in messages if message.get("role") == "user"]
    content = said[-1] if said else ""
    if isinstance(content, str):
        return content
    return "".join(str(part["text"]) for part in content or () if "text" in part)


def tokens(text: str) -> int:
    """An estimate by bytes, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def _usage(call: Call, text: str) -> Usage:
    asked = sum(tokens(last_said([{**message, "role": "user"}])) for message in call.messages)
    return Usage(input_tokens=asked, output_tokens=tokens(text))
