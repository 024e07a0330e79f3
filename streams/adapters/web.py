"""How does the outside ask whether this worker is alive, ready and busy? /live, /ready and /metrics over HTTP."""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from topics.errors import ConfigurationError

TEXT = "text/plain; version=0.0.4; charset=utf-8"

Render = Callable[[], bytes]
Reasons = Callable[[], tuple[str, ...]]


def application(metrics: Render, not_ready: Reasons) -> web.Application:
    """The three routes; ``not_ready`` gives the reasons, none when ready."""

    async def answer_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": TEXT})

    async def answer_ready(_: web.Request) -> web.Response:
        reasons = not_ready()
        return _json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def answer_live(_: web.Request) -> web.Response:
        return _json({"live": True}, 200)

    app = web.Application()
    app.add_routes(
        [web.get("/metrics", answer_metrics), web.get("/ready", answer_ready), web.get("/live", answer_live)]
    )
    return app


def _json(body: object, status: int) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


@asynccontextmanager
async def serve(host: str, port: int, metrics: Render, not_ready: Reasons) -> AsyncIterator[str]:
    """Serves while entered and gives the address (``127.0.0.1:9464``); port 0 takes a free one."""
    runner = web.AppRunner(application(metrics, not_ready), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await _bind(runner, host, port)
        yield f"{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as bad:
        if bad.errno == errno.EADDRINUSE:
            fix = f"another process listens there on {host}: stop it, or set another port (0 = any free one)"
            raise ConfigurationError("worker.http_port", port, fix) from bad
        fix = f"cannot listen on {host}:{port} ({errno.errorcode.get(bad.errno or 0, type(bad).__name__)})"
        raise ConfigurationError("worker.http_host", host, fix) from bad
