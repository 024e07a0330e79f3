"""What `up` does once there is a broker: topics, workers, ready, announce; and it stops everything at the end."""

import asyncio
import os
import signal
from types import SimpleNamespace

import pytest

from streams.cli import running
from streams.cli.connect import Connection
from streams.cli.running import Installation, WorkersNotReady
from streams.engine.topics import New, Plan
from streams.local import ready
from streams.local.supervisor import Supervisor
from streams.settings import load
from tests.support.commands import outside
from tests.support.fake_cluster import FakeKafka, answer
from tests.support.fake_process import FakeLauncher
from tests.support.ready_page import ReadyLauncher, page
from topics.catalog import Names
from topics.errors import TopicMissing, TransportError

LACKING = Plan((New("prompts", 8, 1, {}),), (), (), ())


def installation(home, **fields):
    given = {"cwd": home, "own_broker": True, "workers": 1, "demo": False, "passed": (), **fields}
    return Installation(home=home / ".streams", **given)


def there(kafka=None, flags=None):
    settings = load(flags or {}, {}, running.Path("/nonexistent")).settings
    return Connection(settings, "127.0.0.1:19092", "embedded", Names(), kafka or FakeKafka())


def context():
    return SimpleNamespace(obj=outside())


def run_until_announced(home, kafka=None, stop=signal.SIGTERM, **fields):
    """A whole run with workers that are ready at once, ended by a signal once up.json is there."""
    launcher, seen = ReadyLauncher(), []

    async def end_it():
        for _ in range(1_500):
            if up := ready.read(home / ".streams"):
                seen.append(up)
                break
            await asyncio.sleep(0.01)  # why: lets the other side run first
        os.kill(os.getpid(), stop)

    async def both():
        here = installation(home, **fields)
        ending = asyncio.create_task(end_it())
        await running.run(context(), there(kafka), here, launcher.starter)
        await ending

    try:
        asyncio.run(asyncio.wait_for(both(), 20.0))
    finally:
        launcher.close()
    return launcher, *seen


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_run_in_order_and_stops_every_worker(tmp_path, stop):
    launcher, _ = run_until_announced(tmp_path, stop=stop, workers=2)

    assert [["TERM"], ["TERM"]] == [process.signals for process in launcher.started]


def test_run_that_ended_leaves_no_up_file(tmp_path):
    run_until_announced(tmp_path)

    assert not (tmp_path / ".streams" / ready.FILE).exists()


def test_running_installation_is_told_to_other_commands(tmp_path):
    launcher, up = run_until_announced(tmp_path, workers=2)

    assert ("127.0.0.1:19092", os.getpid(), 2) == (up.brokers, up.pid, up.metrics.count("/metrics"))
    assert [str(port) for port in launcher.ports.values()] == [a.split(":")[2][:-8] for a in up.metrics.split(",")]


def test_run_prints_the_banner_on_stdout_and_the_end_on_stderr(tmp_path, capsys):
    run_until_announced(tmp_path)
    written = capsys.readouterr()

    assert written.out.startswith("prompt-streams ")
    assert "stopping; data is kept\n" == written.err


def test_workers_run_every_role(tmp_path):
    launcher, _ = run_until_announced(tmp_path)

    assert [("core", "infer", "park")] == [process.apps for process in launcher.started]


def test_demo_asks_the_running_pipeline(tmp_path, monkeypatch):
    kafka, shown = FakeKafka(answers=lambda request: [answer(request)]), []

    async def shows(client):
        async with client:
            shown.extend([found.text async for found in client.ask(["hello"])])

    monkeypatch.setattr(running, "show_demo", shows)
    run_until_announced(tmp_path, kafka, demo=True)

    assert ["echo: hello"] == shown


