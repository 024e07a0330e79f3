"""Go or no-go of the bare engine: is anything lost or paid for twice when a worker dies at the worst moments?

    .venv/bin/python -m tests.chaos.go_no_go [--rounds 20] [--points row-written,zombie,…] [--brokers HOST:PORT]

Two workers share a group (session 6 s); each round hits one of them while prompts flow. The calls' log is the truth.
Prints one line a point and ends with 1 if anything was lost, answered in two ways, or called again without cause.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.engine import topics
from streams.engine.cluster import Cluster
from tests.support.twin_worker import APP, READS, TABLE
from topics.catalog import INFERRED, Names

PARTITIONS = 8
RATE = 60.0
KILL_POINTS = ("row-written", "row-sent", "row-acknowledged", "outputs-sent", "outputs-acknowledged")
POINTS = (*KILL_POINTS, "rebalance", "zombie", "one-slot")


@dataclass
class WorkerProcess:
    """One worker and how to start it again."""

    spec: dict
    pids: list[int] = field(default_factory=list)
    process: subprocess.Popen | None = None

    def start(self, **more: object) -> None:
        ready = Path(self.spec["ready"])
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.support.twin_worker", json.dumps({**self.spec, **more})]
        with Path(self.spec["state_dir"]).with_suffix(".log").open("ab") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said)
        self.pids.append(self.process.pid)

    async def ready(self, within_s: float = 40.0) -> None:
        await until(lambda: Path(self.spec["ready"]).exists(), within_s, f"worker {self.spec['slot']} ready")

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    async def died(self, within_s: float = 30.0) -> None:
        await until(lambda: self.process.poll() is not None, within_s, f"worker {self.spec['slot']} dead")


async def until(holds, within_s: float, what: str) -> None:
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        await asyncio.sleep(0.02)  # why: polls, bounded by a deadline


@dataclass
class Run:
    """One point under test: the traffic, the workers, and what came out."""

    point: str
    brokers: str
    directory: Path
    seed: int
    namespace: str = field(default_factory=lambda: f"g{uuid.uuid4().hex[:6]}.")
    sent: dict[str, str] = field(default_factory=dict)
    finals: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    copies: int = 0
    feeding: bool = True
    hits: int = 0
    delay_s: float = 0.05
    long_every: int = 0

    def __post_init__(self) -> None:
        self.names = Names(self.namespace, self.namespace)
        self.log = self.directory / f"{self.point}.calls"
        self.log.touch()
        self.chance = random.Random(self.seed)
        self.workers = [self.worker(slot, f"state-{slot}") for slot in (0, 1)]

    def worker(self, slot: int, state: str, **more: object) -> WorkerProcess:
        directory = self.directory / f"{self.point}-{state}"
        return WorkerProcess(
            {
                "brokers": self.brokers,
                "namespace": self.namespace,
                "log": str(self.log),
                "state_dir": str(directory),
                "slot": slot,
                "partitions": PARTITIONS,
                "ready": str(directory.with_suffix(f".ready{len(more)}")),
                **more,
            }
        )

    async def feed(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.brokers, acks="all", enable_idempotence=True)
        await producer.start()
        number = 0
        try:
            while self.feeding:
                number += 1
                key = f"k{number - (number % 4 == 3)}"  # every fourth prompt is the twin of the one before it
                delay_s = 20.0 if self.long_every and number % self.long_every == 0 else self.delay_s
                value = json.dumps({"id": f"i{number}", "key": key, "delay_s": delay_s}).encode()
                await producer.send_and_wait(self.names.topic(READS), value, key=key.encode())
                self.sent[f"i{number}"] = key
                await asyncio.sleep(1 / RATE)  # why: paces the load
        finally:
            await producer.stop()

    async def collect(self) -> None:
        consumer = AIOKafkaConsumer(
            self.names.topic(INFERRED), bootstrap_servers=self.brokers, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            while True:
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    for record in batch:
                        self.copies += 1
                        self.finals[json.loads(record.value)["id"]].add(record.value)
        finally:
            await consumer.stop()

    # -- the faults
    async def fault(self) -> None:
        if self.point in KILL_POINTS:
            await self.kill_at_point()
        else:
            await {"rebalance": self.rebalance, "zombie": self.zombie, "one-slot": self.one_slot}[self.point]()
        self.hits += 1

    async def kill_at_point(self) -> None:
        victim = self.workers[self.hits % 2]
        victim.signal(signal.SIGTERM)
        await victim.died()
        victim.start(failpoint=f"{self.point}:{self.chance.randint(5, 60)}")
        await victim.died()
        victim.start()
        await victim.ready()

    async def rebalance(self) -> None:
        await self.call_running()
        joiner = self.worker(2, "state-2", static=False)
        joiner.start()
        await asyncio.sleep(self.chance.uniform(0.3, 2.5))  # why: the fault lands at a random moment of the rebalance
        victim = self.workers[self.hits % 2]
        victim.signal(signal.SIGKILL)
        await victim.died()
        victim.start()
        await victim.ready()
        await joiner.ready()
        joiner.signal(signal.SIGTERM)
        await joiner.died()
        self.workers[0].pids.extend(joiner.pids)

    async def call_running(self) -> None:
        long = self.delay_s + 1

        def running() -> bool:
            steps = [line.split() for line in self.log.read_text().splitlines()]
            open_since = {(key, nonce): float(at) for step, key, _, at, nonce in steps if step == "start"}
            for step, key, _, _, nonce in steps:
                if step in ("kept", "cancel"):
                    open_since.pop((key, nonce), None)
            return any(time.time() - at > long for at in open_since.values())

        await until(running, 60, "a long call is running")

    async def zombie(self) -> None:
        victim = self.workers[self.hits % 2]
        victim.signal(signal.SIGSTOP)
        await asyncio.sleep(9.0)  # why: longer than the session, which is the fault
        victim.signal(signal.SIGCONT)
        await asyncio.sleep(4.0)  # why: the zombie acts on what it believes
        if victim.process.poll() is not None:
            victim.start()
        await victim.ready()

    async def one_slot(self) -> None:
        rival = self.worker(0, "state-0", rival=True)
        rival.start()
        await rival.ready()
        await asyncio.sleep(2.0)  # why: both processes work side by side, which is the fault
        rival.signal(signal.SIGTERM)
        await rival.died()
        self.workers[0].pids.extend(rival.pids)

    # -- the whole
    async def play(self, rounds: int) -> "Verdict":
        cluster = Cluster(self.brokers)
        shape = topics.Shape(partitions=PARTITIONS)
        await topics.apply(cluster, await topics.plan(cluster, self.names, shape, {APP: (TABLE,)}))
        collecting = asyncio.create_task(self.collect())
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            await worker.ready()
        feeding = asyncio.create_task(self.feed())
        try:
            await until(lambda: len(self.finals) > 20, 60, "first answers")
            for _ in range(rounds):
                await self.fault()
            self.feeding = False
            await feeding
            await until(lambda: len(self.finals) >= len(self.sent), 60, "all answers")
        except TimeoutError as late:
            print(f"  {self.point}: {late}", flush=True)
        finally:
            self.feeding = False
            for worker in self.workers:
                if worker.process.poll() is None:
                    worker.signal(signal.SIGTERM)
                    await worker.died(60)
            collecting.cancel()
        return self.verdict()

    def verdict(self) -> "Verdict":
        starts, excused = Counter(), Counter()
        state: dict[tuple[str, str], str] = {}
        for line in self.log.read_text().splitlines():
            step, key, pid, _, nonce = line.split()
            if step == "start":
                starts[key] += 1
                state[key, nonce] = pid
            else:
                known = state.pop((key, nonce), None)
                excused[key] += step == "cancel" and known is not None
        for key, _ in state:  # begun, and neither written down nor cancelled: it died with its process
            excused[key] += 1
        repeated = {key: n - 1 - excused[key] for key, n in starts.items() if n - 1 > excused[key]}
        lost = sorted(set(self.sent) - set(self.finals))
        (self.directory / f"{self.point}.lost").write_text("\n".join(f"{one} {self.sent[one]}" for one in lost))
        conflicting = sorted(identity for identity, forms in self.finals.items() if len(forms) > 1)
        return Verdict(
            self.point, self.hits, len(self.sent), lost, conflicting, repeated, sum(excused.values()), self.copies
        )


@dataclass
class Verdict:
    """What one point came to."""

    point: str
    hits: int
    prompts: int
    lost: list[str]
    conflicting: list[str]
    repeated: dict[str, int]
    excused: int
    outputs: int

    @property
    def go(self) -> bool:
        return not (self.lost or self.conflicting or self.repeated) and self.hits > 0

    def __str__(self) -> str:
        return (
            f"{'GO   ' if self.go else 'NO-GO'} {self.point:<22} {self.hits:>3} faults {self.prompts:>6} prompts"
            f"  lost {len(self.lost)}  conflicting {len(self.conflicting)}  repeated without cause {len(self.repeated)}"
            f"  repeated with cause {self.excused}  copies {self.outputs - self.prompts}"
        )


async def play(points: list[str], rounds: int, brokers: str, directory: Path, seed: int) -> list[Verdict]:
    verdicts = []
    for point in points:
        long_every = 40 if point == "rebalance" else 0
        run = Run(point, brokers, directory, seed, long_every=long_every)
        verdicts.append(await run.play(rounds))
        print(verdicts[-1], flush=True)
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--points", default=",".join(POINTS))
    parser.add_argument("--brokers", default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="go-no-go-"))
    print(f"seed {asked.seed}, logs in {directory}", flush=True)
    points = asked.points.split(",")
    if asked.brokers:
        verdicts = asyncio.run(play(points, asked.rounds, asked.brokers, directory, asked.seed))
    else:
        from streams.local.kafka import EmbeddedKafka

        with EmbeddedKafka(directory / "kafka") as broker:
            verdicts = asyncio.run(play(points, asked.rounds, broker.bootstrap_servers, directory, asked.seed))
    go = all(verdict.go for verdict in verdicts)
    print("GO" if go else "NO-GO", flush=True)
    return 0 if go else 1


if __name__ == "__main__":
    sys.exit(main())
