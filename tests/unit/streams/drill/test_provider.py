"""The fake provider as a server, spoken to by a client that is not ours."""

import asyncio
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import aiohttp
import pytest

from streams.drill.ledger import read
from streams.drill.provider import FakeProvider, arguments, serve
from streams.drill.script import Plan
from tests.support.loops import in_loop, until
from tests.support.tree import ROOT
from topics.errors import ConfigurationError

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
PATHS = ("/v1/chat/completions", "/v1/messages")


@asynccontextmanager
async def served(*steps, **knobs):
    async with (
        FakeProvider(Plan(steps, **knobs), fresh=iter("abcdef").__next__) as fake,
        aiohttp.ClientSession() as client,
    ):
        yield fake, client


async def asked(fake, client, path=PATHS[0], body=BODY, **headers):
    """Status, head and text of one answer."""
    url = f"{fake.url}{path}"
    data = body if isinstance(body, bytes) else json.dumps(body)
    async with client.post(url, data=data, headers=headers, allow_redirects=False) as response:
        return response.status, response.headers, await response.text()


@pytest.mark.parametrize("path", PATHS)
@in_loop
async def test_good_answer_is_noted_with_its_tokens(path):
    async with served() as (fake, client):
        status, _, text = await asked(fake, client, path, **{"Idempotency-Key": "k-1"})

    assert (200, True) == (status, "echo: hello" in text)
    assert [("start", "k-1", 2, 3), ("end", "k-1", 2, 3)] == [
        (entry.action, entry.key, entry.input_tokens, entry.output_tokens) for entry in fake.ledger.entries
    ]


@in_loop
async def test_script_is_played_from_the_start_again():
    async with served("ok*2", "500", "429:2") as (fake, client):
        found = [(await asked(fake, client))[0] for _ in range(8)]

    assert [200, 200, 500, 429] * 2 == found


@in_loop
async def test_answers_with_a_nonce_differ_and_the_ledger_knows_it():
    async with served(nonce=True) as (fake, client):
        texts = [(await asked(fake, client))[2] for _ in range(3)]

    assert [True] * 3 == [f"[{nonce}]" in text for nonce, text in zip("abc", texts, strict=True)]
    assert ["a", "b", "c"] == [entry.nonce for entry in fake.ledger.entries if entry.action == "end"]


@in_loop
async def test_call_without_a_key_of_its_own_is_known_by_its_body():
    async with served() as (fake, client):
        await asked(fake, client)
        await asked(fake, client)
        await asked(fake, client, body={**BODY, "model": "n"})
    one, same, other = [entry.key for entry in fake.ledger.entries if entry.action == "start"]

    assert (True, True) == (one == same, one != other)


@pytest.mark.parametrize(("sent", "status"), [("Bearer k-1", 200), ("Bearer k-2", 401), ("", 401)])
@in_loop
async def test_key_that_is_asked_for_must_be_the_right_one(sent, status):
    async with served(key="k-1") as (fake, client):
        found, *_ = await asked(fake, client, Authorization=sent)

    assert status == found


@pytest.mark.parametrize(
    ("step", "status", "after"), [("429:2", 429, "2"), ("503:1.5", 503, "1.5"), ("500", 500, None)]
)
@in_loop
async def test_status_comes_with_the_advice_that_is_written(step, status, after):
    async with served(step) as (fake, client):
        found, head, text = await asked(fake, client)

    assert (status, after, True) == (found, head.get("Retry-After"), "hello" in text)
    assert ["start", "error"] == fake.ledger.actions()


@pytest.mark.parametrize(
    ("step", "status", "holds"),
    [
        ("context", 400, "context_length_exceeded"),
        ("garbage", 200, "<html>"),
        ("empty", 200, '"choices":[]'),
        ("redirect", 307, "{}"),
        ("tools", 200, "tool_calls"),
        ("length", 200, '"length"'),
        ("no-usage", 200, "echo: hello"),
    ],
)
@in_loop
async def test_act_of_the_script_is_played(step, status, holds):
    async with served(step) as (fake, client):
        found, _, text = await asked(fake, client)

    assert (status, True) == (found, holds in text)


