"""Workers that are killed and started again over one line: who calls, who died when, what moved between them."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.support.bill import Kill
from tests.support.running import POLL_S, Line, RunningWorker

NONCES = re.compile(rb"\[([0-9a-f]{16})\]")


class Revived(Protocol):
    """Processes that somebody supervises."""

    def revive(self) -> None: ...


async def until(holds: Callable[[], bool], within_s: float, crew: Revived) -> bool:
    """Whether it held in time; what ends by itself meanwhile is started again."""
    end = time.monotonic() + within_s
    while not holds() and time.monotonic() < end:
        crew.revive()
        await asyncio.sleep(0.1)  # why: polls, bounded by a deadline
    return holds()


def moved_in(logs: Iterable[Path]) -> int:
    """Calls that the workers say they dropped because their partition moved."""
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    told = [json.loads(line) for line in lines if line.startswith('{"') and '"rebalanced"' in line]
    return sum(line.get("outputs", 0) for line in told)


def model_of(slot: int) -> str:
    """What a worker calls the provider's model, so that the provider's ledger tells whose call it was."""
    return f"model-of-{slot}"


async def written(line: Line) -> dict[str, float]:
    """When the row of each call, named by the nonce of its answer, came into the changelog of ``answers``."""
    topic, found = line.names.changelog("infer", "answers"), dict[str, float]()
    places = [TopicPartition(topic, number) for number in range(line.partitions)]
    async with AIOKafkaConsumer(bootstrap_servers=line.brokers) as consumer:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while [place for place in places if await consumer.position(place) < ends[place]]:
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                for record in batch:
                    for nonce in NONCES.findall(record.value or b""):
                        found.setdefault(nonce.decode(), record.timestamp / 1000)
    return found


class Pair:
    """Two workers (or ``size``) of one machine that call the provider at ``url``."""

    def __init__(self, line: Line, directory: Path, url: str, *, size: int = 2, **settings: Any) -> None:
        self.line, self.kills = line, list[Kill]()
        known = {name.replace("__", "."): value for name, value in settings.items()}
        self.workers = [
            RunningWorker(line, directory / f"worker-{slot}", settings={"worker.slot": slot, **known})
            for slot in range(size)
        ]
        for slot, worker in enumerate(self.workers):  # in a file: the environment alone may not choose a paid provider
            paid = f'kind = "openai"\nopenai.base_url = "{url}/v1"\nopenai.model = "{model_of(slot)}"\n'
            (worker.directory / "streams.toml").write_text(f"[provider]\n{paid}")

    def start(self) -> "Pair":
        for worker in self.workers:
            worker.start()
        return self.ready()

    def ready(self) -> "Pair":
        for worker in self.workers:
            worker.ready()
        return self

    def kill(self, slot: int) -> None:
        """Without warning, and started again at once."""
        self.workers[slot].kill()
        self.kills.append((model_of(slot), time.time()))
        self.workers[slot].start()

    def revive(self) -> None:
        """What a supervisor does: start again what has ended by itself."""
        for worker in self.workers:
            if not worker.alive:
                worker.start()

    def caller(self, within_s: float = 10.0) -> int:
        """The slot of a worker in which a call runs."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            for slot, worker in enumerate(self.workers):
                if worker.metrics().get(("calls_running", ("infer",))):
                    return slot
            time.sleep(POLL_S)  # why: polls foreign processes
        raise TimeoutError(f"no worker was calling within {within_s:.0f} s")

    def moved(self) -> int:
        return moved_in(worker.log for worker in self.workers)

    def stop(self) -> None:
        for worker in self.workers:
            if worker.alive:
                worker.signal(15)
        for worker in self.workers:
            if worker.process is not None:
                try:
                    worker.ended(60)
                finally:
                    worker.kill()


@contextmanager
def working(line: Line, directory: Path, url: str, **asked: Any) -> Iterator[Pair]:
    """Topics made, the workers ready; nobody is left behind."""
    asyncio.run(line.prepare())
    pair = Pair(line, directory, url, **asked)
    try:
        yield pair.start()
    finally:
        for worker in pair.workers:
            worker.kill()
