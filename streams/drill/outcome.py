"""What did a run come to, green or red, and how is that said? One value, its lines, and a table over many seeds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.drill.account import Account

SHOWN = 5  # ids of a class in a line


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    Args:
        faults: What was played, in order.
        requests: Prompts that the broker acknowledged.
        answers: Those of them that have an answer.
        wrong: Class → ids: what the checker objects to (``lost``, ``conflicting``, ``phantom``, …).
        paid: The account of calls.
        silence_s: The longest wait for a next answer while work was there, in seconds.
        letters: Dead letters that nobody planted.
        missed: Faults that fell outside the busy time: such a run proves nothing.
        reached: What came to pass at least once, with how often.
        seed: What the faults were drawn by.
        notes: What else was measured, by name.
    """

    faults: tuple[str, ...] = ()
    requests: int = 0
    answers: int = 0
    wrong: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    paid: Account = field(default_factory=Account)
    silence_s: float = 0.0
    letters: int = 0
    missed: tuple[str, ...] = ()
    reached: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    notes: Mapping[str, object] = field(default_factory=dict)

    @property
    def green(self) -> bool:
        """Whether nothing is wrong: all answered, nothing called without a cause, each fault in the busy time."""
        return not self.why

    @property
    def why(self) -> tuple[str, ...]:
        """What makes it red, in words."""
        found = [f"{len(ids)} {word}: {_some(ids)}" for word, ids in self.wrong.items() if ids]
        if not self.requests:
            found.append("nothing was asked")
        if self.paid.repeats > self.paid.allowed:
            found.append(f"{self.paid.repeats} calls repeated, {self.paid.allowed} with a cause")
        if self.paid.baseless:
            found.append(f"called again without a cause: {_some(self.paid.baseless)}")
        if self.missed:
            found.append(f"outside the busy time: {', '.join(self.missed)}")
        return tuple(found)

    def count(self, *words: str) -> int:
        """How many ids the checker puts into these classes."""
        return sum(len(self.wrong.get(word, ())) for word in words)

    @property
    def lost(self) -> int:
        """Accepted and not answered."""
        return self.count("lost", "unseen")

    @property
    def conflicting(self) -> int:
        """Answered in two ways."""
        return self.count("conflicting-terminal", "duplicate")

    def figures(self) -> dict[str, object]:
        """For programs, and for tables."""
        return {
            "verdict": "green" if self.green else "red",
            "requests": self.requests,
            "answers": self.answers,
            "lost": self.lost,
            "conflicting": self.conflicting,
            "phantom": self.count("phantom"),
            "calls": self.paid.calls,
            "unique": self.paid.unique,
            "repeats_allowed": self.paid.allowed,
            "repeats": self.paid.repeats,
            "dead_letters": self.letters,
            "longest_silence_s": round(self.silence_s, 2),
            **self.notes,
            "seed": self.seed,
            "faults": list(self.faults),
            "why": list(self.why),
        }

    def line(self) -> str:
        """One line a seed."""
        paid = self.paid
        return (
            f"seed {self.seed:<4} {'+'.join(self.faults):<44} prompts {self.requests:<5} lost {self.lost}"
            f"  conflicting {self.conflicting}  phantom {self.count('phantom')}  calls {paid.calls}"
            f"  unique {paid.unique}  excused {paid.repeats}/{paid.allowed}  silence {self.silence_s:.1f} s"
            f"  {'GREEN' if self.green else 'RED: ' + '; '.join(self.why)}"
        )


def coverage(outcomes: Iterable[Outcome], known: Mapping[str, str]) -> list[str]:
    """How often each fault was played; ``known``: name → number of all that could be."""
    played = Counter(fault for outcome in outcomes for fault in outcome.faults)
    return [f"  {number:<4} {name:<20} {played[name]:>3} ×" for name, number in known.items()]


def reach(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """What came to pass over all runs."""
    found = Counter[str]()
    for outcome in outcomes:
        found.update(outcome.reached)
    return dict(found)


def summary(outcomes: Sequence[Outcome]) -> str:
    """The line under everything."""

    lost, conflicting = sum(outcome.lost for outcome in outcomes), sum(outcome.conflicting for outcome in outcomes)
    phantom = sum(outcome.count("phantom") for outcome in outcomes)
    green, paid = sum(outcome.green for outcome in outcomes), [outcome.paid for outcome in outcomes]
    return (
        f"{green} of {len(outcomes)} seeds green: {sum(outcome.requests for outcome in outcomes):,} prompts"
        f"  lost {lost}  phantom {phantom}  conflicting {conflicting}"
        f"  calls {sum(one.calls for one in paid):,}  repeated {sum(one.repeats for one in paid):,}"
        f" of {sum(one.allowed for one in paid):,} excused"
    )


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(ids[:SHOWN]) + more
