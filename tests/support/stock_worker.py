"""The control: a stock Faust agent, as its documentation shows it, that makes slow calls and sends their answers.

    python -m tests.support.stock_worker BROKERS PROMPTS RESULTS DATADIR LOG worker --without-web

Nothing of ours is in it. Under the same driver it must lose prompts, or the driver proves nothing.
"""

import asyncio
import json
import os
import secrets
import sys
import time

import faust

brokers, prompts, results, datadir, log = sys.argv[1:6]
app = faust.App(
    f"stock-{prompts}",
    broker=f"kafka://{brokers}",
    datadir=datadir,
    store="memory://",
    topic_allow_declare=False,
    topic_disable_leader=True,
    web_enabled=False,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
    consumer_auto_offset_reset="earliest",
)
source = app.topic(prompts, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
answers = app.topic(results, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
calls = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)


def note(step: str, identity: str, nonce: str) -> None:
    line = f"{step} {identity} {os.getpid()} {time.time():.6f} {nonce}"
    if log.endswith(".jsonl"):  # as the fake provider writes its ledger
        told = {"action": step, "key": identity, "act": "ok", "nonce": nonce, "by": os.environ.get("STOCK_WORKER", "")}
        line = json.dumps({**told, "pid": os.getpid(), "at": time.time()})
    os.write(calls, f"{line}\n".encode())


@app.agent(source, concurrency=16)
async def answer(stream):
    """Call, then send."""
    async for event in stream.events():
        asked = json.loads(event.value)
        nonce = secrets.token_hex(8)
        note("start", asked["id"], nonce)
        await asyncio.sleep(0.02 + len(asked["prompt"]) / 4000)
        note("end", asked["id"], nonce)
        final = {"id": asked["id"], "status": "completed", "text": nonce}
        await answers.send(key=asked["id"].encode(), value=json.dumps(final).encode())


if __name__ == "__main__":
    sys.argv = ["faust", *sys.argv[6:], "-l", "error"]
    app.main()
