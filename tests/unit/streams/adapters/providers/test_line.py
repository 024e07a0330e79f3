"""One call over HTTP, against the fake provider: kept connections, bounds of time and size, and nothing left behind."""

import asyncio
import gzip
import socket
import time
import traceback
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.providers.line import AGENT, Line, LinePolicy, unpacked
from streams.drill.provider import FakeProvider
from streams.drill.script import Plan
from tests.support.loops import in_loop, until
from topics.provider_errors import ProviderError, ProviderMalformed, ProviderTimeout, ProviderUnreachable

BODY = {"model": "m", "messages": [{"role": "user", "content": "launch codes"}]}
PATH = "/chat/completions"


class Called:
    """A line to a fake provider that plays ``steps``."""

    def __init__(self, *steps, latency_s=0.0, **knobs):
        self.fake, self.knobs = FakeProvider(Plan(steps, latency_s)), knobs

    async def __aenter__(self):
        await self.fake.__aenter__()
        self.line = Line("openai", LinePolicy(self.fake.base_url, **self.knobs))
        return self

    async def __aexit__(self, *_):
        await self.line.aclose()
        await self.fake.__aexit__()

    async def post(self, call_id="c-1", body=BODY):
        return await self.line.post(PATH, body, call_id)


async def refusal(*steps, **knobs):
    """The error of one call, and the fake's ledger once the call is over there too."""
    async with Called(*steps, **knobs) as called:
        with pytest.raises(ProviderError) as raised:
            await called.post()
        await until(lambda: len(called.fake.ledger.entries) > 1)
        return raised.value, called.fake.ledger.actions()


@in_loop
async def test_answer_comes_whole_with_what_its_head_told():
    async with Called("429:2.5") as called:
        response = await called.post()

    assert ("openai", 429, "req_fake-1", 2.5) == (
        response.provider,
        response.status,
        response.request_id,
        response.retry_after_s,
    )
    assert b"launch codes" in response.raw


@in_loop
async def test_call_is_known_to_the_server_by_its_id():
    async with Called() as called:
        await called.post("key-7")

    assert ["key-7", "key-7"] == [entry.key for entry in called.fake.ledger.entries]


@in_loop
async def test_calls_one_after_another_share_a_connection():
    async with Called("ok", "429", "500") as called:
        for _ in range(6):
            await called.post()

    assert 1 == len(called.fake.connections)


@in_loop
async def test_connection_that_was_spoilt_serves_no_other_call():
    async with Called("stall", "ok", idle_s=0.05) as called:
        with pytest.raises(ProviderTimeout):
            await called.post()
        response = await called.post()

    assert (200, 2) == (response.status, len(called.fake.connections))


@pytest.mark.parametrize(("pool", "most"), [(1, 1), (3, 3)])
@in_loop
async def test_calls_at_once_are_as_many_as_the_pool(pool, most):
    async with Called(latency_s=0.02, pool=pool) as called:
        await asyncio.gather(*(called.post() for _ in range(6)))

    actions, running, peak = called.fake.ledger.actions(), 0, 0
    for action in actions:
        running += 1 if action == "start" else -1
        peak = max(peak, running)

    assert (most, most) == (peak, len(called.fake.connections))


@in_loop
async def test_wait_for_the_pool_counts_as_nobody_s_slowness():
    async with Called(latency_s=0.1, pool=1, first_byte_s=0.25, total_s=0.25) as called:
        responses = await asyncio.gather(*(called.post() for _ in range(4)))

    assert [200] * 4 == [response.status for response in responses]


@pytest.mark.parametrize(
    ("step", "knobs", "waited_for"),
    [
        ("hang", {"first_byte_s": 0.05}, "the first byte took more than 0.05 s"),
        ("stall", {"idle_s": 0.05}, "the next byte took more than 0.05 s"),
        ("slow:20", {"total_s": 0.1}, "the whole answer took more than 0.1 s"),
        ("hang", {"total_s": 0.05}, "the whole answer took more than 0.05 s"),
    ],
)
@in_loop
async def test_provider_that_keeps_us_waiting_is_left(step, knobs, waited_for):
    error, actions = await refusal(step, **knobs)

    assert (ProviderTimeout, True) == (type(error), error.retryable)
    assert waited_for in str(error)
    assert ["start", "cancel"] == actions


@in_loop
async def test_answer_in_slow_pieces_is_taken_while_pieces_come():
    async with Called("slow:0.3", idle_s=0.2) as called:
        response = await called.post()

    assert (200, True) == (response.status, response.raw.endswith(b"}"))


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        ("cut", ProviderUnreachable, "the answer broke off, ClientPayloadError"),
        ("reset", ProviderUnreachable, "ServerDisconnectedError"),
        ("huge", ProviderMalformed, "above 65536 bytes"),
        ("bomb", ProviderMalformed, "above 65536 bytes"),
    ],
)
@in_loop
async def test_answer_that_cannot_be_read_is_its_own_error(step, kind, words):
    error, _ = await refusal(step, max_bytes=65536)

    assert (kind, True) == (type(error), words in str(error))
    assert "launch" not in f"{error} {error.args}"


@in_loop
async def test_answer_announced_above_the_size_is_not_read():
    async with Called(max_bytes=20) as called:
        with pytest.raises(ProviderMalformed, match="above 20 bytes, status 200"):
            await called.post()


