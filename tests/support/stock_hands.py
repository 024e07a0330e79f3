"""Starts stock Faust agents where a drill would start workers of ours."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from streams.drill.crew import Process
from streams.drill.drills import Drill
from streams.drill.served import LEDGER
from streams.local import launcher
from topics.catalog import PROMPTS, RESULTS, Names


class StockHands:
    """Their calls go into the provider's ledger in its own form, so that the count is the same."""

    def __init__(self, directory: Path, brokers: str, url: str, drill: Drill) -> None:
        self.directory, self.brokers = directory, brokers

    def __call__(self, slot: int, main: tuple[str, ...]) -> Process:
        ends = [Names().topic(PROMPTS), Names().topic(RESULTS)]
        its_own = [str(self.directory / f"stock-{slot}"), str(self.directory / LEDGER)]
        words = ["env", f"STOCK_WORKER=worker-{slot}", sys.executable, "-m", "tests.support.stock_worker"]
        command = [*words, self.brokers, *ends, *its_own, "worker", "--without-web"]
        return launcher.spawn(command, log=self.directory / f"stock-{slot}.log", cwd=Path.cwd())

    def run(self, *words: str) -> Process:
        """It has no other commands."""
        raise NotImplementedError(words)

    async def ready(self, slots: Iterable[int]) -> bool:
        """It cannot be asked: the warm-up finds out."""
        return True

    def told(self) -> Iterable[Mapping[str, object]]:
        return ()

    def complaint(self) -> str:
        return f"read {self.directory / 'stock-0.log'}"
