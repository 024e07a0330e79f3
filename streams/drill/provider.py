"""Who answers in tests and drills as a real provider would, and fails on demand? A server on loopback, by a script.

In this process (``async with FakeProvider(plan) as fake: fake.base_url``), or as one of its own, whose first line is
its address and which ``PUT /script`` tells other words:
``python -m streams.drill.provider --port 0 --steps ok*20 429:2 --log calls.jsonl``.
"""

import argparse
import asyncio
import re
import secrets
import sys
import zlib
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import orjson
from aiohttp import web

from streams.adapters.providers.echo import last_said
from streams.drill import dialects
from streams.drill.dialects import DIALECTS, Dialect, Said
from streams.drill.ledger import Action, Entry, Ledger
from streams.drill.script import GOOD, Plan, Step, parse
from topics.errors import ConfigurationError

HOST = "127.0.0.1"
MIB = 1024 * 1024
PIECES = 10
DRILLED = re.compile(r"worker-\d{1,3}")  # the only keys that are written down: they are no secrets
SPOILT = frozenset({"truncated", "cut", "garbage", "empty", "context", "redirect", "huge", "bomb", "reset"})
Sleep = Callable[[float], Awaitable[object]]


class FakeProvider:
    """A provider that plays a plan; ``ledger`` knows its calls."""

    def __init__(
        self,
        plan: Plan | None = None,
        port: int = 0,
        *,
        sleep: Sleep = asyncio.sleep,
        fresh: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self.plan, self.port = plan or Plan(), port
        self._steps = parse(self.plan.steps) or (GOOD,)
        self.ledger = Ledger(self.plan.log_path)
        self.connections: set[object] = set()
        self._sleep, self._fresh = sleep, fresh
        self._turns = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where Anthropic's API begins; OpenAI's begins at ``/v1`` below it."""
        return f"http://{HOST}:{self.port}"

    @property
    def base_url(self) -> str:
        """Where OpenAI's API begins."""
        return f"{self.url}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * MIB)
        app.add_routes([web.post(dialect.path, self._speaking(dialect)) for dialect in DIALECTS])
        app.add_routes([web.put("/script", self._rescripted)])
        runner = self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self.port).start()
        except OSError as bad:
            await runner.cleanup()
            raise ConfigurationError("port", self.port, "another process listens there: 0 takes a free one") from bad
        self.port = runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _speaking(self, dialect: Dialect) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            """One call, noted at its start and at its end, whatever comes between."""
            raw = await request.read()
            body = _request(raw)
            if body is None:
                return web.json_response({"error": {"message": "no messages"}}, status=400)
            self.connections.add(request.transport)
            step = self._turn()
            nonce = self._fresh() if self.plan.nonce else ""
            answer = dialects.played(dialects.said(body, nonce), step.act)
            key = request.headers.get("Idempotency-Key") or sha256(raw).hexdigest()[:16]
            scene = Scene(request, dialect, step, answer, last_said(body["messages"]), self._sleep)
            asked = dialect.key(request.headers)
            by = asked if DRILLED.fullmatch(asked) else ""
            self._note("start", key, step, nonce, answer, by)
            try:
                response = await self._played(scene)
            except (asyncio.CancelledError, ConnectionError):
                self._note("cancel", key, step, nonce, answer, by)
                raise
            good = response.status == 200 and step.act not in SPOILT
            self._note("end" if good else "error", key, step, nonce, answer, by)
            return response

        return answer

    def play(self, *words: str) -> None:
        """Does this from the next call on; ``ConfigurationError`` names a word that is none."""
        self._steps, self._turns = parse(words) or (GOOD,), 0

    async def _rescripted(self, request: web.Request) -> web.Response:
        try:
            self.play(*(await request.text()).split())
        except ConfigurationError as wrong:
            return web.Response(text=str(wrong), status=400)
        return web.Response(status=204)

    async def _played(self, scene: "Scene") -> web.StreamResponse:
        await self._sleep(self.plan.latency_s)
        if self.plan.key is not None and scene.dialect.key(scene.request.headers) != self.plan.key:
            return scene.refused(401)
        return await scene.played()

    def _turn(self) -> Step:
        turn, self._turns = self._turns, self._turns + 1
        return self._steps[turn % len(self._steps)]

    def _note(self, action: Action, key: str, step: Step, nonce: str, of: Said, by: str) -> None:
        self.ledger.note(Entry(action, key, step.act, nonce, of.model, of.input_tokens, of.output_tokens, by))