@in_loop
async def test_redirect_is_not_followed():
    async with Called("redirect") as called:
        response = await called.post()

    assert (307, 1) == (response.status, called.fake.ledger.actions().count("start"))


@in_loop
async def test_failed_call_is_not_tried_again():
    for step in ("reset", "cut", "500"):
        async with Called(step) as called:
            try:
                await called.post()
            except ProviderUnreachable as error:
                assert error.retryable

        assert 1 == called.fake.ledger.actions().count("start")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://127.0.0.1:{free_port()}/v1", "ClientConnectorError"),
        ("http://no-such-host.invalid/v1", "ClientConnectorDNSError"),
        ("", "InvalidU"),
        ("nonsense://127.0.0.1/v1", "NonHttpUrlClientError"),
    ],
)
@in_loop
async def test_address_where_nobody_answers_is_unreachable(url, words):
    line = Line("openai", LinePolicy(url))
    with pytest.raises(ProviderUnreachable, match=words):
        await line.post(PATH, BODY, "c-1")
    await line.aclose()


@in_loop
async def test_connection_that_is_not_taken_up_in_time_is_unreachable():
    with socket.socket() as deaf:  # its queue is full: the next connection waits
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        line = Line("openai", LinePolicy(f"http://127.0.0.1:{deaf.getsockname()[1]}", connect_s=0.05))
        with pytest.raises(ProviderUnreachable, match=r"no connection within 0\.05 s"):
            await line.post(PATH, BODY, "c-1")
        await line.aclose()
        for one in waiting:
            one.close()


async def answering(raw):
    """A server that says these bytes to whoever comes, and its address."""

    async def say(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", ProviderMalformed),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", ProviderMalformed),
        (b"", ProviderUnreachable),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nlaunch codes\r\n", ProviderMalformed),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nhi", ProviderMalformed),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", ProviderMalformed),
    ],
)
@in_loop
async def test_server_that_speaks_no_http_is_its_own_error(raw, kind):
    server, url = await answering(raw)
    line = Line("openai", LinePolicy(url, total_s=5))
    with pytest.raises(kind) as raised:
        await line.post(PATH, {}, "c-1")
    await line.aclose()
    server.close()

    assert "launch" not in "".join(traceback.format_exception(raised.value))


@in_loop
async def test_cancelled_call_closes_its_connection():
    async with Called("hang") as called:
        task = asyncio.ensure_future(called.post())
        await until(lambda: called.fake.ledger.actions() == ["start"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: called.fake.ledger.actions() == ["start", "cancel"])


@pytest.mark.parametrize("step", ["stall", "slow:30", "hang"])
@in_loop
async def test_deadline_around_a_call_ends_it_on_the_server(step):
    """B72: the deadline cancels the call."""
    async with Called(step) as called:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await called.post()
        await until(lambda: called.fake.ledger.actions() == ["start", "cancel"])

    assert time.monotonic() - started < 5


@in_loop
async def test_request_says_who_asks_and_wants_nothing_packed():
    heads = asyncio.Queue()

    async def keep(reader, writer):
        await heads.put((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/deep/v1/"
    line = Line("openai", LinePolicy(url, {"Authorization": "Bearer k"}))
    await line.post(PATH, BODY, "c-1")
    await line.aclose()
    server.close()
    head = await heads.get()

    assert head.startswith("POST /deep/v1/chat/completions HTTP/1.1\r\n")
    for line_of_it in (
        f"User-Agent: {AGENT}",
        "Accept-Encoding: identity",
        "Authorization: Bearer k",
        "Content-Type: application/json",
        "Idempotency-Key: c-1",
    ):
        assert f"{line_of_it}\r\n" in head


PLAIN = b'{"a": 1}' * 100


@pytest.mark.parametrize(
    ("raw", "encoding", "found"),
    [
        (PLAIN, "", PLAIN),
        (PLAIN, "identity", PLAIN),
        (gzip.compress(PLAIN), "gzip", PLAIN),
        (gzip.compress(PLAIN), " X-GZIP ", PLAIN),
        (zlib.compress(PLAIN), "deflate", PLAIN),
        (gzip.compress(PLAIN)[:-9], "gzip", "packed, and cut short"),
        (b"hi", "gzip", "cannot be unpacked"),
        (b"", "gzip", "packed, and cut short"),
        (PLAIN, "br", "packed in an unknown way"),
        (PLAIN, "gzip, gzip", "packed in an unknown way"),
    ],
)
def test_packed_answer_is_unpacked_or_refused_in_words(raw, encoding, found):
    assert found == unpacked(raw, encoding, len(PLAIN))


@pytest.mark.parametrize(("limit", "whole"), [(len(PLAIN), True), (len(PLAIN) - 1, False), (1, False)])
def test_packed_answer_above_the_limit_is_refused(limit, whole):
    found = unpacked(gzip.compress(PLAIN), "gzip", limit)

    assert whole == isinstance(found, bytes)
    assert whole or f"above {limit} bytes" == found


@given(st.binary(max_size=300), st.integers(0, 300))
def test_unpacked_answer_is_what_was_packed_or_above_the_limit(plain, limit):
    found = unpacked(gzip.compress(plain), "gzip", limit)

    assert found == (plain if len(plain) <= limit else f"above {limit} bytes")
