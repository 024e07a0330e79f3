"""Handing records to Kafka: what settles a parcel, what is sent again, and what ends the process."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiokafka import errors as kafka

from streams.decisions.stall import StallPolicy
from streams.engine.delivery import PROBE_AFTER_S, REFUSED, RESEND_PAUSE_S, TOO_LARGE, Delivery, Parcel
from streams.engine.exit import Fatal
from tests.support.aio import in_virtual_time, pass_s, turns
from tests.support.fake_kafka import HeldProducer
from topics.errors import OrchestratorError, RecordTooLarge, TopicRefused

TRANSIENT = [
    kafka.RequestTimedOutError,
    kafka.KafkaConnectionError,
    kafka.NotEnoughReplicasError,
    kafka.LeaderNotAvailableError,
]
UNKNOWN = [kafka.OutOfOrderSequenceNumber, kafka.ProducerFenced, kafka.UnknownError, RuntimeError]


@dataclass
class Bench:
    """A delivery over a held producer, and everything it said."""

    policy: StallPolicy = field(default_factory=StallPolicy)
    answers: Callable[[], Awaitable[bool]] | None = None
    producer: HeldProducer = field(default_factory=HeldProducer)
    fatals: list[Fatal] = field(default_factory=list)
    settled: list[tuple[bytes | None, OrchestratorError | None]] = field(default_factory=list)
    landed: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.delivery = Delivery("core", lambda: self.producer, self.fatals.append, self.policy, self.answers)

    def parcel(self, value: bytes | None = b"v", *, changelog: bool = False, partition: int | None = 3) -> Parcel:
        def note(partition: int, offset: int) -> None:
            self.landed.append((partition, offset))

        return Parcel(
            "results",
            b"k",
            value,
            lambda error: self.settled.append((value, error)),
            partition=partition,
            headers=[("h", b"1")],
            landed=note if changelog else None,
        )

    async def send(self, value: bytes | None = b"v", *, changelog: bool = False) -> None:
        await self.delivery.send(self.parcel(value, changelog=changelog))

    async def hang(self, seconds: float) -> None:
        """One record under way for that long."""
        await self.send()
        await pass_s(seconds)


def answers(*given: bool, took_s: float = 0.0) -> Callable[[], Awaitable[bool]]:
    """A broker that is asked in turn; the last answer stays."""
    left = list(given)

    async def ask() -> bool:
        await pass_s(took_s)
        return left.pop(0) if len(left) > 1 else left[0]

    return ask


async def never() -> bool:
    raise AssertionError("nothing hangs, so nobody has to be asked")


# -- handed over, settled


@in_virtual_time
async def test_send_hands_the_record_over_unchanged() -> None:
    bench = Bench()
    await bench.send(b"value")
    sent = bench.producer.sent[0]

    assert ("results", b"value", b"k", 3, [("h", b"1")]) == (
        sent.topic,
        sent.value,
        sent.key,
        sent.partition,
        sent.headers,
    )


@in_virtual_time
async def test_send_returns_before_the_broker_has_answered() -> None:
    bench = Bench()
    await bench.send()
    await turns()

    assert (1, []) == (len(bench.delivery), bench.settled)


@in_virtual_time
async def test_send_acknowledged_parcel_settles_once() -> None:
    bench = Bench()
    await bench.send(b"a")
    bench.producer.sent[0].acknowledge()
    await pass_s(3600)

    assert ([(b"a", None)], 0, 1) == (bench.settled, len(bench.delivery), len(bench.producer.sent))


@in_virtual_time
async def test_parcels_acknowledged_out_of_order_settle_each_as_its_own() -> None:
    bench = Bench()
    for value in (b"a", b"b", b"c"):
        await bench.send(value)
    for number in (2, 0, 1):
        bench.producer.sent[number].acknowledge()
        await turns()

    assert [(b"c", None), (b"a", None), (b"b", None)] == bench.settled


@in_virtual_time
async def test_tombstone_acknowledged_settles_like_any_record() -> None:
    bench = Bench()
    await bench.send(None)
    bench.producer.sent[0].acknowledge()
    await turns()

    assert [(None, None)] == bench.settled


@in_virtual_time
async def test_changelog_write_acknowledged_tells_where_it_landed_first() -> None:
    bench, order = Bench(), list[str]()
    parcel = Parcel(
        "log", b"k", b"v", lambda _: order.append("settled"), partition=3, landed=lambda *at: order.append(f"{at}")
    )
    await bench.delivery.send(parcel)
    bench.producer.sent[0].acknowledge(offset=17)
    await turns()

    assert ["(3, 17)", "settled"] == order


@in_virtual_time
async def test_changelog_write_refused_tells_no_place() -> None:
    bench = Bench()
    await bench.send(changelog=True)
    bench.producer.sent[0].refuse(kafka.MessageSizeTooLargeError())
    await turns()

    assert [] == bench.landed


# -- refused


@pytest.mark.parametrize("refusal", TOO_LARGE)
@in_virtual_time
async def test_row_found_too_large_by_its_changelog_stops_the_stage(refusal: type[Exception]) -> None:
    bench = Bench()
    await bench.send(b"12345", changelog=True)
    bench.producer.sent[0].refuse(refusal())
    await turns()
    [(_, error)] = bench.settled

    assert isinstance(error, TopicRefused)


@pytest.mark.parametrize("refusal", TOO_LARGE)
@in_virtual_time
async def test_delivery_found_too_large_settles_with_topic_and_size(refusal: type[Exception]) -> None:
    bench = Bench()
    await bench.send(b"12345")
    bench.producer.sent[0].refuse(refusal())
    await turns()
    [(_, error)] = bench.settled

    assert isinstance(error, RecordTooLarge)
    assert ("results", 5, 0) == (error.topic, error.size, error.limit)


@pytest.mark.parametrize("refusal", REFUSED)
@pytest.mark.parametrize("changelog", [False, True])
@in_virtual_time
async def test_delivery_refused_for_good_settles_with_the_reason(refusal: type[Exception], changelog: bool) -> None:
    bench = Bench()
    await bench.send(changelog=changelog)
    bench.producer.sent[0].refuse(refusal())
    await turns()
    [(_, error)] = bench.settled

    assert isinstance(error, TopicRefused)
    assert ("results", refusal.__name__) == (error.topic, error.reason)


@pytest.mark.parametrize("refusal", [*TOO_LARGE, *REFUSED])
@in_virtual_time
async def test_delivery_refused_is_neither_pending_nor_sent_again_nor_fatal(refusal: type[Exception]) -> None:
    bench = Bench()
    await bench.send()
    bench.producer.sent[0].refuse(refusal())
    await pass_s(60)

    assert (0, 1, []) == (len(bench.delivery), len(bench.producer.sent), bench.fatals)


@pytest.mark.parametrize(
    ("refusal", "ours"),
    [(kafka.MessageSizeTooLargeError, RecordTooLarge), (kafka.TopicAuthorizationFailedError, TopicRefused)],
)
@in_virtual_time
async def test_refusal_raised_by_the_client_settles_like_the_brokers(
    refusal: type[Exception], ours: type[Exception]
) -> None:
    bench = Bench()
    bench.producer.errors = [refusal()]
    await bench.send()

    assert [ours] == [type(error) for _, error in bench.settled]


@in_virtual_time
async def test_size_of_a_refused_tombstone_is_zero() -> None:
    bench = Bench()
    bench.producer.errors = [kafka.MessageSizeTooLargeError()]
    await bench.send(None)
    [(_, error)] = bench.settled

    assert isinstance(error, RecordTooLarge)
    assert 0 == error.size


# -- sent again


@pytest.mark.parametrize("passing", TRANSIENT)
@in_virtual_time
async def test_send_timed_out_output_is_sent_again(passing: type[Exception]) -> None:
    bench = Bench()
    await bench.send(b"a")
    bench.producer.sent[0].refuse(passing())
    await pass_s(RESEND_PAUSE_S)
    await turns()

    assert ([b"a", b"a"], [], []) == (bench.producer.values, bench.settled, bench.fatals)


@in_virtual_time
async def test_resent_output_settles_once_when_acknowledged() -> None:
    bench = Bench()
    await bench.send(b"a")
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await pass_s(1)
    bench.producer.sent[1].acknowledge()
    await pass_s(60)

    assert ([(b"a", None)], 0, 2) == (bench.settled, len(bench.delivery), len(bench.producer.sent))


@in_virtual_time
async def test_output_is_sent_again_as_often_as_it_times_out() -> None:
    bench = Bench()
    await bench.send(b"a")
    for number in range(5):
        bench.producer.sent[number].refuse(kafka.RequestTimedOutError())
        await pass_s(1)

    assert ([b"a"] * 6, 1, []) == (bench.producer.values, len(bench.delivery), bench.settled)


@in_virtual_time
async def test_resend_pauses_before_it_asks_the_broker_again() -> None:
    bench = Bench()
    await bench.send()
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await pass_s(RESEND_PAUSE_S * 0.9)

    assert (1, 1) == (len(bench.producer.sent), len(bench.delivery))


@in_virtual_time
async def test_transient_error_of_the_client_is_sent_again() -> None:
    bench = Bench()
    bench.producer.errors = [kafka.KafkaConnectionError()]
    await bench.send(b"a")
    await pass_s(1)

    assert [b"a"] == bench.producer.values


@in_virtual_time
async def test_full_buffer_is_waited_for_within_the_send() -> None:
    bench = Bench()
    bench.producer.errors = [kafka.KafkaTimeoutError(), kafka.KafkaTimeoutError()]
    await bench.send(b"a")

    assert ([b"a"], []) == (bench.producer.values, bench.fatals)


@in_virtual_time
async def test_resend_refused_for_good_settles_with_the_refusal() -> None:
    bench = Bench()
    await bench.send()
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await pass_s(1)
    bench.producer.sent[1].refuse(kafka.TopicAuthorizationFailedError())
    await turns()

    assert [TopicRefused] == [type(error) for _, error in bench.settled]


@in_virtual_time
async def test_resend_keeps_the_age_of_the_first_send() -> None:
    bench = Bench()
    await bench.send()
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await pass_s(30)

    assert 30.0 == pytest.approx(bench.delivery.oldest_s())


@in_virtual_time
async def test_resend_waiting_for_room_keeps_the_age_of_the_first_send() -> None:
    bench = Bench()
    await bench.hang(50)
    bench.producer.room.clear()
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await pass_s(10)

    assert (1, 60.0) == (bench.producer.waiting, round(bench.delivery.oldest_s(), 6))


@in_virtual_time
async def test_resend_while_another_parcel_is_pending_leaves_that_alone() -> None:
    bench = Bench()
    await bench.send(b"a")
    await bench.send(b"b")
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await pass_s(1)
    bench.producer.sent[1].acknowledge()
    await turns()

    assert ([b"a", b"b", b"a"], [(b"b", None)], 1) == (bench.producer.values, bench.settled, len(bench.delivery))


@in_virtual_time
async def test_resend_acknowledged_at_once_leaves_nothing_pending() -> None:
    bench = Bench()
    await bench.send()
    bench.producer.room.clear()
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await pass_s(1)
    bench.producer.room.set()
    while len(bench.producer.sent) < 2:
        await turns(1)
    bench.producer.sent[1].acknowledge()
    await pass_s(1)

    assert (0, 0.0) == (len(bench.delivery), bench.delivery.oldest_s())


@in_virtual_time
async def test_resend_to_a_producer_that_was_closed_does_not_end_the_process() -> None:
    bench = Bench()
    await bench.send()
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    bench.producer.errors = [kafka.ProducerClosed()]
    await pass_s(1)

    assert ([], []) == (bench.fatals, bench.settled)


# -- an unknown topic, when the client alone says so


@pytest.mark.parametrize("known", [None, answers(True)])
@in_virtual_time
async def test_topic_unknown_while_the_broker_answers_is_a_refusal(known: Callable[[], Awaitable[bool]] | None) -> None:
    bench = Bench(answers=known)
    bench.producer.errors = [kafka.UnknownTopicOrPartitionError()]
    await bench.send()

    assert ([TopicRefused], []) == ([type(error) for _, error in bench.settled], bench.producer.sent)


@in_virtual_time
async def test_topic_unknown_while_the_broker_is_away_is_tried_again() -> None:
    bench = Bench(answers=answers(False))
    bench.producer.errors = [kafka.UnknownTopicOrPartitionError(), kafka.UnknownTopicOrPartitionError()]
    await bench.send(b"a")

    assert ([b"a"], [], 1) == (bench.producer.values, bench.settled, len(bench.delivery))


@in_virtual_time
async def test_topic_unknown_until_the_broker_is_back_is_refused_then() -> None:
    bench = Bench(answers=answers(False, True))
    bench.producer.errors = [kafka.UnknownTopicOrPartitionError(), kafka.UnknownTopicOrPartitionError()]
    await bench.send()

    assert ([TopicRefused], 0) == ([type(error) for _, error in bench.settled], len(bench.delivery))


@in_virtual_time
async def test_send_cancelled_while_the_broker_is_asked_leaves_nothing_pending() -> None:
    bench = Bench(answers=answers(True, took_s=3.0))
    bench.producer.errors = [kafka.UnknownTopicOrPartitionError()]
    sending = asyncio.ensure_future(bench.send())
    await turns()
    sending.cancel()
    await asyncio.wait([sending])

    assert (True, 0, []) == (sending.cancelled(), len(bench.delivery), bench.settled)


# -- stopped


@in_virtual_time
async def test_stopped_delivery_sends_nothing_again_that_waited_for_it() -> None:
    bench = Bench()
    await bench.send()
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await turns()
    bench.delivery.stop()
    await pass_s(60)

    assert (1, [], []) == (len(bench.producer.sent), bench.settled, bench.fatals)


@in_virtual_time
async def test_stopped_delivery_sends_nothing_again_that_fails_later() -> None:
    bench = Bench()
    await bench.send()
    bench.delivery.stop()
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await pass_s(60)

    assert (1, [], []) == (len(bench.producer.sent), bench.settled, bench.fatals)


@in_virtual_time
async def test_stopped_delivery_still_settles_what_is_acknowledged() -> None:
    bench = Bench()
    await bench.send(b"a")
    bench.delivery.stop()
    bench.producer.sent[0].acknowledge()
    await turns()

    assert ([(b"a", None)], 0) == (bench.settled, len(bench.delivery))


@in_virtual_time
async def test_delivery_to_a_closed_producer_leaves_nothing_pending() -> None:
    bench = Bench()
    bench.producer.errors = [kafka.ProducerClosed(), kafka.ProducerClosed()]
    await bench.send()
    await bench.send(changelog=True)

    assert (0, [], []) == (len(bench.delivery), bench.settled, bench.fatals)


# -- cannot deliver


@pytest.mark.parametrize("passing", TRANSIENT)
@in_virtual_time
async def test_changelog_write_timed_out_is_never_sent_again(passing: type[Exception]) -> None:
    bench = Bench()
    await bench.send(changelog=True)
    bench.producer.sent[0].refuse(passing())
    await pass_s(60)

    assert ([Fatal("cannot_deliver", "core", passing.__name__, "results", 3)], 1) == (
        bench.fatals,
        len(bench.producer.sent),
    )


@pytest.mark.parametrize("strange", UNKNOWN)
@pytest.mark.parametrize("changelog", [False, True])
@in_virtual_time
async def test_unknown_failure_of_a_delivery_ends_the_process(strange: type[Exception], changelog: bool) -> None:
    bench = Bench()
    await bench.send(changelog=changelog)
    bench.producer.sent[0].refuse(strange())
    await turns()

    assert [Fatal("cannot_deliver", "core", strange.__name__, "results", 3)] == bench.fatals


@in_virtual_time
async def test_unknown_failure_of_a_delivery_settles_nothing() -> None:
    bench = Bench()
    await bench.send()
    bench.producer.sent[0].refuse(kafka.UnknownError())
    await turns()

    assert ([], 1) == (bench.settled, len(bench.delivery))


@in_virtual_time
async def test_unknown_failure_names_no_content_of_the_record() -> None:
    bench = Bench()
    await bench.send(b"secret words")
    bench.producer.sent[0].refuse(RuntimeError("secret words"))
    await turns()

    assert "secret" not in str(bench.fatals)


@in_virtual_time
async def test_foreign_error_of_the_client_ends_the_process_and_does_not_escape() -> None:
    bench = Bench()
    bench.producer.errors = [AssertionError("Unrecognized partition")]
    await bench.send()

    assert ["cannot_deliver"] == [fatal.reason for fatal in bench.fatals]


# -- cancelled, closed


@in_virtual_time
async def test_send_cancelled_in_the_middle_leaves_nothing_pending() -> None:
    bench = Bench()
    bench.producer.room.clear()
    sending = asyncio.ensure_future(bench.send())
    await turns()
    sending.cancel()
    await asyncio.wait([sending])

    assert (True, 0, [], []) == (sending.cancelled(), len(bench.delivery), bench.settled, bench.producer.sent)


@in_virtual_time
async def test_sender_cancelled_after_hand_over_leaves_the_parcel_to_the_broker() -> None:
    bench = Bench()

    async def send_and_wait() -> None:
        await bench.send(b"a")
        await asyncio.Event().wait()

    sending = asyncio.ensure_future(send_and_wait())
    await turns()
    sending.cancel()
    await asyncio.wait([sending])
    bench.producer.sent[0].acknowledge()
    await turns()

    assert [(b"a", None)] == bench.settled


@in_virtual_time
async def test_report_cancelled_by_a_closing_producer_settles_nothing() -> None:
    bench = Bench()
    await bench.send()
    bench.producer.sent[0].report.cancel()
    await pass_s(60)

    assert ([], 0, [], 1) == (bench.settled, len(bench.delivery), bench.fatals, len(bench.producer.sent))


# -- changelog writes in order


@in_virtual_time
async def test_writes_sent_in_order_arrive_in_order() -> None:
    bench = Bench()
    await bench.delivery.send_in_order([bench.parcel(value) for value in (b"1", b"2", b"3")])

    assert [b"1", b"2", b"3"] == bench.producer.values


@in_virtual_time
async def test_writes_of_two_records_are_never_mixed() -> None:
    bench = Bench()
    bench.producer.room.clear()
    groups = [[bench.parcel(value) for value in group] for group in ((b"1", b"2"), (b"3", b"4"), (b"5",))]
    sending = [asyncio.ensure_future(bench.delivery.send_in_order(group)) for group in groups]
    await turns()
    bench.producer.room.set()
    await asyncio.wait(sending)

    assert [b"1", b"2", b"3", b"4", b"5"] == bench.producer.values


@in_virtual_time
async def test_output_overtakes_writes_that_wait_their_turn() -> None:
    bench = Bench()
    bench.producer.room.clear()
    held = [asyncio.ensure_future(bench.delivery.send_in_order([bench.parcel(value)])) for value in (b"1", b"2")]
    await turns()
    output = asyncio.ensure_future(bench.send(b"output"))
    await turns()
    bench.producer.room.set()
    await asyncio.wait([*held, output])

    assert bench.producer.values.index(b"output") < bench.producer.values.index(b"2")


@in_virtual_time
async def test_writes_cancelled_in_the_middle_let_the_next_ones_go() -> None:
    bench = Bench()
    bench.producer.room.clear()
    first = asyncio.ensure_future(bench.delivery.send_in_order([bench.parcel(b"1"), bench.parcel(b"2")]))
    second = asyncio.ensure_future(bench.delivery.send_in_order([bench.parcel(b"3")]))
    await turns()
    first.cancel()
    bench.producer.room.set()
    await asyncio.wait([first, second])

    assert ([b"3"], 1) == (bench.producer.values, len(bench.delivery))


@in_virtual_time
async def test_no_writes_to_send_hand_over_nothing() -> None:
    bench = Bench()
    await bench.delivery.send_in_order([])

    assert [] == bench.producer.sent


# -- the watch


@in_virtual_time
async def test_oldest_without_deliveries_is_zero() -> None:
    assert 0.0 == Bench().delivery.oldest_s()


@in_virtual_time
async def test_oldest_of_several_deliveries_counts() -> None:
    bench = Bench()
    await bench.hang(10)
    await bench.hang(5)

    assert 15.0 == pytest.approx(bench.delivery.oldest_s())


@in_virtual_time
async def test_oldest_after_the_first_was_acknowledged_is_the_next() -> None:
    bench = Bench()
    await bench.hang(10)
    await bench.hang(5)
    bench.producer.sent[0].acknowledge()
    await turns()

    assert 5.0 == pytest.approx(bench.delivery.oldest_s())


@pytest.mark.parametrize("hung_s", [0.0, PROBE_AFTER_S * 0.9])
@in_virtual_time
async def test_watch_of_young_deliveries_asks_nobody(hung_s: float) -> None:
    bench = Bench()
    await bench.hang(hung_s)
    await bench.delivery.look(never)

    assert [] == bench.fatals


@in_virtual_time
async def test_watch_stalled_with_answering_broker_ends_process() -> None:
    bench = Bench()
    await bench.hang(10)
    await bench.delivery.look(answers(True))
    await pass_s(61)
    await bench.delivery.look(answers(True))

    why = "the broker answers, and a delivery has hung for 71 s"
    assert [Fatal("cannot_deliver", "core", why)] == bench.fatals


@in_virtual_time
async def test_watch_asks_from_the_moment_a_delivery_is_old_enough() -> None:
    bench = Bench()
    await bench.hang(PROBE_AFTER_S)
    asked = list[bool]()

    async def ask() -> bool:
        asked.append(True)
        return True

    await bench.delivery.look(ask)

    assert (5.0, [True]) == (PROBE_AFTER_S, asked)


@in_virtual_time
async def test_watch_of_a_first_answer_after_an_outage_waits() -> None:
    bench = Bench()
    await bench.hang(3600)
    await bench.delivery.look(answers(True))

    assert [] == bench.fatals


@in_virtual_time
async def test_watch_without_broker_waits_for_ever() -> None:
    bench = Bench()
    await bench.send()
    for _ in range(24):
        await pass_s(3600)
        await bench.delivery.look(answers(False))

    assert [] == bench.fatals


@in_virtual_time
async def test_watch_without_broker_ends_process_after_its_limit() -> None:
    bench = Bench(StallPolicy(away_s=900.0))
    await bench.hang(901)
    await bench.delivery.look(answers(False))

    assert [Fatal("cannot_deliver", "core", "the broker has been away for 901 s")] == bench.fatals


@in_virtual_time
async def test_watch_with_a_flapping_broker_counts_from_its_last_return() -> None:
    bench, flapping = Bench(), answers(True, False, True, True)
    await bench.hang(10)
    for _ in range(4):
        await bench.delivery.look(flapping)
        await pass_s(40)

    assert [] == bench.fatals


@in_virtual_time
async def test_watch_after_a_delivery_went_through_counts_anew() -> None:
    bench = Bench()
    await bench.hang(10)
    await bench.delivery.look(answers(True))
    bench.producer.sent[0].acknowledge()
    await turns()
    await bench.delivery.look(never)
    await bench.hang(61)
    await bench.delivery.look(answers(True))

    assert [] == bench.fatals


@in_virtual_time
async def test_watch_counts_resends_of_one_parcel_as_one_stall() -> None:
    bench = Bench()
    await bench.hang(10)
    await bench.delivery.look(answers(True))
    bench.producer.sent[0].refuse(kafka.RequestTimedOutError())
    await pass_s(61)
    await bench.delivery.look(answers(True))

    assert ["cannot_deliver"] == [fatal.reason for fatal in bench.fatals]


@in_virtual_time
async def test_watch_asking_while_the_delivery_is_acknowledged_does_not_end_process() -> None:
    bench = Bench()
    await bench.hang(10)
    await bench.delivery.look(answers(True))
    await pass_s(61)
    looking = asyncio.ensure_future(bench.delivery.look(answers(True, took_s=2.0)))
    await turns()
    bench.producer.sent[0].acknowledge()
    await looking

    assert [] == bench.fatals
