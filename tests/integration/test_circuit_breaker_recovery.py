"""One breaker over two worker processes and a real broker: an outage of the provider, its end, and a person's orders.

The story is played once; each test asks one thing of what was seen. The provider's own ledger is the truth about calls.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from streams.cli.connect import Outside
from streams.decisions import parking
from streams.drill.ledger import Entry
from streams.drill.served import ServedProvider
from tests.support.builders import assembled
from tests.support.commands import run_at
from tests.support.crew import Pair, working
from tests.support.running import POLL_S, Line, RunningWorker, request
from topics import wire
from topics.answer import rfc3339
from topics.calls import Breaker
from topics.catalog import ASSEMBLED, BREAKERS, DEAD_LETTERS

pytestmark = pytest.mark.broker

SERVICE = "openai:default"
CLOSED, OPEN = 0.0, 2.0
CONSECUTIVE, OPEN_S, INTERVAL_S = 3, 1.5, 1.0
IDS = [f"a-{number}" for number in range(24)]
PARKED_ID, TIERS_S = "parked-1", (1.0, 2.0, 4.0, 8.0)
KNOBS = {
    "breaker__consecutive": CONSECUTIVE,
    "breaker__open_s": OPEN_S,
    "breaker__cap_s": 3.0,
    "breaker__probe_interval_s": INTERVAL_S,
    "breaker__min_probes": 2,
    "retry__base_s": 0.2,
    "retry__tiers_s": ",".join(map(str, TIERS_S)),
}


@dataclass
class Story:
    """What was seen."""

    opened: dict[int, float] = field(default_factory=dict)  # worker → when it was seen open, epoch seconds
    restarted: float | None = None  # what the restarted worker knew when it was ready
    recovered: bool = False
    well_at: float = 0.0  # when the provider was well again
    answers: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: int = -1
    calls: list[Entry] = field(default_factory=list)
    words: list[Breaker] = field(default_factory=list)
    orders: list[tuple[str, int, int]] = field(default_factory=list)
    listed: list[dict[str, Any]] = field(default_factory=list)
    status: list[dict[str, Any]] = field(default_factory=list)  # in the outage
    parked: tuple[str, str] = ("", "")  # the topic in which one request waits, and when it is due
    after: list[dict[str, Any]] = field(default_factory=list)  # status when all is over

    @property
    def outage(self) -> list[float]:
        """When each call of the outage began."""
        return [call.at for call in self.calls if call.at < self.well_at]

    @property
    def threshold(self) -> float:
        """When the call ended that reached it."""
        return self.outage[CONSECUTIVE - 1]


def state(worker: RunningWorker) -> float | None:
    """The breaker as the worker's metrics tell it."""
    return worker.metrics().get(("breaker_state", (SERVICE,)))


def seen(pair: Pair, wanted: float, within_s: float = 30.0) -> dict[int, float]:
    """When each worker was first seen in that state."""
    found, end = dict[int, float](), time.time() + within_s
    while len(found) < len(pair.workers) and time.time() < end:
        for slot, worker in enumerate(pair.workers):
            if slot not in found and state(worker) == wanted:
                found[slot] = time.time()
        time.sleep(POLL_S)  # why: polls foreign processes, bounded by a deadline
    return found


def cli(line: Line, *arguments: str) -> Any:
    environ = {"STREAMS_NAMES__NAMESPACE": line.names.namespace, "STREAMS_NAMES__PREFIX": line.names.prefix}
    run: Any = run_at
    tiers = ",".join(map(str, TIERS_S))
    return run([*arguments, "-b", line.brokers], Outside({**environ, "STREAMS_RETRY__TIERS_S": tiers, "USER": "ann"}))


def status(line: Line) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = cli(line, "status", "-o", "json").json
    return rows


async def park(line: Line) -> tuple[str, str]:
    """A request waits in the longest tier: Kafka's name of that, and when it is due by the broker's stamp."""
    work = assembled(request_id=PARKED_ID, lane="low", dedup_key=f"c:{PARKED_ID}")
    topic, headers = parking.output(ASSEMBLED["low"], TIERS_S[-1:], TIERS_S)
    [sent] = await line.publish(wire.encode(work), key=PARKED_ID.encode(), headers=headers, topic=topic)
    return sent.topic, rfc3339(parking.due_ms(sent.timestamp, TIERS_S[-1]))


def ordered(pair: Pair, verb: str, wanted: float) -> tuple[str, int, int]:
    """The verb, its exit code, and how many workers were seen to obey."""
    return verb, cli(pair.line, "breaker", verb, SERVICE, "--why", "a drill").code, len(seen(pair, wanted, 10.0))


