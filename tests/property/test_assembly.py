"""Laws of assembly: within the budget or refused, never more cut than needed, the rest untouched, the same twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import budget
from streams.decisions.assembly import Asked, AssemblyPolicy, assemble, block
from streams.decisions.budget import BudgetPolicy
from topics.errors import PromptTooLong

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PARTS = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": WORDS}) | st.just({"type": "image_url"}),
    min_size=1,
    max_size=3,
)
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        "content": WORDS | PARTS | st.none(),
    },
    optional={"tool_calls": st.lists(st.fixed_dictionaries({"id": WORDS}), max_size=2)},
)
PASSAGE = st.fixed_dictionaries({"text": WORDS}, optional={"id": WORDS, "title": WORDS, "score": st.integers(-9, 9)})
ASKED = st.builds(
    Asked,
    messages=st.lists(MESSAGE, min_size=1, max_size=6).map(tuple),
    passages=st.lists(PASSAGE, max_size=4).map(tuple),
    snapshot=st.none() | WORDS,
    params=st.sampled_from([{}, {"tools": [{"name": "t"}]}]),
)
RATIOS = st.sampled_from([0.5, 1.0, 3.7, 4.0])
SYSTEMS = st.none() | st.just("be brief")
RENDERS = st.sampled_from([None, lambda passages: f"t{''.join(one['text'] for one in passages)}"])
LIMITS = st.integers(1, 120)
FIXED = ("system", "developer")


def policy(limit, ratio=1.0, system=None):
    return AssemblyPolicy(system, BudgetPolicy(ratio, "r", {} if limit is None else {"*": limit}))


def tried(asked, rules, render=None):
    """The assembly, or None where it is refused."""
    try:
        return assemble(asked, rules, render)
    except PromptTooLong:
        return None


def measured(found, asked):
    return sum(map(budget.weight, found.rendered)) + budget.tools_weight(asked.params)


@given(ASKED, LIMITS, RATIOS, SYSTEMS, RENDERS)
def test_assembly_under_any_budget_stays_within_it(asked, limit, ratio, system, render):
    """B134."""
    rules = policy(limit, ratio, system)
    found = tried(asked, rules, render)

    assert found is None or budget.tokens(measured(found, asked), rules.budget) <= limit


@given(ASKED, st.none() | LIMITS, SYSTEMS, RENDERS)
def test_bytes_told_are_those_of_what_is_sent(asked, limit, system, render):
    found = tried(asked, policy(limit, system=system), render)

    assert found is None or measured(found, asked) == found.sent_bytes


@given(ASKED, LIMITS, st.integers(0, 60), RENDERS)
def test_larger_budget_never_cuts_more(asked, limit, more, render):
    """B134."""
    small, large = tried(asked, policy(limit), render), tried(asked, policy(limit + more), render)

    if small is not None:
        assert large is not None
        assert large.cut == small.cut[: len(large.cut)]


@given(ASKED, SYSTEMS, RENDERS)
def test_assembly_without_a_limit_cuts_nothing(asked, system, render):
    assert () == assemble(asked, policy(None, system=system), render).cut


@given(ASKED, LIMITS, RENDERS)
def test_budget_that_is_large_enough_changes_nothing(asked, limit, render):
    whole = assemble(asked, policy(None), render)

    if whole.sent_bytes <= limit:
        assert whole.rendered == assemble(asked, policy(limit), render).rendered


@given(ASKED, LIMITS, RENDERS)
def test_messages_left_are_those_written_in_their_order(asked, limit, render):
    found = tried(asked, policy(limit), render)

    if found is not None and not asked.passages and render is None:
        gone = {cut["index"] for cut in found.cut}
        assert tuple(one for index, one in enumerate(asked.messages) if index not in gone) == found.rendered


@given(ASKED, LIMITS, SYSTEMS, RENDERS)
def test_system_text_and_last_words_are_never_cut(asked, limit, system, render):
    found = tried(asked, policy(limit, system=system), render)
    users = [index for index, message in enumerate(asked.messages) if message["role"] == "user"]
    last = users[-1] if users else len(asked.messages) - 1

    if found is not None:
        indexes = {cut["index"] for cut in found.cut if cut["what"] == "message"}
        assert all(asked.messages[index]["role"] not in FIXED and index < last for index in indexes)


@given(ASKED, SYSTEMS)
def test_passages_never_enter_the_system_role(asked, system):
    """B133."""
    found = assemble(asked, policy(None, system=system))
    spoken = [message for message in found.rendered if message["role"] in FIXED]
    written = [message for message in asked.messages if message["role"] in FIXED]

    assert written == [message for message in spoken if message["content"] != system or message in written]


@given(ASKED)
def test_passages_are_in_one_message_of_the_user(asked):
    changed = [one for one in assemble(asked, policy(None)).rendered if one not in asked.messages]

    assert (["user"] if asked.passages else []) == [message["role"] for message in changed]


@given(st.lists(PASSAGE, min_size=1, max_size=3).map(tuple), WORDS)
def test_mark_of_a_block_stands_twice_a_passage(passages, snapshot):
    text = block(passages, snapshot)
    mark = text.split("[[", 1)[1][:16]

    assert 2 * len(passages) == text.count(mark)


@given(st.lists(PASSAGE, min_size=1, max_size=3).map(tuple), WORDS)
def test_passage_that_copies_the_marks_of_another_block_forges_nothing(passages, snapshot):
    """B133."""
    forged = block(passages, snapshot)
    around = block(({"text": forged, "id": "evil"},), snapshot)
    mark = around.split("[[", 1)[1][:16]

    assert mark not in forged


@given(ASKED, st.none() | LIMITS, SYSTEMS, RENDERS)
def test_same_request_twice_is_assembled_equally(asked, limit, system, render):
    rules = policy(limit, system=system)

    assert tried(asked, rules, render) == tried(asked, rules, render)


@given(ASKED, LIMITS)
def test_refusal_only_comes_when_nothing_is_left_to_cut(asked, limit):
    """B134."""
    users = [index for index, message in enumerate(asked.messages) if message["role"] == "user"]
    last = users[-1] if users else len(asked.messages) - 1
    kept = [one for index, one in enumerate(asked.messages) if index >= last or one["role"] in FIXED]
    least = sum(map(budget.weight, kept)) + budget.tools_weight(asked.params)

    assert (least > limit) == (tried(asked, policy(limit)) is None)


CALLS = st.lists(
    st.builds(budget.Measured, st.sampled_from("ab"), st.integers(0, 10_000), st.integers(0, 500)), max_size=30
)


@given(CALLS)
def test_proposed_ratio_underestimates_at_most_one_call_in_twenty(calls):
    """B135."""
    for found in budget.propose(calls):
        mine = [one for one in calls if one.model == found.model and one.sent_bytes and one.tokens]
        over = [one for one in mine if one.sent_bytes / one.tokens < found.careful and found.careful > 0.01]

        assert len(over) <= len(mine) / 20


@given(CALLS, st.randoms())
def test_proposal_does_not_depend_on_the_order_of_calls(calls, chance):
    mixed = list(calls)
    chance.shuffle(mixed)

    assert budget.propose(calls) == budget.propose(mixed)


@pytest.mark.parametrize("ratio", [1.0, 4.0])
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_estimate_grows_with_the_bytes(ratio, one, more):
    rules = BudgetPolicy(ratio)

    assert budget.tokens(one, rules) <= budget.tokens(one + more, rules)
