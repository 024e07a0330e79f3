"""Which services may this worker call just now? The stage's last word on each, and until that comes its own evidence.

A board hears every record of ``breakers``, and writes to ``calls`` how its own calls went: one record a service and
tenth of a second at most.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from streams.decisions import blame, breaker, breaker_rows
from streams.decisions.blame import Outcome
from streams.decisions.breaker import BreakerPolicy, CircuitBreaker, Closed, Open, Probe, State, Verdict
from streams.stage import Record
from topics import wire
from topics.calls import Asked, Breaker, Told
from topics.errors import DecodingError

log = logging.getLogger(__name__)

EVERY_MS = 100  # between two records about one service
SERVICES = 4096  # beyond so many, those are forgotten that are quiet and of which the stage never said a word
NEVER = -math.inf
ALL_CLOSED = Closed(0)

Publish = Callable[[str, bytes], None]
Sleep = Callable[[float], Awaitable[object]]


@dataclass(slots=True)
class Entry:
    """One service.

    Args:
        breaker: The stage's word and, while closed, our own evidence in it.
        epoch: The stage's, under which we call; ``number``: of its word.
        closed: The verdict while it is closed.
        asked_ms: When we asked last; ``probe_ms``: until when the probe that we were granted is good.
        told_ms: When we told last; ``untold``: outcomes that we did not tell yet, of which the last ``good`` ones went
            well and are not in ``breaker`` yet either: they alone change no verdict.
        waiting: What sleeps until the next word, which cancels it.
    """

    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    epoch: int = 0
    number: int = 0
    closed: Closed = ALL_CLOSED
    asked_ms: float = NEVER
    probe_ms: float = NEVER
    told_ms: float = NEVER
    untold: list[str] = field(default_factory=list)
    good: int = 0
    waiting: set[asyncio.Future[object]] = field(default_factory=set)


class Board:
    """The ``Breakers`` of one worker; ``worker`` names this life of it, ``publish`` writes to ``calls`` and returns."""

    def __init__(
        self,
        worker: str,
        publish: Publish,
        policy: BreakerPolicy | None = None,
        *,
        every_ms: int = EVERY_MS,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.worker, self._publish, self._policy = worker, publish, policy or BreakerPolicy()
        self._every_ms, self._sleep = every_ms, sleep
        self._interval_ms = round(self._policy.probe_interval_s * 1000)
        self._entries: dict[str, Entry] = {}
        self._waiting: set[str] = set()

    # -- what `infer` asks and tells

    def verdict(self, service: str, now_ms: int) -> Verdict:
        """May the service be called? Where a probe is due (``until_ms`` is past), it is asked for, once an interval."""
        entry = self._entries.get(service)
        if entry is None:
            return ALL_CLOSED
        now = entry.breaker
        if now.state == "closed":
            return entry.closed
        if entry.probe_ms > now_ms:
            entry.probe_ms = NEVER
            return Probe(entry.epoch)
        if now_ms >= now.until_ms:
            self._ask(service, entry, now_ms)
        return Open(now.since_ms, now.until_ms)

    async def ask(self, service: str, now_ms: int) -> None:
        """Returns with the next word about the service, or after a probe interval; at once while it is closed."""
        entry = self._entries.get(service)
        if entry is None or entry.breaker.state == "closed" or entry.probe_ms > now_ms:
            return
        if now_ms >= entry.breaker.until_ms:
            self._ask(service, entry, now_ms)
        waiting = asyncio.ensure_future(self._sleep(self._interval_ms / 1000))
        entry.waiting.add(waiting)
        try:
            await asyncio.wait([waiting])
        finally:
            entry.waiting.discard(waiting)
            waiting.cancel()

    def told(self, service: str, epoch: int, outcome: Outcome, began_ms: int, now_ms: int, probe: bool) -> None:
        """How a call went; what began under another epoch is late and changes nothing."""
        outcome = blame.graded(outcome, now_ms - began_ms, self._policy.slow_s)
        if outcome == "ignored":
            return
        entry = self._entries.get(service) or self._new(service, now_ms)
        if epoch != entry.epoch:
            return
        letter = blame.LETTERS[outcome]
        if probe:
            self._tell(service, entry, letter, probe=True)
            return
        entry.untold.append(letter)
        before = entry.breaker
        if outcome == "ok":
            entry.good += 1
        else:
            self._hear(entry, letter, now_ms)
        opened = entry.breaker.epoch != before.epoch
        if opened or now_ms - entry.told_ms >= self._every_ms:
            self._flush(service, entry, now_ms)
        else:
            self._waiting.add(service)
        if opened:
            self._ask(service, entry, now_ms)

    # -- what the worker does beside

    def apply(self, record: Record) -> None:
        """One record of ``breakers``; an older word than the one we know changes nothing, nor does what is none."""
        try:
            word = wire.decode(record.value, Breaker)
        except DecodingError as bad:
            log.warning("%s: %s", record.at, bad, extra={"action": "breaker-skipped"})
            return
        entry = self._entries.get(word.service) or self._new(word.service, record.timestamp_ms)
        if (word.epoch, word.number) <= (entry.epoch, entry.number):
            return
        if word.epoch != entry.epoch:
            entry.untold.clear()  # late by now
            entry.good = 0
            entry.probe_ms, entry.closed = NEVER, Closed(word.epoch)
        entry.epoch, entry.number = word.epoch, word.number
        if entry.breaker.epoch != word.epoch or word.state != "closed":  # else our own evidence goes on
            entry.breaker = breaker_rows.as_told(word)
        grant = entry.breaker.grant
        if grant is not None and grant.worker == self.worker:
            entry.probe_ms = grant.sent_ms + self._interval_ms
        for waiting in entry.waiting:
            waiting.cancel()

    def flush(self, now_ms: int) -> None:
        """Tells what has waited long enough."""
        for service in tuple(self._waiting):
            entry = self._entries.get(service)
            if entry is None or now_ms - entry.told_ms >= self._every_ms:
                self._waiting.discard(service)
                if entry is not None and entry.untold:
                    self._flush(service, entry, now_ms)

    @property
    def states(self) -> Mapping[str, State]:
        """Of every service of which the stage said a word, or that is open here."""
        known = self._entries.items()
        return {service: entry.breaker.state for service, entry in known if entry.number or entry.breaker.epoch}

    # -- how

    def _new(self, service: str, now_ms: int) -> Entry:
        if len(self._entries) >= SERVICES:
            quiet_ms = now_ms - self._policy.window_s * 1000
            known = self._entries.items()
            self._entries = {name: one for name, one in known if one.number or one.told_ms >= quiet_ms}
        entry = self._entries[service] = Entry()
        return entry

    def _hear(self, entry: Entry, letter: str, now_ms: int) -> None:
        letters, entry.good = blame.LETTERS["ok"] * entry.good + letter, 0
        entry.breaker = breaker.heard(entry.breaker, letters, entry.epoch, now_ms, self._policy)

    def _flush(self, service: str, entry: Entry, now_ms: int) -> None:
        self._hear(entry, "", now_ms)
        outcomes, entry.told_ms = "".join(entry.untold), now_ms
        entry.untold.clear()
        self._waiting.discard(service)
        self._tell(service, entry, outcomes, probe=False)

    def _tell(self, service: str, entry: Entry, outcomes: str, *, probe: bool) -> None:
        told = Told(worker=self.worker, epoch=entry.epoch, outcomes=outcomes, probe=probe)
        self._publish(service, wire.encode(told))

    def _ask(self, service: str, entry: Entry, now_ms: int) -> None:
        if now_ms < entry.asked_ms + self._interval_ms:
            return
        entry.asked_ms = now_ms
        self._publish(service, wire.encode(Asked(worker=self.worker, epoch=entry.epoch, sent_ms=now_ms)))
