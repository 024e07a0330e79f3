"""The commands against a real broker, and one suite of claims for the cluster in memory and the real one."""

import asyncio
import json
import os
import subprocess
import sys
import uuid

import pytest

from streams.cli.connect import RealKafka
from streams.client import Client
from streams.decisions.offsets import BeforeEnd, FromStart
from streams.engine.cluster import Cluster
from streams.engine.topics import Shape
from tests.support.fake_cluster import FakeKafka, answer
from topics.catalog import PROMPTS, RESULTS

pytestmark = pytest.mark.broker

SMALL = {"STREAMS_TOPICS__PARTITIONS": "2"}


def named(names):
    """The environment of commands that use a test's own topics."""
    return {**os.environ, **SMALL, "STREAMS_NAMES__NAMESPACE": names.namespace, "STREAMS_NAMES__PREFIX": names.prefix}


def streams(*arguments, env, cwd, stdin=None):
    command = [sys.executable, "-P", "-m", "streams", *map(str, arguments)]
    return subprocess.run(
        command, env=env, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture
def run(broker, names, tmp_path):
    """Runs a command against the shared broker with topics of its own, which exist."""
    env = {**named(names), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
    made = streams("topics", "apply", env=env, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    return lambda *arguments, stdin=None: streams(*arguments, env=env, cwd=tmp_path, stdin=stdin)


def test_topics_applied_once_leave_nothing_to_do(run):
    planned = [json.loads(line)["action"] for line in run("topics", "plan", "-o", "jsonl").stdout.splitlines()]

    assert {"keep"} == set(planned)


def test_submitted_prompts_are_shown_by_tail(run):
    run("submit", "-f", "-", stdin='"one"\n{"id": "b", "prompt": "two"}\n')
    shown = [json.loads(line) for line in run("tail", PROMPTS, "-o", "jsonl").stdout.splitlines()]

    assert {"one", "two"} == {record["value"]["prompt"] for record in shown}


def test_receipt_of_submit_is_where_tail_shows_the_record(run):
    receipt = json.loads(run("submit", "x", "-o", "jsonl").stdout)
    shown = json.loads(run("tail", PROMPTS, "-o", "jsonl").stdout)

    assert (receipt["id"], receipt["at"]) == (shown["key"], shown["at"])


def test_lag_of_status_counts_what_was_submitted(run):
    run("submit", "a", "b", "c")
    rows = [json.loads(line) for line in run("status", "-o", "jsonl").stdout.splitlines()]

    assert 3 == next(row["lag"] for row in rows if row["stage"] == "admit")


def test_answer_that_is_not_there_exits_with_4(run):
    assert 4 == run("get", "unknown").returncode


def test_wait_without_any_worker_ends_in_time_with_1(run):
    ended = run("submit", "x", "--wait", "--wait-timeout", "1")

    assert (1, "") == (ended.returncode, ended.stdout)


def test_commands_before_topics_exist_name_the_way_to_make_them(broker, names, tmp_path):
    ran = streams("submit", "x", "-b", broker.bootstrap_servers, env=named(names), cwd=tmp_path)

    assert 2 == ran.returncode
    assert "streams topics apply" in ran.stderr


def test_broker_that_is_away_is_one_line_and_exit_code_1(names, tmp_path):
    ran = streams("tail", "-b", "127.0.0.1:1", env=named(names), cwd=tmp_path)

    assert (1, "", 1) == (ran.returncode, ran.stdout, ran.stderr.count("\n"))


def secured_options(broker, tmp_path):
    """``-F`` with everything but the login, ``-X`` with the login."""
    file = tmp_path / "client.properties"
    file.write_text(
        f"bootstrap.servers={broker.bootstrap_servers}\nsecurity.protocol=SASL_SSL\n"
        f"sasl.mechanism={broker.mechanism}\nssl.truststore.type=PEM\nssl.truststore.location={broker.certificate}\n"
    )
    login = (
        f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{broker.user}" password="{{}}";'
    )
    return lambda password: ["-F", file, "-X", f"sasl.jaas.config={login.format(password)}"]


def test_secured_cluster_is_reached_with_javas_property_names(secured_broker, names, tmp_path):
    options = secured_options(secured_broker, tmp_path)(secured_broker.password)
    made = streams("topics", "apply", *options, env=named(names), cwd=tmp_path)
    sent = streams("submit", "hello", "-o", "jsonl", *options, env=named(names), cwd=tmp_path)
    shown = streams("tail", PROMPTS, "-o", "jsonl", *options, env=named(names), cwd=tmp_path)

    assert (0, 0, 0) == (made.returncode, sent.returncode, shown.returncode), made.stderr + sent.stderr + shown.stderr
    assert json.loads(sent.stdout)["id"] == json.loads(shown.stdout)["key"]


def test_secured_cluster_with_a_wrong_password_is_refused_without_showing_it(secured_broker, names, tmp_path):
    options = secured_options(secured_broker, tmp_path)("wrong-hunter2")
    ran = streams("tail", *options, env=named(names), cwd=tmp_path)

    assert 2 == ran.returncode
    assert "the broker refuses this login" in ran.stderr
    assert "hunter2" not in ran.stdout + ran.stderr


# One suite for the cluster in memory and the real one


@pytest.fixture(params=["memory", "real"])
def kafka(request, names):
    """A cluster whose topics exist and are empty."""
    if request.param == "memory":
        return FakeKafka()
    real = RealKafka(Cluster(request.getfixturevalue("broker").bootstrap_servers), names)

    async def make():
        await real.apply(await real.plan(Shape(partitions=2), {}))

    asyncio.run(make())
    return real


async def put(kafka, topic, *pairs):
    """Publishes and awaits each acknowledgement; the coordinates."""
    async with kafka.publisher() as publisher:
        return [(await (await publisher.send(topic, key, value))).at for key, value in pairs]


async def first_of(records):
    """The first record only: a follower has no end of its own."""
    async for record in records:
        yield record
        return


PAIRS = tuple((f"k{n}".encode(), b"%d" % n) for n in range(6))


def test_published_records_are_read_back_at_their_coordinates(kafka):
    async def there_and_back():
        sent = await put(kafka, RESULTS, *PAIRS)
        async with kafka.tail(RESULTS, FromStart()) as found:
            return sorted(sent), sorted([record.at async for record in found])

    sent, read = asyncio.run(there_and_back())

    assert sent == read


def test_record_is_found_by_its_key(kafka):
    async def found():
        await put(kafka, RESULTS, *PAIRS)
        return [(await kafka.find(RESULTS, key, lambda _: True)).value for key, _ in PAIRS]

    assert [value for _, value in PAIRS] == asyncio.run(found())


@pytest.mark.parametrize("wait_s", [0.0, 0.3])
def test_key_that_is_not_there_is_not_found(kafka, wait_s):
    async def found():
        await put(kafka, RESULTS, *PAIRS)
        return await kafka.find(RESULTS, b"nobody", lambda _: True, wait_s)

    assert asyncio.run(found()) is None


@pytest.mark.parametrize("n", [0, 1, 3, 50])
def test_newest_records_are_as_many_as_asked_for(kafka, n):
    async def newest():
        await put(kafka, RESULTS, *PAIRS)
        return await kafka.last(RESULTS, n)

    assert min(n, len(PAIRS)) == len(asyncio.run(newest()))


def test_follower_from_the_end_sees_only_what_comes_after_it_opened(kafka):
    async def followed():
        await put(kafka, RESULTS, *PAIRS)
        async with kafka.from_end(RESULTS) as coming:
            await put(kafka, RESULTS, (b"new", b"1"))
            return [record.key async for record in first_of(coming)]

    assert [b"new"] == asyncio.run(asyncio.wait_for(followed(), 30))


def test_reading_from_before_the_end_counts_per_partition(kafka):
    async def read():
        await put(kafka, RESULTS, *[(b"same", b"%d" % n) for n in range(4)])
        async with kafka.tail(RESULTS, BeforeEnd(2)) as found:
            return [record.value async for record in found]

    assert [b"2", b"3"] == asyncio.run(read())


def test_lag_of_a_group_that_never_read_is_every_record(kafka):
    async def lag():
        await put(kafka, PROMPTS, *PAIRS)
        return sum(lag.records for lag in await kafka.lags({"nobody": (kafka.names.topic(PROMPTS),)}))

    assert len(PAIRS) == asyncio.run(lag())


@pytest.mark.parametrize(("before_ms", "late"), [(0, set()), (2**42, {"nobody"})])
def test_group_that_never_read_is_late_for_what_is_older(kafka, before_ms, late):
    async def found():
        await put(kafka, PROMPTS, *PAIRS)
        return {lag.group for lag in await kafka.late({"nobody": (kafka.names.topic(PROMPTS),)}, before_ms)}

    assert late == asyncio.run(found())


def test_stamps_are_those_of_the_first_records_that_wait(kafka):
    async def found():
        await put(kafka, PROMPTS, *PAIRS)
        lags = await kafka.lags({"nobody": (kafka.names.topic(PROMPTS),)})
        first = [record.timestamp_ms for record in await kafka.last(PROMPTS, len(PAIRS)) if record.offset == 0]
        return min(first), await kafka.stamps(lags), {(lag.topic, lag.partition) for lag in lags if lag.records}

    oldest, stamps, places = asyncio.run(found())

    assert oldest == min(stamps.values())
    assert places == set(stamps)


async def pipeline_of_one(kafka, n):
    """Answers the next ``n`` prompts, each twice, as a redelivery would."""
    async with kafka.publisher() as publisher, kafka.from_end(PROMPTS) as prompts:
        yield
        async for record in prompts:
            said = json.dumps(answer(json.loads(record.value))).encode()
            for _ in range(2):
                await (await publisher.send(RESULTS, record.key, said))
            n -= 1
            if not n:
                return


def test_client_gets_each_answer_once_from_a_pipeline_that_repeats_them(kafka):
    async def asked():
        answering = pipeline_of_one(kafka, 3)
        await anext(answering)
        working = asyncio.create_task(anext(answering, None))
        async with Client(door=kafka) as client:
            ids = [str(uuid.uuid4()) for _ in range(3)]
            found = [one.id async for one in client.ask([{"id": id, "prompt": "x"} for id in ids], timeout_s=30)]
        await working
        return sorted(ids), sorted(found)

    ids, found = asyncio.run(asked())

    assert ids == found