def played(pair: Pair, provider: ServedProvider) -> Story:
    story = Story()
    asyncio.run(provider.play("503*100000"))
    asyncio.run(pair.line.publish(*[request(id, f"question {id}") for id in IDS]))
    story.opened = seen(pair, OPEN)
    pair.workers[1].kill()
    story.restarted = state(pair.workers[1].start().ready())
    story.parked = asyncio.run(park(pair.line))
    story.status = status(pair.line)
    time.sleep(3 * OPEN_S)  # why: the thing itself, an outage that lasts for a few probes
    asyncio.run(provider.play())
    story.well_at = time.time()
    results = asyncio.run(pair.line.results([*IDS, PARKED_ID], 60.0))
    story.answers = [json.loads(one.value) for one in results]
    story.recovered = len(seen(pair, CLOSED)) == len(pair.workers)
    story.dead_letters = len(asyncio.run(pair.line.all(DEAD_LETTERS)))
    story.orders = [ordered(pair, "trip", OPEN), ordered(pair, "reset", CLOSED)]
    story.listed = cli(pair.line, "breaker", "list", "-o", "json").json
    story.after = status(pair.line)
    story.calls = [entry for entry in provider.entries() if entry.action == "start"]
    words = asyncio.run(pair.line.all(BREAKERS))
    story.words = sorted((wire.decode(one.value, Breaker) for one in words), key=lambda word: word.number)
    return story


@pytest.fixture(scope="module")
def story(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    directory: Path = tmp_path_factory.mktemp("breaker")
    provider = asyncio.run(ServedProvider(directory, ["ok"]).start())
    try:
        with working(Line(broker.bootstrap_servers), directory, provider.url, **KNOBS) as pair:
            yield played(pair, provider)
    finally:
        provider.end()


# -- the outage


def test_outage_opens_the_breaker_on_every_worker(story: Story) -> None:
    """B27, B38."""
    assert {0, 1} == set(story.opened)


def test_workers_are_open_within_a_second_of_the_threshold(story: Story) -> None:
    assert max(story.opened.values()) - story.threshold < 1.0 + 2 * POLL_S + 0.25


def test_restarted_worker_is_not_ready_before_it_knows_that_it_is_open(story: Story) -> None:
    """B38."""
    assert story.restarted not in (None, CLOSED)


def test_calls_of_the_outage_are_few(story: Story) -> None:
    """B27: each worker may have the threshold in flight, and at most one probe an interval follows."""
    first, last = story.outage[0], story.well_at
    probes = int((last - first) / INTERVAL_S) + 1

    assert len(story.outage) <= len(IDS) + probes
    assert len([at for at in story.outage if at > max(story.opened.values())]) <= probes


def test_probes_of_all_workers_lie_an_interval_apart(story: Story) -> None:
    """B30."""
    grants = sorted({(word.epoch, word.probing.number, word.probing.at_ms) for word in story.words if word.probing})
    apart = [after[2] - before[2] for before, after in pairwise(grants)]

    assert len(grants) > 2
    assert min(apart) >= INTERVAL_S * 1000


def test_probes_that_failed_made_it_wait_longer(story: Story) -> None:
    """B32."""
    waits = [word.level for word in story.words if word.state == "open" and word.order is None]

    assert waits == sorted(waits)
    assert max(waits) >= 1


def test_status_in_the_outage_names_the_breaker(story: Story) -> None:
    [row] = [row for row in story.status if row.get("service")]

    assert SERVICE == row["service"]
    assert row["state"] in {"open", "half-open"}
    assert row["since"] < row["until"]


def test_status_in_the_outage_tells_when_the_parked_request_is_due(story: Story) -> None:
    """By the broker's stamp; tiers without one have no time."""
    tiers = {row["topic"]: row for row in story.status if "tier_s" in row}
    row = tiers.pop(story.parked[0])

    assert (8.0, 1, story.parked[1]) == (row["tier_s"], row["lag"], row["due"])
    assert [(0, None)] * 3 == [(row["lag"], row["due"]) for row in tiers.values()]


def test_status_after_the_outage_shows_neither(story: Story) -> None:
    assert [] == [row for row in story.after if row.get("service") or row.get("due")]


# -- the recovery


def test_provider_that_is_well_again_is_called_by_every_worker(story: Story) -> None:
    """B34."""
    assert story.recovered


def test_recovery_took_two_probes_that_went_well(story: Story) -> None:
    """B34: at least as many grants in the last epoch as probes are needed."""
    recovered = next(word for word in story.words if word.state == "closed" and word.epoch > 1)
    granted = [word.probing.number for word in story.words if word.epoch == recovered.epoch - 1 and word.probing]

    assert max(granted) >= 2


def test_requests_of_the_outage_are_all_answered(story: Story) -> None:
    """B41, I9."""
    assert dict.fromkeys([*IDS, PARKED_ID], "completed") == {answer["id"]: answer["status"] for answer in story.answers}
    assert 0 == story.dead_letters


# -- orders


def test_orders_are_in_force_on_every_worker(story: Story) -> None:
    """B40."""
    assert [("trip", 0, 2), ("reset", 0, 2)] == story.orders


def test_orders_are_recorded_with_who_and_why(story: Story) -> None:
    """B40."""
    [row] = story.listed

    assert (SERVICE, "closed") == (row["service"], row["state"])
    assert row["order"].startswith("reset by ann at ")
    assert row["order"].endswith(": a drill")


def test_epochs_of_the_words_never_fall(story: Story) -> None:
    epochs = [word.epoch for word in story.words]

    assert epochs == sorted(epochs)
