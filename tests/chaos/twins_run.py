"""Twins run: are a thousand identical prompts over two workers one call, also when the calling worker is killed?

    .venv/bin/python -m tests.chaos.twins_run [--kill | --no-kill] [--prompts 1000] [--delay-s 5] [--rounds 1]

Each round asks other words. The provider is a process of its own whose every answer differs; its ledger is the truth.
With a kill, half of the twins are published while the call runs and the other half when its worker is dead. Go: as many
equal answers as prompts, one call (two with the kill), and the bill is even. Exit 1 otherwise. ``--control`` asks with
dedup switched off: that must be no go, or the driver proves nothing.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.local.kafka import EmbeddedKafka
from tests.support.bill import Account, Bill, account, billing
from tests.support.crew import Pair, until, working
from tests.support.running import Line, request
from topics.catalog import RESULTS

PARTITIONS = 8
WITHIN_S = 120.0


@dataclass(frozen=True)
class Verdict:
    """What one round came to."""

    prompts: int
    answers: int
    texts: int
    sources: dict[str, int]
    conflicting: int
    most_calls: int
    account: Account
    seconds: float

    @property
    def go(self) -> bool:
        whole = self.answers == self.prompts and self.texts == 1 and not self.conflicting
        return whole and 1 <= self.account.calls <= self.most_calls and self.account.even

    def __str__(self) -> str:
        sources = ", ".join(f"{count} {source}" for source, count in sorted(self.sources.items()))
        return (
            f"{'GO   ' if self.go else 'NO GO'} {self.prompts} prompts  {self.answers} answers ({sources})"
            f"  {self.texts} text  conflicting {self.conflicting}"
            f"  calls {self.account.calls} (at most {self.most_calls})  {self.seconds:.1f} s\n"
            f"      {self.account}"
        )


async def round_of(number: int, pair: Pair, bill: Bill, asked: argparse.Namespace) -> Verdict:
    before, start = len(bill.calls()), time.monotonic()
    ids = [f"twin-{number}-{one}" for one in range(asked.prompts)]
    values = [request(id, f"what is a log? ({number})", dedup=not asked.control) for id in ids]
    half = len(values) // 2 if asked.kill else len(values)
    await pair.line.publish(*values[:half])
    if asked.kill:
        if not await until(lambda: len(bill.calls()) > before, WITHIN_S, pair):
            raise TimeoutError("no call was begun")
        await asyncio.sleep(asked.delay_s / 2)  # why: the moment of the fault, in the middle of the call
        slot = await asyncio.to_thread(pair.caller, asked.delay_s)
        pair.kill(slot)
        print(f"  {time.monotonic() - start:6.1f} s  kill -9 worker {slot}, which runs the call", flush=True)
        await pair.line.publish(*values[half:])
    return verdict(asked, await told(pair, ids), bill, before, time.monotonic() - start)


async def told(pair: Pair, ids: list[str]) -> dict[str, list[bytes]]:
    """All that stands on `results` for these ids, once each is answered or time is over."""
    wanted, seen = {id.encode() for id in ids}, []
    try:
        seen = await pair.line.read(RESULTS, lambda found: wanted <= {one.key for one in found}, WITHIN_S)
    except TimeoutError as late:
        print(f"  {late}", flush=True)
        seen = await pair.line.all(RESULTS)
    found: dict[str, list[bytes]] = {}
    for one in seen:
        if one.key in wanted:
            found.setdefault(one.key.decode(), []).append(one.value)
    return found


def verdict(
    asked: argparse.Namespace, found: dict[str, list[bytes]], bill: Bill, before: int, seconds: float
) -> Verdict:
    answers: list[dict[str, Any]] = [json.loads(forms[0]) for forms in found.values()]
    sources: dict[str, int] = {}
    for answer in answers:
        word = answer["source"] or answer["status"]
        sources[word] = sources.get(word, 0) + 1
    conflicting = sum(len(set(forms)) > 1 for forms in found.values())
    texts = len({answer["text"] for answer in answers})
    paid = account(bill.calls()[before:], answers)
    return Verdict(asked.prompts, len(answers), texts, sources, conflicting, 1 + asked.kill, paid, seconds)


async def play(pair: Pair, bill: Bill, asked: argparse.Namespace) -> list[Verdict]:
    verdicts = []
    for number in range(asked.rounds):
        verdicts.append(await round_of(number, pair, bill, asked))
        print(verdicts[-1], flush=True)
        await asyncio.to_thread(pair.ready)
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1_000)
    parser.add_argument("--delay-s", type=float, default=5.0, help="what a call takes")
    parser.add_argument("--kill", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="without dedup, which must fail")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="twins-run-"))
    print(f"logs in {directory}", flush=True)
    with EmbeddedKafka(directory / "kafka") as broker, billing(directory, asked.delay_s) as bill:
        line = Line(broker.bootstrap_servers, partitions=PARTITIONS)
        with working(line, directory, bill.url) as pair:
            verdicts = asyncio.run(play(pair, bill, asked))
            pair.stop()
    go = all(verdict.go for verdict in verdicts)
    if asked.control:
        print("THE CONTROL WENT: the driver proves nothing" if go else "the control failed, as it must")
        return 1 if go else 0
    print("GO" if go else "NO GO", flush=True)
    return 0 if go else 1


if __name__ == "__main__":
    os.environ.pop("KAFKA_BOOTSTRAP_SERVERS", None)
    sys.exit(main())