class Scene:
    """One call being answered as its step says."""

    def __init__(
        self, request: web.Request, dialect: Dialect, step: Step, answer: Said, quoted: str, sleep: Sleep
    ) -> None:
        self.request, self.dialect, self.step, self.quoted, self._sleep = request, dialect, step, quoted, sleep
        self.answer = answer
        self.raw = orjson.dumps(dialect.answer(answer))
        self._headers = {dialect.id_header: "req_fake-1"}

    async def played(self) -> web.StreamResponse:
        """The act's response; some acts end the connection, or never end."""
        half = self.raw[: len(self.raw) // 2]
        match self.step.act:
            case "hang":
                return await self._for_ever()
            case "stall":
                await self._begun(half, len(self.raw))
                return await self._for_ever()
            case "cut":
                return self._ended(await self._begun(half, len(self.raw)))
            case "reset":
                return self._ended(web.Response())
            case "slow":
                return await self._in_pieces(self.step.argument or 1.0)
            case "huge":
                return await self._endless()
            case _:
                return self._at_once(half)

    def _at_once(self, half: bytes) -> web.Response:
        match self.step.act:
            case "truncated":
                return self._json(half)
            case "garbage":
                return web.Response(text=f"<html>{self.quoted}</html>", content_type="text/html")
            case "empty":
                return self._json(orjson.dumps(self.dialect.empty(self.answer)))
            case "context":
                return self._json(orjson.dumps(self.dialect.too_long(self.quoted)), 400)
            case "redirect":
                return self._json(b"{}", 307, {"Location": str(self.request.url)})
            case "bomb":
                return self._json(_bomb(), 200, {"Content-Encoding": "gzip"})
            case _:
                return self._json(self.raw) if self.step.status is None else self.refused(self.step.status)

    def refused(self, status: int) -> web.Response:
        """An error that quotes the prompt, as real ones do."""
        after = self.step.argument
        advice = {} if after is None else {"Retry-After": f"{after:g}"}
        return self._json(orjson.dumps(self.dialect.error(status, self.quoted)), status, advice)

    def _json(self, raw: bytes, status: int = 200, more: dict[str, str] | None = None) -> web.Response:
        headers = {"Content-Type": "application/json", **self._headers, **(more or {})}
        return web.Response(body=raw, status=status, headers=headers)

    async def _begun(self, raw: bytes, announced: int | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", **self._headers})
        response.content_length = announced
        await response.prepare(self.request)
        await response.write(raw)
        return response

    async def _in_pieces(self, over_s: float) -> web.StreamResponse:
        size = -(-len(self.raw) // PIECES)
        response = await self._begun(self.raw[:size], len(self.raw))
        for start in range(size, len(self.raw), size):
            await self._sleep(over_s / PIECES)
            await response.write(self.raw[start : start + size])
        return response

    async def _endless(self) -> web.StreamResponse:
        response = await self._begun(b'"', None)
        while True:
            await response.write(b" " * MIB)

    async def _for_ever(self) -> web.StreamResponse:
        while True:
            await self._sleep(3600)

    def _ended(self, response: web.StreamResponse) -> web.StreamResponse:
        if self.request.transport is not None:
            self.request.transport.abort()
        return response


@cache
def _bomb() -> bytes:
    packing = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)  # 16: gzip
    return packing.compress(b'"' + b" " * 16 * MIB + b'"') + packing.flush()


def _request(raw: bytes) -> dict[str, Any] | None:
    """A body that holds a conversation, else None."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    messages = body.get("messages") if isinstance(body, dict) else None
    whole = isinstance(messages, list) and all(isinstance(message, dict) for message in messages)
    return body if whole else None


def arguments(given: Sequence[str]) -> tuple[Plan, int]:
    """The plan and the port that a command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m streams.drill.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--steps", nargs="*", default=(), metavar="WORD", help="what it does, call by call")
    parser.add_argument("--latency-s", type=float, default=0.0, help="before each answer")
    parser.add_argument("--nonce", action="store_true", help="each answer differs")
    parser.add_argument("--key", help="the API key that it asks for")
    parser.add_argument("--log", type=Path, metavar="FILE", help="one line of JSON at the start and end of a call")
    asked = parser.parse_args(given)
    return Plan(tuple(asked.steps), asked.latency_s, asked.nonce, asked.key, asked.log), asked.port


async def serve(plan: Plan, port: int, say: Callable[[str], Any]) -> None:
    """Tells the address, and serves until it is cancelled."""
    async with FakeProvider(plan, port) as fake:
        say(f"{fake.url}\n")
        await asyncio.Event().wait()


def _say(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(*arguments(sys.argv[1:]), _say))
