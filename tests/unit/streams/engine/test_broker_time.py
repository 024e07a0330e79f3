"""What time is it for the broker?"""

import asyncio
from typing import Any

import pytest
from aiokafka import errors as kafka

from streams.engine.broker_time import TICK_S, BrokerTime
from tests.support.aio import in_virtual_time, now_s
from tests.support.fake_group import FakeBroker, FakeWriter
from topics.errors import TopicRefused

HOUR_MS = 3_600_000


class Asked:
    """The time of a broker whose clock is off by ``skew_ms``; its answers take ``way_s``."""

    def __init__(self, skew_ms: int = 0, way_s: float = 0.0, answering: bool = True) -> None:
        self.broker = FakeBroker(skew_ms)
        self.writer = SlowWriter(self.broker, way_s)
        self.writer.answering = answering
        self.refused: list[TopicRefused] = []
        self.time = BrokerTime(
            "ticks", lambda: self.writer, now_s, self.writer.force_metadata_update, self.refused.append
        )


class SlowWriter(FakeWriter):
    """Its answers are under way for a while."""

    def __init__(self, broker: FakeBroker, way_s: float) -> None:
        super().__init__(broker)
        self.way_s, self.made_up = way_s, False

    async def send_and_wait(self, topic: str, value: Any, partition: int) -> Any:
        told = await super().send_and_wait(topic, value, partition)
        await asyncio.sleep(self.way_s)  # why: in virtual time
        return told.__class__(**{**told.__dict__, "offset": -1}) if self.made_up else told


def test_time_before_the_first_answer_is_unknown() -> None:
    assert Asked().time.now_ms() is None


@pytest.mark.parametrize("skew_ms", [-HOUR_MS, 0, HOUR_MS])
def test_time_is_the_stamp_and_what_passed_since_its_answer(skew_ms: int) -> None:
    """An hour between the clocks is in the stamp, so it is in the answer."""

    @in_virtual_time
    async def scenario() -> None:
        asked = Asked(skew_ms)
        await asked.time.ask()
        await asyncio.sleep(2.5)  # why: in virtual time

        assert asked.broker.now_ms() == asked.time.now_ms()

    scenario()


@in_virtual_time
async def test_time_is_behind_by_the_way_of_its_answer_and_never_ahead() -> None:
    asked = Asked(way_s=0.25)
    await asked.time.ask()

    assert 250 == asked.broker.now_ms() - (asked.time.now_ms() or 0)


@in_virtual_time
async def test_time_runs_on_while_the_broker_is_away() -> None:
    asked = Asked()
    await asked.time.ask()
    asked.writer.refusals["ticks"] = kafka.KafkaConnectionError()
    await asyncio.sleep(60.0)  # why: in virtual time
    await asked.time.ask()

    assert asked.broker.now_ms() == asked.time.now_ms()


@pytest.mark.parametrize("error", [kafka.KafkaConnectionError(), kafka.KafkaTimeoutError(), OSError("gone")])
def test_time_of_a_broker_that_is_away_from_the_start_stays_unknown(error: Exception) -> None:
    @in_virtual_time
    async def scenario() -> None:
        asked = Asked()
        asked.writer.refusals["ticks"] = error
        await asked.time.ask()

        assert (None, []) == (asked.time.now_ms(), asked.refused)

    scenario()


@in_virtual_time
async def test_time_follows_a_clock_that_was_set_within_one_interval() -> None:
    asked = Asked()
    asking = asyncio.ensure_future(asked.time.run())
    await asyncio.sleep(1.0)  # why: in virtual time
    asked.broker.skew_ms = -HOUR_MS
    await asyncio.sleep(TICK_S)  # why: in virtual time
    asking.cancel()

    assert asked.broker.now_ms() == asked.time.now_ms()


@in_virtual_time
async def test_stamp_of_a_record_that_was_written_twice_is_not_believed() -> None:
    """The client then fills in its own clock, and no offset."""
    asked = Asked()
    asked.writer.made_up = True
    await asked.time.ask()

    assert asked.time.now_ms() is None


@in_virtual_time
async def test_topic_that_refuses_is_told_by_name() -> None:
    asked = Asked()
    asked.writer.refusals["ticks"] = kafka.TopicAuthorizationFailedError("ticks")
    await asked.time.ask()

    assert [("ticks", "TopicAuthorizationFailedError")] == [(one.topic, one.reason) for one in asked.refused]


@in_virtual_time
async def test_topic_that_only_the_client_misses_is_not_told() -> None:
    """Without a broker it cannot know."""
    asked = Asked(answering=False)
    asked.writer.refusals["ticks"] = kafka.UnknownTopicOrPartitionError("ticks")
    await asked.time.ask()

    assert [] == asked.refused
