"""What a worker answers over HTTP, on a real socket of the loopback interface."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest

from streams.adapters import web
from streams.adapters.telemetry import Metrics
from tests.support.loops import in_loop
from topics.errors import ConfigurationError


async def asked(path: str, reasons: tuple[str, ...] = (), method: str = "GET", body: bytes = b"x 1\n") -> Any:
    async with (
        web.serve("127.0.0.1", 0, lambda: body, lambda: reasons) as address,
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{address}{path}") as answer,
    ):
        return answer.status, answer.headers["Content-Type"], await answer.read()


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


@pytest.mark.parametrize(
    ("path", "reasons", "status", "body"),
    [
        ("/metrics", (), 200, b"x 1\n"),
        ("/metrics", ("recovering",), 200, b"x 1\n"),
        ("/live", (), 200, b'{"live":true}'),
        ("/live", ("recovering",), 200, b'{"live":true}'),
        ("/ready", (), 200, b'{"ready":true,"reasons":[]}'),
        ("/ready", ("core: recovering",), 503, b'{"ready":false,"reasons":["core: recovering"]}'),
        ("/ready", ("a", "b"), 503, b'{"ready":false,"reasons":["a","b"]}'),
    ],
)
@in_loop
async def test_route_answers_status_and_body(path: str, reasons: tuple[str, ...], status: int, body: bytes) -> None:
    got = await asked(path, reasons)

    assert (status, body) == (got[0], got[2])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/ready", "application/json"),
        ("/live", "application/json"),
    ],
)
@in_loop
async def test_route_names_its_content_type(path: str, kind: str) -> None:
    assert kind == (await asked(path))[1]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/metrics/x", 404), ("POST", "/ready", 405), ("HEAD", "/live", 200)],
)
@in_loop
async def test_other_questions_get_their_status(method: str, path: str, status: int) -> None:
    assert status == (await asked(path, method=method))[0]


@in_loop
async def test_readiness_is_asked_each_time() -> None:
    reasons = ["recovering"]
    async with web.serve("127.0.0.1", 0, bytes, lambda: tuple(reasons)) as address, aiohttp.ClientSession() as session:
        before = (await session.get(f"http://{address}/ready")).status
        reasons.clear()
        after = (await session.get(f"http://{address}/ready")).status

    assert (503, 200) == (before, after)


@in_loop
async def test_metrics_of_a_worker_are_served() -> None:
    async with (
        web.serve("127.0.0.1", 0, Metrics().render, tuple) as address,
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}/metrics") as answer,
    ):
        text = await answer.text()

    assert "prompt_streams_process_cpu_seconds_total" in text


@in_loop
async def test_port_in_use_names_field_value_and_fix() -> None:
    with taken_port() as port, pytest.raises(ConfigurationError, match="another process listens") as raised:
        async with web.serve("127.0.0.1", port, bytes, tuple):
            pass

    assert ("worker.http_port", port) == (raised.value.field, raised.value.value)


@in_loop
async def test_foreign_address_names_the_host() -> None:
    with pytest.raises(ConfigurationError, match="cannot listen") as raised:
        async with web.serve("203.0.113.7", 0, bytes, tuple):
            pass

    assert ("worker.http_host", "203.0.113.7") == (raised.value.field, raised.value.value)


@in_loop
async def test_port_zero_takes_a_free_one_each() -> None:
    async with web.serve("127.0.0.1", 0, bytes, tuple) as one, web.serve("127.0.0.1", 0, bytes, tuple) as other:
        ports = {int(address.rsplit(":", 1)[1]) for address in (one, other)}

    assert (2, False) == (len(ports), 0 in ports)


@in_loop
async def test_port_is_free_again_after_leaving() -> None:
    async with web.serve("127.0.0.1", 0, bytes, tuple) as first:
        port = int(first.rsplit(":", 1)[1])
    async with web.serve("127.0.0.1", port, bytes, tuple) as second:
        got = second

    assert f"127.0.0.1:{port}" == got
