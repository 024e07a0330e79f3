"""Probe workers as processes, and the topics around them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine import topics
from streams.engine.cluster import Cluster
from streams.engine.connect import producer
from streams.engine.exit import report_path
from streams.engine.topics import Shape
from tests.support.loops import until
from tests.support.probe_worker import TABLE
from tests.support.tree import ROOT
from topics.catalog import INFERRED, Names

PARTITIONS = 2
QUICK = {"session_s": 6.0, "heartbeat_s": 0.3, "grace_s": 2.0}
Item = tuple[int, bytes, bytes | None]


class Probe:
    """One worker process of a test; starts again with its state."""

    def __init__(self, site: "Site", slot: int, spec: dict[str, Any]) -> None:
        self.site, self.slot, self.spec = site, slot, spec
        self.process: subprocess.Popen[bytes] | None = None
        self.number = len(site.probes)
        self.state_file = site.directory / f"state-{self.number}.json"
        self.said = site.directory / f"said-{self.number}.log"

    def start(self, **tuning: Any) -> "Probe":
        self.state_file.unlink(missing_ok=True)
        more = {"tuning": {**self.spec["tuning"], **tuning}, "state": str(self.state_file)}
        command = [sys.executable, "-m", "tests.support.probe_worker", json.dumps({**self.spec, **more})]
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said, cwd=ROOT)
        return self

    @property
    def state(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads(self.state_file.read_text()) if self.state_file.exists() else {}
        return known

    async def until(self, claim: Any, within_s: float = 20.0) -> dict[str, Any]:
        """The state once it is as claimed."""
        try:
            await until(lambda: claim(self.state) or not self.alive, within_s)
        except TimeoutError as late:
            raise AssertionError(f"{self.state}\n{self.output[-3000:]}") from late
        assert self.alive, self.output[-3000:]
        return self.state

    async def ready(self, within_s: float = 20.0) -> "Probe":
        await self.until(lambda state: state.get("ready"), within_s)
        return self

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def output(self) -> str:
        return self.said.read_text(errors="replace")

    def observed(self, action: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.output.splitlines() if line.startswith('{"stage"')]
        return [line for line in lines if line["action"] == action]

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def ended(self, within_s: float = 20.0) -> int:
        """The exit code."""
        assert self.process is not None
        process = self.process
        await until(lambda: process.poll() is not None, within_s)
        return process.wait()

    async def killed(self) -> None:
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stopped(self) -> int:
        self.signal(signal.SIGTERM)
        return await self.ended()

    @property
    def fatal(self) -> dict[str, Any]:
        report = report_path(Path(self.spec["state_dir"]), self.slot)
        assert report.exists(), self.output[-3000:]
        told: dict[str, Any] = json.loads(report.read_text())
        return told


class Site:
    """The topics and the workers of one test."""

    def __init__(self, brokers: str, names: Names, directory: Path, partitions: int = PARTITIONS) -> None:
        self.cluster, self.names, self.directory, self.partitions = Cluster(brokers), names, directory, partitions
        self.probes: list[Probe] = []
        directory.mkdir(parents=True, exist_ok=True)

    def probe(self, *stages: str, slot: int = 0, app: str = "core", static: bool = True, **tuning: Any) -> Probe:
        spec = {
            "brokers": self.cluster.brokers,
            "names": [self.names.namespace, self.names.prefix],
            "directory": str(self.directory),
            "state_dir": str(self.directory / "state"),
            "stages": stages,
            "app": app,
            "slot": slot,
            "static": static,
            "partitions": self.partitions,
            "tuning": {**QUICK, **tuning},
        }
        self.probes.append(Probe(self, slot, spec))
        return self.probes[-1]

    async def prepared(self) -> "Site":
        shape = Shape(partitions=self.partitions)
        tables = {"core": (TABLE,)}
        await topics.apply(self.cluster, await topics.plan(self.cluster, self.names, shape, tables))
        return self

    async def write(self, topic: str, items: Iterable[Item]) -> None:
        async with producer(self.cluster) as writer:
            for partition, key, value in items:
                last = await writer.send(self.names.topic(topic), value, key=key, partition=partition)
            await writer.flush()
            await last

    async def read(self, topic: str, count: int = 0, within_s: float = 15.0) -> list[Any]:
        """What the topic holds, once there are ``count`` records; ``topic`` may be Kafka's name."""
        physical = self.names.topic(topic) if topic in self.names.known().values() else topic
        tps = [TopicPartition(physical, number) for number in range(self.partitions)]
        reading = AIOKafkaConsumer(bootstrap_servers=self.cluster.brokers, enable_auto_commit=False)
        await reading.start()
        try:
            return await asyncio.wait_for(_records(reading, tps, count), within_s)
        finally:
            await reading.stop()

    async def read_all(self, topics: Iterable[str], count: int, within_s: float = 15.0) -> dict[str, int]:
        """How many records came on each of these topics, once there are ``count`` on all together."""
        end = asyncio.get_running_loop().time() + within_s
        while True:
            came = {topic: len(await self.read(topic)) for topic in topics}
            if sum(came.values()) >= count or asyncio.get_running_loop().time() > end:
                return {topic: number for topic, number in came.items() if number}

    async def values(self, count: int, topic: str = INFERRED, within_s: float = 15.0) -> set[bytes | None]:
        """The distinct values on a topic, once there are so many different ones."""
        end, wanted = asyncio.get_running_loop().time() + within_s, count
        while True:
            found = await self.read(topic, wanted, max(0.1, end - asyncio.get_running_loop().time()))
            values = {record.value for record in found}
            if len(values) >= count:
                return values
            wanted = len(found) + 1

    async def close(self) -> None:
        for probe in self.probes:
            if probe.alive:
                await probe.killed()


async def _records(reading: AIOKafkaConsumer, tps: list[TopicPartition], count: int) -> list[Any]:
    reading.assign(tps)
    await reading.seek_to_beginning(*tps)
    ends = await reading.end_offsets(tps)
    found: list[Any] = []
    while len(found) < count or [tp for tp in tps if await reading.position(tp) < ends[tp]]:
        for batch in (await reading.getmany(*tps, timeout_ms=100)).values():
            found.extend(batch)
    return found


@asynccontextmanager
async def site(broker: Any, names: Names, directory: Path, partitions: int = PARTITIONS) -> AsyncIterator[Site]:
    """Topics made, and no worker left behind."""
    made = Site(broker.bootstrap_servers, names, directory / "site", partitions)
    try:
        yield await made.prepared()
    finally:
        await made.close()


def items(count: int, partitions: int = PARTITIONS, size: int = 0, prefix: str = "v") -> list[Item]:
    """``count`` records with keys and values of their own, over the partitions in turn."""
    return [(n % partitions, f"k{n}".encode(), f"{prefix}{n}".encode().ljust(size, b".")) for n in range(count)]


def values_of(written: Iterable[Item]) -> set[bytes | None]:
    return {value for _, _, value in written}
