"""Crash run: is every prompt answered once, and paid for once, while workers are killed at random times?

    .venv/bin/python -m tests.chaos.crash_run [--prompts 20000] [--kills 5] [--dynamic] [--stock] [--seed N]

Two workers, a provider whose every answer is different, kill −9 at random times, restarts at once. One prompt in a
hundred is long and takes five seconds. The provider's own log is the truth. ``--stock`` runs a stock Faust agent under
the same driver: it must lose, or the driver proves nothing. Exit 1 when a bar is missed.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams import pipeline, settings
from streams.engine import topics
from streams.engine.cluster import Cluster
from streams.local.kafka import EmbeddedKafka
from tests.support.crew import moved_in, until
from topics.catalog import PROMPTS, RESULTS, Names

PARTITIONS = 8
ROOT = Path(__file__).parent.parent.parent
LONG = "x" * 20_000  # five seconds at a thousand tokens a second, where four bytes are a token
SHORT = "x" * 100
WRITTEN_S = 0.5  # a call counts as running until its row is acknowledged, shortly after its end
STALL_S = {"static": 6.0, "dynamic": 20.0}


@dataclass
class Load:
    """What was published and what came back."""

    sent: dict[str, int] = field(default_factory=dict)
    finals: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    copies: int = 0
    seen: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def answered(self) -> bool:
        return len(self.finals) >= len(self.sent)


@dataclass
class Crew:
    """The workers: how each is started, which processes there were, which were killed when."""

    command: Callable[[int], list[str]]
    directory: Path
    processes: list[subprocess.Popen] = field(default_factory=list)
    killed: list[tuple[int, float]] = field(default_factory=list)

    def start(self, slot: int) -> subprocess.Popen:
        out = (self.directory / f"worker-{slot}.log").open("ab")
        return subprocess.Popen(self.command(slot), stdout=out, stderr=out, cwd=ROOT)

    def start_all(self) -> None:
        self.processes = [self.start(0), self.start(1)]

    def kill(self, slot: int) -> None:
        victim = self.processes[slot]
        victim.kill()
        victim.wait()
        self.killed.append((victim.pid, time.time()))
        self.processes[slot] = self.start(slot)

    def revive(self) -> None:
        """What a supervisor does: start again what has ended by itself."""
        for slot, process in enumerate(self.processes):
            if process.poll() is not None:
                self.processes[slot] = self.start(slot)

    def moved(self) -> int:
        """Calls that the workers say they dropped because their partition moved."""
        return moved_in(self.directory.glob("worker-*.log"))

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


async def publish(brokers: str, topic: str, count: int, rate: float, load: Load, name: str = "c") -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", enable_idempotence=True)
    await producer.start()
    start = time.monotonic()
    try:
        waiting = []
        for number in range(count):
            identity = f"{name}{number}"
            value = json.dumps({"id": identity, "prompt": f"{number} {LONG if number % 100 == 7 else SHORT}"}).encode()
            waiting.append((identity, await producer.send(topic, value, key=identity.encode())))
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))  # why: paces the load
            if len(waiting) >= 200 or number == count - 1:
                for one, report in waiting:
                    load.sent[one] = (await report).partition
                waiting.clear()
    finally:
        await producer.stop()


async def collect(brokers: str, topic: str, load: Load) -> None:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        while True:
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                for record in batch:
                    identity = json.loads(record.value)["id"]
                    load.copies += identity in load.finals
                    if identity not in load.finals:
                        load.seen[load.sent.get(identity, -1)].append(record.timestamp / 1000)
                    load.finals[identity].add(record.value)
    finally:
        await consumer.stop()


async def crashes(crew: Crew, kills: int, within_s: float, chance: random.Random) -> None:
    """The kills, at random times over the run, each while answers flow."""
    start = time.monotonic()
    for moment in sorted(chance.uniform(0.15, 0.85) * within_s for _ in range(kills)):
        while time.monotonic() - start < moment:
            crew.revive()
            await asyncio.sleep(0.05)  # why: polls until the moment of the fault
        slot = chance.randrange(2)
        crew.kill(slot)
        print(f"  {time.monotonic() - start:6.1f} s  kill -9 worker {slot}", flush=True)


@dataclass
class Verdict:
    """What the run came to."""

    prompts: int
    lost: list[str]
    conflicting: list[str]
    copies: int
    calls: int
    unique: int
    excused: int
    stalls: list[float]

    def lines(self) -> list[str]:
        return [
            f"prompts {self.prompts}  lost {len(self.lost)}  conflicting {len(self.conflicting)}  copies {self.copies}",
            f"calls {self.calls}  unique {self.unique}  repeated {self.calls - self.unique}  with cause {self.excused}",
            f"silence on the worst partition after each kill: {', '.join(f'{s:.1f} s' for s in self.stalls) or '-'}",
        ]


def verdict(load: Load, log: Path, crew: Crew) -> Verdict:
    starts: Counter[str] = Counter()
    running: dict[tuple[str, str], str] = {}
    dead = {str(pid): at for pid, at in crew.killed}
    for line in log.read_text().splitlines():
        step, identity, pid, at, nonce = line.split()
        if step == "start":
            starts[identity] += 1
            running[identity, nonce] = pid
        elif step != "end" or float(at) < dead.get(pid, float("inf")) - WRITTEN_S:
            running.pop((identity, nonce), None)
    excused = crew.moved() + sum(pid in dead for pid in running.values())
    return Verdict(
        len(load.sent),
        sorted(set(load.sent) - set(load.finals)),
        sorted(identity for identity, forms in load.finals.items() if len(forms) > 1),
        load.copies,
        sum(starts.values()),
        len(starts),
        excused,
        [silence(load, at) for _, at in crew.killed],
    )


def silence(load: Load, killed_at: float) -> float:
    """The longest wait for a next answer on any partition, from shortly before a kill on, in seconds."""
    worst = 0.0
    for moments in load.seen.values():
        near = [killed_at, *(at for at in sorted(moments) if killed_at <= at <= killed_at + 30)]
        worst = max(worst, max((b - a for a, b in itertools.pairwise(near)), default=0.0))
    return worst


def streams_worker(brokers: str, directory: Path, log: Path, *, static: bool) -> Callable[[int], list[str]]:
    config = directory / "streams.toml"
    config.write_text(
        f"[worker]\nsession_timeout_s = 6\nstatic_membership = {str(static).lower()}\nhttp_port = 0\n"
        f'[provider.echo]\nnonce = true\ndelay_s = 0.02\ntokens_per_s = 1000\nlog_path = "{log}"\n'
    )
    base = [sys.executable, "-m", "tests.support.in_directory", str(directory), "worker", "-b", brokers]
    return lambda slot: [*base, "--slot", str(slot), "--state-dir", str(directory / f"state-{slot}")]


def stock_worker(brokers: str, names: Names, directory: Path, log: Path) -> Callable[[int], list[str]]:
    ends = [names.topic(PROMPTS), names.topic(RESULTS)]
    base = [sys.executable, "-m", "tests.support.stock_worker", brokers, *ends]
    return lambda slot: [*base, str(directory / f"stock-{slot}"), str(log), "worker", "--without-web"]


async def play(brokers: str, directory: Path, asked: argparse.Namespace) -> Verdict:
    names, cluster, log, load = Names(), Cluster(brokers), directory / "calls.log", Load()
    log.touch()
    tables = pipeline.tables(pipeline.stages(settings.load({}, {}, directory).settings))
    await topics.apply(cluster, await topics.plan(cluster, names, topics.Shape(partitions=PARTITIONS), tables))
    command = (
        stock_worker(brokers, names, directory, log)
        if asked.stock
        else streams_worker(brokers, directory, log, static=not asked.dynamic)
    )
    crew = Crew(command, directory)
    crew.start_all()
    collecting = asyncio.create_task(collect(brokers, names.topic(RESULTS), load))
    try:
        await publish(brokers, names.topic(PROMPTS), 50, 50, load, "warm-up-")
        if not await until(lambda: len(load.finals) >= 25, 60, crew):
            raise TimeoutError("no answers before the first kill: the fault would land outside the busy period")
        feeding = asyncio.create_task(publish(brokers, names.topic(PROMPTS), asked.prompts, asked.rate, load))
        await crashes(crew, asked.kills, asked.prompts / asked.rate, random.Random(asked.seed))
        await feeding
        await until(load.answered, 30 if asked.stock else 120, crew)
    finally:
        crew.stop()
        collecting.cancel()
    return verdict(load, log, crew)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=150.0)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--dynamic", action="store_true", help="without static membership")
    parser.add_argument("--stock", action="store_true", help="a stock Faust agent instead")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="crash-run-"))
    print(f"seed {asked.seed}, logs in {directory}", flush=True)
    with EmbeddedKafka(directory / "kafka") as broker:
        got = asyncio.run(play(broker.bootstrap_servers, directory, asked))
    print("\n".join(got.lines()))
    if asked.stock:
        print(
            "the control lost prompts, as it must"
            if got.lost
            else "THE CONTROL LOST NOTHING: the driver proves nothing"
        )
        return 0 if got.lost else 1
    limit = STALL_S["dynamic" if asked.dynamic else "static"]
    kept = not got.lost and not got.conflicting and got.calls - got.unique <= got.excused
    quick = max(got.stalls, default=0.0) <= limit
    print(f"{'GREEN' if kept and quick else 'RED'}  (silence at most {limit:.0f} s)")
    return 0 if kept and quick else 1


if __name__ == "__main__":
    os.environ.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    sys.exit(main())
