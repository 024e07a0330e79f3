"""The real pipeline as a process: its topics, a worker to start, stop and look at, and plain clients at both ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from streams import pipeline
from streams.engine import lag, topics
from streams.engine.cluster import Cluster
from streams.settings import Settings
from tests.support.tree import ROOT
from topics.catalog import EXPENDABLE, PROMPTS, RESULTS, Names

PARTITIONS = 2
SESSION_S = 6.0
START_S = 60.0
WITHIN_S = 30.0
POLL_S = 0.05

Headers = Sequence[tuple[str, bytes]]
Seen = Any  # aiokafka's ConsumerRecord, which has no types


def fresh_names() -> Names:
    """Topics and groups that no other test uses."""
    unique = f"t{uuid.uuid4().hex[:8]}."
    return Names(namespace=f"{unique}prompts.", prefix=unique)


def request(id: str, prompt: str = "hello", **fields: Any) -> bytes:
    return json.dumps({"id": id, "prompt": prompt, **fields}).encode()


@dataclass(frozen=True)
class Line:
    """One pipeline's topics on a broker, with plain clients."""

    brokers: str
    names: Names = field(default_factory=fresh_names)
    partitions: int = PARTITIONS

    async def prepare(self) -> None:
        """Makes the topics, as `streams topics apply` does."""
        cluster, shape = Cluster(self.brokers), topics.Shape(partitions=self.partitions)
        tables = pipeline.tables(pipeline.stages(Settings()))
        await topics.apply(cluster, await topics.plan(cluster, self.names, shape, tables))

    async def publish(
        self, *values: bytes | None, key: bytes | None = None, headers: Headers = (), topic: str = PROMPTS
    ) -> list[Seen]:
        """Writes records; returns each one's acknowledged place, in order."""
        producer = AIOKafkaProducer(bootstrap_servers=self.brokers, acks="all", max_request_size=2_000_000)
        async with producer:
            physical, own = self.names.topic(topic), list(headers)
            waiting = [await producer.send(physical, value, key=key, headers=own) for value in values]
            return [await report for report in waiting]

    async def read(self, topic: str, until: Callable[[list[Seen]], object], within_s: float = WITHIN_S) -> list[Seen]:
        """All records of a topic from its beginning, as soon as ``until`` holds of them."""
        places = [TopicPartition(self.names.topic(topic), number) for number in range(self.partitions)]
        found: list[Seen] = []
        async with AIOKafkaConsumer(bootstrap_servers=self.brokers, auto_offset_reset="earliest") as consumer:
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            end = time.monotonic() + within_s
            while not until(found):
                if time.monotonic() > end:
                    raise TimeoutError(f"not within {within_s:.0f} s on {topic}; there are {len(found)} records")
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    found += batch
        return found

    async def all(self, topic: str) -> list[Seen]:
        """What a topic holds now."""
        places = [TopicPartition(self.names.topic(topic), number) for number in range(self.partitions)]
        async with AIOKafkaConsumer(bootstrap_servers=self.brokers) as consumer:
            count = sum((await consumer.end_offsets(places)).values())
        return await self.read(topic, lambda found: len(found) >= count)

    async def result(self, id: str, within_s: float = WITHIN_S) -> Seen:
        """The first record on `results` with that key."""
        found = await self.results([id], within_s)
        return next(seen for seen in found if seen.key == id.encode())

    async def answer(self, id: str, within_s: float = WITHIN_S) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((await self.result(id, within_s)).value)
        return answer

    async def results(self, ids: Sequence[str], within_s: float = WITHIN_S) -> list[Seen]:
        """Everything on `results` once each of these ids is answered."""
        wanted = {id.encode() for id in ids}
        return await self.read(RESULTS, lambda found: wanted <= {seen.key for seen in found}, within_s)

    async def waiting(self, *apps: str) -> dict[str, int]:
        """Records before the groups of these apps (all by default) on each topic where there are any."""
        stages = [stage for stage in pipeline.stages(Settings()) if not apps or stage.app in apps]
        reads: dict[str, tuple[str, ...]] = {}
        for stage in stages:
            group = self.names.group(stage.app)
            lasting = (topic for topic in stage.reads if topic not in EXPENDABLE)  # of those new ones always come
            reads[group] = (*reads.get(group, ()), *map(self.names.topic, lasting))
        short = {self.names.group(stage.app): stage.app for stage in stages}
        known, counted = self.names.known(), dict[str, int]()
        for one in await lag.lags(Cluster(self.brokers), reads):
            place = f"{short[one.group]}:{known[one.topic]}"
            counted[place] = counted.get(place, 0) + one.records
        return {place: records for place, records in counted.items() if records}

    async def commits(self, topic: str) -> dict[int, int]:
        """What its first reader's group has committed of a topic, by partition."""
        app = next(stage.app for stage in pipeline.stages(Settings()) if topic in stage.reads)
        found = await lag.lags(Cluster(self.brokers), {self.names.group(app): (self.names.topic(topic),)})
        return {one.partition: one.committed or 0 for one in found}


