"""The fake provider as a process that is told what to do next."""

import aiohttp
import pytest

from streams.drill.crew import DrillFailed
from streams.drill.served import ServedProvider
from tests.support.loops import in_loop, until

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


async def asked(served, **headers):
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{served.url}/v1/chat/completions", json=BODY, headers=headers) as response,
    ):
        return response.status


@in_loop
async def test_served_provider_plays_what_it_is_told_until_it_is_good_again(tmp_path):
    served = await ServedProvider(tmp_path, ("ok",)).start()
    try:
        found = [await asked(served)]
        await served.play("503", "429")
        found += [await asked(served), await asked(served), await asked(served)]
        await served.play()
        found.append(await asked(served))
    finally:
        served.end()

    assert [200, 503, 429, 503, 200] == found


@in_loop
async def test_ledger_of_a_served_provider_tells_who_called(tmp_path):
    served = await ServedProvider(tmp_path, ("ok",)).start()
    try:
        await asked(served, Authorization="Bearer worker-1")
    finally:
        served.end()

    assert [("start", "worker-1"), ("end", "worker-1")] == [(entry.action, entry.by) for entry in served.entries()]


@in_loop
async def test_script_that_cannot_be_played_is_refused_by_name(tmp_path):
    served = await ServedProvider(tmp_path, ("ok",)).start()
    try:
        with pytest.raises(DrillFailed, match="nonsense"):
            await served.play("nonsense")
    finally:
        served.end()


@in_loop
async def test_provider_that_cannot_start_is_a_failed_drill(tmp_path):
    with pytest.raises(DrillFailed, match=r"did not start: read .*provider\.log"):
        await ServedProvider(tmp_path, ("nonsense",)).start()


@in_loop
async def test_ended_provider_answers_nobody(tmp_path):
    served = await ServedProvider(tmp_path, ("ok",)).start()
    served.end()
    refused = []

    async def look():
        try:
            await asked(served)
        except aiohttp.ClientError as gone:
            refused.append(gone)

    await look()
    await until(lambda: served._process.poll() is not None)
    await look()

    assert refused


def test_provider_that_never_started_has_no_ledger_and_ends_quietly(tmp_path):
    served = ServedProvider(tmp_path, ("ok",))

    assert [] == served.entries()
    assert served.end() is None
