"""Dead letters on a real broker: sent again while live traffic runs, by runs that are killed, each exactly once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Line, RunningWorker, Seen, eventually, request
from tests.support.tree import ROOT
from topics.catalog import CATALOG, DEAD_LETTERS, EXPENDABLE, LETTERS, PROMPTS, RESULTS

pytestmark = [pytest.mark.broker, pytest.mark.chaos]

DOOMED = 40
KILLED_AFTER = (1, 9, 20)  # prompts that a run had sent, at least, when it was killed
SPEEDY = {"STREAMS_DLQ__CLAIM_S": "2", "STREAMS_DLQ__RATE": "25"}
SHORT = {"refine.max_answer_bytes": 4}  # no answer is that short, so every request dies
FIRST_DEATH = ("--kind", "answer_too_long")  # what dies again dies of itself
JSON_ONLY = {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}}


@dataclass
class Told:
    """What was seen on the way."""

    line: Line
    directory: Path
    seen: dict[str, Any] = field(default_factory=dict)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """A command as a person runs it beside the workers."""
        names = self.line.names
        ours = {"STREAMS_NAMES__NAMESPACE": names.namespace, "STREAMS_NAMES__PREFIX": names.prefix}
        command = [sys.executable, "-P", "-m", "streams", *arguments, "-b", self.line.brokers]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMS_", "KAFKA_"))}
        environment = {**inherited, **ours, **SPEEDY, **environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, cwd=self.directory, **pipes)

    async def run(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """The same, to its end: exit code, stdout, stderr."""
        process = self.start(*arguments, **environ)
        out, err = await asyncio.to_thread(process.communicate, timeout=90)
        return process.returncode, out, err

    async def sent(self) -> Counter[str]:
        """How often each dead letter stands in `prompts`."""
        claims = [dict(one.headers).get("prompts.dead-letter") for one in await self.line.all(PROMPTS)]
        return Counter(claim.decode() for claim in claims if claim is not None)

    async def ends(self) -> dict[str, int]:
        """How many records each topic has that somebody's work is in."""
        return {topic: len(await self.line.all(topic)) for topic in CATALOG if topic not in EXPENDABLE}


def at(letter: Seen) -> str:
    return f"{DEAD_LETTERS}/{letter.partition}/{letter.offset}"


def told(letter: Seen) -> Mapping[str, str]:
    said = {name.removeprefix("prompts.error."): value for name, value in letter.headers if "error." in name}
    return {name: value.decode() for name, value in said.items()}


def doomed(number: int) -> bytes:
    """Requests of two kinds: most die of the settings, some of themselves."""
    if number < DOOMED - 2:
        return request(f"a-{number}", f"words {number}")
    return request(f"j-{number}", f"no json {number}", params=JSON_ONLY)


async def story(told: Told) -> None:
    """Forty die; looks; three runs are killed and one is not, with live traffic all along; then once more."""
    line, seen = told.line, told.seen
    await line.prepare()
    short = RunningWorker(line, told.directory / "short", settings=SHORT).start()
    try:
        short.ready()
        await line.publish(*map(doomed, range(DOOMED)), key=b"k", headers=(("traceparent", b"00-1"),))
        await line.read(DEAD_LETTERS, lambda found: len(found) >= DOOMED, 90)
        await eventually(line.waiting, {})
    finally:
        short.stop()
    seen["letters"], seen["before"] = await line.all(DEAD_LETTERS), await told.ends()
    seen["look"] = await told.run("dlq", "redrive", "-o", "json")
    seen["list"] = await told.run("dlq", "list", "-o", "json")
    seen["show"] = await told.run("dlq", "show", "a-0", "-o", "json")
    seen["looked"] = await told.ends()
    worker = RunningWorker(line, told.directory / "whole").start()
    try:
        worker.ready()
        await redriven(told)
    finally:
        worker.stop()


async def redriven(told: Told) -> None:
    line, seen = told.line, told.seen
    live, stop = list[str](), asyncio.Event()
    traffic = asyncio.create_task(living(line, live, stop))
    seen["kills"] = [await killed(told, after) for after in KILLED_AFTER]
    seen["last"] = await told.run("dlq", "redrive", *FIRST_DEATH, "--execute", "-o", "json")
    stop.set()
    await traffic
    seen["live"] = live
    await line.results(live)
    await line.read(DEAD_LETTERS, lambda found: len(found) >= DOOMED + 2, 60)
    await eventually(line.waiting, {})
    seen["sent"], seen["answers"] = await told.sent(), await line.all(RESULTS)
    seen["again"] = await told.run("dlq", "redrive", *(f"a-{number}" for number in range(3)), "--execute")
    seen["sent again"] = await told.sent()
    seen["letters after"] = await line.all(DEAD_LETTERS)
    seen["notes"] = [json.loads(one.value) for one in await line.all(LETTERS)]
    seen["edited"] = await told.run("dlq", "redrive", "--execute", "--edit", "params={}", "--newer-than", "1h")
    await line.read(RESULTS, lambda found: completed(found) >= {"j-38", "j-39"}, 60)
    forged = (("prompts.lineage", b"1"), ("prompts.request-id", b"a-0"), ("prompts.dead-letter", b"0/999999"))
    await line.publish(request("forged"), headers=forged)
    seen["forged"] = await line.answer("forged")
    seen["final"] = await told.run("dlq", "list", "-o", "json")


