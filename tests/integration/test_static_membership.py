"""Does a restart under its own name leave the group in peace, and does a name belong to one process only?"""

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import Broker
from tests.support.loops import in_loop
from tests.support.probes import QUICK, Probe, Site, items, site, values_of
from topics.catalog import ADMITTED, INFERRED, Names

pytestmark = pytest.mark.broker

WITHIN_S = QUICK["session_s"] - 0.5  # before the group can have noticed


def alone(state: dict[str, Any]) -> bool:
    return bool(state.get("ready")) and 1 == len(state["partitions"])


async def pair(here: Site, *stages: str) -> tuple[Probe, Probe]:
    """Two workers with one partition each."""
    first, second = here.probe(*stages).start(), here.probe(*stages, slot=1).start()
    for probe in (first, second):
        await probe.until(alone, 30.0)
    return first, second


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@in_loop
async def test_restart_of_a_static_member_causes_no_rebalance(
    broker: Broker, names: Names, tmp_path: Path, number: int
) -> None:
    async with site(broker, names, tmp_path) as here:
        first, second = await pair(here, "count", "tell")
        before = second.state
        first.signal(number)
        await first.ended()
        await first.start().until(alone)
        after, mine = second.state, first.state

    assert (before["generation"], before["rebalances"]) == (after["generation"], after["rebalances"])
    assert before["generation"] == mine["generation"]


@in_loop
async def test_restart_of_a_static_member_never_stops_the_other(broker: Broker, names: Names, tmp_path: Path) -> None:
    async with site(broker, names, tmp_path) as here:
        first, second = await pair(here, "pass")
        theirs = second.state["partitions"][0]
        await first.killed()
        meanwhile = [(theirs, key, value) for _, key, value in items(20, prefix="meanwhile")]
        told = time.monotonic()
        await here.write(ADMITTED, meanwhile)
        passed = await here.values(20, within_s=WITHIN_S)
        took_s = time.monotonic() - told
        await first.start().until(alone)

    assert values_of(meanwhile) == passed
    assert took_s < WITHIN_S


@in_loop
async def test_second_process_on_one_slot_joins_as_a_dynamic_member(
    broker: Broker, names: Names, tmp_path: Path
) -> None:
    written = items(100)
    async with site(broker, names, tmp_path) as here:
        first = await here.probe("count", "tell").start().ready()
        rival = here.probe("count", "tell").start()
        await rival.until(alone)
        await first.until(alone)
        await here.write(ADMITTED, written)
        passed = await here.values(100)
        roles = (first.state["static"], rival.state["static"])
        shared = set(first.state["partitions"]) & set(rival.state["partitions"])
        copies = len(await here.read(INFERRED))

    assert ((True, False), set()) == (roles, shared)
    assert (values_of(written), 100) == (passed, copies)
