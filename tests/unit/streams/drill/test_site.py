"""A site: its workers become ready or it says why, and it knows when each outcome was safe."""

import logging

import pytest

from streams.drill import site as sites
from streams.drill.crew import DrillFailed
from streams.drill.drills import DRILLS
from tests.support.aio import in_virtual_time, now_s
from tests.support.drill_fakes import FakeHands, site
from tests.support.fake_kafka import FakeConsumer, Log, through

CHANGELOG = "prompts.infer-answers-changelog"
NONCE, OTHER = "0123456789abcdef", "fedcba9876543210"


def log(*values):
    """The changelog of answers with these rows, a second apart."""
    made = Log({CHANGELOG: 8})
    for value in values:
        made.append(CHANGELOG, 3, value=value)
    return through(FakeConsumer(made))


def row(*nonces):
    return " ".join(f"echo: hello [{nonce}]" for nonce in nonces).encode()


@in_virtual_time
async def test_site_whose_workers_are_ready_is_not_waited_for():
    began = now_s()
    await sites.ready(site(hands=FakeHands()))

    assert began == now_s()


@in_virtual_time
async def test_workers_are_asked_until_they_are_ready():
    here = site(hands=FakeHands(unready=5))
    await sites.ready(here)

    assert -1 == here.hands.unready


@in_virtual_time
async def test_worker_that_ends_on_start_is_started_again():
    here = site(hands=(hands := FakeHands(unready=3)))
    hands.started[0].ends(1)
    await sites.ready(here)

    assert [0, 1, 0] == [worker.slot for worker in hands.started]


@in_virtual_time
async def test_workers_that_never_are_ready_are_a_failed_drill_with_their_complaint():
    with pytest.raises(DrillFailed, match="not every worker was ready within 3 s: read the log"):
        await sites.ready(site(hands=FakeHands(unready=10_000)), 3.0)


@in_virtual_time
async def test_outcome_is_safe_when_its_row_was_written():
    found = await sites.safe(site(), log(b"", row(NONCE), row(OTHER)))

    assert {NONCE: 1.0, OTHER: 2.0} == found


@in_virtual_time
async def test_row_that_is_written_again_was_safe_the_first_time():
    assert {NONCE: 0.0} == await sites.safe(site(), log(row(NONCE), row(NONCE)))


@pytest.mark.parametrize("value", [None, b"", b"[short]", b"[0123456789ABCDEF]", b"0123456789abcdef"])
@in_virtual_time
async def test_row_without_a_nonce_makes_nothing_safe(value):
    assert {} == await sites.safe(site(), log(value))


@in_virtual_time
async def test_row_with_many_nonces_makes_all_safe():
    assert {NONCE, OTHER} == set(await sites.safe(site(), log(row(NONCE, OTHER))))


@in_virtual_time
async def test_empty_changelog_makes_nothing_safe():
    assert {} == await sites.safe(site(), log())


def test_site_reaches_its_broker():
    assert "127.0.0.1:19092" == site().cluster.brokers


def test_hands_of_a_site_start_real_workers(tmp_path):
    made = sites.hands(tmp_path, "127.0.0.1:9092", "http://127.0.0.1:1", DRILLS["crash"])

    assert DRILLS["crash"].size == made.size


def test_library_is_silent_meanwhile_and_speaks_again(caplog):
    logger = logging.getLogger("library of a drill")
    with sites.quietly("library of a drill"):
        logger.warning("during")
    logger.warning("after")

    assert ["after"] == [record.message for record in caplog.records]
    assert [] == logger.handlers
