"""Sending dead letters again and discarding them, in a cluster in memory, without waiting."""

import asyncio
from dataclasses import dataclass, field

import pytest

from streams.client import redrive
from streams.client.redrive import BACK_OFF_S, BATCH, Done, Pace, Run
from streams.decisions import edits, notes
from streams.decisions import redrive as decide
from streams.stage import Record
from tests.support.builders import NOW_MS
from tests.support.fake_cluster import FakeKafka
from tests.support.letters import Mortal, a_run, bury, note, notes_of, planned, redriven, sent_again
from topics import wire
from topics.catalog import DEAD_LETTERS, LETTERS, PROMPTS
from topics.errors import TransportError

OLD_MS = NOW_MS - 120_000


@dataclass
class Hands:
    """A clock wound by whoever sleeps on it."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(round(seconds, 6))
        self.now += seconds


def holding(count, **fields):
    kafka = FakeKafka()
    for number in range(count):
        bury(kafka, b"p%d" % number, key=b"k%d" % number, request_id=f"a-{number}", **fields)
    return kafka


def done(kafka, **knobs):
    return asyncio.run(redriven(kafka, a_run(**knobs)))


def prompts(kafka):
    return kafka.topics.get(PROMPTS, [])


# -- redrive


def test_redrive_sends_each_letter_with_its_key_bytes_and_claim():
    """B78."""
    kafka = holding(1, own=(("content-type", b"text/plain"),))

    assert Done(1) == done(kafka)
    [sent] = prompts(kafka)
    said = {"prompts.lineage": b"1", "prompts.request-id": b"a-0", "prompts.redrive": b"r-1"}
    kept = {"content-type": b"text/plain", "traceparent": b"00", "prompts.dead-letter": said_at(kafka)}
    assert (b"k0", b"p0", {**said, **kept}) == (sent.key, sent.value, dict(sent.headers))


def said_at(kafka):
    return kafka.topics[DEAD_LETTERS][0].at.encode()


def test_redrive_notes_a_claim_and_then_where_the_prompt_is():
    kafka = holding(1)

    done(kafka)

    claim, end = notes_of(kafka)
    assert ("claimed", None, "me@here", "a-0", 1) == (claim.did, claim.prompt, claim.by, claim.id, claim.lineage)
    assert ("redriven", prompts(kafka)[0].at, kafka.topics[LETTERS][0].at) == (end.did, end.prompt, end.over)


def test_redrive_of_changed_letters_keeps_a_record_of_the_change():
    kafka = FakeKafka()
    bury(kafka)
    changes = (edits.parse('model="small"'),)

    asyncio.run(redriven(kafka, a_run(), edits=changes))

    claim, end = notes_of(kafka)
    assert (("model",), True) == (claim.edited, claim.before != claim.after)
    assert (claim.edited, claim.before, claim.after) == (end.edited, end.before, end.after)
    assert b'"model":"small"' in prompts(kafka)[0].value


def test_redrive_writes_no_word_of_a_prompt_into_its_notes():
    """B98."""
    kafka = FakeKafka()
    bury(kafka, b'{"prompt": "secret"}')

    asyncio.run(redriven(kafka, a_run(), edits=(edits.parse('metadata={"more": "secret"}'),)))

    assert not any(b"secret" in record.value for record in kafka.topics[LETTERS])


def test_redrive_sends_only_the_steps_that_go():
    kafka = holding(3)

    async def told():
        found = await planned(kafka)
        held = [decide.Step(step.letter, why="lineage") for step in found.steps[1:]]
        return await redrive.redrive(kafka, [found.steps[0], *held], a_run())

    assert (Done(1), 1) == (asyncio.run(told()), len(prompts(kafka)))


def test_redrive_of_nothing_writes_nothing():
    kafka = holding(0)

    assert (Done(0), [], []) == (done(kafka), prompts(kafka), notes_of(kafka))


def test_redrive_run_twice_sends_nothing_the_second_time():
    """F21."""
    kafka = holding(2)

    assert (Done(2), Done(0)) == (done(kafka), done(kafka, name="r-2"))


def test_redrive_by_force_sends_again_over_the_note_that_stands():
    kafka = holding(1)
    done(kafka)

    forced = asyncio.run(redriven(kafka, a_run("r-2"), force=True))

    assert (Done(1), [2]) == (forced, list(sent_again(kafka).values()))


def test_redrive_that_lost_its_letters_to_another_run_says_so():
    kafka = holding(2)

    async def told():
        plan = await planned(kafka)
        await redrive.redrive(kafka, plan.steps, a_run("r-other"))
        return await redrive.redrive(kafka, plan.steps, a_run())

    assert (Done(0, taken=2), 2) == (asyncio.run(told()), len(prompts(kafka)))


def test_redrive_tells_how_far_it_is():
    heard = []

    done(holding(5), rate=2.0, told=heard.append)

    assert [2, 4, 5] == heard


class Refusing(Mortal):
    """A cluster that stops acknowledging prompts after so many."""

    async def send(self, topic, key, value, headers=()):
        delivery = await self._kafka.send(topic, key, value, headers)
        if topic == PROMPTS:
            self._left -= 1
            if self._left < 0:
                delivery = asyncio.get_running_loop().create_future()
                delivery.set_exception(TransportError("publishing", "silent"))
        return delivery


def test_redrive_whose_broker_went_away_notes_what_was_acknowledged():
    kafka = holding(3)

    async def told():
        plan = await planned(kafka)
        with pytest.raises(TransportError):
            await redrive.redrive(Refusing(kafka, 2, False), plan.steps, a_run())

    asyncio.run(told())
    assert ["claimed"] * 3 + ["redriven"] * 2 == [one.did for one in notes_of(kafka)]


def test_redrive_whose_broker_went_away_run_again_sends_nothing_twice():
    kafka = holding(3)

    async def told():
        plan = await planned(kafka)
        with pytest.raises(TransportError):
            await redrive.redrive(Refusing(kafka, 2, False), plan.steps, a_run())
        await redriven(kafka, a_run("r-2"), NOW_MS + 120_000)

    asyncio.run(told())
    assert [1, 1, 1] == list(sent_again(kafka).values())


def test_redrive_that_hangs_gives_its_claims_up():
    """A claim may be taken over once it is old, so nothing is sent for it long before that."""
    kafka, hands = holding(3), Hands()

    async def slow(seconds):
        hands.now += 20

    ended = done(kafka, rate=100.0, clock=hands.clock, sleep=slow)

    assert (Done(1, left=2), 1) == (ended, len(prompts(kafka)))


class Deaf(FakeKafka):
    """A cluster whose followers hear nothing."""

    async def _records(self, log, first, last):
        if last is None:
            await asyncio.Event().wait()
        async for record in super()._records(log, first, last):
            yield record


def test_redrive_that_cannot_read_its_claims_back_sends_nothing(monkeypatch):
    monkeypatch.setattr(redrive, "READ_BACK_S", 0.05)
    kafka = Deaf()
    bury(kafka)

    with pytest.raises(TransportError, match="reading letters back"):
        done(kafka)
    assert [] == prompts(kafka)


# -- recover


def claimed(kafka, at_ms, sent=True):
    """A claim of a run that did not end."""
    [letter] = kafka.topics[DEAD_LETTERS]
    kafka.put(LETTERS, letter.at.encode(), wire.encode(note(letter=letter.at, run="r-0")), (), at_ms)
    if sent:
        own = (("prompts.dead-letter", letter.at.encode()), ("prompts.redrive", b"r-0"))
        kafka.put(PROMPTS, b"k", b"x", own, at_ms)


def recovered(kafka, **knobs):
    return asyncio.run(redrive.recover(kafka, a_run(**knobs), NOW_MS))


@pytest.mark.parametrize(("sent", "owed"), [(True, 1), (False, 0)])
def test_recover_notes_what_a_killed_run_sent(sent, owed):
    kafka = holding(1)
    claimed(kafka, OLD_MS, sent)

    assert (owed, ["claimed"] + ["redriven"] * owed) == (recovered(kafka), [one.did for one in notes_of(kafka)])


def test_recover_without_open_claims_does_nothing():
    kafka = holding(1)

    assert (0, False) == (recovered(kafka), "publisher" in kafka.opened)


@pytest.mark.parametrize(("age_s", "waits"), [(0, [60.1]), (20, [40.1]), (60, [0.1]), (61, []), (-5, [65.1])])
def test_recover_waits_until_nothing_of_a_killed_run_can_be_on_its_way(age_s, waits):
    kafka, hands, heard = holding(1), Hands(), []
    claimed(kafka, NOW_MS - age_s * 1000)

    recovered(kafka, sleep=hands.sleep, waits=lambda what, seconds: heard.append(round(seconds, 6)))

    assert (waits, waits) == (hands.slept, heard)


def test_recover_sees_what_the_other_run_noted_meanwhile():
    kafka = holding(1)
    claimed(kafka, NOW_MS)
    [claim] = kafka.topics[LETTERS]

    async def ends(seconds):
        done_by_other = notes.done_of(wire.decode(claim.value, type(note())), claim.at, "prompts/0/0")
        kafka.put(LETTERS, claim.key, wire.encode(done_by_other))

    assert (0, 2) == (recovered(kafka, sleep=ends), len(notes_of(kafka)))


# -- discard


def discarded(kafka, **knobs):
    async def told():
        plan = await planned(kafka, judge=decide.discard)
        return await redrive.discard(kafka, plan.steps, a_run(**knobs))

    return asyncio.run(told())


def test_discard_notes_each_letter_and_touches_no_byte_of_it():
    """B82."""
    kafka = holding(3)
    before = list(kafka.topics[DEAD_LETTERS])

    assert (Done(3), ["discarded"] * 3) == (discarded(kafka), [one.did for one in notes_of(kafka)])
    assert (before, []) == (kafka.topics[DEAD_LETTERS], prompts(kafka))


def test_discarded_letters_are_not_sent_again():
    kafka = holding(2)
    discarded(kafka)

    assert (Done(0), Done(0)) == (done(kafka), discarded(kafka))


def test_discard_tells_how_far_it_is_and_what_another_run_took():
    kafka, heard = holding(BATCH + 1), []

    async def told():
        plan = await planned(kafka, judge=decide.discard)
        await redrive.redrive(kafka, plan.steps[:3], a_run("r-0"))
        return await redrive.discard(kafka, plan.steps, a_run(told=heard.append))

    assert Done(BATCH - 2, taken=3) == asyncio.run(told())
    assert [BATCH - 3, BATCH - 2] == heard


# -- pace


@pytest.mark.parametrize(
    ("rate", "claim_s", "batch"),
    [(0.1, 60, 1), (1, 60, 1), (2.9, 60, 2), (50, 60, 50), (1e6, 60, BATCH), (50, 4, 25), (50, 1, 6), (1, 1, 1)],
)
def test_batch_is_what_is_sent_in_a_second_and_long_before_its_claims_are_over(rate, claim_s, batch):
    assert batch == a_run(rate=rate, claim_s=claim_s).batch


@pytest.mark.parametrize("rate", [0.5, 4.0])
def test_pace_of_prompts_is_never_above_the_rate(rate):
    """B81."""
    hands, turns = Hands(), []
    pace = Pace(a_run(rate=rate, sleep=hands.sleep, clock=hands.clock))

    async def told():
        for _ in range(4):
            await pace.turn()
            turns.append(hands.now - 100.0)

    asyncio.run(told())
    assert [number / rate for number in range(4)] == turns


def test_pace_after_a_pause_is_not_made_up_for():
    hands = Hands()
    pace = Pace(a_run(rate=1.0, sleep=hands.sleep, clock=hands.clock))

    async def told():
        await pace.turn()
        hands.now += 50
        await pace.turn()
        await pace.turn()

    asyncio.run(told())
    assert [1.0] == hands.slept


@pytest.mark.parametrize(
    ("lags", "waits"),
    [
        ([10], []),
        ([11, 0], [2.0]),
        ([99, 99, 10], [2.0, 4.0]),
        ([99] * 8 + [0], [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]),
    ],
)
def test_redrive_into_a_full_pipeline_waits_longer_each_time(lags, waits):
    """B81."""
    hands, left, heard = Hands(), list(lags), []

    async def lag():
        return left.pop(0)

    kafka = holding(1)
    done(kafka, lag=lag, sleep=hands.sleep, clock=hands.clock, waits=lambda what, seconds: heard.append(seconds))

    assert (waits, waits, 1) == ([slept for slept in hands.slept if slept >= 2], heard, len(prompts(kafka)))


def test_redrive_into_a_full_pipeline_claims_nothing():
    """A claim is only of use for a second."""
    kafka = holding(1)

    async def ends(seconds):
        raise TransportError("waiting", "long enough")

    async def full():
        return 99

    with pytest.raises(TransportError):
        done(kafka, lag=full, sleep=ends)
    assert [] == notes_of(kafka)


def test_waits_for_a_full_pipeline_double_up_to_a_minute():
    assert (2.0, 4.0, 8.0, 16.0, 32.0, 60.0) == BACK_OFF_S


def test_run_by_default_hears_nothing_and_waits_for_real():
    run = Run("r", "me", 1.0, lag=None, max_lag=0, claim_s=1.0)

    assert (None, None, asyncio.sleep) == (run.told(1), run.waits("x", 1.0), run.sleep)


def test_letter_that_kafka_deleted_meanwhile_is_not_sent():
    kafka = holding(1)

    async def told():
        plan = await planned(kafka)
        kafka.topics[DEAD_LETTERS].clear()
        return await redrive.redrive(kafka, plan.steps, a_run())

    assert (Done(0, taken=1), []) == (asyncio.run(told()), notes_of(kafka))


def test_letters_of_other_people_are_passed_over():
    kafka = holding(1)
    kafka.topics[DEAD_LETTERS].append(Record(DEAD_LETTERS, 0, 99, NOW_MS, None, b"theirs"))

    assert (Done(1), 1) == (done(kafka), len(prompts(kafka)))
