"""How does a worker process begin, and how does it end?"""

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from streams.engine.connect import admin
from tests.support.brokers import Broker
from tests.support.loops import in_loop, until
from tests.support.probe_worker import GATED
from tests.support.probes import Site, items, site
from tests.support.running import WITHIN_S, Line, RunningWorker, request, running
from topics.catalog import ADMITTED, CATALOG, Names

pytestmark = pytest.mark.broker


async def begun(here: Site, count: int) -> None:
    """So many calls run."""
    marks = here.directory / "begun"
    await until(lambda: marks.exists() and marks.stat().st_size >= count)


@in_loop
async def test_sigterm_with_running_calls_drains_and_exits_zero(broker: Broker, names: Names, tmp_path: Path) -> None:
    """F2, B105: what runs is finished within the grace."""
    async with site(broker, names, tmp_path) as here:
        probe = await here.probe("call").start(grace_s=10.0).ready()
        await here.write(GATED, [(n % 2, b"k%d" % n, b"1.5") for n in range(8)])
        await begun(here, 8)
        code = await probe.stopped()
        answered = await here.read("inferred")

    assert (0, 8) == (code, len(answered))


@in_loop
async def test_sigterm_with_calls_above_the_grace_ends_in_bounded_time(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    """F2, B105: what outlasts the grace is handed back, and begun again by the next start."""
    async with site(broker, names, tmp_path) as here:
        probe = await here.probe("call").start(grace_s=1.0).ready()
        await here.write(GATED, [(0, b"k", b"600")])
        await begun(here, 1)
        told = time.monotonic()
        code = await probe.stopped()
        took_s = time.monotonic() - told
        again = await here.probe("call").start().ready()
        await begun(here, 2)

        assert (0, True) == (code, again.alive)
    assert took_s < 10.0


@in_loop
async def test_worker_killed_during_its_calls_makes_them_again(broker: Broker, names: Names, tmp_path: Path) -> None:
    """F1: nobody has paid for what was never written down, and nothing is lost."""
    async with site(broker, names, tmp_path) as here:
        probe = await here.probe("call").start().ready()
        await here.write(GATED, [(n % 2, b"k%d" % n, b"1.0") for n in range(6)])
        await begun(here, 6)
        await probe.killed()
        await probe.start().ready()
        answered = {record.key for record in await here.read("inferred", 6)}

    assert {b"k%d" % n for n in range(6)} == answered


@in_loop
async def test_restart_after_sigterm_repeats_nothing(broker: Broker, names: Names, tmp_path: Path) -> None:
    async with site(broker, names, tmp_path) as here:
        probe = await here.probe("pass").start().ready()
        await here.write(ADMITTED, items(50))
        await here.values(50)
        await probe.stopped()
        await probe.start().ready()
        await here.write(ADMITTED, items(1, prefix="last"))
        await here.values(51)
        copies = await here.read("inferred")

    assert 51 == len(copies)


@in_loop
async def test_crashed_consumer_thread_ends_process_with_70(broker: Broker, names: Names, tmp_path: Path) -> None:
    async with site(broker, names, tmp_path) as here:
        probe = await here.probe("pass").start().ready()
        (here.directory / "crash").touch()
        code = await probe.ended()
        fatal = probe.fatal

    assert (70, "crashed_consumer", "core") == (code, fatal["reason"], fatal["app"])


@in_loop
async def test_missing_topics_are_named_with_the_command(broker: Broker, names: Names, tmp_path: Path) -> None:
    here = Site(broker.bootstrap_servers, names, tmp_path / "site")
    probe = here.probe("count").start()
    code = await probe.ended()

    assert 0 != code
    assert "streams topics apply" in probe.output
    wanted = [*(names.topic(topic) for topic in CATALOG), names.changelog("core", "counts")]
    assert [] == [name for name in wanted if name not in probe.output]


@in_loop
async def test_missing_topics_leave_no_member_and_no_slot(broker: Broker, names: Names, tmp_path: Path) -> None:
    here = Site(broker.bootstrap_servers, names, tmp_path / "site")
    await here.probe("pass").start().ended()

    assert not (here.directory / "state").exists()


async def gap(here: Site) -> None:
    """Records 0 to 9 are handled and committed, 10 to 14 come while nobody reads, and the log is cut at 13."""
    probe = await here.probe("pass").start().ready()
    await here.write(ADMITTED, items(10, partitions=1))
    await here.values(10)
    await probe.stopped()
    await here.write(ADMITTED, items(5, partitions=1, prefix="later"))
    async with admin(here.cluster) as client:
        await client.delete_records({TopicPartition(here.names.topic(ADMITTED), 0): RecordsToDelete(13)})


@in_loop
async def test_later_log_start_ends_process_with_70_and_names_the_gap(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    async with site(broker, names, tmp_path) as here:
        await gap(here)
        probe = here.probe("pass").start()
        code = await probe.ended()
        fatal = probe.fatal

    assert (70, "log_starts_later") == (code, fatal["reason"])
    assert (ADMITTED, 0, 10) == (fatal["topic"], fatal["partition"], fatal["offset"])
    assert "expected 10, got 13" in fatal["detail"]


@in_loop
async def test_later_log_start_goes_on_only_by_setting(broker: Broker, names: Names, tmp_path: Path) -> None:
    async with site(broker, names, tmp_path) as here:
        await gap(here)
        probe = await here.probe("pass", skip_lost_offsets=True).start().ready()
        passed = await here.values(12)
        [lost] = probe.observed("lost")

    assert {b"later3", b"later4"} <= passed
    assert (ADMITTED, 0, 10, 3) == (lost["topic"], lost["partition"], lost["offset"], lost["outputs"])


def test_successor_waits_for_its_predecessor_and_goes_on_in_its_place(broker: Broker, tmp_path: Path) -> None:
    """F2: it is made up when the place is free, and finds the rows; a static member comes back, and no other one."""
    line = Line(broker.bootstrap_servers)
    with running(line, tmp_path) as worker:
        asyncio.run(line.publish(request("before", "once")))
        asyncio.run(line.answer("before"))
        _, code = worker.replaced()
        worker.ready()
        asyncio.run(line.publish(request("after", "once")))
        asyncio.run(line.answer("after"))
        calls, places = worker.calls.started, {path.name for path in (tmp_path / "state").iterdir() if path.is_dir()}

    assert (0, 1, {"slot-0"}) == (code, calls, places)


def test_successor_that_is_asked_to_stop_while_it_waits_ends_with_zero(broker: Broker, tmp_path: Path) -> None:
    line = Line(broker.bootstrap_servers)
    with running(line, tmp_path) as worker:
        second = RunningWorker(line, tmp_path / "second", settings={"worker.take_over": True})
        second.directory = tmp_path  # the same state, a log of its own
        second.start().until(lambda: "waits until the slot is free" in second.said, WITHIN_S, "waiting")

        assert (0, True) == (second.stop(), worker.alive)
