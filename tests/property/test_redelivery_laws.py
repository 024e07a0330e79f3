"""The state rule on a model: owner and waiters in rows, copies and crashes at will, outputs equal byte for byte.

The model is the smallest stage with a table. Broken versions of it show that each part of the rule is needed.
"""

from dataclasses import dataclass, field, replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.redelivery import Again, First, Other, judge


@dataclass(frozen=True)
class Input:
    """One record: whose key it carries, and where it lies."""

    key: str
    topic: str
    offset: int

    @property
    def at(self) -> str:
        return f"{self.topic}/0/{self.offset}"


@dataclass(frozen=True)
class Row:
    """What a key remembers: who took which role, and the reply that all outputs are made from."""

    reply: int
    roles: dict[str, str]


@dataclass
class Twins:
    """The model: the first input of a key makes the one call, each later one waits in a role of its own."""

    store: dict[str, Row] = field(default_factory=dict)
    changelog: list[tuple[str, Row]] = field(default_factory=list)
    nonce: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]  # of int
    calls: int = 0

    def handle(self, given: Input) -> list[bytes]:
        """The outputs of one input."""
        row = self.store.get(given.key)
        match judge(None if row is None else row.roles, given.at):
            case Again():
                row = self.again(given)
            case Other() if row is not None:
                row = replace(row, roles={**row.roles, f"waiter-{len(row.roles)}": given.at})
                self.write(given, row)
            case First() | Other():
                self.calls += 1
                row = Row(next(self.nonce), {"owner": given.at})
                self.write(given, row)
        return [self.output(given, row)]

    def again(self, given: Input) -> Row:
        row = self.store[given.key]
        self.write(given, row)
        return row

    def write(self, given: Input, row: Row) -> None:
        self.store[given.key] = row
        self.changelog.append((given.key, row))

    def output(self, given: Input, row: Row) -> bytes:
        role = next(role for role, at in row.roles.items() if at == given.at)
        return f"{given.at} as {role}: reply {row.reply}".encode()


class NeverWritesAgain(Twins):
    """Recognises a copy, and trusts the store to be in its changelog."""

    def again(self, given: Input) -> Row:
        return self.store[given.key]


class KeepsTheLastRole(Twins):
    """Thins a row before a later input has come."""

    def write(self, given: Input, row: Row) -> None:
        last = list(row.roles)[-1]
        super().write(given, replace(row, roles={last: row.roles[last]}))


class AsksAgain(Twins):
    """Makes an output from something that is not in the row."""

    def again(self, given: Input) -> Row:
        return replace(super().again(given), reply=next(self.nonce))


@st.composite
def inputs(draw: st.DrawFn) -> list[Input]:
    """Inputs of a few keys over two topics, each with its own offsets."""
    found = list[Input]()
    for key, topic in draw(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("ab")), max_size=8)):
        found.append(Input(key, topic, sum(one.topic == topic for one in found)))
    return found


@st.composite
def redelivered(draw: st.DrawFn) -> tuple[list[Input], list[Input]]:
    """Inputs, and any end of each topic again, merged in any way that keeps the order of a topic."""
    first = draw(inputs())
    ends = {topic: [one for one in first if one.topic == topic] for topic in "ab"}
    ends = {topic: ones[draw(st.integers(0, len(ones))) :] for topic, ones in ends.items()}
    turns = draw(st.permutations([topic for topic, ones in ends.items() for _ in ones]))
    return first, [ends[topic].pop(0) for topic in turns]


def repeats(twins: Twins, first: list[Input], again: list[Input]) -> bool:
    """Does the final state give each redelivered input its first outputs, twice over?"""
    outputs = {one.at: twins.handle(one) for one in first}
    return all(outputs[one.at] == twins.handle(one) for one in again + again)


def recovers(twins: Twins, first: list[Input], lost: int) -> bool:
    """After a crash that lost the last writes on their way to the changelog, does redelivery make it whole?"""
    written = list[int]()
    for one in first:
        twins.handle(one)
        written.append(len(twins.changelog))
    kept = max(0, len(twins.changelog) - lost)
    committed = sum(end <= kept for end in written)  # an input is done only when its writes are acknowledged
    del twins.changelog[kept:]
    for one in first[committed:]:
        twins.handle(one)
    return dict(twins.changelog) == twins.store


CRASHES = st.tuples(inputs(), st.integers(0, 8))


@given(redelivered())
def test_suffix_redelivered_against_the_final_state_repeats_its_outputs(seen: tuple[list[Input], list[Input]]) -> None:
    assert repeats(Twins(), *seen)


@given(CRASHES)
def test_changelog_behind_the_store_is_made_whole_by_redelivery(crash: tuple[list[Input], int]) -> None:
    assert recovers(Twins(), *crash)


@given(redelivered())
def test_copies_of_any_input_never_call_again(seen: tuple[list[Input], list[Input]]) -> None:
    twins, (first, again) = Twins(), seen
    for one in first + again:
        twins.handle(one)

    assert len({one.key for one in first}) == twins.calls


@given(redelivered())
def test_copies_of_any_input_leave_the_state_as_it_is(seen: tuple[list[Input], list[Input]]) -> None:
    twins, (first, again) = Twins(), seen
    for one in first:
        twins.handle(one)
    final = dict(twins.store)
    for one in again:
        twins.handle(one)

    assert final == twins.store


@given(inputs())
def test_input_that_took_a_role_is_recognised_ever_after(first: list[Input]) -> None:
    twins = Twins()
    for number, one in enumerate(first, start=1):
        twins.handle(one)
        for earlier in first[:number]:
            assert isinstance(judge(twins.store[earlier.key].roles, earlier.at), Again)


@given(st.dictionaries(st.text("rst", min_size=1), st.text("abc/", min_size=1)), st.text("abc/", min_size=1))
def test_judgement_of_any_roles_follows_from_whether_one_is_taken(roles: dict[str, str], at: str) -> None:
    match judge(roles, at):
        case Again(role):
            assert at == roles[role]
        case verdict:
            assert Other() == verdict
            assert at not in roles.values()


OWNER, WAITER = Input("x", "a", 0), Input("x", "a", 1)


@pytest.mark.parametrize("broken", [KeepsTheLastRole, AsksAgain])
def test_law_of_redelivery_fails_for_a_model_that_breaks_it(broken: type[Twins]) -> None:
    assert not repeats(broken(), [OWNER, WAITER], [OWNER, WAITER])


def test_law_of_recovery_fails_for_a_model_that_never_writes_again() -> None:
    assert not recovers(NeverWritesAgain(), [OWNER], 1)


def test_law_of_redelivery_alone_does_not_ask_for_writing_again() -> None:
    assert repeats(NeverWritesAgain(), [OWNER, WAITER], [OWNER, WAITER])
