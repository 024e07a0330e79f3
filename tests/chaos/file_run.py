"""File run: does a file of rows become a file of answers, each bought once, while workers and the client are killed?

    .venv/bin/python -m tests.chaos.file_run [--rows 100000] [--kills 2] [--latency-s 0.02] [--dynamic] [--seed N]

``streams submit -f IN --out OUT`` against two workers; each of the three is killed -9 so many times, at random points
of the way from the first to the last answer, and started again at once. The provider is a process of its own whose
every answer differs; its ledger is the truth. Go: every row answered once and with its own answer, no more repeated
calls than ran in killed workers or were dropped with a partition that moved, an even bill, flat memory. Exit 1
otherwise. A call counts as running until its row is in the changelog, where the next worker finds it.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.local.kafka import EmbeddedKafka
from tests.support.bill import Account, Bill, Repeats, account, billing, repeats
from tests.support.crew import Pair, working, written
from tests.support.running import Line
from tests.support.tree import ROOT

PARTITIONS = 8
CLIENT = "client"
WORKER_MB, CLIENT_MB = 256, 200
DRIFT_MB = 24.0  # a process over the second half of its longest life
SETTLED = 20  # samples in that half: before, caches and write buffers still fill
SILENCE_S = 120.0  # without a new answer the run is given up


class Submit:
    """The client: the same command again and again until it has come to its end."""

    def __init__(self, line: Line, source: Path, out: Path) -> None:
        self.line, self.source, self.out, self.said = line, source, out, out.with_name("client.log")
        self.codes: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        names = {"STREAMS_NAMES__NAMESPACE": self.line.names.namespace, "STREAMS_NAMES__PREFIX": self.line.names.prefix}
        command = [sys.executable, "-m", "streams", "submit", "-b", self.line.brokers]
        files = ["-f", str(self.source), "--out", str(self.out)]
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [*command, *files],
                stdout=said,
                stderr=said,
                cwd=self.out.parent,
                env={**os.environ, **names, "PYTHONPATH": str(ROOT)},
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.start()

    def ended(self) -> bool:
        """Whether it has come to its end with success; an end without is told, and it is started again."""
        code = None if self.process is None else self.process.poll()
        if code is None:
            return False
        self.codes.append(code)
        if code != 0:
            print(f"  the client ended with {code}: {last_line(self.said)}", flush=True)
            self.start()
        return code == 0

    def abandon(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def last_line(path: Path) -> str:
    return ([*path.read_text(errors="replace").splitlines()] or [""])[-1]


@dataclass
class Memory:
    """Resident memory by process, sampled once a second."""

    samples: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=dict)

    def look(self, name: str, process: "subprocess.Popen[bytes] | None") -> None:
        mb = None if process is None else rss_mb(process.pid)
        if process is not None and mb:
            self.samples.setdefault((name, process.pid), []).append((time.monotonic(), mb))

    def peak_mb(self, name: str) -> float:
        return max((mb for (whose, _), each in self.samples.items() if whose == name for _, mb in each), default=0.0)

    def drift_mb(self, name: str) -> float:
        """How much the longest life grew over its second half, by a straight line; 0 where it was too short to tell."""
        lives = [each for (whose, _), each in self.samples.items() if whose == name]
        longest = max(lives, key=len, default=[])
        half = longest[len(longest) // 2 :]
        if len(half) < SETTLED:
            return 0.0
        slope, _ = statistics.linear_regression([at for at, _ in half], [mb for _, mb in half])
        return slope * (half[-1][0] - half[0][0])


def rss_mb(pid: int) -> float | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(found[0]) / 1024 if found else None


def row(number: int) -> str:
    return json.dumps({"id": f"row-{number}", "prompt": f"question {number}: {'what is a log? ' * 8}"})


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of OUT; a torn last one is the next run's to cut off."""
    if path.exists():
        with path.open("rb") as lines:
            yield from (json.loads(line) for line in lines if line.endswith(b"\n"))


