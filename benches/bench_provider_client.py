"""How much CPU does one provider call cost the worker? Ours, and the bare HTTP clients that it could stand on.

Each client makes the same calls (a prompt of about 1 kB, 64 at a time) to the fake provider, which runs in another
process; CPU is that of this process alone, user and system. `httpx2` is measured where it is installed: it is no
dependency.

    .venv/bin/python -m benches.bench_provider_client [--calls 3000] [--rounds 3] [--check]

Medians of three rounds of 3,000 calls on two cores: `openai` and `anthropic` 0.12 to 0.15 ms, bare aiohttp 0.07 ms,
bare httpx2 0.56 to 0.60 ms. So the providers stand on aiohttp, which comes with Faust anyway; ``--check``
holds `openai` to 0.6 ms.
"""

import argparse
import asyncio
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import orjson
import uvloop

from streams.adapters.providers import anthropic, openai
from streams.adapters.providers.line import LinePolicy
from streams.ports import Call

AT_ONCE = 64
LIMIT_MS = 0.6
CALL = Call("a" * 64, ({"role": "user", "content": "Summarise Kafka in one line. " * 36},), "model")
BODY = orjson.dumps({"model": CALL.model, "messages": CALL.messages})
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer key"}
One = Callable[[], Awaitable[object]]


async def measured(one: One, calls: int) -> float:
    """CPU milliseconds a call, connections and caches being warm."""
    await many(one, AT_ONCE * 4)
    started = time.process_time()
    await many(one, calls)
    return (time.process_time() - started) / calls * 1000


async def many(one: One, calls: int) -> None:
    async def some() -> None:
        for _ in range(calls // AT_ONCE):
            await one()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def of_ours(url: str, calls: int) -> float:
    """The provider `openai` as the pipeline uses it."""
    provider = openai.provider(LinePolicy(f"{url}/v1", openai.headers("key")))
    try:
        return await measured(lambda: provider.complete(CALL), calls)
    finally:
        await provider.aclose()


async def of_anthropic(url: str, calls: int) -> float:
    """The provider `anthropic` as the pipeline uses it."""
    provider = anthropic.provider(LinePolicy(url, anthropic.headers("key")))
    try:
        return await measured(lambda: provider.complete(CALL), calls)
    finally:
        await provider.aclose()


async def of_aiohttp(url: str, calls: int) -> float:
    """Bare aiohttp: post, read, parse."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> object:
            async with session.post(f"{url}/v1/chat/completions", data=BODY, headers=HEADERS) as response:
                return orjson.loads(await response.read())

        return await measured(one, calls)


async def of_httpx2(url: str, calls: int) -> float:
    """Bare httpx2: post, read, parse."""
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(limits=limits) as client:

        async def one() -> object:
            response = await client.post(f"{url}/v1/chat/completions", content=BODY, headers=HEADERS)
            return orjson.loads(response.content)

        return await measured(one, calls)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit 1 where `openai` costs more than its limit")
    asked = parser.parse_args()
    clients = {"openai": of_ours, "anthropic": of_anthropic, "aiohttp, bare": of_aiohttp}
    if importlib.util.find_spec("httpx2"):
        clients["httpx2, bare"] = of_httpx2
    command = [sys.executable, "-m", "streams.drill.provider", "--port", "0"]
    found: dict[str, list[float]] = {name: [] for name in clients}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for _ in range(asked.rounds):
            for name, client in clients.items():
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    found[name].append(runner.run(client(url, asked.calls)))
        server.terminate()
    for name, each in found.items():
        print(f"{name:<14} {statistics.median(each):.3f} ms CPU a call   ({' '.join(f'{one:.3f}' for one in each)})")
    return int(asked.check and statistics.median(found["openai"]) > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
