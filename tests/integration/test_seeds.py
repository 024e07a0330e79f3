"""Four seeds of the fault driver, in the short form; many more by ``scripts/soak.sh``."""

from pathlib import Path

import pytest

from tests.chaos import seeds

pytestmark = [pytest.mark.broker, pytest.mark.chaos]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_seed_of_three_faults_loses_and_repeats_nothing_without_cause(seed: int, tmp_path: Path) -> None:
    """F1, F2, F3, F4, F5, F6, F7, F8, F9, F12, F13, F14, F15, F16, F21, F22, I1, I2, I3, I5.

    Every fault falls into the busy time, or the run is red.
    """
    outcome = seeds.played(seed, seeds.arguments([]), tmp_path)

    assert outcome.green, outcome.line()
