"""What each fault does to what it finds."""

import asyncio
import random
import signal
from dataclasses import replace

import pytest

from streams.drill import faults
from streams.drill.crew import DrillFailed
from streams.drill.drills import DRILLS, Size
from streams.drill.faults import FAULTS
from streams.drill.probing import AWAY
from streams.drill.script import parse
from tests.support.aio import in_virtual_time, now_s
from tests.support.drill_fakes import FakeHands, FakeServed, site
from tests.support.fake_cluster import FakeKafka
from topics.catalog import PROMPTS

HOLD_S = 8.0


class Taking:
    """A publisher that takes anything."""

    def __init__(self):
        self.values = []

    async def send(self, topic, key, value):
        self.values.append(value)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


async def played(name, here, seed=1):
    """The fault over the site; how long it took."""
    began = now_s()
    await FAULTS[name].play(here, random.Random(seed), HOLD_S)
    return now_s() - began


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_fault_stands_under_its_own_name_and_number(name):
    assert name == FAULTS[name].name
    assert FAULTS[name].number.startswith("F")


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_fault_says_what_it_does(name):
    assert FAULTS[name].play.__doc__


@pytest.mark.parametrize("words", [faults.GARBAGE, faults.REFUSALS])
def test_words_for_the_provider_can_be_played(words):
    assert parse(words)


def test_refusals_are_no_outage():
    assert AWAY not in {step.act for step in parse(faults.REFUSALS)}


@in_virtual_time
async def test_kill_hits_one_worker_that_stays():
    here = site(hands=(hands := FakeHands()))
    await played("kill", here)

    assert 1 == sum("KILL" in worker.signals for worker in hands.started)
    assert 3 == len(hands.started)


@pytest.mark.parametrize("slot", [0, 1])
@in_virtual_time
async def test_kill_of_the_caller_hits_the_worker_that_calls(slot):
    here = site(hands=(hands := FakeHands()), provider=FakeServed().calls(f"worker-{slot}"))
    await played("kill-caller", here)

    assert [slot] == [worker.slot for worker in hands.started if "KILL" in worker.signals]


@in_virtual_time
async def test_kill_of_the_caller_without_any_call_is_a_failed_drill():
    with pytest.raises(DrillFailed, match="no call was begun within 20 s"):
        await played("kill-caller", site(provider=FakeServed()))


@in_virtual_time
async def test_stopped_worker_is_asked_and_started_again():
    here = site(hands=(hands := FakeHands()))
    await played("stop", here)

    assert 1 == sum("TERM" in worker.signals for worker in hands.started)
    assert [0, 1] == sorted(here.crew.processes)


@in_virtual_time
async def test_storm_lets_a_spare_worker_join_and_leave_until_its_time_is_over():
    here = site(hands=(hands := FakeHands()))
    took_s = await played("storm", here)

    assert HOLD_S <= took_s < HOLD_S + faults.STORM_S + 1
    assert {2} == {worker.slot for worker in hands.started[2:]}
    assert len(hands.started) >= 4
    assert [0, 1] == sorted(here.crew.processes)


@pytest.mark.parametrize(("session_s", "asleep_s"), [(2.0, 8.0), (6.0, 9.0), (10.0, 15.0)])
@in_virtual_time
async def test_zombie_sleeps_past_its_session(session_s, asleep_s):
    drill = replace(DRILLS["crash"], size=Size(session_s=session_s))
    here = site(drill, hands=(hands := FakeHands()))
    took_s = await played("zombie", here)
    [signals] = [worker.signals for worker in hands.started if worker.signals]

    assert [signal.SIGSTOP, signal.SIGCONT] == signals
    assert asleep_s == pytest.approx(took_s, abs=0.2)


@pytest.mark.parametrize(
    ("name", "done"),
    [("broker-restart", ["restart"]), ("broker-kill", ["kill", "start"]), ("broker-pause", ["pause", "unpause"])],
)
def test_broker_is_harmed_and_mended(name, done):
    here = site()
    asyncio.run(FAULTS[name].play(here, random.Random(1), 0.01))

    assert done == here.broker.done


@in_virtual_time
async def test_poison_is_published_and_expected_among_the_dead_letters():
    here = site(publisher=(taking := Taking()))
    await played("poison", here)
    values = taking.values

    assert list(faults.POISON) == values
    assert len(values) == here.planted


@in_virtual_time
async def test_duplicates_send_known_requests_twice_more():
    here = site(kafka=(kafka := FakeKafka()))
    await here.load.publish(kafka, 5)
    await played("duplicates", here)
    values = [record.value for record in kafka.topics[PROMPTS]]

    assert [3] * 5 == [values.count(here.drill.asked(number)) for number in range(5)]


@in_virtual_time
async def test_duplicates_send_other_words_under_a_known_id():
    here = site(kafka=(kafka := FakeKafka()))
    await here.load.publish(kafka, 5)
    await played("duplicates", here)

    assert 3 == sum(len(bodies) == 2 for bodies in here.load.sheet.sent.values())


@in_virtual_time
async def test_duplicates_of_nothing_are_nothing():
    here = site(kafka=(kafka := FakeKafka()))
    await played("duplicates", here)

    assert {} == kafka.topics


@pytest.mark.parametrize(
    ("name", "words"), [("garbage", faults.GARBAGE), ("refusals", faults.REFUSALS), ("outage", ("503",))]
)
@in_virtual_time
async def test_provider_fails_for_a_while_and_is_good_again(name, words):
    here = site()
    took_s = await played(name, here)

    assert [words, ()] == here.provider.played
    assert HOLD_S == pytest.approx(took_s, abs=0.1)


@pytest.mark.parametrize("name", ["outage", "refusals"])
def test_outage_of_the_provider_may_bury_nothing(name):
    assert not FAULTS[name].buries


@in_virtual_time
async def test_replay_sets_every_group_back_while_nobody_is_at_work():
    here, found = site(hands=(hands := FakeHands())), {}

    async def rewound(cluster, group, topics):
        found[group] = (dict(here.crew.processes), topics)

    await faults.replay(here, random.Random(1), HOLD_S, rewound=rewound)

    assert {"prompts.core", "prompts.infer", "prompts.bury"} <= set(found)
    assert "prompts" in found["prompts.core"][1]
    assert all(working == {} for working, _ in found.values())
    assert [0, 1, 0, 1] == [worker.slot for worker in hands.started]


@pytest.mark.parametrize("seed", range(4))
def test_somebody_is_a_worker_that_stays(seed):
    assert faults.somebody(site(), random.Random(seed)) in (0, 1)


@in_virtual_time
async def test_redrive_follows_failures_and_is_run_three_times():
    here = site(hands=(hands := FakeHands()))
    await played("redrive", here)

    assert [("400", "ok"), ()] == here.provider.played
    assert [("dlq", "redrive", "--execute")] * 3 == hands.commands


@in_virtual_time
async def test_redrive_is_killed_half_way_and_none_is_left_behind():
    hands = FakeHands()
    hands.code = None  # it would run for ever
    took_s = await played("redrive", site(hands=hands))

    assert [["KILL"]] * 3 == [process.signals for process in hands.runs]
    assert took_s == pytest.approx(HOLD_S / 2 + faults.KILLED_S + 2 * faults.REDRIVE_S, abs=0.5)
