"""A drill from its warm-up to its count, over a pipeline in memory."""

import asyncio
from dataclasses import replace

import pytest

from streams.decisions.proof import OFFENCES, Found, Item, Verdict
from streams.drill import run
from streams.drill.account import Account
from streams.drill.crew import DrillFailed
from streams.drill.drills import DRILLS
from streams.drill.faults import Fault
from streams.drill.ledger import Entry
from streams.drill.plan import Planned
from tests.support.aio import in_virtual_time, now_s
from tests.support.drill_fakes import FakeServed, site, soon
from tests.support.fake_cluster import FakeKafka, answer
from topics.catalog import BREAKERS, DEAD_LETTERS, PROMPTS
from topics.errors import TransportError

DRILL = replace(DRILLS["crash"], rate=10.0, busy_s=10.0, hold_s=2.0, warm=3, drain_s=5.0)


CLEAN, PAID = Verdict(), Account(5, 5)


def answering():
    return FakeKafka(answers=lambda one: [answer(one)])


def at_work(kafka=None, **parts):
    """A site whose answers are collected."""
    kafka = kafka or answering()
    return site(DRILL, kafka, **parts), kafka


def noting(notes, lasts_s=0.0, error=None):
    """A fault that notes when it begins."""

    async def play(here, chance, hold_s):
        notes.append(now_s())
        await asyncio.sleep(lasts_s)  # why: virtual time
        if error:
            raise error

    return Fault("noted", "F1", play)


async def busy(here, *moments, **fault):
    notes, lines, began = [], [], now_s()
    plan = [Planned("noted", at_s) for at_s in moments]
    missed = await run.busy(here, plan, 1, {"noted": noting(notes, **fault)}, lines.append)
    return [round(at - began, 1) for at in notes], missed, lines, now_s() - began


def counted(here, verdict=CLEAN, paid=PAID, missed=(), letters=False):
    return run.counted(here, missed, 7, verdict, paid, letters=letters)


async def answered(count, kafka=None, **parts):
    """A site on which that many were asked and answered."""
    here, kafka = at_work(kafka, **parts)
    task = await soon(here.load.collect())
    await here.load.publish(kafka, count)
    await asyncio.sleep(0.1)  # why: virtual time
    task.cancel()
    return here, kafka


def letter(kafka, offset):
    headers = [("prompts.error.original-topic", b"prompts"), ("prompts.error.original-partition", b"0")]
    kafka.put(DEAD_LETTERS, b"k", b"v", [*headers, ("prompts.error.original-offset", b"%d" % offset)])


# -- warm-up


@in_virtual_time
async def test_warm_up_returns_when_all_of_it_is_answered():
    here, kafka = at_work()
    task = await soon(here.load.collect())
    await run.warm(here)
    task.cancel()

    assert 3 == len(here.load.sheet.answered) == len(kafka.topics[PROMPTS])


@in_virtual_time
async def test_warm_up_without_answers_is_a_failed_drill_with_the_complaint():
    here, _ = at_work(FakeKafka())

    with pytest.raises(DrillFailed, match="no answers within 60 s: read the log"):
        await run.warm(here)


# -- the busy time


@in_virtual_time
async def test_each_fault_begins_at_its_moment():
    here, _ = at_work()
    began, missed, _, _ = await busy(here, 2.0, 5.0)

    assert [2.0, 5.0] == pytest.approx(began, abs=0.3)
    assert () == missed


@in_virtual_time
async def test_load_goes_on_for_all_of_the_busy_time():
    here, kafka = at_work()
    _, _, _, took_s = await busy(here, 1.0)

    assert 10.0 <= took_s < 11.0
    assert 95 <= len(kafka.topics[PROMPTS]) <= 105


@in_virtual_time
async def test_load_goes_on_until_a_fault_that_lasts_is_over():
    here, kafka = at_work()
    _, missed, _, took_s = await busy(here, 8.0, lasts_s=20.0)

    assert 30.0 <= took_s < 31.0
    assert 280 <= len(kafka.topics[PROMPTS]) <= 315
    assert () == missed


@in_virtual_time
async def test_next_fault_waits_for_the_one_before():
    here, _ = at_work()
    began, _, _, _ = await busy(here, 1.0, 2.0, lasts_s=6.0)

    assert [1.0, 7.0] == pytest.approx(began, abs=0.3)


@in_virtual_time
async def test_fault_without_a_running_call_is_missed():
    here, _ = at_work(provider=FakeServed())
    _, missed, _, _ = await busy(here, 1.0)

    assert ("noted",) == missed


@in_virtual_time
async def test_fault_waits_until_calls_run_again():
    here, _ = at_work(provider=(served := FakeServed()))
    task = await soon(busy(here, 1.0), 5.0)
    served.calls("worker-0")
    began, missed, _, _ = await task

    assert ([5.0], ()) == (pytest.approx(began, abs=0.3), missed)


