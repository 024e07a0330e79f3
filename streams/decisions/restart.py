"""When is a dead worker started again, and when is an app stopped because one record keeps ending it?"""

from dataclasses import dataclass, replace
from typing import assert_never

USAGE_EXIT = 2  # the worker refused its configuration: starting it again changes nothing
REMEMBERED = 16  # distinct fatal records kept per worker, so that the state stays bounded


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The knobs of ``step``.

    Args:
        base_s: seconds before the first restart; doubles with each exit in a row.
        cap_s: no wait is longer, in seconds.
        healthy_s: a worker that lived this many seconds starts again at ``base_s``.
        same_fatal: how often one record may end a worker before its app is stopped.
    """

    base_s: float = 0.5
    cap_s: float = 30.0
    healthy_s: float = 60.0
    same_fatal: int = 3


@dataclass(frozen=True, slots=True)
class Fatal:
    """Which record ended a worker, in which app, and why (one word)."""

    reason: str
    app: str
    topic: str
    partition: int
    offset: int

    @property
    def at(self) -> str:
        """The record's coordinates as people write them: ``prompts/3/1042``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Exited:
    """A worker process ended and was reaped: its exit code (negative = signal) and its fatal report, if it left one."""

    code: int
    fatal: Fatal | None = None


@dataclass(frozen=True, slots=True)
class RestartState:
    """One worker's history: when it last started (seconds), exits in a row, and how often each fatal was seen."""

    started_s: float
    exits: int = 0
    seen: tuple[tuple[Fatal, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again after ``after_s`` seconds; ``state`` is the history from there on."""

    after_s: float
    state: RestartState


@dataclass(frozen=True, slots=True)
class StopApp:
    """Start it again without ``app``: ``record`` ended it too often."""

    app: str
    record: Fatal
    after_s: float
    state: RestartState


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not start it again: it refused its configuration with exit code ``code``."""

    code: int


Decision = Restart | StopApp | GiveUp


def step(state: RestartState, event: Exited, policy: RestartPolicy, now: float) -> Decision:
    """What to do about a worker that ended.

    Args:
        state: the worker's history.
        event: how it ended.
        policy: the knobs.
        now: seconds on any steady clock, the same one as ``state.started_s``.

    Returns:
        ``GiveUp`` when the worker refused its configuration; ``StopApp`` when the same record was fatal
        ``policy.same_fatal`` times; else ``Restart`` after ``base_s``, doubled for each exit in a row up to ``cap_s``.

    >>> step(RestartState(started_s=0.0), Exited(-9), RestartPolicy(base_s=0.5), now=1.0).after_s
    0.5
    """
    if event.code == USAGE_EXIT:
        return GiveUp(event.code)
    exits = 1 if now - state.started_s >= policy.healthy_s else state.exits + 1
    after_s = delay(exits, policy)
    grown = RestartState(now + after_s, exits, state.seen)
    if event.fatal is None:
        return Restart(after_s, grown)
    times = dict(state.seen).get(event.fatal, 0) + 1
    others = tuple(pair for pair in state.seen if pair[0] != event.fatal)
    if times >= policy.same_fatal:
        return StopApp(event.fatal.app, event.fatal, after_s, replace(grown, seen=others))
    return Restart(after_s, replace(grown, seen=(*others, (event.fatal, times))[-REMEMBERED:]))


def delay(exits: int, policy: RestartPolicy) -> float:
    """Seconds to wait after that many exits in a row (from 1).

    >>> [delay(n, RestartPolicy(base_s=1.0, cap_s=5.0)) for n in (1, 2, 3, 4)]
    [1.0, 2.0, 4.0, 5.0]
    """
    return min(policy.cap_s, policy.base_s * 2.0 ** min(exits - 1, 60))


def explain(decision: Decision) -> str:
    """One line for people about a decision; holds coordinates, never content."""
    match decision:
        case Restart(after_s=after_s):
            return f"restarting in {after_s:.1f} s"
        case StopApp(app=app, record=record):
            return f"stopping '{app}': {record.reason} at {record.at} again and again; the rest goes on"
        case GiveUp(code=code):
            return f"not restarted: it refused its configuration (exit {code})"
        case _:
            assert_never(decision)
