"""Laws of acknowledging: always a prefix in offset order, whatever ends when, over partitions and generations."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from streams.decisions.ack_order import AckOrder, Ticket

PARTITIONS = st.integers(0, 2)


@given(st.integers(1, 8).flatmap(lambda count: st.permutations(range(count))))
def test_every_order_of_completion_acknowledges_all_in_offset_order(turns: list[int]) -> None:
    order = AckOrder[int]()
    tickets = [order.opened(offset) for offset in range(len(turns))]

    assert list(range(len(turns))) == [offset for turn in turns for offset in order.finished(tickets[turn])]


@given(st.integers(1, 8).flatmap(lambda count: st.permutations(range(count))), st.integers(0, 8))
def test_record_is_acknowledged_by_the_last_of_those_up_to_it(turns: list[int], ended: int) -> None:
    order = AckOrder[int]()
    tickets = [order.opened(offset) for offset in range(len(turns))]
    acked = [offset for turn in turns[:ended] for offset in order.finished(tickets[turn])]
    done = set(turns[:ended])

    assert [offset for offset in range(len(turns)) if set(range(offset + 1)) <= done] == acked


@given(st.lists(st.booleans(), max_size=12), st.data())
def test_forgotten_and_acknowledged_together_are_what_was_opened(ends: list[bool], data: st.DataObject) -> None:
    order = AckOrder[int]()
    tickets = [order.opened(offset) for offset in range(len(ends))]
    ended = data.draw(st.permutations([ticket for ticket, ends_now in zip(tickets, ends, strict=True) if ends_now]))
    acked = [offset for ticket in ended for offset in order.finished(ticket)]

    assert list(range(len(ends))) == acked + [ticket.item for ticket in order.forgotten()]


@given(st.integers(1, 6), st.integers(0, 6), st.integers(1, 6))
def test_late_ends_of_a_forgotten_generation_never_move_the_next_one(old: int, ended: int, new: int) -> None:
    order = AckOrder[str]()
    late = [order.opened(f"old {offset}") for offset in range(old)]
    for ticket in late[1 : ended + 1]:
        order.finished(ticket)
    order.forgotten()
    tickets = [order.opened(f"new {offset}") for offset in range(new)]
    strays = [item for ticket in late for item in order.finished(ticket)]
    acked = [item for ticket in tickets for item in order.finished(ticket)]

    assert ([], [f"new {offset}" for offset in range(new)]) == (strays, acked)


@dataclass
class Partition:
    """One partition as Kafka sees it: the order under test, and the truth beside it."""

    order: AckOrder[int] = field(default_factory=AckOrder)
    generation: int = 0
    read: int = 0  # the next offset that is handed over
    committed: int = 0
    done: set[int] = field(default_factory=set)  # by anyone, in any generation
    open: list[tuple[int, Ticket[int]]] = field(default_factory=list)


class Consumption(RuleBasedStateMachine):
    """Records are taken, end in any order, and partitions are revoked at any moment; Kafka keeps one number each."""

    @initialize()
    def assigned(self) -> None:
        self.partitions = [Partition() for _ in range(3)]

    @rule(number=PARTITIONS, count=st.integers(1, 4))
    def taken(self, number: int, count: int) -> None:
        one = self.partitions[number]
        for _ in range(count):
            one.open.append((one.generation, one.order.opened(one.read)))
            one.read += 1

    @rule(number=PARTITIONS, which=st.integers(0, 30))
    def ended(self, number: int, which: int) -> None:
        one = self.partitions[number]
        if not one.open:
            return
        generation, ticket = one.open.pop(which % len(one.open))
        one.done.add(ticket.item)
        acked = one.order.finished(ticket)
        assert generation == one.generation or not acked, "a result of an old generation acknowledged something"
        for offset in acked:
            assert one.committed == offset, "acknowledged out of order"
            one.committed += 1

    @rule(number=PARTITIONS)
    def revoked(self, number: int) -> None:
        one = self.partitions[number]
        left = [ticket.item for ticket in one.order.forgotten()]
        assert list(range(one.committed, one.read)) == left, "what is read again is not what was given up"
        one.generation, one.read = one.generation + 1, one.committed

    @invariant()
    def nothing_unfinished_lies_below_the_committed_offset(self) -> None:
        for one in self.partitions:
            assert set(range(one.committed)) <= one.done

    @invariant()
    def window_holds_exactly_what_is_not_acknowledged(self) -> None:
        for one in self.partitions:
            assert one.read - one.committed == len(one.order)

    def teardown(self) -> None:
        """In the end, when all of the last generation is done, all is committed."""
        for one in self.partitions if hasattr(self, "partitions") else []:
            for generation, ticket in one.open:
                one.committed += len(one.order.finished(ticket))
                assert generation <= one.generation
            assert one.read == one.committed


def test_consumption_of_three_partitions_never_commits_past_open_work() -> None:
    run_state_machine_as_test(Consumption, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
