"""What is a provider paid for? A provider process with a ledger, and the account of its calls against answers.

Each of its answers ends in a nonce of its own, so an answer names the one call that it was bought with.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.tree import ROOT

NONCE = re.compile(r"\[([0-9a-f]{16})\]$")
Kill = tuple[str, float]  # whose model it was, and when


@dataclass(frozen=True)
class Paid:
    """One call as the provider saw it, ``by`` the caller that its model's name tells; ``ended`` None: it runs.

    ``safe``: when its outcome was written down where the next worker finds it; until then it counts as running.
    """

    key: str
    nonce: str
    by: str
    tokens: int
    began: float
    ended: float | None
    cut: bool
    safe: float | None = None

    def excused(self, kills: Iterable[Kill]) -> bool:
        """Whether a later call of its key had a cause: it was cut off, or its caller died before it was safe."""
        end = float("inf") if self.safe is None else self.safe
        return self.cut or any(self.by == who and self.began <= at <= end for who, at in kills)


@dataclass(frozen=True)
class Bill:
    """The provider's ledger: where it answers, and every call that it got."""

    url: str
    path: Path

    def calls(self, written: Mapping[str, float] = MappingProxyType({})) -> list[Paid]:
        """All calls so far, in the order of their beginnings; ``written``: when each nonce was found to be safe."""
        begun: dict[str, Any] = {}
        ends: dict[str, Any] = {}
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        for entry in map(json.loads, lines):
            (begun if entry["action"] == "start" else ends)[entry["nonce"]] = entry
        return [_paid(entry, ends.get(nonce), written.get(nonce)) for nonce, entry in begun.items()]

    @property
    def running(self) -> int:
        return sum(call.ended is None for call in self.calls())


def _paid(begun: Mapping[str, Any], ended: Mapping[str, Any] | None, safe: float | None) -> Paid:
    tokens = begun["input_tokens"] + begun["output_tokens"]
    cut = ended is not None and ended["action"] != "end"
    return Paid(begun["key"], begun["nonce"], begun["model"], tokens, begun["at"], ended and ended["at"], cut, safe)


def nonce_of(answer: Mapping[str, Any]) -> str | None:
    """The call that an answer was bought with."""
    found = NONCE.search(answer["text"] or "")
    return found and found[1]


@dataclass(frozen=True)
class Account:
    """Tokens that the answers tell, tokens of calls whose answer nobody got, and tokens of the provider's ledger."""

    calls: int
    told: int
    repeated: int
    billed: int
    sold_twice: int

    @property
    def even(self) -> bool:
        return self.told + self.repeated == self.billed and not self.sold_twice

    def __str__(self) -> str:
        word = "even" if self.even else "NOT EVEN"
        return f"tokens: {self.told} told + {self.repeated} of repeated calls = {self.billed} billed: {word}"


def account(calls: Iterable[Paid], answers: Iterable[Mapping[str, Any]]) -> Account:
    """``answers``: one a request."""
    every, told, bought = list(calls), 0, Counter[str | None]()
    for answer in answers:
        usage = answer["usage"] or {"input_tokens": 0, "output_tokens": 0}
        told += usage["input_tokens"] + usage["output_tokens"]
        if answer["source"] == "provider":
            bought[nonce_of(answer)] += 1
    lost = sum(call.tokens for call in every if call.nonce not in bought)
    twice = sum(count - 1 for count in bought.values())
    return Account(len(every), told, lost, sum(call.tokens for call in every), twice)


@dataclass(frozen=True)
class Repeats:
    """Calls beyond the first of each key, and how many keys were called again without a cause."""

    calls: int
    unique: int
    excused: int
    baseless: tuple[str, ...]


def repeats(calls: Iterable[Paid], kills: Iterable[Kill]) -> Repeats:
    """``excused``: calls that ran when their worker was killed, or were cut off when their partition moved."""
    by_key, moments = dict[str, list[Paid]](), list(kills)
    for call in calls:
        by_key.setdefault(call.key, []).append(call)
    excused = sum(call.excused(moments) for each in by_key.values() for call in each)
    baseless = [key for key, each in by_key.items() if not all(call.excused(moments) for call in each[:-1])]
    return Repeats(sum(map(len, by_key.values())), len(by_key), excused, tuple(baseless))


@contextmanager
def billing(directory: Path, latency_s: float = 0.0, *steps: str) -> Iterator[Bill]:
    """The provider process, which no worker's death reaches; ``steps`` are what it does call by call."""
    path = directory / "bill.jsonl"
    knobs = ["--port", "0", "--nonce", "--latency-s", str(latency_s), "--log", str(path), "--steps", *steps]
    command = [sys.executable, "-m", "streams.drill.provider", *knobs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            yield Bill((server.stdout.readline() if server.stdout else "").strip(), path)
        finally:
            server.kill()
