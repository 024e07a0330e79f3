"""# Engine: plan

Responsibility: all that one app is made of, as a value; the engine's knobs.
Guarantees: what an app reads and where it stores follows from its stages and its place
    (tests/unit/streams/engine/test_plan.py::test_app_plan_reads_and_places_follow_from_its_stages).
NOT Responsible For: Faust's settings (app), where values come from (streams/settings).
"""

from dataclasses import dataclass, field
from pathlib import Path

from streams.decisions.retry import RetryPolicy
from streams.engine.cluster import Cluster
from streams.engine.exit import End
from streams.engine.scope import Failpoint
from streams.engine.slots import Place
from streams.ports import Clock, Observer
from streams.stage import Stage
from topics.catalog import Names


@dataclass(frozen=True, slots=True)
class Tuning:
    """Knobs of the engine; durations in seconds. ``direct`` hands records to the stages without Faust's own loop.

    ``tiers_s`` are the waits of the parked tiers, shortest first.
    """

    session_s: float = 10.0
    heartbeat_s: float = 1.0
    grace_s: float = 5.0
    partitions: int = 8
    skip_lost_offsets: bool = False
    direct: bool = True
    tiers_s: tuple[float, ...] = RetryPolicy().tiers_s


@dataclass(frozen=True, slots=True)
class AppPlan:
    """All that one app is made of."""

    name: str
    stages: tuple[Stage, ...]
    cluster: Cluster
    names: Names
    place: Place
    clock: Clock
    observer: Observer
    end: End
    tuning: Tuning = field(default_factory=Tuning)
    failpoint: Failpoint = lambda _: None

    @property
    def group(self) -> str:
        """The consumer group."""
        return self.names.group(self.name)

    @property
    def reads(self) -> tuple[str, ...]:
        """The topics its stages read, by their names in the catalog."""
        return tuple(topic for stage in self.stages for topic in stage.reads)

    @property
    def datadir(self) -> Path:
        """Where this app's stores lie; its alone."""
        return self.place.dir / self.name
