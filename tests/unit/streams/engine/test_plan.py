"""What follows from the stages and the place of an app."""

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from streams.engine.cluster import Cluster
from streams.engine.plan import AppPlan, Tuning
from streams.engine.slots import Place
from streams.settings import Settings
from streams.stage import Stage
from tests.support.fake_faust import Told, stage
from topics.catalog import Names

PLACE = Place("slot-4", Path("state/slot-4"), static=True, lock=None)


def plan(*stages: Stage, name: str = "core", names: Names | None = None, **fields: Any) -> AppPlan:
    said, clock = Told(), Any
    made: Any = clock
    return AppPlan(name, stages, Cluster("one:1"), names or Names(), PLACE, made, said, said.ended.append, **fields)


@pytest.mark.parametrize(
    ("stages", "reads"),
    [
        ((), ()),
        ((stage("a"),), ("admitted",)),
        ((stage("a", reads=("admitted", "ticks")), stage("b", reads=("failed",))), ("admitted", "ticks", "failed")),
    ],
)
def test_app_plan_reads_and_places_follow_from_its_stages(stages: tuple[Stage, ...], reads: tuple[str, ...]) -> None:
    made = plan(*stages)

    assert (reads, PLACE.dir / "core") == (made.reads, made.datadir)


@pytest.mark.parametrize(
    ("name", "names", "group"),
    [
        ("core", Names(), "prompts.core"),
        ("infer", Names("acme."), "acme.infer"),
        ("bury", Names("acme.", prefix="p-"), "acme.bury"),
    ],
)
def test_group_of_an_app_plan_bears_the_namespace(name: str, names: Names, group: str) -> None:
    assert group == plan(name=name, names=names).group


@pytest.mark.parametrize("name", ["core", "infer", "bury"])
def test_directory_of_an_app_plan_is_its_alone(name: str) -> None:
    assert PLACE.dir / name == plan(name=name).datadir


def test_app_plan_by_default_stops_nowhere_on_purpose() -> None:
    made = plan()

    assert (Tuning(), None) == (made.tuning, made.failpoint("row-written"))


def test_app_plan_once_made_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        plan().name = "other"  # type: ignore[misc]  # the claim


def test_tuning_by_default_is_that_of_the_settings() -> None:
    told = Settings()

    assert (told.worker.session_timeout_s, told.topics.partitions) == (Tuning().session_s, Tuning().partitions)


def test_tuning_by_default_never_skips_what_is_lost() -> None:
    assert not Tuning().skip_lost_offsets
