"""The stage `breaker` by hand: records of `calls` and ticks go in, words come out."""

from typing import Any

from streams.decisions.breaker import BreakerPolicy
from streams.stage import Output, Record
from streams.stages import breaker
from tests.support.builders import NOW_MS, record
from tests.support.scopes import FakeScope
from topics import wire
from topics.calls import Asked, Breaker, Ordered, Told
from topics.catalog import BREAKER_TICKS, CALLS
from topics.messages import Open

SERVICE = "openai:gpt-5"
POLICY = BreakerPolicy(
    consecutive=3, rate=0.5, minimum=6, window_n=10, window_s=60.0, open_s=1.0, probe_interval_s=0.5, min_probes=2
)


def told(outcomes: str, epoch: int = 0, *, probe: bool = False, worker: str = "w") -> Told:
    return Told(worker=worker, epoch=epoch, outcomes=outcomes, probe=probe)


def asks(epoch: int, worker: str = "w", sent_ms: int = 0) -> Asked:
    return Asked(worker=worker, epoch=epoch, sent_ms=sent_ms)


def order(what: Any, for_s: float | None = None, **fields: Any) -> Ordered:
    return Ordered(**{"order": what, "id": "1", "who": "ann", "why": "maintenance", "for_s": for_s, **fields})


class Handled:
    """One partition of the stage: its rows, its memory, and the log of what went in."""

    def __init__(self, policy: BreakerPolicy = POLICY) -> None:
        self.stage, self.scope = breaker.stage(policy), FakeScope()
        self.logs: dict[str, list[Record]] = {CALLS: [], BREAKER_TICKS: []}

    def enter(self, topic: str, message: Open | bytes | None, now_ms: int, service: str = SERVICE) -> list[Output]:
        """One new record."""
        log, key = self.logs[topic], None if topic == BREAKER_TICKS else service.encode()
        log.append(record(message, topic=topic, offset=len(log), timestamp_ms=now_ms, key=key))
        return self.handle(log[-1])

    def handle(self, seen: Record) -> list[Output]:
        """The outputs of a record, the first time or again."""
        return list(self.stage.handle(seen, self.scope))  # type: ignore[arg-type]  # a stage without slots

    def hear(self, *messages: Open | bytes | None, now_ms: int = NOW_MS, service: str = SERVICE) -> list[Breaker]:
        """Records of ``calls``, and all that is said."""
        outputs = [self.enter(CALLS, message, now_ms, service) for message in messages]
        return [wire.decode(output.value, Breaker) for each in outputs for output in each]

    def tick(self, now_ms: int = NOW_MS) -> list[Output]:
        """A second passed."""
        return self.enter(BREAKER_TICKS, b'{"v":1}', now_ms)

    def moved(self) -> None:
        """Another worker takes the partition: its rows come along, the memory does not."""
        self.scope.made.clear()