@in_virtual_time
async def test_each_fault_is_told_with_its_moment():
    here, _ = at_work()
    _, _, lines, _ = await busy(here, 2.0)

    assert [["2.0", "s", "noted"]] == [line.split() for line in lines]


@in_virtual_time
async def test_worker_that_ends_during_a_fault_is_started_again():
    here, _ = at_work()
    task = await soon(busy(here, 1.0, lasts_s=5.0), 3.0)
    here.hands.started[1].ends(3)
    await task

    assert [0, 1, 1] == [worker.slot for worker in here.hands.started]


@in_virtual_time
async def test_fault_that_fails_ends_the_drill():
    here, _ = at_work()

    with pytest.raises(DrillFailed, match="broken"):
        await busy(here, 1.0, error=DrillFailed("broken"))


@in_virtual_time
async def test_supervised_work_is_cancelled_with_the_drill():
    here, _ = at_work()
    task = await soon(run.supervised(here, asyncio.sleep(3600)), 1.0)  # why: virtual time
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()


# -- the count


@in_virtual_time
async def test_run_with_a_clean_verdict_is_green():
    here, _ = await answered(5)
    found = await counted(here)

    assert (True, 5, 5, 7) == (found.green, found.requests, found.answers, found.seed)


@pytest.mark.parametrize("name", sorted({*OFFENCES, "unseen"}))
@in_virtual_time
async def test_whatever_the_checker_objects_to_makes_the_run_red(name):
    here, _ = await answered(1)
    found = await counted(here, Verdict({}, {name: Found(1, (Item("a"),))}))

    assert (f"1 {name}: a",) == found.why


@in_virtual_time
async def test_two_bodies_under_one_id_leave_the_run_green():
    here, _ = await answered(1)

    assert (await counted(here, Verdict({}, {"two-bodies": Found(1, (Item("a"),))}))).green


@in_virtual_time
async def test_answers_are_counted_by_request():
    kafka = FakeKafka(answers=lambda one: [] if one["id"] == "drill-3" else [answer(one)])
    here, _ = await answered(5, kafka)
    found = await counted(here)

    assert (5, 4) == (found.requests, found.answers)


@in_virtual_time
async def test_account_of_calls_is_part_of_the_outcome():
    here, _ = await answered(1)

    assert ("called again without a cause: k",) == (await counted(here, paid=Account(2, 1, 1, 0, ("k",)))).why


@pytest.mark.parametrize(("planted", "letters", "why"), [(0, False, 1), (0, True, 0), (2, False, 0), (1, False, 1)])
@in_virtual_time
async def test_dead_letters_that_nobody_planted_are_wrong_where_none_may_be(planted, letters, why):
    here, kafka = await answered(1, planted=planted)
    letter(kafka, 1)
    letter(kafka, 2)

    assert why == len((await counted(here, letters=letters)).why)


@in_virtual_time
async def test_dead_letter_that_was_buried_twice_counts_once():
    here, kafka = await answered(1)
    letter(kafka, 1)
    letter(kafka, 1)

    assert 1 == (await counted(here)).letters


@in_virtual_time
async def test_breakers_that_open_late_make_the_run_red():
    here, _ = await answered(1, provider=(served := FakeServed()))
    begun = [1.0, 1.1, 1.2, 1.3, 1.4, 3.0]
    served.seen = [Entry(step, "k", "503", f"n{at}", at=at) for at in begun for step in ("start", "error")]
    found = await counted(here)

    assert ("1 late: calls went on for 1.6 s after the threshold",) == found.why
    assert {"open_after_s": 1.6, "probes": 0} == found.notes


@in_virtual_time
async def test_breakers_are_not_judged_where_other_faults_keep_them_from_hearing():
    drill = replace(DRILL, faults=("outage", "zombie"))
    here, _ = await answered(1, provider=(served := FakeServed()))
    begun = [1.0, 1.1, 1.2, 1.3, 1.4, 3.0]
    served.seen = [Entry(step, "k", "503", f"n{at}", at=at) for at in begun for step in ("start", "error")]
    here.drill = drill

    assert (await counted(here)).green


@in_virtual_time
async def test_run_tells_what_it_reached():
    here, kafka = await answered(1)
    kafka.put(BREAKERS, b"s", b"{}", [("prompts.decision", b"open")])
    here.hands.lines = [{"action": "rebalanced", "outputs": 1}]

    assert {"breaker opened": 1, "rebalance during a call": 1} == (await counted(here)).reached


@in_virtual_time
async def test_missed_faults_make_the_run_red():
    here, _ = await answered(1)

    assert ("outside the busy time: kill",) == (await counted(here, missed=("kill",))).why


@in_virtual_time
async def test_request_that_the_broker_did_not_take_is_not_asked_for():
    here, _ = at_work(FakeKafka(refuses=TransportError("publishing", "away")))

    with pytest.raises(TransportError):
        await run.warm(here)
