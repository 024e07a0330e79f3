"""What do all rules of a judgement share? The records as they were kept, what else is known, and a few indexes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from streams.decisions.dedup import DedupPolicy
from streams.decisions.proof.facts import Form, Given, Prompt
from streams.decisions.proof.fold import Fold
from streams.decisions.proof.verdict import CAP, Item
from topics.answer import rfc3339

SKEW_MS = 1_000  # by which the clocks of two brokers may differ
NEVER = "9999"  # sorts behind every time
Finding = tuple[str, Item]
Word = Literal["ok", "unknown", "failed"]


@dataclass(frozen=True, slots=True)
class Calls:
    """What the provider counted: calls, distinct keys, repeats that a kill or a move excuses, keys without a cause."""

    calls: int
    unique: int
    excused: int = 0
    baseless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demands:
    """What else is known and wanted.

    Args:
        stall_s: Seconds without any answer, while work waits, that are too many: above what a parked tier may take.
        window_ms: For how long a final is remembered: two that are nearer to each other are one too many.
        now_ms: What time it is; 0: that of the newest record.
        since_ms: Records older than this were not read, whatever the logs hold; 0: all were.
        client: Id → how its publishing ended for the client.
        calls: What the provider counted.
        cap: How many ids of a class are kept.
    """

    stall_s: float = 900.0
    window_ms: int = field(default_factory=lambda: DedupPolicy().window_ms)
    now_ms: int = 0
    since_ms: int = 0
    client: Mapping[str, frozenset[Word]] = field(default_factory=dict)
    calls: Calls | None = None
    cap: int = CAP

    def since(self, since_ms: int) -> "Demands":
        """The same, for a reading that began at a time; 0: at the start."""
        return replace(self, since_ms=since_ms)


class Case:
    """One judgement: what was read, and prompts by the request that they are."""

    def __init__(self, fold: Fold, demands: Demands) -> None:
        self.fold, self.demands = fold, demands
        same = Counter(prompt.identity for prompt in fold.prompts)
        self.again: dict[bytes, list[Prompt]] = {name: [] for name, count in same.items() if count > 1}
        for prompt in fold.prompts:
            if prompt.identity in self.again:
                self.again[prompt.identity].append(prompt)

    def judged(self) -> Iterator[Prompt]:
        """The prompts that are asked about; others only explain answers."""
        return (prompt for prompt in self.fold.prompts if prompt.judged)

    def family(self, prompt: Prompt) -> tuple[Prompt, ...]:
        """All records of its request, itself among them."""
        return tuple(self.again.get(prompt.identity, (prompt,)))

    def given(self, prompt: Prompt) -> list[Given]:
        """Its own answers: under its name, or under that of a failure of the door."""
        answers = self.fold.answers
        return [answers[name] for name in dict.fromkeys((prompt.name, prompt.also)) if name in answers]

    def forms(self, prompt: Prompt) -> list[Form]:
        """The distinct answers of its own."""
        return [form for given in self.given(prompt) for form in given.forms]

    def whole_since(self, topic: str, *, empty: str = "") -> str:
        """From when on all records of a topic are in view, as answers write times.

        Empty where it was read from its first offset on; ``empty`` is what a partition counts for that has lost all it
        had, so that nothing tells the time.
        """
        if self.demands.since_ms:
            return rfc3339(self.demands.since_ms)
        views, marks = self.fold.views, self.fold.marks
        first = [view.first_ms for (name, _), view in views.items() if name == topic and view.first > 0]
        if any(mark.topic == topic and mark.end and (topic, mark.partition) not in views for mark in marks):
            first.append(None)
        return max((empty if ms is None else rfc3339(ms) for ms in first), default="")

    def retries(self) -> int:
        """Calls that answers tell, beyond the first of each."""
        forms = (form for given in self.fold.answers.values() for form in given.forms)
        return sum(max(0, form.attempts - 1) for form in forms)


def counted(forms: Iterable[Form]) -> str:
    """Answers in words.

    >>> counted([Form(b"", "failed", "", 1), Form(b"", "completed", "", 1)])
    '1 completed, 1 failed'
    """
    return ", ".join(f"{count} {status}" for status, count in sorted(Counter(form.status for form in forms).items()))
