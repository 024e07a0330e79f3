"""How is a drill's worker started, when is it ready, and what did it tell? Settings, state, port and log of its own."""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import orjson

from streams.drill.account import Move
from streams.drill.crew import Process, name_of
from streams.local import launcher, ports, workers

FOREIGN = ("STREAMS_", "KAFKA_")  # the user's own settings and clusters are none of a drill's business


@dataclass(frozen=True, slots=True)
class Size:
    """How large: workers that stay and spare ones, partitions, seconds until a silent worker is out of its group.

    ``settings``: more lines of ``streams.toml``, by section.
    """

    workers: int = 2
    spares: int = 1
    partitions: int = 8
    session_s: float = 6.0
    settings: Mapping[str, str] = field(default_factory=dict)


def toml(slot: int, url: str, size: Size) -> str:
    """A worker's ``streams.toml``; its key tells the provider's ledger who called. Spares join and leave freely."""
    static = str(slot < size.workers).lower()
    sections = {
        "topics": f"partitions = {size.partitions}",
        "worker": f"session_timeout_s = {size.session_s:g}\nstatic_membership = {static}",
        "provider": 'kind = "openai"',
        "provider.openai": f'base_url = "{url}/v1"\nmodel = "drill"\napi_key = "{name_of(slot)}"',
    }
    named = dict.fromkeys([*sections, *size.settings])
    return "".join(f"[{name}]\n{sections.get(name, '')}\n{size.settings.get(name, '')}\n" for name in named)


def command(main: Sequence[str], flags: Sequence[str], environment: Iterable[str]) -> list[str]:
    """A worker's command, which keeps the user's own settings out of its environment."""
    unset = [word for name in sorted(environment) if name.startswith(FOREIGN) for word in ("-u", name)]
    return ["env", *unset, sys.executable, "-P", "-m", *main, "worker", *flags]


class Hands:
    """Starts workers of ``streams worker`` over a directory; ``environment`` are the names of what is set in it."""

    def __init__(self, directory: Path, brokers: str, url: str, size: Size, environment: Iterable[str]) -> None:
        self.directory, self.brokers, self.url, self.size = directory, brokers, url, size
        self.environment = tuple(environment)
        self.ports = {slot: ports.free() for slot in range(size.workers + size.spares)}

    def __call__(self, slot: int, main: tuple[str, ...]) -> Process:
        home = self.directory / name_of(slot)
        home.mkdir(exist_ok=True)
        (home / "streams.toml").write_text(toml(slot, self.url, self.size))
        flags = ["-b", self.brokers, "--slot", str(slot), "--state-dir", str(home / "state")]
        words = command(main, [*flags, "--http-port", str(self.ports[slot])], self.environment)
        return launcher.spawn(words, log=workers.log_path(self.directory, slot), cwd=home)

    def run(self, *words: str) -> Process:
        """Another command of `streams` over the same cluster, its output beside the workers' logs."""
        plain = command(("streams",), (), self.environment)[:-1]
        log = self.directory / f"{words[0]}.log"
        return launcher.spawn([*plain, *words, "-b", self.brokers], log=log, cwd=self.directory)

    async def ready(self, slots: Iterable[int]) -> bool:
        """Whether each of these says that it is ready."""
        asked = [workers.is_ready(workers.address(self.ports[slot])) for slot in slots]
        return all(await asyncio.gather(*asked))

    def told(self) -> Iterator[Mapping[str, object]]:
        """Every line that a worker logged, as far as it is whole, and whose it is."""
        for log in sorted(self.directory.glob("worker-*.log")):
            yield from ({**line, "worker": log.stem} for line in lines_of(log.read_bytes()))

    def complaint(self) -> str:
        """What the workers' logs say went wrong, and where to read on."""
        return "; ".join(workers.complaint(log) for log in sorted(self.directory.glob("worker-*.log")))


def lines_of(log: bytes) -> Iterator[Mapping[str, object]]:
    """The JSON objects of a log, one a line; anything else is passed over."""
    for line in log.splitlines():
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict):
            yield found


def moves(told: Iterable[Mapping[str, object]]) -> list[Move]:
    """When which worker gave up calls because their partitions moved, and how many."""
    return [move for line in told if line.get("action") == "rebalanced" and (move := _move(line)).count]


def _move(line: Mapping[str, object]) -> Move:
    count, when = line.get("outputs"), str(line.get("time", ""))
    at = datetime.fromisoformat(when).timestamp() if when else 0.0
    return Move(str(line.get("worker", "")), at, count if isinstance(count, int) else 0)