@in_loop
async def test_truncated_answer_is_half_of_the_json():
    async with served("ok", "truncated") as (fake, client):
        whole, half = (await asked(fake, client))[2], (await asked(fake, client))[2]

    assert whole[: len(whole) // 2] == half


@in_loop
async def test_bomb_is_small_on_the_wire():
    async with (
        served("bomb") as (fake, client),
        client.post(f"{fake.base_url}/chat/completions", json=BODY) as response,
    ):
        packing, size = response.headers["Content-Encoding"], int(response.headers["Content-Length"])

    assert ("gzip", True) == (packing, size < 10**5)


@pytest.mark.parametrize("step", ["reset", "cut"])
@in_loop
async def test_connection_that_ends_early_is_noted_as_an_error(step):
    async with served(step) as (fake, client):
        with pytest.raises(aiohttp.ClientError):
            await asked(fake, client)
        await until(lambda: fake.ledger.actions() == ["start", "error"])


@pytest.mark.parametrize("step", ["hang", "stall", "huge", "slow:60"])
@in_loop
async def test_caller_that_goes_away_is_noted_as_cancelled(step):
    async with served(step) as (fake, client):
        with pytest.raises((TimeoutError, aiohttp.ClientError)):
            async with asyncio.timeout(0.2):
                await asked(fake, client)
        await until(lambda: fake.ledger.actions() == ["start", "cancel"])


@in_loop
async def test_slow_answer_is_whole_in_the_end():
    async with served("slow:0.05") as (fake, client):
        _, _, text = await asked(fake, client)

    assert "echo: hello" == json.loads(text)["choices"][0]["message"]["content"]


@in_loop
async def test_latency_is_waited_before_each_answer():
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    async with FakeProvider(Plan(latency_s=5.0), sleep=sleep) as fake, aiohttp.ClientSession() as client:
        await asked(fake, client)

    assert [5.0] == waited


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"messages": "hi"}', b'{"messages": ["hi"]}'])
@in_loop
async def test_request_without_a_conversation_is_refused_and_no_call(body):
    async with served() as (fake, client):
        status, *_ = await asked(fake, client, body=body)

    assert (400, []) == (status, fake.ledger.entries)


@in_loop
async def test_port_that_is_taken_is_named():
    async with FakeProvider() as fake:
        with pytest.raises(ConfigurationError, match=f"port = {fake.port}"):
            await FakeProvider(port=fake.port).__aenter__()


@in_loop
async def test_fake_that_was_never_started_can_be_left():
    fake = FakeProvider()

    assert await fake.__aexit__(None, None, None) is None


def test_command_line_becomes_a_plan():
    given = [
        "--port",
        "7",
        "--steps",
        "ok*2",
        "hang",
        "--latency-s",
        "0.5",
        "--nonce",
        "--key",
        "k",
        "--log",
        "c.jsonl",
    ]

    assert (Plan(("ok*2", "hang"), 0.5, True, "k", Path("c.jsonl")), 7) == arguments(given)
    assert (Plan(), 0) == arguments([])


@in_loop
async def test_server_tells_its_address_first():
    said = []
    serving = asyncio.ensure_future(serve(Plan(), 0, said.append))
    await until(lambda: bool(said))
    serving.cancel()

    assert said[0].startswith("http://127.0.0.1:")


def test_server_of_its_own_process_answers_and_keeps_its_log(tmp_path):
    log = tmp_path / "calls.jsonl"
    command = [sys.executable, "-m", "streams.drill.provider", "--port", "0", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        with urlopen(Request(server.stdout.readline().strip() + PATHS[0], json.dumps(BODY).encode())) as response:
            assert 200 == response.status
        server.terminate()

    assert [("start", server.pid), ("end", server.pid)] == [(entry.action, entry.pid) for entry in read(log)]


# -- a script that changes, and who called


@in_loop
async def test_script_that_is_put_is_played_from_the_next_call_on():
    async with served("ok") as (fake, client):
        before = (await asked(fake, client))[0]
        async with client.put(f"{fake.url}/script", data="429 500*2") as told:
            found = [(await asked(fake, client))[0] for _ in range(4)]

    assert (200, 204, [429, 500, 500, 429]) == (before, told.status, found)


@in_loop
async def test_empty_script_is_good_answers():
    async with served("503") as (fake, client), client.put(f"{fake.url}/script", data=""):
        found = (await asked(fake, client))[0]

    assert 200 == found


@in_loop
async def test_script_with_an_unknown_word_is_refused_and_changes_nothing():
    async with served("503") as (fake, client):
        async with client.put(f"{fake.url}/script", data="ok nonsense") as told:
            text = await told.text()
        found = (await asked(fake, client))[0]

    assert (400, True, 503) == (told.status, "nonsense" in text, found)


@pytest.mark.parametrize(
    ("key", "by"),
    [("worker-1", "worker-1"), ("worker-999", "worker-999"), ("sk-secret", ""), ("worker-1 x", ""), ("", "")],
)
@in_loop
async def test_only_keys_of_a_drill_are_written_down(key, by):
    async with served() as (fake, client):
        await asked(fake, client, Authorization=f"Bearer {key}")

    assert [by, by] == [entry.by for entry in fake.ledger.entries]
