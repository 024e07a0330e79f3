"""How is the fake provider run as a process of its own, and told in the middle of a drill what to do next?"""

from collections.abc import Sequence
from pathlib import Path
from sys import executable

import aiohttp

from streams.drill import ledger
from streams.drill.crew import DrillFailed, Process, killed, until
from streams.drill.ledger import Entry
from streams.local import launcher

START_S = 20.0
LEDGER, LOG = "ledger.jsonl", "provider.log"


class ServedProvider:
    """A provider process whose answers all differ; ``good`` are the words that it plays where nothing is wrong."""

    def __init__(self, directory: Path, good: Sequence[str], latency_s: float = 0.0) -> None:
        self.directory, self.good, self._latency_s = directory, tuple(good), latency_s
        self.url = ""
        self._process: Process | None = None

    @property
    def ledger(self) -> Path:
        """Where it writes down its calls."""
        return self.directory / LEDGER

    async def start(self) -> "ServedProvider":
        """Starts it; returns once it has told its address."""
        knobs = ["--nonce", "--latency-s", str(self._latency_s), "--log", str(self.ledger), "--steps", *self.good]
        command = [executable, "-P", "-m", "streams.drill.provider", *knobs]
        process = launcher.spawn(command, log=self.directory / LOG, cwd=self.directory)
        self._process = process
        await until(lambda: bool(self._address()) or process.poll() is not None, START_S)
        self.url = self._address()
        if not self.url:
            self.end()
            raise DrillFailed(f"the fake provider did not start: read {self.directory / LOG}")
        return self

    def _address(self) -> str:
        """Its first line, once it is whole; empty where that is no address."""
        first, whole, _ = (self.directory / LOG).read_text().partition("\n")
        return first if whole and first.startswith("http://") else ""

    async def play(self, *words: str) -> None:
        """Does this from the next call on; without words it is good again."""
        body = " ".join(words or self.good)
        async with aiohttp.ClientSession() as client, client.put(f"{self.url}/script", data=body) as response:
            if response.status != 204:
                raise DrillFailed(f"the fake provider refused its script: {await response.text()}")

    def entries(self) -> list[Entry]:
        """Its ledger so far."""
        return ledger.read(self.ledger)

    def end(self) -> None:
        """Kills it; what it wrote down stays."""
        if self._process is not None:
            killed(self._process)
