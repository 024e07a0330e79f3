"""# Engine: delivery

Responsibility: hand records to Kafka through the producer itself, and say when each is acknowledged.
Guarantees: a parcel is settled once, and only by the broker's answer
    (tests/unit/streams/engine/test_delivery.py::test_send_acknowledged_parcel_settles_once);
    a delivery that times out is sent again
    (tests/unit/streams/engine/test_delivery.py::test_send_timed_out_output_is_sent_again);
    a hung delivery ends the process only while the broker answers
    (tests/unit/streams/engine/test_delivery.py::test_watch_stalled_with_answering_broker_ends_process).
NOT Responsible For: which records to send (stages), order of acknowledgements (acks).
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from aiokafka import errors as kafka

from streams.decisions import stall
from streams.engine.exit import End, Fatal
from streams.engine.outbox import Outbox
from topics.errors import OrchestratorError, RecordTooLarge, TopicRefused

RESEND_PAUSE_S = 0.2
PROBE_AFTER_S = 5.0

TOO_LARGE = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError, kafka.InvalidMessageError)
REFUSED = (
    kafka.TopicAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.InvalidTopicError,
    kafka.UnknownTopicOrPartitionError,
)

Settled = Callable[[OrchestratorError | None], None]


class Producer(Protocol):
    """The part of aiokafka's producer that we use."""

    async def send(
        self, topic: str, value: Any = ..., key: Any = ..., partition: Any = ..., *, headers: Any = ...
    ) -> "asyncio.Future[Any]": ...


class Parcel:
    """One record under way. ``settled`` is called once: with None when acknowledged, else with the refusal."""

    __slots__ = ("headers", "key", "landed", "partition", "seat", "settled", "topic", "value")

    def __init__(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        settled: Settled,
        *,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
        landed: Callable[[int, int], None] | None = None,
    ) -> None:
        self.topic, self.key, self.value, self.settled = topic, key, value, settled
        self.partition, self.headers, self.landed, self.seat = partition, headers, landed, 0


