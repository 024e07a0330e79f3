"""Order and continuity at Faust's consumer: what it hears of, and what is never taken."""

import asyncio

import pytest
from aiokafka import TopicPartition

from streams.decisions.ack_order import Ticket
from streams.decisions.continuity import Hole, InOrder, LaterStart, Verdict
from streams.engine.acks import Acks
from tests.support.aio import in_virtual_time
from tests.support.fake_kafka import FaustConsumer, FaustMessage


def acks(*, committed: int | None = None, log_start: int | None = None) -> tuple[Acks, FaustConsumer]:
    """An intake's acks over partition 0, as Faust and the broker know it."""
    tp = TopicPartition("t", 0)
    consumer = FaustConsumer({} if committed is None else {tp: committed})
    if log_start is not None:
        consumer.log_starts[tp] = log_start
    return Acks(consumer), consumer


def taken(one: Acks, *offsets: int, partition: int = 0, size: int = 10) -> list[Ticket[FaustMessage]]:
    """Records in work, as the intake opens them."""
    messages = [FaustMessage(offset, partition) for offset in offsets]
    one.consumer._unacked_messages.update(messages)
    return [one.open(message, size) for message in messages]


# -- order


def test_done_out_of_order_acks_only_done_prefix() -> None:
    one, consumer = acks()
    tickets = taken(one, 5, 6, 7)
    heard = []
    for number in (1, 0, 2):
        one.done(tickets[number])
        heard.append(list(consumer.acked))

    assert [[], [(0, 5), (0, 6)], [(0, 5), (0, 6), (0, 7)]] == heard


def test_done_in_one_partition_waits_for_no_other() -> None:
    one, consumer = acks()
    taken(one, 5)
    [other] = taken(one, 5, partition=1)
    one.done(other)

    assert [(1, 5)] == consumer.acked


def test_done_twice_is_heard_of_once() -> None:
    one, consumer = acks()
    [ticket] = taken(one, 5)
    one.done(ticket)
    one.done(ticket)

    assert [(0, 5)] == consumer.acked


def test_acknowledged_record_no_longer_holds_up_a_rebalance() -> None:
    one, consumer = acks()
    first, second = taken(one, 5, 6)
    one.done(first)

    assert {second.item} == consumer._unacked_messages


def test_redelivered_record_in_the_same_generation_is_acknowledged_after_the_first() -> None:
    one, consumer = acks()
    first, again = taken(one, 5, 5)
    one.done(again)
    one.done(first)

    assert [(0, 5), (0, 5)] == consumer.acked


# -- what is in work


def test_span_counts_a_partition_until_its_prefix_is_done() -> None:
    one, _ = acks()
    first, second, _ = taken(one, 5, 6, 7)
    spans = [one.span(0)]
    for ticket in (second, first):
        one.done(ticket)
        spans.append(one.span(0))

    assert [3, 3, 1] == spans


def test_span_of_a_partition_never_seen_is_zero() -> None:
    assert 0 == acks()[0].span(7)


def test_held_bytes_follow_what_is_not_done() -> None:
    one, _ = acks()
    first, second = taken(one, 5, size=100)[0], taken(one, 6, size=30)[0]
    held = [one.held_bytes]
    for ticket in (second, first):
        one.done(ticket)
        held.append(one.held_bytes)

    assert [130, 100, 0] == held


# -- continuity


def test_admit_hole_is_fatal() -> None:
    one, _ = acks(committed=416)

    assert Hole(416, 606) == one.judge(FaustMessage(606))


def test_hole_that_was_judged_is_not_taken_into_work() -> None:
    one, _ = acks(committed=416)
    one.judge(FaustMessage(606))

    assert (0, {}, InOrder(417)) == (one.span(0), one.expected, one.judge(FaustMessage(416)))


@pytest.mark.parametrize(
    ("committed", "log_start", "offset", "verdict"),
    [
        (None, None, 9, InOrder(10)),
        (None, 0, 0, InOrder(1)),
        (None, 0, 9, Hole(0, 9)),
        (None, 9, 9, InOrder(10)),
        (5, None, 5, InOrder(6)),
        (5, None, 3, InOrder(4)),
        (5, None, 6, Hole(5, 6)),
        (5, 0, 6, Hole(5, 6)),
        (0, 7, 0, InOrder(1)),
    ],
)
def test_first_record_is_judged_by_commit_else_by_log_start(
    committed: int | None, log_start: int | None, offset: int, verdict: Verdict
) -> None:
    one, _ = acks(committed=committed, log_start=log_start)

    assert verdict == one.judge(FaustMessage(offset))


@pytest.mark.parametrize(("log_start", "verdict"), [(0, Hole(5, 9)), (8, Hole(5, 9)), (9, LaterStart(5, 9))])
def test_higher_first_record_is_named_by_the_log_start_of_now(log_start: int, verdict: Verdict) -> None:
    one, _ = acks(committed=5)

    assert verdict == one.judge(FaustMessage(9), log_start)