class RunningWorker:
    """A `streams worker` process over a line; ``echo`` are the provider's knobs, ``settings`` others by dotted name."""

    def __init__(
        self,
        line: Line,
        directory: Path,
        *,
        settings: Mapping[str, object] | None = None,
        apps: Sequence[str] = ("core", "infer", "park"),
        main: Sequence[str] = ("streams",),
        **echo: object,
    ) -> None:
        self.line, self.directory, self.apps, self.main = line, directory, apps, main
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "worker.log"
        self.calls = Calls(directory / "calls.log")
        self.calls.path.touch()
        self.settings = {
            "names.namespace": line.names.namespace,
            "names.prefix": line.names.prefix,
            "topics.partitions": line.partitions,
            "worker.session_timeout_s": SESSION_S,
            "worker.http_port": 0,
            "provider.echo.log_path": self.calls.path,
            **{f"provider.echo.{knob}": value for knob, value in echo.items()},
            **(settings or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    # -- life
    def start(self) -> "RunningWorker":
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                self._command(), stdout=said, stderr=said, cwd=self.directory, env=self._environment()
            )
        return self

    def _command(self) -> list[str]:
        asked = ["-b", self.line.brokers, "--apps", ",".join(self.apps), "--state-dir", str(self.directory / "state")]
        return [sys.executable, "-m", *self.main, "worker", *asked]

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMS_", "KAFKA_"))}
        ours = {f"STREAMS_{path.upper().replace('.', '__')}": str(value) for path, value in self.settings.items()}
        return {**inherited, **ours, "PYTHONPATH": str(ROOT)}

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def ready(self, within_s: float = START_S) -> "RunningWorker":
        self.until(lambda: self.get("/ready")[0] == 200, within_s, "ready")
        return self

    def until(self, holds: Callable[[], bool], within_s: float, what: str) -> None:
        end = time.monotonic() + within_s
        while not holds():
            assert self.alive, f"the worker ended with {self.process and self.process.poll()}:\n{self.said[-3000:]}"
            assert time.monotonic() < end, f"not within {within_s:.0f} s: {what}\n{self.said[-3000:]}"
            time.sleep(POLL_S)  # why: polls a foreign process

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def ended(self, within_s: float = 40.0) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(within_s)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Asks it to stop; its exit code."""
        if self.alive:
            self.signal(signal.SIGTERM)
        try:
            return self.ended()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def replaced(self) -> tuple[float, int]:
        """Its successor is started and waits; then it is asked to stop: when (seconds), and with what it ended."""
        first, self.log = self.process, self.directory / f"worker-{time.monotonic_ns()}.log"
        self.settings["worker.take_over"] = True
        self.start()
        self.until(lambda: "waits until the slot is free" in self.said, START_S, "waiting")
        assert first is not None
        down_s = time.time()
        first.terminate()
        return down_s, first.wait(40.0)

    # -- what it says
    @property
    def said(self) -> str:
        """What it wrote since it was started the last time."""
        return self.log.read_bytes()[self._said_before :].decode(errors="replace") if self.log.exists() else ""

    @property
    def told(self) -> list[dict[str, Any]]:
        """The lines of its log as JSON."""
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]

    @property
    def address(self) -> str | None:
        found = [line["address"] for line in self.told_safely() if line.get("action") == "listening"]
        return found[-1] if found else None

    def told_safely(self) -> Iterator[dict[str, Any]]:
        """Like ``told``, passing over a line that is being written."""
        for line in self.said.splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page; 0 where nobody listens yet."""
        address = self.address
        if address is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """(name without our prefix, label values in the order of their names) → value."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        return {
            (
                sample.name.removeprefix("prompt_streams_"),
                tuple(v for _, v in sorted(sample.labels.items())),
            ): sample.value
            for sample in samples
        }


@dataclass(frozen=True)
class Calls:
    """The provider's own log: the truth about calls."""

    path: Path

    def lines(self, *actions: str) -> list[list[str]]:
        rows = [line.split() for line in self.path.read_text().splitlines()]
        return [row for row in rows if not actions or row[0] in actions]

    @property
    def started(self) -> int:
        return len(self.lines("start"))

    @property
    def identities(self) -> set[str]:
        return {row[1] for row in self.lines("start")}

    @property
    def open(self) -> int:
        """Calls begun and not ended in any way: they run, or died with their process."""
        return self.started - len(self.lines("end", "error", "cancel"))

    def most_at_once(self) -> int:
        running = most = 0
        for row in sorted(self.lines(), key=lambda row: (float(row[3]), row[0] == "start")):
            running += 1 if row[0] == "start" else -1
            most = max(most, running)
        return most


@contextmanager
def running(line: Line, directory: Path, **asked: Any) -> Iterator[RunningWorker]:
    """Topics made, a worker started and ready; stopped at the end, whatever happened."""
    asyncio.run(line.prepare())
    worker = RunningWorker(line, directory, **asked).start()
    try:
        yield worker.ready()
    finally:
        if worker.alive:
            worker.kill()


async def eventually(look: Callable[[], Any], expected: object, within_s: float = WITHIN_S) -> object:
    """What an async ``look`` sees, as soon as that is ``expected``, else what it saw last."""
    end = time.monotonic() + within_s
    seen = await look()
    while seen != expected and time.monotonic() < end:
        await asyncio.sleep(POLL_S)
        seen = await look()
    return seen
