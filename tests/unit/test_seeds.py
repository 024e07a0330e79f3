"""Would the fault drivers play every fault, in the form that was asked for, and fail where they must?"""

from collections import Counter

import pytest

from streams.drill.plan import draw
from tests.chaos import scripted_faults, seeds
from tests.support import fault_worker
from tests.support.far_faults import FAR
from tests.support.tree import ROOT

NUMBERS = {*(f"F{number}" for number in (*range(1, 10), *range(12, 17), 21, 22))}


def drill(seed: int = 1, *flags: str) -> seeds.Drill:
    return seeds.drill_of(seed, seeds.arguments(flags))


def test_every_numbered_fault_of_the_seeds_is_drawn() -> None:
    assert {seeds.KNOWN[name].number for name in seeds.DRAWN} == NUMBERS


def test_forty_seeds_play_each_fault_five_times() -> None:
    played = Counter(planned.fault for seed in range(1, 41) for planned in draw(seed, seeds.DRAWN, 120.0))

    assert min(played[name] for name in seeds.DRAWN) >= 5


@pytest.mark.parametrize("seed", [1, 2, 7, 40])
def test_drill_of_a_seed_is_the_same_again(seed: int) -> None:
    assert drill(seed) == drill(seed)


@pytest.mark.parametrize(("flags", "calls_s", "long_s", "busy_s"), [((), 1, 6, 45), (("--long",), 8, 20, 120)])
def test_form_of_a_seed_is_short_or_long(flags: tuple[str, ...], calls_s: float, long_s: float, busy_s: float) -> None:
    found = drill(1, *flags)

    assert (calls_s, long_s, busy_s) == (found.calls_s, found.long_s, found.busy_s)


def test_busy_time_can_be_chosen() -> None:
    assert drill(1, "--busy-s", "60").busy_s == 60


def test_seed_draws_only_what_was_asked_for() -> None:
    assert set(drill(3, "--only", "kill,stop").faults) <= {"kill", "stop"}


def test_control_is_killed_under_load() -> None:
    found = drill(1, "--stock")

    assert found.faults == seeds.CONTROL
    assert {len(found.asked(number)) > 20_000 for number in range(20)} == {True, False}


@pytest.mark.parametrize("name", sorted(FAR))
def test_far_fault_stands_under_its_own_name(name: str) -> None:
    assert (FAR[name].name, FAR[name].number[0]) == (name, "F")


def test_points_of_the_worker_are_those_of_the_engine() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "streams/engine").glob("*.py"))

    assert all(f'failpoint("{point}")' in source for point in fault_worker.POINTS)


@pytest.mark.parametrize("fault", ["nonsense", "clock", "point:nowhere:3", "point:row-sent"])
def test_fault_that_does_not_exist_is_refused(fault: str) -> None:
    with pytest.raises(SystemExit, match="no such fault"):
        fault_worker.plant(fault)


def test_clock_that_is_wrong_is_wrong_by_that_much() -> None:
    class Noon:
        def now_ms(self) -> int:
            return 1000

    assert fault_worker.shifted(Noon, -0.5)().now_ms() == 500


@pytest.mark.parametrize("name", sorted(scripted_faults.SCRIPTS))
def test_each_script_says_what_it_does(name: str) -> None:
    assert scripted_faults.SCRIPTS[name].play.__doc__


def test_scripts_play_the_faults_that_no_seed_plays() -> None:
    assert {script.number for script in scripted_faults.SCRIPTS.values()} >= {"F7", "F10", "F11", "F14", "F17", "F18"}


@pytest.mark.parametrize(
    ("named", "wrong", "fine"),
    [
        ((), {}, True),
        ((), {"lost": ("a",)}, False),
        (("lost", "gap"), {"lost": ("a",), "gap": ("b",)}, True),
        (("lost", "gap"), {"lost": ("a",)}, False),
        (("lost", "gap"), {"lost": ("a",), "gap": ("b",), "phantom": ("c",)}, False),
        (("lost",), {}, False),
    ],
)
def test_script_is_fine_when_exactly_what_cannot_be_helped_is_named(
    named: tuple[str, ...], wrong: dict[str, tuple[str, ...]], fine: bool
) -> None:
    script = scripted_faults.Script(scripted_faults.cut_prompts, "F11", named=frozenset(named))

    assert fine == script.as_expected(seeds.Outcome(requests=1, wrong=wrong))
