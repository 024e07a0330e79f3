"""When is a request paid for, when does it wait for a twin, and when is there an answer already?

THEORY OF OPERATION

Requests with one dedup key meet in one partition, in the order of their offsets, so whoever holds the partition decides
alone. The first one becomes the **owner** and travels on; those after it are its **twins** and wait in rows of their
own. The owner's outcome ends this **generation** of the key (all that share one epoch, so that they share one call):

    absent ──New──▶ running ──completed──▶ kept  ──window over──▶ stale ──New──▶ running (next generation)
                      │ ▲ └──failed for all─▶ bound ─window over──▶ stale
                      │ └─ failed for itself, a twin takes over
                      └─── failed for itself, nobody waits ───────▶ stale

``kept``: an answer for everybody. ``bound``: a failure for those who shared it; anybody else tries anew. ``stale``: an
entry that binds nobody, kept as the memory of what was sent. Phases are read off the row and the time of the record
that asks; no clock, so a record that comes again sees the same.

An input may come again at any time (the state rule), and is recognised by its coordinates: the opener by ``first``, the
one that ended the generation by ``by``, what found it running by ``last``, everything else by a row of its own. The
table below says what happens for every pair of phase and role, that of ``succession`` the same for outcomes; functions
carry them out as values.

Nobody is robbed of an owner by a timer alone: a takeover waits for the owner's deadline and a slack, and an owner
without a deadline is never taken over. A replaced owner's own late answer is delivered beside the entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from streams.decisions.requests import ROW_BYTES, Entry, Twin
from topics.errors import BackpressureShed, DeduplicationConflict

Phase = Literal["absent", "running", "kept", "bound", "stale"]
Role = Literal["opener", "passed", "owner", "twin", "stranger"]
Move = Literal["opens", "again", "waits", "joins", "repeats", "cached"]

PHASES: tuple[Phase, ...] = ("absent", "running", "kept", "bound", "stale")
ROLES: tuple[Role, ...] = ("opener", "passed", "owner", "twin", "stranger")
WAITING = "waiting twins"
BINDING = frozenset({"completed", "failed"})  # a refusal or a passed deadline binds nobody: the same may be asked again

ARRIVALS: Mapping[Phase, Mapping[Role, Move]] = {
    "absent": dict.fromkeys(ROLES, "opens"),
    "running": {**dict.fromkeys(ROLES, "waits"), "opener": "again", "stranger": "joins"},
    "kept": {**dict.fromkeys(ROLES, "repeats"), "opener": "again", "stranger": "cached"},
    "bound": {**dict.fromkeys(ROLES, "repeats"), "opener": "again", "stranger": "opens"},
    "stale": {**dict.fromkeys(ROLES, "opens"), "opener": "again", "passed": "waits"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DedupPolicy:
    """The knobs of ``dedup`` and ``deliver``.

    Args:
        window_s: Seconds for which an answer is shared, and a final remembered, after it was decided.
        max_completed: Rows of finished requests a partition; above it the oldest go first. Far above the un-acked span
            of a partition (5,000), as they are also the memory for redeliveries.
        max_running: Keys in progress a partition; beyond it requests go on un-deduplicated.
        max_waiters: Twins of one key; ``max_waiter_bytes``: bytes of their messages.
        max_answer_bytes: Bytes of an answer that is kept; larger ones are not shared later.
        takeover_slack_s: Seconds after an owner's deadline before a twin takes over.
        memory_s: Seconds for which a row stands at least, whatever the window.
        retry_after_s: Seconds after which who was shed may come back.
        max_acts: Twins that one tick answers or promotes.
    """

    window_s: float = 3600
    max_completed: int = 20_000
    max_running: int = 100_000
    max_waiters: int = 10_000
    max_waiter_bytes: int = 64 * 1024 * 1024
    max_answer_bytes: int = 256 * 1024
    takeover_slack_s: float = 60
    memory_s: float = 900
    retry_after_s: float = 30
    max_acts: int = 500

    @property
    def window_ms(self) -> int:
        """The window in milliseconds."""
        return round(self.window_s * 1000)

    @property
    def slack_ms(self) -> int:
        """The slack before a takeover in milliseconds."""
        return round(self.takeover_slack_s * 1000)

    @property
    def keep_ms(self) -> int:
        """How long a finished row stands at most, in milliseconds."""
        return round(max(self.window_s, self.memory_s) * 1000)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request at the door: key, whose it is, where its prompt lies, offset, time; hash and bytes of its message."""

    key: str
    identity: str
    origin: str
    offset: int
    now_ms: int
    check: str
    size: int


