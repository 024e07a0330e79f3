"""A worker on the bare engine with one two-role stage, for the faults that must not lose or repeat anything.

The first record of a key is its owner: it makes the one call. Later records of the key are waiters: each takes a role
of its own in the row. Calls are written to a log that the driver reads as the truth: ``start``, ``kept`` (its row is
acknowledged), ``cancel``.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from streams.decisions import redelivery
from streams.engine.cluster import Cluster
from streams.engine.plan import Tuning
from streams.engine.topics import Shape
from streams.engine.worker import WorkerPlan, run
from streams.ports import Observation
from streams.stage import Output, Record, Scope, Stage
from topics.catalog import INFERRED, Names

READS = "assembled.normal"
APP = "infer"
TABLE = "answers"


class CallLog:
    """One line a step, each a single write, so that processes may share the file."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def write(self, step: str, key: str, nonce: str) -> None:
        os.write(self._fd, f"{step} {key} {os.getpid()} {time.time():.3f} {nonce}\n".encode())


class SystemClock:
    def now_ms(self) -> int:
        return int(time.time() * 1000)


class Quiet:
    def observe(self, seen: Observation) -> None:
        if seen.stage == "engine":
            print(seen, file=sys.stderr, flush=True)


def stage(log: CallLog) -> Stage:
    """The two-role stage: value ``{"id", "key", "delay_s"}``."""

    async def call(key: str, delay_s: float) -> str:
        nonce = secrets.token_hex(8)
        log.write("start", key, nonce)
        try:
            await asyncio.sleep(delay_s)
        except asyncio.CancelledError:
            log.write("cancel", key, nonce)
            raise
        return nonce

    async def handle(record: Record, scope: Scope) -> list[Output]:
        asked = json.loads(record.value or b"")
        key = asked["key"].encode()
        row = _row(scope, key)
        if row is None:
            reply = await scope.shared(key, lambda: call(asked["key"], asked["delay_s"]))
            row = _row(scope, key) or {"reply": reply, "roles": {}}
        match redelivery.judge(row["roles"], record.at):
            case redelivery.Again():
                pass
            case _:
                row["roles"]["owner" if not row["roles"] else f"waiter-{len(row['roles'])}"] = record.at
        scope.table.put(key, json.dumps(row).encode())
        await scope.settled()
        log.write("kept", asked["key"], row["reply"])
        final = json.dumps({"id": asked["id"], "key": asked["key"], "reply": row["reply"]}).encode()
        return [Output(INFERRED, asked["id"].encode(), final, "final")]

    return Stage("twins", APP, (READS,), (INFERRED,), handle, table=TABLE, slots=256)


def _row(scope: Scope, key: bytes) -> dict | None:
    raw = scope.table.get(key)
    return None if raw is None else json.loads(raw)


def failpoint(spec: str):
    """``name:n``: SIGKILL itself when that point is reached for the n-th time."""
    if not spec:
        return lambda _: None
    name, _, left = spec.partition(":")
    remaining = int(left)

    def reached(point: str) -> None:
        nonlocal remaining
        if point == name:
            remaining -= 1
            if remaining <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached


def main() -> int:
    asked = json.loads(sys.argv[1])
    plan = WorkerPlan(
        Cluster(asked["brokers"]),
        Names(asked["namespace"], asked["namespace"]),
        (stage(CallLog(Path(asked["log"]))),),
        (APP,),
        Path(asked["state_dir"]),
        SystemClock(),
        Quiet(),
        shape=Shape(partitions=asked["partitions"]),
        slot=asked["slot"],
        static=asked.get("static", True),
        tuning=Tuning(session_s=6.0, partitions=asked["partitions"], direct=asked.get("direct", True)),
        failpoint=failpoint(asked.get("failpoint", "")),
    )
    ready = Path(asked["ready"])
    return run(plan, lambda _: ready.write_text(str(os.getpid())) and None)


if __name__ == "__main__":
    sys.exit(main())