class Delivery:
    """Sends parcels of one app and watches that they arrive."""

    def __init__(
        self,
        app: str,
        producer: Callable[[], Producer],
        end: End,
        policy: stall.StallPolicy,
        answers: Callable[[], Awaitable[bool]] | None = None,
        *,
        direct: bool = False,
    ) -> None:
        self._app, self._producer, self._end, self._policy = app, producer, end, policy
        self._answers = answers or _always
        self._clock: Callable[[], float] | None = None
        self._stopped = False
        self._pending: dict[Parcel, float] = {}
        self._resending: set[asyncio.Task[None]] = set()
        self._answering_since: float | None = None
        self._changelog = asyncio.Lock()
        self._outbox = Outbox(producer, self._landed) if direct else None

    def _now(self) -> float:
        if self._clock is None:
            self._clock = asyncio.get_running_loop().time  # once: finding the running loop costs more than its time
        return self._clock()

    def __len__(self) -> int:
        return len(self._pending)

    def post(self, parcel: Parcel) -> bool:
        """Hand one record over here and now; False where that needs waiting, and ``send`` must be used."""
        if self._outbox is None or not self._outbox.put(parcel):
            return False
        self._pending[parcel] = self._now()
        return True

    async def send(self, parcel: Parcel) -> None:
        """Hand one record over; returns when it is in the producer's buffer, not when it is acknowledged."""
        self._pending.setdefault(parcel, self._now())  # sent again, it keeps its age
        try:
            while not await self._handed(parcel):
                continue
        except asyncio.CancelledError:
            self._pending.pop(parcel, None)
            raise

    async def _handed(self, parcel: Parcel) -> bool:
        try:
            report = await self._producer().send(
                parcel.topic, parcel.value, parcel.key, parcel.partition, headers=parcel.headers
            )
        except kafka.KafkaTimeoutError:
            return False  # the buffer stayed full: the broker is away, and the watch decides how long that may last
        except kafka.UnknownTopicOrPartitionError as error:
            if not await self._answers():
                return False  # said by the client alone: without the broker it cannot know
            self._failed(parcel, error)
        except Exception as error:
            self._failed(parcel, error)
        else:
            report.add_done_callback(partial(self._reported, parcel))
        return True

    async def send_in_order(self, parcels: list[Parcel]) -> None:
        """Hand changelog writes over in the order of their table writes, whatever else is being sent."""
        at_once = not self._changelog.locked()
        posted = 0
        while at_once and posted < len(parcels) and self.post(parcels[posted]):
            posted += 1
        if posted == len(parcels):
            return
        async with self._changelog:
            for parcel in parcels[posted:]:
                await self.send(parcel)

    def _reported(self, parcel: Parcel, report: "asyncio.Future[Any]") -> None:
        if report.cancelled():
            self._pending.pop(parcel, None)  # the producer was closed: never acknowledged, read again later
            return
        error = report.exception()
        metadata = None if error is not None else report.result()
        self._landed(parcel, error, getattr(metadata, "partition", -1), getattr(metadata, "offset", -1))

    def _landed(self, parcel: Any, error: BaseException | None, partition: int, offset: int) -> None:
        if error is not None:
            self._failed(parcel, error)
            return
        self._pending.pop(parcel, None)
        if parcel.landed is not None:
            parcel.landed(partition, offset)
        parcel.settled(None)

    def _failed(self, parcel: Parcel, error: BaseException) -> None:
        if self._stopped or isinstance(error, kafka.ProducerClosed):
            self._pending.pop(parcel, None)  # never acknowledged, read again later
        elif isinstance(error, TOO_LARGE) and parcel.landed is not None:
            self._settle(parcel, TopicRefused(parcel.topic, "its limit is below our rows: run `streams topics apply`"))
        elif isinstance(error, TOO_LARGE):
            self._settle(parcel, RecordTooLarge(parcel.topic, len(parcel.value or b""), 0))
        elif isinstance(error, REFUSED):
            self._settle(parcel, TopicRefused(parcel.topic, type(error).__name__))
        elif parcel.landed is not None or not getattr(error, "retriable", False):
            # A changelog write sent again could overtake a newer one of its key; anything else here is unknown ground.
            self._end(Fatal("cannot_deliver", self._app, type(error).__name__, parcel.topic, parcel.partition))
        else:
            task = asyncio.get_running_loop().create_task(self._resend(parcel))
            self._resending.add(task)
            task.add_done_callback(self._resending.discard)

    def _settle(self, parcel: Parcel, error: OrchestratorError) -> None:
        self._pending.pop(parcel, None)
        parcel.settled(error)

    async def _resend(self, parcel: Parcel) -> None:
        await asyncio.sleep(RESEND_PAUSE_S)
        await self.send(parcel)

    def stop(self) -> None:
        """Send nothing again: the producer is about to close."""
        self._stopped = True
        for task in self._resending:
            task.cancel()

    def oldest_s(self) -> float:
        """Seconds since the oldest delivery under way was sent; 0 when there is none."""
        if not self._pending:
            return 0.0
        return self._now() - min(self._pending.values())

    async def look(self, answers: Callable[[], Awaitable[bool]]) -> None:
        """One look of the watch: asks the broker only when something hangs; ends the process when the rule says so."""
        if self.oldest_s() < PROBE_AFTER_S:
            self._answering_since = None
            return
        now = self._now()
        if not await answers():
            self._answering_since = None
        elif self._answering_since is None:
            self._answering_since = now
        answering_s = None if self._answering_since is None else now - self._answering_since
        verdict = stall.decide(self._policy, self.oldest_s(), answering_s)
        if isinstance(verdict, stall.GiveUp):
            self._end(Fatal("cannot_deliver", self._app, verdict.why))


async def _always() -> bool:
    return True