async def living(line: Line, ids: list[str], stop: asyncio.Event) -> None:
    """Some live requests a second."""
    while not stop.is_set():
        ids.append(f"live-{len(ids)}")
        await line.publish(request(ids[-1], f"live words {len(ids)}"))
        await asyncio.sleep(0.2)  # why: traffic has a rate


async def killed(told: Told, after: int) -> int:
    """A run that is killed once at least so many prompts of it are there; how many there were."""
    before = (await told.sent()).total()
    process = told.start("dlq", "redrive", *FIRST_DEATH, "--execute")
    count = before
    while count < before + after and process.poll() is None:
        count = (await told.sent()).total()
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.communicate)
    return count - before if process.returncode == -signal.SIGKILL else 0


def completed(answers: list[Seen]) -> set[str]:
    return {one.key.decode() for one in answers if json.loads(one.value)["status"] == "completed"}


@pytest.fixture(scope="module")
def end(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    story_told = Told(Line(broker.bootstrap_servers), tmp_path_factory.mktemp("dlq"))
    asyncio.run(story(story_told))
    yield story_told.seen


def test_dead_letter_of_each_kind_resolves_to_its_original(end: dict[str, Any]) -> None:
    """I8, B75."""
    assert DOOMED == len(end["letters"])
    assert {doomed(number) for number in range(DOOMED)} == {letter.value for letter in end["letters"]}
    assert {(b"k", b"00-1")} == {(letter.key, dict(letter.headers)["traceparent"]) for letter in end["letters"]}


def test_dead_letters_are_listed_by_what_they_died_of(end: dict[str, Any]) -> None:
    """Answers of many sizes above one limit are one cause."""
    code, out, _ = end["list"]

    assert (0, [("answer_too_long", DOOMED)]) == (code, [(row["kind"], row["count"]) for row in json.loads(out)])
    assert 1 < len({told(letter)["exception-message"] for letter in end["letters"]})


def test_looking_changes_no_topic(end: dict[str, Any]) -> None:
    """B76."""
    assert end["before"] == end["looked"]
    assert "a-0" == json.loads(end["show"][1])["id"]


def test_look_tells_what_would_be_sent(end: dict[str, Any]) -> None:
    """B77."""
    code, out, err = end["look"]

    assert (0, DOOMED, {"to send"}) == (
        code,
        sum(row["count"] for row in json.loads(out)),
        {row["state"] for row in json.loads(out)},
    )
    assert "Nothing was done yet" in err


def test_runs_were_killed_in_the_middle_of_their_work(end: dict[str, Any]) -> None:
    assert [] == [count for count in end["kills"] if not 0 < count < DOOMED]


def test_runs_that_were_killed_and_run_again_sent_each_letter_once(end: dict[str, Any]) -> None:
    """B79, F21."""
    assert {at(letter): 1 for letter in end["letters"]} == end["sent"]
    assert 0 == end["last"][0], end["last"][2]


def test_redriven_requests_are_answered_under_their_ids(end: dict[str, Any]) -> None:
    """B78."""
    assert {f"a-{number}" for number in range(DOOMED - 2)} <= completed(end["answers"])


def test_live_requests_beside_the_redrive_are_all_answered(end: dict[str, Any]) -> None:
    """F21, I1."""
    assert len(end["live"]) > 10
    assert set(end["live"]) <= completed(end["answers"])


def test_redriven_requests_that_failed_again_are_back_with_their_lineage(end: dict[str, Any]) -> None:
    """B80."""
    back = [letter for letter in end["letters after"] if at(letter) not in end["sent"]]

    assert [("j-38", "1"), ("j-39", "1")] == sorted((told(one)["request-id"], told(one)["lineage"]) for one in back)


def test_redrive_run_once_more_sends_nothing(end: dict[str, Any]) -> None:
    """F21."""
    code, _, err = end["again"]

    assert (0, end["sent"]) == (code, end["sent again"])
    assert err.startswith("3 redriven: ")


def test_notes_tell_of_each_letter_where_its_prompt_is(end: dict[str, Any]) -> None:
    done = [note for note in end["notes"] if note["did"] == "redriven"]

    assert {at(letter) for letter in end["letters"]} == {note["letter"] for note in done}
    assert len(done) == len({note["prompt"] for note in done})


def test_changed_requests_that_were_wrong_themselves_are_answered(end: dict[str, Any]) -> None:
    code, _, err = end["edited"]

    assert (0, "2 dead letters sent again") == (code, err.splitlines()[-1].partition(".")[0])


def test_prompt_that_pretends_to_be_a_dead_letter_is_refused_by_the_header(end: dict[str, Any]) -> None:
    assert "rejected" == end["forged"]["status"]
    assert end["forged"]["error"]["message"].startswith("header prompts.dead-letter: there is no dead letter at ")


def test_dead_letters_that_were_sent_again_are_no_longer_listed(end: dict[str, Any]) -> None:
    code, out, err = end["final"]

    assert (0, [], True) == (code, json.loads(out), "sent again or discarded" in err)
