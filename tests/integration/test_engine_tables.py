"""Do the rows of a table survive what happens to a worker and to its disk?"""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.brokers import Broker
from tests.support.loops import in_loop
from tests.support.probe_worker import TABLE
from tests.support.probes import Item, Probe, Site, site
from topics.catalog import ADMITTED, DEDUPED, FAILED, INTERNAL_BYTES, REFINED, RETRIEVED, Names

pytestmark = pytest.mark.broker

KEYS = [b"a", b"b", b"c", b"d"]
Rows = dict[tuple[int, bytes], list[str]]


def over_keys(count: int, prefix: str = "v") -> list[Item]:
    """Records over two partitions and four keys, so that rows are written again and again."""
    return [(n % 2, KEYS[n // 2 % len(KEYS)], f"{prefix}{n}".encode()) for n in range(count)]


async def changelog(here: Site) -> Rows:
    """The fold of the changelog."""
    rows: Rows = {}
    for record in await here.read(here.names.changelog("core", TABLE)):
        rows[record.partition, record.key] = json.loads(record.value)
    return rows


async def told(here: Site) -> Rows:
    """The rows as the worker has them."""
    asked = [(partition, key, b"?") for partition in (0, 1) for key in KEYS]
    await here.write(DEDUPED, asked)
    answers = await here.read(REFINED, len(asked))
    return {(one.partition, one.key): json.loads(one.value) for one in answers if one.value is not None}


async def coordinates(here: Site) -> Rows:
    """What the rows must be: every record that was written, under its key."""
    rows: Rows = {}
    for record in sorted(await here.read(ADMITTED), key=lambda one: one.offset):
        rows.setdefault((record.partition, record.key), []).append(f"{ADMITTED}/{record.partition}/{record.offset}")
    return rows


async def counting(here: Site) -> Probe:
    return await here.probe("count", "tell", "swell").start().ready()


@in_loop
async def test_recovery_after_kill_equals_the_fold_of_the_changelog(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    written = over_keys(400)
    async with site(broker, names, tmp_path) as here:
        probe = await counting(here)
        await here.write(ADMITTED, written)
        await here.values(50)
        await probe.killed()
        await probe.start().ready()
        await here.values(400)
        got, folded, expected = await told(here), await changelog(here), await coordinates(here)

    assert expected == folded
    assert expected == got


@in_loop
async def test_directory_of_another_cluster_is_wiped_and_recovered(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    async with site(broker, names, tmp_path) as here:
        probe = await counting(here)
        await here.write(ADMITTED, over_keys(16))
        await here.values(16)
        await probe.stopped()
        marker = here.directory / "state" / "slot-0" / "core" / "cluster.id"
        mine = marker.read_text()
        marker.write_text("another cluster")
        await probe.start().ready()

        assert "belongs to another cluster" in probe.output
        assert (mine, await coordinates(here)) == (marker.read_text(), await told(here))


@in_loop
async def test_row_too_large_is_refused_and_the_partition_goes_on(broker: Broker, names: Names, tmp_path: Path) -> None:
    too_much = str(INTERNAL_BYTES + 1).encode()
    async with site(broker, names, tmp_path) as here:
        probe = await counting(here)
        await here.write(RETRIEVED, [(0, b"big", too_much), (0, b"small", b"10")])
        [refusal] = await here.read(FAILED, 1)
        kept = await here.read(here.names.changelog("core", TABLE), 1)

        assert probe.alive
    assert "too_large" == json.loads(refusal.value)["failure"]["kind"]
    assert [b"small"] == [record.key for record in kept]


@in_loop
async def test_row_of_the_largest_size_is_written_and_recovered(broker: Broker, names: Names, tmp_path: Path) -> None:
    largest = str(INTERNAL_BYTES - len(b"k")).encode()
    async with site(broker, names, tmp_path) as here:
        probe = await counting(here)
        await here.write(RETRIEVED, [(0, b"k", largest)])
        [kept] = await here.read(here.names.changelog("core", TABLE), 1)
        await probe.killed()
        shutil.rmtree(here.directory / "state")
        await probe.start().ready()

    assert int(largest) == len(kept.value)


@in_loop
async def test_rows_move_with_their_partition_to_another_worker(broker: Broker, names: Names, tmp_path: Path) -> None:
    async with site(broker, names, tmp_path) as here:
        first = await counting(here)
        await here.write(ADMITTED, over_keys(40))
        await here.values(40)
        second = here.probe("count", "tell", "swell", slot=1).start()
        await second.until(lambda state: state.get("ready") and len(state["partitions"]) == 1)
        await first.until(lambda state: state["ready"] and len(state["partitions"]) == 1)
        await here.write(ADMITTED, over_keys(40, prefix="more"))
        await here.values(80)

        assert await coordinates(here) == await told(here)
