"""What does the fake provider do at each call? A short script of words, played from the start again at its end.

A word is an act, with an argument after a colon and a number of times after a star: ``ok*20, 429:2*50, hang``.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from topics.errors import ConfigurationError

ACTS = {
    "ok": "a good answer",
    "NNN": "that HTTP status, with an error that quotes the prompt; the argument is its Retry-After in seconds",
    "context": "the refusal of a prompt that is too long",
    "slow": "a good answer in ten pieces over that many seconds, 1 where not said",
    "stall": "half an answer, and then nothing for ever",
    "hang": "nothing for ever",
    "truncated": "half of the JSON, as if it were all",
    "cut": "half an answer, and then the connection ends",
    "garbage": "a page instead of JSON",
    "empty": "an answer without any choice",
    "no-usage": "a good answer that does not tell its tokens",
    "wrong-usage": "a good answer with impossible tokens",
    "length": "an answer that was cut at the token limit",
    "tools": "a tool call instead of text",
    "redirect": "the advice to ask elsewhere",
    "huge": "an answer without end",
    "bomb": "16 MiB of nothing, packed into little",
    "reset": "the connection ends before any answer",
}
WORD = re.compile(r"(?P<act>[a-z][a-z-]*|[1-5]\d\d)(:(?P<argument>\d+(\.\d+)?))?(\*(?P<times>\d{1,6}))?")


@dataclass(frozen=True, slots=True)
class Step:
    """What is done at one call; ``argument`` is in seconds where there is one."""

    act: str
    argument: float | None = None

    @property
    def status(self) -> int | None:
        """The HTTP status, for an act that is one."""
        return int(self.act) if self.act.isdigit() else None


GOOD = Step("ok")


@dataclass(frozen=True, slots=True)
class Plan:
    """The knobs of the fake provider.

    ``steps``: words; ``latency_s`` before each answer; ``nonce``: each answer differs; ``key``: the API key that it
    asks for; ``log_path``: a file that gets one line of JSON at the start and at the end of a call.
    """

    steps: Sequence[str] = ()
    latency_s: float = 0.0
    nonce: bool = False
    key: str | None = None
    log_path: Path | None = None


def parse(words: Iterable[str]) -> tuple[Step, ...]:
    """The steps that the words stand for; ``ConfigurationError`` names a word that is none."""
    return tuple(step for word in words for step in _steps(word.strip()))


def _steps(word: str) -> tuple[Step, ...]:
    found = WORD.fullmatch(word)
    act = found["act"] if found else ""
    if found is None or not (act in ACTS or act.isdigit()):
        raise ConfigurationError("steps", word, f"use one of {', '.join(ACTS)}, as in 429:2*50")
    argument = found["argument"]
    return (Step(act, None if argument is None else float(argument)),) * int(found["times"] or 1)
