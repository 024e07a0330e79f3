"""What can be wrong, by class, and how is it said? Each accepted prompt stands in one column of the verdict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

OFFENCES: Mapping[str, str] = {
    "lost": "accepted, and neither answered nor on its way",
    "conflicting-terminal": "a completed and a failed answer of one request",
    "duplicate": "answers of one request that differ",
    "phantom": "an answer that no accepted prompt explains",
    "dead-letter-astray": "a dead letter whose original is not where it says",
    "dead-letter-changed": "a dead letter that is not its original, byte for byte",
    "failed-unburied": "a failed answer without a dead letter",
    "buried-unanswered": "a dead letter of a request that was answered otherwise",
    "gap": "offsets that are missing, or gone before they were handled",
    "overrun": "a group that committed more than there is",
    "stalled": "work waited, and no answer came for too long",
    "repeated": "a call that was made again without a cause",
}
NOTED: Mapping[str, str] = {
    "unseen": "accepted, and still on its way",
    "two-bodies": "one id with several bodies: as many requests, each answered",
}
CAP = 1000  # ids of a class that are kept; all are counted
STATUSES = ("completed", "failed", "rejected", "expired", "cancelled")


class Item(NamedTuple):
    """One finding: whose it is, and what else is known of it."""

    id: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What is in one class: how many, and the first of them."""

    count: int = 0
    items: tuple[Item, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids that were kept."""
        return tuple(item.id for item in self.items)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reading came to.

    Args:
        counts: ``accepted`` prompts, and as many by status, ``unseen``, ``lost`` or ``aged`` (older than what
            ``results`` still holds); ``copies`` (byte-equal answers beyond the first), ``letters``, ``retries`` (calls
            told beyond the first of an answer), ``unjudged`` (answers older than what ``prompts`` still holds),
            ``records`` read.
        classes: Class → findings; a class without any is left out.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, Found] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong; work that is still on its way is not."""
        return not any(self.count(name) for name in OFFENCES)

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way any more."""
        return not self.count("unseen")

    def count(self, name: str) -> int:
        """How many there are in a class."""
        return self.found(name).count

    def ids(self, name: str) -> tuple[str, ...]:
        """Ids of a class, at most as many as were kept."""
        return self.found(name).ids

    def found(self, name: str) -> Found:
        """A class, empty where nothing was found."""
        return self.classes.get(name, Found())

    def summary(self) -> str:
        """One line: the prompts in columns that add up, then what is wrong, or that nothing is.

        >>> Verdict({"accepted": 1, "completed": 1}).summary()
        '1 accepted = 1 completed + 0 failed + 0 rejected + 0 expired + 0 unseen + 0 lost; 0 copies; nothing wrong'
        """
        columns = [f"{self.counts.get(name, 0):,} {name}" for name in STATUSES[:-1]]
        if cancelled := self.counts.get(STATUSES[-1], 0):
            columns.append(f"{cancelled:,} cancelled")
        waiting, lost, aged = (self.counts.get(name, 0) for name in ("unseen", "lost", "aged"))
        columns += [f"{waiting:,} unseen", f"{lost:,} lost", *([f"{aged:,} too old to judge"] if aged else [])]
        wrong = [f"{self.count(name):,} {name}" for name in OFFENCES if self.count(name)]
        told = f"WRONG: {', '.join(wrong)}" if wrong else "nothing wrong"
        accepted, copies = self.counts.get("accepted", 0), self.counts.get("copies", 0)
        return f"{accepted:,} accepted = {' + '.join(columns)}; {copies:,} copies; {told}"


def gathered(items: Iterable[tuple[str, Item]], cap: int = CAP) -> dict[str, Found]:
    """Findings by class.

    Args:
        items: Class and finding, in the order in which they shall be shown.
        cap: How many of a class are kept.

    Returns:
        Class → count and the first of them.

    >>> gathered([("lost", Item("a")), ("lost", Item("b"))], cap=1)
    {'lost': Found(count=2, items=(Item(id='a', detail=''),))}
    """
    counts, kept = dict[str, int](), dict[str, list[Item]]()
    for name, item in items:
        counts[name] = counts.get(name, 0) + 1
        if counts[name] <= cap:
            kept.setdefault(name, []).append(item)
    return {name: Found(count, tuple(kept.get(name, ()))) for name, count in counts.items()}


__all__ = ["CAP", "NOTED", "OFFENCES", "STATUSES", "Found", "Item", "Verdict", "gathered"]