@dataclass(frozen=True, slots=True)
class New:
    """The request travels on as owner under an epoch; ``again``: it did so before, and its rows stand."""

    again: bool


@dataclass(frozen=True, slots=True)
class InProgress:
    """The request waits; ``joins``: as a new twin. Otherwise it stands already, and its answer is on its way."""

    joins: bool


@dataclass(frozen=True, slots=True)
class Cached:
    """There is an answer: a stored final of this very request (``copy``), or that of another with equal content."""

    copy: bool


@dataclass(frozen=True, slots=True)
class Shed:
    """The key has all the twins that it may have."""

    error: BackpressureShed


@dataclass(frozen=True, slots=True)
class Alone:
    """The request goes on un-deduplicated, its identity as dedup key; ``word`` says why."""

    word: Literal["no-room", "conflict"]


Arrived = New | InProgress | Cached | Shed | Alone


def phase(entry: Entry | None, now_ms: int, policy: DedupPolicy) -> Phase:
    """What a generation is worth to a record of that time.

    Args:
        entry: Its row, or None.
        now_ms: The record's timestamp; where clocks jumped back, an age is 0, never negative.
        policy: The window.

    Returns:
        One of ``PHASES``.
    """
    if entry is None:
        return "absent"
    if entry.by is None:
        return "running"
    over = max(0, now_ms - entry.ms) >= policy.window_ms
    if over or not entry.payload or entry.word not in BINDING:
        return "stale"
    return "kept" if entry.word == "completed" else "bound"


def role(entry: Entry | None, seen: Arrival, twin: Twin | None) -> Role:
    """Who a request is to a generation.

    Args:
        entry: The generation's row, or None.
        seen: The request.
        twin: The newest row in which the request's identity is a twin of this generation, or None.

    Returns:
        ``opener``: this very record opened it; ``passed``: this record, one after it, or another copy of
        its prompt was here before;
        ``owner``: its identity owns it, or did at its end; ``twin``: it waits, or waited to the end;
        else ``stranger``, also who was replaced: its own answer is late, and whichever comes first is its final.
    """
    if entry is None:
        return "stranger"
    if seen.offset == entry.first:
        return "opener"
    if seen.offset <= entry.last or seen.origin in (entry.epoch, "" if twin is None else twin.origin):
        return "passed"
    if twin is not None and twin.standing == "waiting":
        return "twin"
    return "owner" if seen.identity == entry.identity else "stranger"


def arrive(entry: Entry | None, who: Role, seen: Arrival, running: int, policy: DedupPolicy) -> Arrived:
    """What becomes of a request.

    Args:
        entry: The generation that it meets, or None.
        who: What ``role`` returned.
        seen: The request.
        running: Keys in progress in the partition.
        policy: The bounds.

    Returns:
        ``New``, ``InProgress`` or ``Cached``; ``Shed`` above the bounds of one key, ``Alone`` above those of the
        partition, for a message that no row can hold, or for a digest that collided.
    """
    move = ARRIVALS[phase(entry, seen.now_ms, policy)][who]
    match move:
        case "again":
            return New(again=True)
        case "waits":
            return InProgress(joins=False)
        case "repeats":
            return Cached(copy=True)
    if entry is None or move == "opens":
        return Alone("no-room") if running >= policy.max_running else New(again=False)
    return _shares(entry, move, seen, policy)


def _shares(entry: Entry, move: Move, seen: Arrival, policy: DedupPolicy) -> Arrived:
    try:
        same_content(entry, seen)
    except DeduplicationConflict:
        return Alone("conflict")
    if move == "cached":
        return Cached(copy=False)
    if seen.size > ROW_BYTES:
        return Alone("no-room")
    if entry.count >= policy.max_waiters:
        return Shed(_shed(entry.count, policy.max_waiters, policy))
    if entry.size + seen.size > policy.max_waiter_bytes:
        return Shed(_shed(entry.size + seen.size, policy.max_waiter_bytes, policy))
    return InProgress(joins=True)


def _shed(depth: int, capacity: int, policy: DedupPolicy) -> BackpressureShed:
    return BackpressureShed(depth, capacity, WAITING, policy.retry_after_s)


def same_content(entry: Entry, seen: Arrival) -> None:
    """Nothing, where key and content agree.

    Raises:
        DeduplicationConflict: One digest stands for two contents.
    """
    if entry.check != seen.check:
        raise DeduplicationConflict(seen.key)
