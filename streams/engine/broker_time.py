"""# Engine: broker_time

Responsibility: what time is it for the broker that stamps the records? It is asked by writing one to its own topic.
Guarantees: the answer is never ahead of the broker, and behind by the way of its last answer, whatever the local clock
    shows (tests/unit/streams/engine/test_broker_time.py::test_time_is_the_stamp_and_what_passed_since_its_answer);
    a broker that is away leaves the last answer to run on
    (tests/unit/streams/engine/test_broker_time.py::test_time_runs_on_while_the_broker_is_away).
NOT Responsible For: differences between the clocks of several brokers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import KafkaError

from streams.decisions.parking import Heard
from streams.engine.delivery import REFUSED
from topics.errors import TopicRefused

TICK_S = 5.0  # a broker's clock that is set, or its successor's, is noticed within this
TICK = b'{"v":1}'


class BrokerTime:
    """Asks through ``topic`` (Kafka's name); ``now`` counts seconds and never goes back."""

    def __init__(
        self,
        topic: str,
        producer: Callable[[], Any],
        now: Callable[[], float],
        answers: Callable[[], Awaitable[bool]],
        refused: Callable[[TopicRefused], None],
    ) -> None:
        self._topic, self._producer, self._now = topic, producer, now
        self._answers, self._refused = answers, refused
        self.heard: Heard | None = None

    def now_ms(self) -> int | None:
        """The broker's time, or a moment before; None before its first answer."""
        return None if self.heard is None else self.heard.now_ms(self._now())

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(TICK_S)

    async def ask(self) -> None:
        """Write one record and see what is stamped on it."""
        try:
            told = await self._producer().send_and_wait(self._topic, TICK, partition=0)
        except REFUSED as error:
            if await self._answers():  # else the client says so alone: without the broker it cannot know
                self._refused(TopicRefused(self._topic, type(error).__name__))
        except (KafkaError, OSError):
            return
        else:
            if told.offset >= 0:  # else the client retried, and made the stamp up by its own clock
                self.heard = Heard(told.timestamp, self._now())
