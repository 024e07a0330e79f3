"""Which calls were made more than once, and which of those had a cause? The provider's ledger is the truth."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from streams.drill.ledger import Entry

WRITTEN_S, FOR_EVER = 1.0, float("inf")


@dataclass(frozen=True, slots=True)
class Blow:
    """What befell a worker and may cost the calls that it was running: a kill, or a sleep past its session."""

    worker: str
    at: float


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the provider saw it; ``ended`` None: it runs still, or nobody saw its end.

    ``word`` is how it ended (``end``, ``error``, ``cancel``), ``safe`` when its outcome was where the next worker
    finds it: until then it counts as running; a failed one is taken to be safe soon after. Times are in seconds.
    """

    key: str
    nonce: str
    by: str
    began: float
    ended: float | None = None
    word: str = ""
    safe: float | None = None

    def excuses(self, blows: Iterable[Blow]) -> bool:
        """Whether its key may be called again: it failed, was cut off, or its worker fell before it was safe."""
        return self.word == "error" or self.was_cut(blows)

    def was_cut(self, blows: Iterable[Blow]) -> bool:
        """Whether it came to nothing without its doing: cut off, or its worker fell before it was safe."""
        until = self.ended + WRITTEN_S if self.word == "error" and self.ended is not None else self.safe
        fell = any(blow.worker == self.by and self.began <= blow.at <= (until or FOR_EVER) for blow in blows)
        return self.word == "cancel" or fell


@dataclass(frozen=True, slots=True)
class Move:
    """A worker gave up so many calls at that time, as their partitions went to another."""

    worker: str
    at: float
    count: int

    def took(self, call: Call) -> bool:
        """Whether the call may be one of them: it was the worker's, and its outcome never became safe."""
        return call.by == self.worker and call.began <= self.at and call.safe is None


@dataclass(frozen=True, slots=True)
class Account:
    """Calls in all, and keys that were called.

    ``excused`` calls were cut off, ``failed`` ones were told to have failed: either may be made again. ``baseless``
    are the keys that were called again without a cause.
    """

    calls: int = 0
    unique: int = 0
    excused: int = 0
    failed: int = 0
    baseless: tuple[str, ...] = ()

    @property
    def allowed(self) -> int:
        """Repeats that have a cause at most."""
        return self.excused + self.failed

    @property
    def repeats(self) -> int:
        """Calls beyond the first of each key."""
        return self.calls - self.unique


def calls_of(entries: Iterable[Entry], safe: Mapping[str, float]) -> list[Call]:
    """The calls of a ledger, by their nonces, in the order of their beginnings; ``safe``: nonce → when."""
    begun, ends = dict[str, Entry](), dict[str, Entry]()
    for entry in entries:
        (begun if entry.action == "start" else ends)[entry.nonce] = entry
    return [_call(entry, ends.get(nonce), safe.get(nonce)) for nonce, entry in begun.items()]


def _call(began: Entry, ended: Entry | None, safe: float | None) -> Call:
    end, word = (None, "") if ended is None else (ended.at, str(ended.action))
    return Call(began.key, began.nonce, began.by, began.at, end, word, safe)


def running(entries: Iterable[Entry]) -> dict[str, str]:
    """Nonce → worker, of the calls that have begun and not ended."""
    found = dict[str, str]()
    for entry in entries:
        if entry.action == "start":
            found[entry.nonce] = entry.by
        else:
            found.pop(entry.nonce, None)
    return found


def account(calls: Iterable[Call], blows: Iterable[Blow] = (), moves: Iterable[Move] = ()) -> Account:
    """The account of a run: which calls came to nothing and why, and which were made without a cause."""
    every, befell = sorted(calls, key=attrgetter("key", "began")), list(blows)
    cut = {call.nonce for call in every if call.was_cut(befell)}
    for move in moves:
        dropped = [call.nonce for call in every if call.nonce not in cut and move.took(call)]
        cut.update(dropped[: move.count])
    failed = {call.nonce for call in every if call.word == "error"} - cut
    by_key = {key: list(each) for key, each in groupby(every, attrgetter("key"))}
    baseless = tuple(key for key, each in by_key.items() if _needless(each, cut | failed))
    return Account(len(every), len(by_key), len(cut), len(failed), baseless)


def _needless(each: Sequence[Call], excused: Container[str]) -> bool:
    """Whether a key has two calls that should have stood, or one that began when another was safe."""
    safe = min((call.safe for call in each if call.safe is not None and call.word == "end"), default=FOR_EVER)
    standing = sum(call.nonce not in excused for call in each)
    return standing > 1 or any(call.began > safe for call in each)