@pytest.mark.parametrize(
    ("own", "flags", "passed", "expected"),
    [
        (True, {}, (), ("-b", "127.0.0.1:19092", "--plain-text")),
        (True, {"admit.plain_text": False}, (), ("-b", "127.0.0.1:19092")),
        (False, {}, ("-b", "k:1"), ("-b", "k:1")),
        (False, {}, (), ()),
        (True, {}, ("--provider", "echo"), ("--provider", "echo", "-b", "127.0.0.1:19092", "--plain-text")),
    ],
)
def test_flags_of_a_worker_follow_the_broker_and_the_options(tmp_path, own, flags, passed, expected):
    here = installation(tmp_path, own_broker=own, passed=passed)

    assert (*expected, "--state-dir", str(tmp_path / ".streams" / "state")) == running.worker_flags(
        there(flags=flags), here
    )


def topics_step(kafka, home, own):
    asyncio.run(running._topics(context(), there(kafka), installation(home, own_broker=own)))


def test_topics_on_our_own_broker_are_made(tmp_path):
    kafka = FakeKafka(plan=LACKING)
    topics_step(kafka, tmp_path, own=True)

    assert [LACKING] == kafka.applied


def test_topics_on_a_given_broker_are_only_asked_for(tmp_path):
    kafka = FakeKafka(plan=LACKING)

    with pytest.raises(TopicMissing, match="streams topics apply"):
        topics_step(kafka, tmp_path, own=False)

    assert [] == kafka.applied


def test_topics_on_a_given_broker_that_has_them_are_fine(tmp_path):
    kafka = FakeKafka()
    topics_step(kafka, tmp_path, own=False)

    assert [] == kafka.applied


def test_supervision_ends_when_no_worker_is_left_and_names_the_log(tmp_path):
    class Refusing(FakeLauncher):
        def __call__(self, slot, roles):
            process = super().__call__(slot, roles)
            process.ends(2)
            return process

    supervisor = Supervisor(Refusing(), lambda line: None, tmp_path, (0,), {"core": ("core",)})

    with pytest.raises(WorkersNotReady, match=r"worker-0\.log") as ended:
        asyncio.run(running.supervise(supervisor, tmp_path))

    assert ("workers_not_ready", tmp_path / "worker-0.log") == (ended.value.kind, ended.value.log)


def test_workers_that_are_ready_are_not_waited_for(tmp_path):
    with page() as address:
        assert asyncio.run(running.all_ready([address, address], tmp_path)) is None


def test_workers_of_which_one_is_not_ready_in_time_are_told(tmp_path):
    with page() as good, page(503) as bad, pytest.raises(WorkersNotReady, match="not every worker was ready"):
        asyncio.run(running.all_ready([good, bad], tmp_path, within_s=0.0))


def first(*works):
    return asyncio.run(running.first(*works))


async def ends():
    return None


async def fails():
    raise TransportError("asking", "KafkaError")


async def lasts(told):
    try:
        await asyncio.Event().wait()
    finally:
        told.append("cancelled")


def test_first_to_end_cancels_the_others():
    told = []
    first(ends(), lasts(told), lasts(told))

    assert ["cancelled"] * 2 == told


def test_first_to_fail_cancels_the_others_and_is_raised():
    told = []

    with pytest.raises(TransportError):
        first(lasts(told), fails())

    assert ["cancelled"] == told


def test_failure_during_the_cleanup_of_another_is_raised():
    async def fails_at_its_end():
        try:
            await asyncio.Event().wait()
        finally:
            await fails()

    with pytest.raises(TransportError):
        first(ends(), fails_at_its_end())


def test_cancelling_from_outside_cancels_all():
    told = []

    async def cancelled():
        task = asyncio.create_task(running.first(lasts(told), lasts(told)))
        await asyncio.sleep(0.01)  # why: lets the other side run first
        task.cancel()
        return await asyncio.gather(task, return_exceptions=True)

    [ended] = asyncio.run(cancelled())

    assert isinstance(ended, asyncio.CancelledError)
    assert ["cancelled"] * 2 == told
