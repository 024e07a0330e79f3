"""A corpus on a real broker: loaded by the command, found by requests, gone when deleted (B141 to B147)."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import document
from tests.support.loops import in_loop
from tests.support.running import Line, RunningWorker, Seen, eventually, request, running
from tests.support.tree import ROOT
from topics import wire
from topics.catalog import DOCUMENTS, RETRIEVED
from topics.messages import Retrieved

pytestmark = pytest.mark.broker

GUIDE = "# Tides\n\nThe moon pulls the ocean twice a day."


@pytest.fixture(scope="module")
def worker(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    with running(Line(broker.bootstrap_servers), tmp_path_factory.mktemp("retrieve")) as worker:
        yield worker


def load(line: Line, directory: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """`streams documents load` as a process of its own."""
    names = {"STREAMS_NAMES__NAMESPACE": line.names.namespace, "STREAMS_NAMES__PREFIX": line.names.prefix}
    command = [sys.executable, "-m", "streams", "documents", "load", str(directory), "-b", line.brokers, *options]
    env = {**os.environ, **names, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


async def put(line: Line, *documents: Any) -> Seen:
    """Where the last of these documents is."""
    for one in documents:
        [seen] = await line.publish(wire.encode(one), key=one.id.encode(), topic=DOCUMENTS)
    return seen


async def retrieved(line: Line, id: str, **fields: Any) -> Retrieved:
    """What `retrieve` made of a request, once that is answered."""
    await line.publish(request(id, **fields))
    await line.answer(id)
    found = [wire.decode(seen.value, Retrieved) for seen in await line.all(RETRIEVED)]
    return next(message for message in found if message.id == id)


class Asking:
    """Asks again and again, each time with another id: commits of the index follow the topic in a moment."""

    def __init__(self, line: Line, name: str, **fields: Any) -> None:
        self.line, self.name, self.fields, self.turn = line, name, fields, 0

    async def __call__(self) -> list[str]:
        self.turn += 1
        sample = {"metadata": {"turn": self.turn}, "retrieve": {"k": 4}, **self.fields}
        prompt = f"{self.fields.get('prompt', 'tides')} turn{self.turn}"
        message = await retrieved(self.line, f"{self.name}-{self.turn}", **{**sample, "prompt": prompt})
        return [passage["id"] for passage in message.passages]


@in_loop
async def test_loaded_document_is_found_until_it_is_deleted(worker: RunningWorker, tmp_path: Path) -> None:
    (tmp_path / "tides.md").write_text(GUIDE)
    ran = await asyncio.to_thread(load, worker.line, tmp_path)
    asking = Asking(worker.line, "life", prompt="what does the moon do")
    seen = await eventually(asking, ["tides.md"])
    await worker.line.publish(None, key=b"tides.md", topic=DOCUMENTS)

    assert (0, ["tides.md"], []) == (ran.returncode, seen, await eventually(asking, []))


@in_loop
async def test_passages_carry_their_words_and_the_name_of_their_snapshot(worker: RunningWorker) -> None:
    one = document("harbour", text="the harbour sleeps", title="Harbour", metadata={"n": 1})
    place = await put(worker.line, one)
    assert ["harbour"] == await eventually(Asking(worker.line, "snap", prompt="harbour"), ["harbour"])

    message = await retrieved(worker.line, "snapshot", prompt="which harbour?", retrieve={"k": 1})
    [passage] = message.passages
    assert one.model_dump(exclude={"tenant"}) == {name: passage[name] for name in passage if name != "score"}
    known = dict(pair.split(":") for pair in (message.snapshot or "").removeprefix("documents@").split(","))
    assert place.offset < int(known[str(place.partition)])


@pytest.mark.parametrize(
    ("name", "fields", "seen"),
    [
        ("all", {}, ["lamp-all"]),
        ("acme", {"tenant": "acme"}, ["lamp-acme", "lamp-all"]),
        ("other", {"tenant": "other"}, ["lamp-all", "lamp-other"]),
        ("filter", {"tenant": "acme", "retrieve": {"k": 4, "filter": {"kind": ["oil"]}}}, ["lamp-acme"]),
    ],
)
@in_loop
async def test_tenant_and_filter_decide_what_is_found(
    worker: RunningWorker, name: str, fields: dict[str, Any], seen: list[str]
) -> None:
    owners = {"lamp-all": None, "lamp-acme": "acme", "lamp-other": "other"}
    kinds = {"lamp-acme": {"kind": "oil"}}
    lamps = (document(id, text="a lamp", tenant=owner, metadata=kinds.get(id, {})) for id, owner in owners.items())
    await put(worker.line, *lamps)
    asking = Asking(worker.line, f"lamp-{name}", prompt="lamp", **fields)

    async def found() -> list[str]:
        return sorted(await asking())

    assert seen == await eventually(found, seen)


@in_loop
async def test_poison_between_documents_is_passed_over(worker: RunningWorker) -> None:
    for value in (b"{", b"[]", b'{"id": "x"}', b"\xff"):
        await worker.line.publish(value, key=b"poison", topic=DOCUMENTS)
    await put(worker.line, document("after", text="zebra crossing"))
    found = await eventually(Asking(worker.line, "poison", prompt="zebra"), ["after"])

    told = [line for line in worker.told_safely() if "is no document" in line["event"]]
    assert (["after"], 4) == (found, len(told))
    assert worker.alive


@in_loop
async def test_corpus_of_a_restarted_worker_is_there_when_it_is_ready(broker: Any, tmp_path: Path) -> None:
    line = Line(broker.bootstrap_servers)
    await line.prepare()
    await put(line, *(document(f"d{number}", text=f"stone number{number}") for number in range(200)))
    worker = RunningWorker(line, tmp_path).start()
    try:
        await asyncio.to_thread(worker.ready)
        message = await retrieved(line, "first", prompt="number137", retrieve={"k": 1})
    finally:
        worker.kill()

    assert ["d137"] == [passage["id"] for passage in message.passages]


@in_loop
async def test_load_run_again_writes_nothing_new(worker: RunningWorker, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"id": "row-{n}", "text": "row {n}"}}\n' for n in range(30)))
    first = await asyncio.to_thread(load, worker.line, tmp_path)
    again = await asyncio.to_thread(load, worker.line, tmp_path)

    assert first.stderr.startswith("30 documents loaded, 0 unchanged")
    assert again.stderr.startswith("0 documents loaded, 30 unchanged")
