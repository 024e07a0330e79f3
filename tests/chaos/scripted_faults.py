"""Faults that are played once, by script: is nothing lost where disks, logs and topics fail under a running pipeline?

    .venv/bin/python -m tests.chaos.scripted_faults [NAME …] [--list] [--verbose]

Each is a drill like that of a seed, with the one fault in its middle. One line each; exit 1 when one is red.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from streams.drill import faults, run
from streams.drill import site as sites
from streams.drill.crew import DrillFailed, name_of, until
from streams.drill.drills import DRILLS, Drill
from streams.drill.faults import FAULTS, Fault, Play, somebody
from streams.drill.hands import Size
from streams.drill.outcome import Outcome
from streams.drill.site import Site
from streams.engine.connect import admin
from tests.chaos.seeds import SHORT
from tests.support.far_faults import distant
from tests.support.tree import ROOT
from topics.catalog import DEAD_LETTERS, PARKED, PROMPTS, changelog_settings

FILE_BYTES = 300_000  # what a file may hold in a worker whose disk is full
MORE_PARTITIONS = 12
ALARM_S = 30.0


HALF_A_MINUTE = replace(SHORT, busy_s=30.0)


@dataclass(frozen=True)
class Script:
    """A drill with one fault of its own; ``named``: what the checker must object to, as it cannot be helped."""

    play: Play
    number: str
    drill: Drill = HALF_A_MINUTE
    buries: bool = False
    named: frozenset[str] = frozenset()

    def as_expected(self, found: Outcome) -> bool:
        """Green, or red for no other reason than the one that it is for."""
        return found.green if not self.named else self.named == set(found.wrong) and not found.missed


# -- disks


async def full_disk(site: Site, chance: random.Random, hold_s: float) -> None:
    """F10: a worker can write no file any further, for a while; then there is room again."""
    slot = somebody(site, chance)
    site.crew.kill(slot, ("tests.support.fault_worker", f"files:{FILE_BYTES}"))
    await until(lambda: False, hold_s)  # whoever ends by itself is started again, and has room then
    site.crew.kill(slot)


async def no_state_directory(site: Site, chance: random.Random, hold_s: float) -> None:
    """F10: where a worker's state should be is a file: it says so and ends, again and again, until that is mended."""
    slot, state = somebody(site, chance), site.hands.directory
    place = state / name_of(slot) / "state"
    site.crew.kill(slot)
    await site.crew.leave(slot)
    place.rename(place.with_name("state.kept"))
    place.write_text("no directory")
    site.crew.start(slot)
    broken = site.crew.processes[slot]
    if not await until(lambda: broken.poll() is not None, ALARM_S):
        raise DrillFailed("a worker without a state directory runs on")
    place.unlink()
    place.with_name("state.kept").rename(place)
    site.crew.revive()


async def deleted_store(site: Site, chance: random.Random, hold_s: float) -> None:
    """F11: a worker's tables are gone; they are rebuilt from their changelogs."""
    slot = somebody(site, chance)
    await site.crew.leave(slot)
    shutil.rmtree(site.hands.directory / name_of(slot) / "state")
    site.crew.start(slot)


async def truncated_changelog(site: Site, chance: random.Random, hold_s: float) -> None:
    """F11: half of a changelog is gone, and the tables with it: nothing that was finished is answered anew."""
    await site.crew.leave_all()
    topic = site.names.changelog("infer", "answers")
    async with admin(site.cluster) as control:  # Kafka cuts no log that is only compacted
        wanted = {**changelog_settings(replication=1), "cleanup.policy": "compact,delete", "retention.ms": "-1"}
        await control.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=wanted)])
    await _cut(site, topic, 0.5)
    for slot in site.crew.slots:
        shutil.rmtree(site.hands.directory / name_of(slot) / "state")
    site.crew.start_all()


async def cut_prompts(site: Site, chance: random.Random, hold_s: float) -> None:
    """F11: prompts are deleted that nobody had read: with leave to go on, what is gone is named, the rest answered."""
    await site.crew.leave_all()
    await until(lambda: False, hold_s / 2)
    await _cut(site, site.names.topic(PROMPTS), 1.0)
    site.crew.start_all()