class Progress:
    """Lines of OUT, counted as it grows."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines, self._read = path, 0, 0

    def look(self) -> int:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < self._read:  # a torn line was cut off, and it had no line end yet
            self._read = size
        if size > self._read:
            with self.path.open("rb") as file:
                file.seek(self._read)
                self.lines += file.read(size - self._read).count(b"\n")
            self._read = size
        return self.lines


@dataclass(frozen=True)
class Verdict:
    """What the run came to."""

    rows: int
    answered: int
    twice: int
    wrong: list[str]
    repeats: Repeats
    moved: int
    account: Account
    memory: Memory
    seconds: float
    killed: Counter[str]

    @property
    def go(self) -> bool:
        whole = self.answered == self.rows and not self.twice and not self.wrong
        again = self.repeats.calls - self.repeats.unique
        bought_once = again <= self.repeats.excused + self.moved and len(self.repeats.baseless) <= self.moved
        return whole and bought_once and self.account.even and self.flat

    @property
    def flat(self) -> bool:
        names = {name for name, _ in self.memory.samples}
        limits = {name: CLIENT_MB if name == CLIENT else WORKER_MB for name in names}
        kept = all(self.memory.peak_mb(name) <= limit for name, limit in limits.items())
        return kept and all(self.memory.drift_mb(name) <= DRIFT_MB for name in names)

    def lines(self) -> list[str]:
        did, names = self.repeats, sorted({name for name, _ in self.memory.samples})
        each = [f"{n} peak {self.memory.peak_mb(n):.0f} MB, drift {self.memory.drift_mb(n):+.1f} MB" for n in names]
        return [
            f"killed: {', '.join(f'{name} {count}' for name, count in sorted(self.killed.items()))}",
            f"rows {self.rows}  answered {self.answered}  twice {self.twice}  wrong {len(self.wrong)} {self.wrong[:3]}"
            f"  {self.seconds:.0f} s, {self.rows / self.seconds:.0f} rows/s",
            f"calls {did.calls}  unique {did.unique}  repeated {did.calls - did.unique}"
            f"  ran in what was killed or moved {did.excused}  moved {self.moved}"
            f"  repeated without cause {len(did.baseless)}",
            str(self.account),
            f"memory: {'; '.join(each)}: {'flat' if self.flat else 'NOT FLAT'}",
        ]


def verdict(rows: int, out: Path, bill: Bill, pair: Pair, memory: Memory, seconds: float, killed: Any) -> Verdict:
    answers, twice, wrong = dict[str, dict[str, Any]](), 0, list[str]()
    for answer in lines_of(out):
        twice += answer["id"] in answers
        answers[answer["id"]] = {name: answer[name] for name in ("text", "usage", "source")}
    for number in range(rows):
        answer = answers.get(f"row-{number}")
        if answer is None or not answer["text"].startswith(f"echo: question {number}: "):
            wrong.append(f"row-{number}")
    calls = bill.calls(asyncio.run(written(pair.line)))
    did = repeats(calls, pair.kills)
    return Verdict(
        rows, len(answers), twice, wrong, did, pair.moved(), account(calls, answers.values()), memory, seconds, killed
    )


def plan(rows: int, kills: int, chance: random.Random) -> list[tuple[int, str]]:
    """At how many answers who is killed: each its own part of the way, in random order."""
    victims = [name for name in (CLIENT, "worker-0", "worker-1") for _ in range(kills)]
    chance.shuffle(victims)
    parts = [(number + chance.uniform(0.2, 0.9)) / (len(victims) + 1) for number in range(len(victims))]
    return [(max(1, int(part * rows)), victim) for part, victim in zip(parts, victims, strict=True)]


async def play(pair: Pair, client: Submit, faults: list[tuple[int, str]], memory: Memory) -> Counter[str]:
    progress, start, killed = Progress(client.out), time.monotonic(), Counter[str]()
    client.start()
    news, looked, left = start, 0.0, list(faults)
    while not client.ended():
        before = progress.lines
        if progress.look() > before:
            news = time.monotonic()
        if time.monotonic() - news > SILENCE_S:
            print(f"  no answer for {SILENCE_S:.0f} s, {progress.lines} so far", flush=True)
            break
        if left and progress.lines >= left[0][0]:
            _, victim = left.pop(0)
            await asyncio.to_thread(kill, pair, client, victim)
            killed[victim] += 1
            print(f"  {time.monotonic() - start:6.1f} s  {progress.lines} answers  kill -9 {victim}", flush=True)
        pair.revive()
        if time.monotonic() - looked > 1:
            looked = time.monotonic()
            memory.look(CLIENT, client.process)
            for slot, worker in enumerate(pair.workers):
                memory.look(f"worker-{slot}", worker.process)
        await asyncio.sleep(0.1)  # why: polls foreign processes
    client.abandon()
    return killed


def kill(pair: Pair, client: Submit, victim: str) -> None:
    if victim == CLIENT:
        client.kill()
    else:
        pair.kill(int(victim.removeprefix("worker-")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=2, help="of each worker, and of the client")
    parser.add_argument("--latency-s", type=float, default=0.02, help="what a call takes")
    parser.add_argument("--dynamic", action="store_true", help="without static membership, so that partitions move")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="file-run-"))
    print(f"seed {asked.seed}, logs in {directory}", flush=True)
    source, out, memory = directory / "in.jsonl", directory / "out.jsonl", Memory()
    source.write_text("".join(f"{row(number)}\n" for number in range(asked.rows)))
    faults = plan(asked.rows, asked.kills, random.Random(asked.seed))
    with EmbeddedKafka(directory / "kafka") as broker, billing(directory, asked.latency_s) as bill:
        line = Line(broker.bootstrap_servers, partitions=PARTITIONS)
        with working(line, directory, bill.url, worker__static_membership=not asked.dynamic) as pair:
            client, start = Submit(line, source, out), time.monotonic()
            killed = asyncio.run(play(pair, client, faults, memory))
            seconds = time.monotonic() - start
            pair.stop()
            got = verdict(asked.rows, out, bill, pair, memory, seconds, killed)
    print("\n".join(got.lines()))
    whole = got.go and got.killed.total() == len(faults)
    print("GO" if whole else "NO GO")
    return 0 if whole else 1


if __name__ == "__main__":
    os.environ.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    sys.exit(main())
