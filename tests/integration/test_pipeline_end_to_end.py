"""The whole pipeline, with a plain client at both ends: in a worker process over a real broker, and in memory."""

import asyncio
import json
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streams.decisions.identity import derived_id
from streams.decisions.limits import FEATURES
from tests.support.drivers import PLACES, Driver, driven
from tests.support.loops import in_loop
from tests.support.running import Line, Seen, eventually, request
from topics.catalog import ADMITTED, ASSEMBLED, DEAD_LETTERS, FAILED, INFERRED, PROMPTS, RESULTS

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
USER = {"role": "user", "content": "hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ACCEPTED: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": "hello"},
    "messages": {"messages": [USER]},
    "system-and-user": {"messages": [{"role": "system", "content": "be brief"}, USER]},
    "content-parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
    "named-speaker": {"messages": [{**USER, "name": "ann"}]},
    "tool-calls": {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "42", "tool_call_id": "c1"},
        ]
    },
    "model": {"prompt": "hello", "model": "other"},
    "params": {"prompt": "hello", "params": {"temperature": 0, "max_tokens": 256, "stop": ["."], "tools": []}},
    "tenant": {"prompt": "hello", "tenant": "acme"},
    "priority-critical": {"prompt": "hello", "priority": "critical"},
    "priority-high": {"prompt": "hello", "priority": "HIGH"},
    "priority-low": {"prompt": "hello", "priority": "Low"},
    "timeout": {"prompt": "hello", "timeout_s": 600},
    "metadata": {"prompt": "hello", "metadata": {"run": 7, "tags": ["a"]}},
    "defaults-written-out": {
        "prompt": "hello",
        "model": "default",
        "params": {},
        "session": None,
        "tenant": None,
        "priority": "normal",
        "timeout_s": None,
        "retrieve": None,
        "template": None,
        "stream": False,
        "dedup": True,
        "sample": 0,
        "reply_to": None,
        "metadata": {},
    },
}
NOT_THERE_YET: dict[str, Any] = {
    "session": "s-1",
    "stream": True,
    "reply_to": "elsewhere",
    "retrieve": {"k": 4},
    "template": "formal",
    "sample": 1,
    "dedup": False,
}
REFUSED: dict[str, dict[str, Any]] = {
    **{field: {field: value} for field, value in NOT_THERE_YET.items() if field in FEATURES},
    "promt": {"promt": "hello"},
    "params.api_key": {"params": {"api_key": "k"}},
    "params.model": {"params": {"model": "m"}},
    "priority": {"priority": "urgent"},
    "timeout_s": {"timeout_s": 0},
    "prompt, messages": {"messages": [USER]},
    "prompt": {"prompt": " "},
    "params": {"params": {f"p{number}": 1 for number in range(65)}},
    "metadata": {"metadata": {"big": "x" * 17_000}},
}
NO_REQUEST: dict[str, bytes | None] = {
    "broken-json": b'{"id": "a", "prompt": ',
    "no-object": b'["hello"]',
    "plain-line": b"What is a log?",
    "invalid-utf-8": b'{"prompt": "\xff\xfe"}',
    "empty": b"",
    "null": None,
    "control-characters": b"\x00\x01\x02",
}
ON_KAFKA = pytest.mark.parametrize("place", PLACES[1:], indirect=True, scope="module")  # foreign clients and commits
WAY = ["deliver", "refine", "infer", "assemble", "retrieve", "dedup", "admit"]


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def worker(place: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Every call answers differently, and takes a millisecond for four bytes."""
    with driven(place, request, tmp_path_factory.mktemp("end-to-end"), nonce="true", tokens_per_s=1000) as worker:
        yield worker


@pytest.fixture(scope="module")
def refusing(place: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Every other call is refused for its credentials, the others find it overloaded; one try; lines are prompts."""
    told = {"settings": {"admit.plain_text": "true", "retry.attempts": 1}, "faults": "error:auth,error:overloaded"}
    with driven(place, request, tmp_path_factory.mktemp("refusing"), **told) as worker:
        yield worker


@pytest.fixture
def line(worker: Driver) -> Line:
    return worker.line


@pytest.fixture(scope="module")
def answered(worker: Driver) -> dict[str, dict[str, Any]]:
    """The answers to all accepted and refused forms, by their ids."""
    wanted = {
        **{f"good-{name}": fields for name, fields in ACCEPTED.items()},
        **{f"bad-{name}": {"prompt": "hello", **fields} for name, fields in REFUSED.items()},
    }

    async def ask() -> list[Seen]:
        await worker.line.publish(*(json.dumps({"id": id, **fields}).encode() for id, fields in wanted.items()))
        return await worker.line.results(list(wanted))

    return {seen.key.decode(): json.loads(seen.value) for seen in asyncio.run(ask())}


@pytest.fixture(scope="module")
def buried(worker: Driver) -> dict[str, tuple[Seen, Seen, Seen]]:
    """What became of bytes that are no request: where they were written, their answer, their dead letter."""

    async def ask() -> dict[str, tuple[Seen, Seen, Seen]]:
        line, found = worker.line, {}
        for name, value in NO_REQUEST.items():
            own = [("traceparent", TRACE), ("mine", name.encode())]
            [place] = await line.publish(value, key=f"key-{name}".encode(), headers=own)
            answer = await line.result(derived(place))
            letters = await line.read(
                DEAD_LETTERS, lambda seen, place=place: [one for one in seen if from_(one, place)]
            )
            found[name] = (place, answer, next(letter for letter in letters if from_(letter, place)))
        return found

    return asyncio.run(ask())


def asked(id: str, **fields: Any) -> bytes:
    """A request in words of its own: nobody else has asked the same."""
    return request(id, f"say {id}", **fields)


def derived(place: Seen) -> str:
    return derived_id(PROMPTS, place.partition, place.offset, place.timestamp)


def from_(letter: Seen, place: Seen) -> bool:
    evidence = dict(letter.headers)
    at = evidence["prompts.error.original-partition"], evidence["prompts.error.original-offset"]
    return at == (b"%d" % place.partition, b"%d" % place.offset)


# -- what is taken


@pytest.mark.parametrize("form", ACCEPTED)
def test_answer_to_each_accepted_form_repeats_the_last_words_of_the_user(answered: Any, form: str) -> None:
    answer = answered[f"good-{form}"]

    assert ("completed", "echo: hello") == (answer["status"], answer["text"].split(" [")[0])


def test_answer_brings_model_metadata_and_cost_of_the_call(answered: Any) -> None:
    model, metadata = answered["good-model"], answered["good-metadata"]

    assert ("other", "echo", "provider", 1) == tuple(
        model[name] for name in ("model", "provider", "source", "attempts")
    )
    assert {"run": 7, "tags": ["a"]} == metadata["metadata"]
    assert 0 < model["usage"]["output_tokens"]
    assert 0 < model["work_s"]["infer"]


def test_message_of_an_answer_is_its_text_in_the_shape_of_openai(answered: Any) -> None:
    answer = answered["good-prompt"]

    assert {"role": "assistant", "content": answer["text"]} == answer["message"]


@in_loop
async def test_request_without_id_is_answered_under_the_derived_one(line: Line) -> None:
    [place] = await line.publish(b'{"prompt": "hello"}')

    answer = await line.answer(derived(place))

    assert "completed" == answer["status"]


@in_loop
async def test_plain_text_with_its_header_is_a_prompt(line: Line) -> None:
    [place] = await line.publish(b"What is a log?", headers=[("content-type", b"text/plain; charset=utf-8")])

    answer = await line.answer(derived(place))

    assert "echo: What is a log?" == answer["text"].split(" [")[0]


@in_loop
async def test_two_bodies_under_one_id_are_both_answered(line: Line) -> None:
    await line.publish(request("twice", "one"), request("twice", "two"))

    found = await line.read(RESULTS, lambda seen: 2 == len([one for one in seen if one.key == b"twice"]))
    answers = [json.loads(seen.value) for seen in found if seen.key == b"twice"]

    assert {"echo: one", "echo: two"} == {answer["text"].split(" [")[0] for answer in answers}
    assert 2 == len({answer["request_hash"] for answer in answers})


def with_kcat(line: Line) -> bytes:
    kcat = ["kcat", "-b", line.brokers, "-q", "-t"]
    value = request("by-kcat") + b"\n"
    subprocess.run([*kcat, line.names.topic(PROMPTS), "-P"], input=value, check=True)
    asyncio.run(line.result("by-kcat"))
    read = [*kcat, line.names.topic(RESULTS), "-C", "-e", "-f", "%k %s\n"]
    return subprocess.run(read, check=True, stdout=subprocess.PIPE).stdout


def with_aiokafka(line: Line) -> bytes:
    asyncio.run(line.publish(request("by-aiokafka")))
    seen = asyncio.run(line.result("by-aiokafka"))
    return bytes(seen.key + b" " + seen.value)


@ON_KAFKA
@pytest.mark.parametrize("client", [with_aiokafka, *([with_kcat] if shutil.which("kcat") else [])])
def test_prompt_of_any_client_is_answered_under_its_id(line: Line, client: Callable[[Line], bytes]) -> None:
    id = client.__name__.replace("with_", "by-")

    assert f'{id} {{"id":"{id}","status":"completed"'.encode() in client(line)


# -- what is refused


@pytest.mark.parametrize("field", REFUSED)
def test_refusal_of_each_form_names_the_field(answered: Any, field: str) -> None:
    """What is not there yet is refused by name, never silently ignored."""
    answer = answered[f"bad-{field}"]

    assert ("rejected", "invalid_request", 0) == (answer["status"], answer["error"]["kind"], answer["attempts"])
    assert field in answer["error"]["message"]


@pytest.mark.parametrize("form", NO_REQUEST)
def test_answer_to_bytes_that_are_no_request_is_a_refusal(buried: Any, form: str) -> None:
    """B60, I1"""
    answer = json.loads(buried[form][1].value)

    assert ("rejected", "undecodable") == (answer["status"], answer["error"]["kind"])


@pytest.mark.parametrize("form", NO_REQUEST)
def test_dead_letter_of_bytes_that_are_no_request_holds_exactly_those(buried: Any, form: str) -> None:
    """B60"""
    letter = buried[form][2]

    assert (NO_REQUEST[form], f"key-{form}".encode()) == (letter.value, letter.key)


@pytest.mark.parametrize("form", NO_REQUEST)
def test_dead_letter_keeps_the_headers_of_the_original_and_tells_why(buried: Any, worker: Any, form: str) -> None:
    place, answer, letter = buried[form]
    told = dict(letter.headers)

    assert (form.encode(), TRACE) == (told["mine"], told["traceparent"])
    assert {
        "kind": b"undecodable",
        "disposition": b"undecodable",
        "stage": b"admit",
        "exception-class": b"DecodingError",
        "group": worker.line.names.group("core").encode(),
        "request-id": answer.key,
        "original-topic": worker.line.names.topic(PROMPTS).encode(),
        "original-timestamp": b"%d" % place.timestamp,
    }.items() <= {name.removeprefix("prompts.error."): value for name, value in told.items()}.items()


@in_loop
async def test_refusals_leave_no_dead_letter(line: Line, answered: Any) -> None:
    letters = await line.all(DEAD_LETTERS)

    refused = {id.encode() for id, answer in answered.items() if answer["status"] == "rejected"}
    assert not refused & {dict(letter.headers)["prompts.error.request-id"] for letter in letters}


# -- deadlines and failures


@in_loop
async def test_request_whose_deadline_passes_is_answered_expired_without_a_dead_letter(line: Line) -> None:
    """B68, B70"""
    await line.publish(request("late", "late " * 4000, timeout_s=0.2))

    answer = await line.answer("late")
    await eventually(line.waiting, {})
    letters = await line.all(DEAD_LETTERS)

    assert ("expired", "deadline_exceeded") == (answer["status"], answer["error"]["kind"])
    assert b"late" not in {dict(letter.headers)["prompts.error.request-id"] for letter in letters}


@in_loop
async def test_refused_credentials_fail_the_request_and_bury_the_original_bytes(refusing: Driver) -> None:
    """B46, B61"""
    told_why, line, kinds = {"first": b"permanent", "second": b"exhausted"}, refusing.line, []
    for id in told_why:  # one after the other: the script of faults goes by the order of calls
        await line.publish(asked(id), key=b"k", headers=[("mine", b"1"), ("traceparent", TRACE)])
        kinds.append((await line.answer(id))["error"]["kind"])

    letters = await line.read(DEAD_LETTERS, lambda found: len(found) >= 2)

    assert ["worker_error", "stage_failure"] == kinds
    assert {(asked(id), b"k") for id in told_why} == {(letter.value, letter.key) for letter in letters}
    told = [dict(letter.headers) for letter in letters]
    assert told_why == {one["prompts.error.request-id"].decode(): one["prompts.error.disposition"] for one in told}
    assert {(b"1", TRACE)} == {(one["mine"], one["traceparent"]) for one in told}


@in_loop
async def test_line_of_text_is_a_prompt_where_the_setting_says_so(refusing: Driver) -> None:
    [place] = await refusing.line.publish(b"What is a log?")

    answer = await refusing.line.answer(derived(place))

    assert ("failed", "worker_error") == (answer["status"], answer["error"]["kind"])


@in_loop
async def test_answer_to_a_failed_request_says_whether_trying_again_helps(refusing: Driver) -> None:
    ids = [f"again-{number}" for number in range(4)]
    await refusing.line.publish(*map(asked, ids))

    found = await refusing.line.results(ids)
    answers = [json.loads(seen.value) for seen in found if seen.key.decode() in ids]

    assert {"failed"} == {answer["status"] for answer in answers}
    assert {("echo: auth", False), ("echo: overloaded", True)} == {
        (answer["error"]["message"].rpartition("Worker inference failed: ")[2], answer["error"]["retryable"])
        for answer in answers
    }


# -- what travels along


@in_loop
async def test_original_key_and_trace_stand_in_the_headers_of_the_answer(line: Line) -> None:
    await line.publish(asked("keyed"), key=b"\x00mine", headers=[("traceparent", TRACE), ("tracestate", b"a=1")])

    told = dict((await line.result("keyed")).headers)

    assert (b"\x00mine", TRACE, b"a=1") == tuple(
        told[name] for name in ("prompts.original-key", "traceparent", "tracestate")
    )


@in_loop
async def test_every_hop_carries_the_trace_of_its_prompt(line: Line) -> None:
    await line.publish(asked("traced"), headers=[("traceparent", TRACE)])
    way = await causes(line, await line.result("traced"))

    assert {TRACE} == {dict(seen.headers)["traceparent"] for seen in way}


@in_loop
async def test_causes_of_an_answer_lead_back_to_its_prompt(line: Line) -> None:
    """I3: each answer belongs to a prompt that was written."""
    [place] = await line.publish(asked("caused"))
    way = await causes(line, await line.result("caused"))

    assert [*WAY, ""] == [dict(seen.headers).get("prompts.stage", b"").decode() for seen in way]
    assert (place.partition, place.offset) == (way[-1].partition, way[-1].offset)


@in_loop
async def test_decision_of_every_hop_stands_in_its_headers(line: Line) -> None:
    await line.publish(asked("decided"))
    way = await causes(line, await line.result("decided"))

    said = [dict(seen.headers)["prompts.decision"].decode() for seen in way[:-1]]
    assert ["final", "as-answered", "called", "as-written", "not-asked", "new", "admitted"] == said


async def causes(line: Line, last: Seen) -> list[Seen]:
    """The record, the one that caused it, and so on, up to the prompt."""
    way = [last]
    while (cause := dict(way[-1].headers).get("prompts.cause")) is not None:
        topic, partition, offset = cause.decode().split("/")
        there = await line.all(topic)
        way.append(next(seen for seen in there if (seen.partition, seen.offset) == (int(partition), int(offset))))
    return way


# -- laws over many


@in_loop
async def test_request_sent_again_gets_the_same_final_bytes(line: Line) -> None:
    """I2: the provider would say something else each time."""
    await line.publish(asked("again"))
    first = await line.result("again")
    await line.publish(asked("again"))

    found = await line.read(RESULTS, lambda seen: 2 == len([one for one in seen if one.key == b"again"]))
    copies = [seen for seen in found if seen.key == b"again"]

    assert {first.value} == {seen.value for seen in copies}
    assert {b"final", b"copy"} == {dict(seen.headers)["prompts.decision"] for seen in copies}


def mixed(number: int) -> bytes:
    """One of many prompts: most are good, some are refused, expire, are no request, or say the same as another."""
    match number % 10:
        case 3:
            return request(f"mix-{number}", stream=True)
        case 5:
            return b"no request %d" % number
        case 7:
            return request(f"mix-{number}", f"late {number} " * 200, timeout_s=0.05)
        case 9:
            return mixed(number - 1)
        case _:
            return request(f"mix-{number}", f"good {number}", priority=list(ASSEMBLED)[number % 4])


@in_loop
async def test_mixed_prompts_have_exactly_one_answer_each(line: Line) -> None:
    """B62, I1, I2, I3"""
    await eventually(line.waiting, {})
    before = {seen.key for seen in await line.all(RESULTS)}
    values = [mixed(number) for number in range(300)]
    places = await line.publish(*values)
    wanted = {
        json.loads(value)["id"] if value.startswith(b"{") else derived(place)
        for value, place in zip(values, places, strict=True)
    }

    await line.results(sorted(wanted))
    await eventually(line.waiting, {})
    finals = defaultdict(set)
    for seen in await line.all(RESULTS):
        finals[seen.key].add(seen.value)

    assert {id.encode() for id in wanted} == set(finals) - before
    assert [] == [key for key in set(finals) - before if len(finals[key]) > 1]


@in_loop
async def test_statuses_of_mixed_prompts_are_those_of_their_kind(line: Line) -> None:
    """B70: what expires or is refused does not take others with it."""
    values = {f"mix-{number}": mixed(number) for number in range(1000, 1050) if number % 10 not in (5, 9)}
    await line.publish(*values.values())

    found = {seen.key.decode(): json.loads(seen.value)["status"] for seen in await line.results(list(values))}
    expected = {3: "rejected", 7: "expired"}

    assert {id: expected.get(int(id[4:]) % 10, "completed") for id in values} == {id: found[id] for id in values}


@ON_KAFKA
@in_loop
async def test_committed_offsets_never_pass_a_record_without_its_output(line: Line) -> None:
    """I10: calls end in another order than they began, and the commits are looked at from outside."""
    ids = [f"slow-{number}" for number in range(60)]
    await line.publish(*(request(id, f"{id} " * (1000 if number % 9 == 0 else 1)) for number, id in enumerate(ids)))
    watched = [*ASSEMBLED.values(), PROMPTS]
    pairs = {ADMITTED: [PROMPTS], INFERRED: list(ASSEMBLED.values()), FAILED: [*watched], RESULTS: [PROMPTS]}

    async def overtaken() -> list[str]:
        commits = {topic: await line.commits(topic) for topic in watched}  # first the commits, then what there is
        caused = {dict(seen.headers)["prompts.cause"].decode() for topic in pairs for seen in await line.all(topic)}
        passed = [f"{topic}/{number}/{offset}" for topic in watched for number, offset in below(commits[topic])]
        return [at for at in passed if at not in caused]

    samples = [await overtaken() for _ in range(5)]
    await line.results(ids)

    assert [[]] * 5 == samples


def below(commits: dict[int, int]) -> list[tuple[int, int]]:
    return [(partition, offset) for partition, end in commits.items() for offset in range(end)]


@in_loop
async def test_work_that_is_done_is_committed_to_the_end(worker: Driver) -> None:
    await worker.line.publish(asked("last"))
    await worker.line.result("last")

    assert {} == await eventually(worker.line.waiting, {})
    assert (worker.calls.started, 0) == (len(worker.calls.lines("end", "cancel")), worker.calls.open)
