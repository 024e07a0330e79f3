"""How did breakers behave in an outage, as the provider saw it? How soon calls ceased, and how often it was probed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from streams.decisions.breaker import BreakerPolicy
from streams.drill.ledger import Entry

AWAY = "503"  # what the provider plays while it is away
LATE_S = 1.0  # after its threshold a breaker is open on every worker in that time
EARLY_S = 0.1  # by which two probes may be nearer than an interval: they travel


@dataclass(frozen=True, slots=True)
class Probing:
    """``open_after_s``: from the threshold to the last call that was no probe; None where it was not reached.

    ``crowded`` probes came sooner after the one before than the guarantee permits.
    """

    open_after_s: float | None = None
    probes: int = 0
    crowded: int = 0

    def wrong(self, crashes: int) -> dict[str, tuple[str, ...]]:
        """Class → what is wrong; each crash of a worker may cost one more probe."""
        found = dict[str, tuple[str, ...]]()
        if self.open_after_s is not None and self.open_after_s > LATE_S:
            found["late"] = (f"calls went on for {self.open_after_s:.1f} s after the threshold",)
        if self.crowded > crashes:
            found["crowded"] = (f"{self.crowded} of {self.probes} probes came too soon",)
        return found


def probing(entries: Iterable[Entry], policy: BreakerPolicy | None = None) -> Probing:
    """Out of the provider's ledger, over the calls of an outage."""
    knobs, every = policy or BreakerPolicy(), sorted(entries, key=lambda entry: entry.at)
    crossed = _crossed(every, knobs.consecutive)
    if crossed is None:
        return Probing()
    begun = [entry.at for entry in every if entry.action == "start" and entry.act == AWAY and entry.at > crossed]
    waited = crossed + knobs.open_s / 2  # until then nobody may probe, so whoever calls has not heard of it
    probes = [at for at in begun if at > waited]
    ordinary = [at - crossed for at in begun if at <= waited]
    crowded = sum(after - before < knobs.probe_interval_s - EARLY_S for before, after in pairwise(probes))
    return Probing(max(ordinary, default=0.0), len(probes), crowded)


def _crossed(every: Sequence[Entry], consecutive: int) -> float | None:
    """When so many calls in a row had failed in the outage, those of one worker or of all: the sooner one."""
    views = [every, *([entry for entry in every if entry.by == who] for who in {entry.by for entry in every})]
    return min(filter(None, (_streak(view, consecutive) for view in views)), default=None)


def _streak(entries: Iterable[Entry], consecutive: int) -> float | None:
    streak = 0
    for entry in entries:
        if entry.action == "end":
            streak = 0
        elif entry.action == "error":
            streak += entry.act == AWAY
        if streak == consecutive:
            return entry.at
    return None