def test_record_after_one_in_work_is_judged_by_that() -> None:
    one, _ = acks(committed=0, log_start=0)
    taken(one, 5)

    assert [InOrder(7), Hole(6, 7)] == [one.judge(FaustMessage(offset)) for offset in (6, 7)]


def test_record_after_one_that_is_done_is_judged_by_that() -> None:
    one, _ = acks(committed=5)
    [ticket] = taken(one, 5)
    one.done(ticket)

    assert Hole(6, 7) == one.judge(FaustMessage(7))


def test_continuity_of_one_partition_says_nothing_of_another() -> None:
    one, _ = acks()
    taken(one, 5)

    assert InOrder(10) == one.judge(FaustMessage(9, partition=1))


def test_judging_a_record_takes_nothing_into_work() -> None:
    one, _ = acks()
    one.judge(FaustMessage(5))

    assert (0, {}) == (one.span(0), one.expected)


# -- forgotten


def test_done_after_forget_acks_nothing() -> None:
    one, consumer = acks()
    tickets = taken(one, 5, 6)
    one.forget(one.leave())
    for ticket in tickets:
        one.done(ticket)

    assert ([], 0) == (consumer.acked, one.held_bytes)


def test_done_after_forget_leaves_the_new_generation_alone() -> None:
    one, consumer = acks()
    [old] = taken(one, 5)
    one.forget(one.leave())
    [new] = taken(one, 5, size=70)
    one.done(old)
    untouched = (list(consumer.acked), one.span(0), one.held_bytes)
    one.done(new)

    assert (([], 1, 70), [(0, 5)]) == (untouched, consumer.acked)


def test_forget_of_a_left_generation_spares_the_next() -> None:
    """A drain may end after the next generation has begun: what that took is acknowledged as ever."""
    one, consumer = acks()
    taken(one, 5)
    left = one.leave()
    [new] = taken(one, 5, size=70)
    forgotten, held = one.forget(left), one.held_bytes
    one.done(new)

    assert (1, 70, [(0, 5)], 0) == (forgotten, held, consumer.acked, one.held_bytes)


def test_done_in_a_generation_that_was_left_but_not_forgotten_acks() -> None:
    """The grace of a drain."""
    one, consumer = acks()
    [old] = taken(one, 5)
    left = one.leave()
    one.done(old)

    assert ([(0, 5)], 0) == (consumer.acked, one.forget(left))


def test_forget_of_a_done_record_counts_its_bytes_once() -> None:
    one, _ = acks()
    _, second = taken(one, 5, 6)
    one.done(second)
    one.forget(one.leave())

    assert 0 == one.held_bytes


def test_done_before_and_forgotten_behind_an_open_record_is_not_acknowledged() -> None:
    one, consumer = acks()
    _, second = taken(one, 5, 6)
    one.done(second)

    assert (2, []) == (one.forget(one.leave()), consumer.acked)


def test_forget_lets_go_of_every_partition() -> None:
    one, consumer = acks()
    taken(one, 5, 6)
    taken(one, 1, partition=3)
    count = one.forget(one.leave())

    assert (3, 0, 0, 0, set()) == (count, one.span(0), one.span(3), one.held_bytes, consumer._unacked_messages)


def test_forget_of_what_faust_no_longer_tracks_is_harmless() -> None:
    one, consumer = acks()
    taken(one, 5)
    consumer._unacked_messages.clear()

    assert 1 == one.forget(one.leave())


def test_forget_leaves_foreign_unacked_messages_to_their_owner() -> None:
    one, consumer = acks()
    taken(one, 5)
    foreign = FaustMessage(1, topic="changelog")
    consumer._unacked_messages.add(foreign)
    one.forget(one.leave())

    assert {foreign} == consumer._unacked_messages


def test_first_record_after_forget_is_judged_by_the_commit_again() -> None:
    one, _ = acks(committed=5)
    taken(one, 5, 6, 7)
    one.forget(one.leave())

    assert [InOrder(6), Hole(5, 8)] == [one.judge(FaustMessage(offset)) for offset in (5, 8)]


@in_virtual_time
async def test_forget_wakes_a_waiting_rebalance() -> None:
    one, consumer = acks()
    consumer._waiting_for_ack = asyncio.get_running_loop().create_future()
    one.forget(one.leave())

    assert consumer._waiting_for_ack.done()


@in_virtual_time
async def test_forget_of_a_rebalance_already_woken_is_harmless() -> None:
    one, consumer = acks()
    consumer._waiting_for_ack = asyncio.get_running_loop().create_future()
    consumer._waiting_for_ack.set_result(None)
    taken(one, 5)

    assert (1, 0) == (one.forget(one.leave()), one.forget(one.leave()))
