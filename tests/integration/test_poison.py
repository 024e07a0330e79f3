"""Hostile records on a real broker: each has its answer, its dead letter where it is no request; the worker lives."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from streams.decisions.identity import derived_id
from tests.support.loops import in_loop
from tests.support.poison import BURIED, CORPUS, ESCAPES, Poison, asking
from tests.support.running import Line, RunningWorker, Seen, eventually, running
from topics.catalog import DEAD_LETTERS, PROMPTS, RESULTS

pytestmark = pytest.mark.broker

BOMB = b"x" * 20_000_000  # some twenty kilobytes on the wire
KNOWN = {"missing prompt": "no-prompt", "wrong type": "wrong-type"}
UNHARMED = ["before", *(f"after-{number}" for number in range(len(CORPUS))), "after-all"]


@pytest.fixture(scope="module")
def worker(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    with running(Line(broker.bootstrap_servers), tmp_path_factory.mktemp("poison")) as worker:
        yield worker


@pytest.fixture(scope="module")
def fates(worker: RunningWorker) -> dict[str, Any]:
    """Where each poison was written, good prompts between them, and all that came of it."""

    async def ask() -> dict[str, Any]:
        line, places, pid = worker.line, dict[str, Seen](), worker.pid
        await line.publish(good("before"))
        for number, (name, poison) in enumerate(CORPUS.items()):
            [places[name]] = await line.publish(poison.value, key=poison.key, headers=poison.headers)
            await line.publish(good(f"after-{number}"))
        places["bomb"] = await exploded(line)
        await line.publish(good("after-all"))
        await line.results([*UNHARMED, *(id_of(name, place) for name, place in places.items())])
        await eventually(line.waiting, {})
        found = {"answers": await line.all(RESULTS), "letters": await line.all(DEAD_LETTERS)}
        return {**found, "places": places, "lived": worker.alive and worker.pid == pid}

    return asyncio.run(ask())


def good(id: str) -> bytes:
    return asking(id=id, prompt=id)


async def exploded(line: Line) -> Seen:
    """A record far above the limit in a batch that is small on the wire."""
    producer = AIOKafkaProducer(bootstrap_servers=line.brokers, compression_type="gzip", max_request_size=2 * len(BOMB))
    async with producer:
        return await producer.send_and_wait(line.names.topic(PROMPTS), BOMB, key=b"bomb")


def id_of(name: str, place: Seen) -> str:
    return KNOWN.get(name) or derived_id(PROMPTS, place.partition, place.offset, place.timestamp)


def answer_to(fates: dict[str, Any], name: str) -> dict[str, Any]:
    key = id_of(name, fates["places"][name]).encode()
    found: dict[str, Any] = json.loads(next(seen.value for seen in fates["answers"] if seen.key == key))
    return found


def letters_of(fates: dict[str, Any], name: str) -> list[Seen]:
    place = fates["places"][name]
    at = (b"%d" % place.partition, b"%d" % place.offset)
    return [
        letter
        for letter in fates["letters"]
        if at == (told(letter, "original-partition"), told(letter, "original-offset"))
    ]


def told(letter: Seen, word: str) -> bytes | None:
    return dict(letter.headers).get(f"prompts.error.{word}")


def streams(worker: RunningWorker, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command, as a person runs it beside the worker."""
    names = worker.line.names
    ours = {"STREAMS_NAMES__NAMESPACE": names.namespace, "STREAMS_NAMES__PREFIX": names.prefix}
    command = [sys.executable, "-P", "-m", "streams", *arguments, "-b", worker.line.brokers]
    cwd: Path = worker.directory
    return subprocess.run(
        command, env={**os.environ, **ours}, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", CORPUS)
def test_poison_of_any_kind_is_answered(fates: dict[str, Any], name: str) -> None:
    """F12."""
    expected = "completed" if CORPUS[name].fate == "answered" else "rejected"

    assert expected == answer_to(fates, name)["status"]


@pytest.mark.parametrize("name", CORPUS)
def test_poison_that_is_no_request_is_buried_in_its_original_bytes(fates: dict[str, Any], name: str) -> None:
    """F12, B60: one dead letter with value and key as they came; a refusal has none."""
    poison: Poison = CORPUS[name]

    assert [(poison.value, poison.key)] * (poison.fate == BURIED) == [
        (letter.value, letter.key) for letter in letters_of(fates, name)
    ]


def test_flood_of_headers_is_cut_in_its_dead_letter(fates: dict[str, Any]) -> None:
    (letter,) = letters_of(fates, "flood of headers")

    assert 64 * 1024 > sum(len(name) + len(value or b"") for name, value in letter.headers)
    assert int(told(letter, "headers-dropped") or 0) > 200


def test_record_that_unpacks_above_every_limit_is_refused_by_its_size(fates: dict[str, Any]) -> None:
    answer = answer_to(fates, "bomb")

    assert ("rejected", "undecodable") == (answer["status"], answer["error"]["kind"])
    assert f"{len(BOMB)} bytes, the limit is" in answer["error"]["message"]


def test_record_that_no_dead_letter_can_hold_is_named_there(fates: dict[str, Any]) -> None:
    (letter,) = letters_of(fates, "bomb")

    assert (b"too-large", id_of("bomb", fates["places"]["bomb"])) == (
        told(letter, "original"),
        json.loads(letter.value)["id"],
    )


def test_prompts_between_poison_are_all_answered(fates: dict[str, Any]) -> None:
    """F12, I1."""
    statuses = {seen.key.decode(): json.loads(seen.value)["status"] for seen in fates["answers"]}

    assert {"completed"} == {statuses[id] for id in UNHARMED}


def test_worker_outlives_every_poison(fates: dict[str, Any]) -> None:
    """F12: the same process, never restarted."""
    assert fates["lived"]


def test_groups_of_dead_letters_add_up_to_what_is_there(fates: dict[str, Any], worker: RunningWorker) -> None:
    rows = json.loads(streams(worker, "dlq", "list", "-o", "json").stdout)

    assert len(fates["letters"]) == sum(row["count"] for row in rows)
    assert {("undecodable", "admit", "undecodable")} == {
        (row["kind"], row["stage"], row["disposition"]) for row in rows
    }


def test_dead_letter_at_a_place_is_shown_exactly(fates: dict[str, Any], worker: RunningWorker) -> None:
    (letter,) = letters_of(fates, "escape sequences")
    ran = streams(worker, "dlq", "show", f"{letter.partition}/{letter.offset}", "-o", "json")

    assert (0, ESCAPES) == (ran.returncode, json.loads(ran.stdout)["value"])


@pytest.mark.parametrize("how", ["table", "json"])
def test_dead_letter_with_escape_sequences_is_shown_without_harm(
    fates: dict[str, Any], worker: RunningWorker, how: str
) -> None:
    (letter,) = letters_of(fates, "escape sequences")
    ran = streams(worker, "dlq", "show", id_of("escape sequences", fates["places"]["escape sequences"]), "-o", how)

    assert letter.value == ESCAPES.encode()
    assert 0 == ran.returncode
    assert not set(ESCAPES) - set("[];0owned2J31m") & set(ran.stdout + ran.stderr)


def test_dead_letter_that_is_not_there_exits_with_4(worker: RunningWorker) -> None:
    ran = streams(worker, "dlq", "show", "no-such-id")

    assert (4, "") == (ran.returncode, ran.stdout)


@in_loop
async def test_dead_letters_and_groups_are_as_before_after_looking(
    fates: dict[str, Any], worker: RunningWorker
) -> None:
    """B76."""

    async def state() -> object:
        admin = AIOKafkaAdminClient(bootstrap_servers=worker.line.brokers)
        await admin.start()
        try:
            groups = [group for group, *_ in await admin.list_consumer_groups()]
        finally:
            await admin.close()
        letters = await worker.line.all(DEAD_LETTERS)
        return sorted(groups), sorted((seen.partition, seen.offset) for seen in letters)

    before = await state()
    for command in (["list"], ["list", "--each"], ["show", "no-such-id"]):
        await asyncio.to_thread(streams, worker, "dlq", *command)

    assert before == await state()
