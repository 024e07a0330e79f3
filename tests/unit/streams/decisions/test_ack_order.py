"""Acknowledging in order, case by case."""

import pytest

from streams.decisions.ack_order import AckOrder, Ticket


def opened(*items: str) -> tuple[AckOrder[str], list[Ticket[str]]]:
    order = AckOrder[str]()
    return order, [order.opened(item) for item in items]


def test_opened_record_gives_an_open_ticket() -> None:
    ticket = AckOrder[str]().opened("o1", 7)

    assert ("o1", 7, False, False) == (ticket.item, ticket.bytes, ticket.done, ticket.dead)


def test_ticket_of_its_own_weighs_nothing_and_is_open() -> None:
    ticket = Ticket("o1", AckOrder())

    assert (0, False, False) == (ticket.bytes, ticket.done, ticket.dead)


def test_opened_without_size_counts_no_bytes() -> None:
    assert 0 == AckOrder[str]().opened("o1").bytes


def test_ticket_shows_its_item_and_not_the_others_of_its_queue() -> None:
    _, [first, _] = opened("o1", "o2")

    assert (True, False) == ("o1" in repr(first), "o2" in repr(first))


def test_tickets_of_equal_items_are_told_apart() -> None:
    order, (first, second) = opened("same", "same")

    assert first != second
    assert [] == order.finished(second)


def test_finished_only_record_is_ready_at_once() -> None:
    order, [ticket] = opened("o1")

    assert ["o1"] == order.finished(ticket)


def test_finished_record_is_marked_done() -> None:
    order, [ticket] = opened("o1")
    order.finished(ticket)

    assert ticket.done


@pytest.mark.parametrize(
    ("turns", "acks"),
    [
        ([0, 1, 2], [["a"], ["b"], ["c"]]),
        ([0, 2, 1], [["a"], [], ["b", "c"]]),
        ([1, 0, 2], [[], ["a", "b"], ["c"]]),
        ([1, 2, 0], [[], [], ["a", "b", "c"]]),
        ([2, 0, 1], [[], ["a"], ["b", "c"]]),
        ([2, 1, 0], [[], [], ["a", "b", "c"]]),
    ],
)
def test_finished_in_any_turn_readies_the_done_prefix(turns: list[int], acks: list[list[str]]) -> None:
    order, tickets = opened("a", "b", "c")

    assert acks == [order.finished(tickets[turn]) for turn in turns]


def test_finished_twice_readies_the_record_once() -> None:
    order, [ticket] = opened("o1")

    assert (["o1"], []) == (order.finished(ticket), order.finished(ticket))


def test_finished_twice_behind_an_open_record_readies_it_once() -> None:
    order, (first, second) = opened("a", "b")
    order.finished(second)
    order.finished(second)

    assert ["a", "b"] == order.finished(first)


def test_record_opened_after_a_pause_continues_the_order() -> None:
    order, [first] = opened("a")
    order.finished(first)
    second, third = order.opened("b"), order.opened("c")

    assert ([], ["b", "c"]) == (order.finished(third), order.finished(second))


def test_length_counts_what_is_not_acknowledged() -> None:
    order, tickets = opened("a", "b", "c")
    lengths = [len(order)]
    for turn in (1, 0, 2):
        order.finished(tickets[turn])
        lengths.append(len(order))

    assert [3, 3, 1, 0] == lengths


def test_forgotten_gives_back_what_is_not_acknowledged_in_order() -> None:
    order, (first, _, third) = opened("a", "b", "c")
    order.finished(first)
    order.finished(third)

    assert ["b", "c"] == [ticket.item for ticket in order.forgotten()]


def test_forgotten_of_nothing_gives_nothing() -> None:
    assert [] == AckOrder[str]().forgotten()


def test_forgotten_again_gives_nothing_more() -> None:
    order, _ = opened("a")
    order.forgotten()

    assert ([], 0) == (order.forgotten(), len(order))


def test_forgotten_tickets_are_dead_and_acknowledged_ones_are_not() -> None:
    order, (first, second) = opened("a", "b")
    order.finished(first)
    order.forgotten()

    assert (False, True) == (first.dead, second.dead)


def test_finished_after_forgotten_readies_nothing() -> None:
    order, (first, second) = opened("a", "b")
    order.finished(second)
    order.forgotten()

    assert [] == order.finished(first)


def test_late_result_of_an_old_generation_leaves_the_new_one_alone() -> None:
    order, [old] = opened("a")
    order.forgotten()
    again = order.opened("a")

    assert ([], 1, ["a"]) == (order.finished(old), len(order), order.finished(again))


def test_orders_of_two_partitions_share_nothing() -> None:
    (first, [one]), (second, _) = opened("a"), opened("b")

    assert (["a"], 1, 0) == (first.finished(one), len(second), len(first))