# -- topics


async def more_partitions(site: Site, chance: random.Random, hold_s: float) -> None:
    """F17: `prompts` gets more partitions while it is written and read."""
    async with admin(site.cluster) as control:
        await control.create_partitions({site.names.topic(PROMPTS): NewPartitions(total_count=MORE_PARTITIONS)})
    await until(lambda: False, hold_s)


async def no_dead_letters(site: Site, chance: random.Random, hold_s: float) -> None:
    """F18: the topic of dead letters is gone while poison comes: nothing is skipped, all is buried when it is back."""
    async with admin(site.cluster) as control:
        await control.delete_topics([site.names.topic(DEAD_LETTERS)])
    await faults.poison(site, chance, hold_s)
    await until(lambda: False, hold_s)
    await sites.prepare(site.cluster, site.names, site.drill.size.partitions)


async def no_parking(site: Site, chance: random.Random, hold_s: float) -> None:
    """F18: the first tier of parked requests is gone while the provider is away."""
    async with admin(site.cluster) as control:
        await control.delete_topics([site.names.topic(PARKED[0])])
    await faults.outage(site, chance, hold_s)
    await sites.prepare(site.cluster, site.names, site.drill.size.partitions)


async def _cut(site: Site, topic: str, part: float) -> None:
    """Deletes that part of each partition's records, the oldest."""
    places = [TopicPartition(topic, number) for number in range(site.drill.size.partitions)]
    async with sites.consumer(site.cluster) as reading:
        ends = await reading.end_offsets(places)
    async with admin(site.cluster) as control:
        await control.delete_records({tp: RecordsToDelete(before_offset=int(end * part)) for tp, end in ends.items()})


SCRIPTS = {
    "full-disk": Script(full_disk, "F10"),
    "no-state-directory": Script(no_state_directory, "F10"),
    "deleted-store": Script(deleted_store, "F11"),
    "truncated-changelog": Script(truncated_changelog, "F11"),
    "cut-prompts": Script(
        cut_prompts,
        "F11",
        replace(HALF_A_MINUTE, drain_s=30.0, size=Size(settings={"worker": 'lost_offsets = "skip"'})),
        named=frozenset({"lost", "gap"}),
    ),
    "more-partitions": Script(more_partitions, "F17"),
    "no-dead-letters": Script(no_dead_letters, "F18"),
    "no-parking": Script(no_parking, "F18"),
    "broker-away-3-min": Script(FAULTS["broker-pause"].play, "F7", replace(HALF_A_MINUTE, hold_s=180.0, drain_s=300.0)),
    "broker-away-40-s": Script(FAULTS["broker-pause"].play, "F7", replace(HALF_A_MINUTE, hold_s=40.0)),
    "long-outage": Script(FAULTS["outage"].play, "F14", DRILLS["outage-long"]),
}


def played(name: str, directory: Path, *, verbose: bool = False) -> Outcome:
    """One script on a broker of its own."""
    script, began = SCRIPTS[name], time.monotonic()
    drill = replace(script.drill, faults=(name,))

    def say(line: str) -> None:
        if verbose:
            print(f"  {time.monotonic() - began:6.1f} s  {line}", flush=True)

    known = {name: Fault(name, script.number, script.play, script.buries)}
    with distant(directory) as broker:
        try:
            return asyncio.run(run.hold(drill, broker, directory, say, known=known))
        except DrillFailed as failed:
            return Outcome(drill.faults, 1, wrong={"failed": (str(failed),)})


def main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.scripted_faults", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *SCRIPTS], metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    asked = parser.parse_args(given)
    if asked.list:
        print("\n".join(f"{name:<20} {script.number:<4} {script.play.__doc__}" for name, script in SCRIPTS.items()))
        return 0
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    green = True
    for name in asked.names or SCRIPTS:
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        found = played(name, directory, verbose=asked.verbose)
        fine = SCRIPTS[name].as_expected(found)
        green &= fine
        as_meant = "  (as it must be)" if fine and not found.green else ""
        print(f"{SCRIPTS[name].number:<4} {found.line()}{as_meant}", flush=True)
        if fine:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            print(f"  kept in {directory}", flush=True)
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
