from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest

from streams.decisions.assembly import AssemblyPolicy, block
from streams.decisions.budget import BudgetPolicy
from streams.stage import Output
from streams.stages import assemble
from tests.support.builders import KEY, record, retrieved
from tests.support.scopes import run
from topics import wire
from topics.catalog import ASSEMBLED, LANES, RETRIEVED
from topics.errors import DecodingError, PromptTooLong, TemplateFailed
from topics.messages import Assembled, Lane, Work

PASSAGES = ({"id": "d-1", "text": "one"}, {"id": "d-2", "text": "two"})


class Naming:
    """A template that says what it was given."""

    version = "v-1"

    def __init__(self, reads: str = "prompt", text: str = "") -> None:
        self.reads, self.text = frozenset({reads}), text
        self.given: list[Mapping[str, Any]] = []

    def render(self, values: Mapping[str, Any]) -> str:
        self.given.append(values)
        return self.text or f"made of {values['prompt']}"


def made(policy: AssemblyPolicy | None = None, templates: Mapping[str, Naming] | None = None, **fields: Any) -> Output:
    """The output for a message of those fields."""
    (output,) = run(assemble.stage(policy, templates), record(retrieved(**fields), topic=RETRIEVED))
    return output


def sent(output: Output) -> Assembled:
    return wire.decode(output.value, Assembled)


def asking(name: str = "sum", text: str = "hi") -> Work:
    return Work(messages=({"role": "user", "content": text},), template=name)


def limited(tokens: int, system: str | None = None) -> AssemblyPolicy:
    return AssemblyPolicy(system, BudgetPolicy(1.0, "r-1", {"*": tokens}))


def test_rendered_without_a_template_is_what_was_written() -> None:
    said = ({"role": "system", "content": "be brief"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]})
    message = retrieved(work=Work(messages=said))

    (output,) = run(assemble.stage(), record(message, topic=RETRIEVED))

    assert said == wire.decode(output.value, Assembled).rendered


@pytest.mark.parametrize("lane", LANES)
def test_topic_of_each_lane_is_its_own(lane: Lane) -> None:
    (output,) = run(assemble.stage(), record(retrieved(lane=lane), topic=RETRIEVED))

    assert f"assembled.{lane}" == output.topic


def test_output_of_a_request_keeps_key_and_partition() -> None:
    (output,) = run(assemble.stage(), record(retrieved(), topic=RETRIEVED, partition=6))

    assert (KEY, 6, "as-written") == (output.key, output.partition, output.decision)


def test_unknown_field_of_a_newer_version_travels_on() -> None:
    (output,) = run(assemble.stage(), record(retrieved(newer=3), topic=RETRIEVED))

    assert {"newer": 3} == wire.decode(output.value, Assembled).__pydantic_extra__


def test_message_in_an_unknown_lane_is_refused() -> None:
    value = wire.encode(retrieved()).replace(b'"lane":"normal"', b'"lane":"vip"')

    with pytest.raises(DecodingError, match="lane"):
        run(assemble.stage(), record(value, topic=RETRIEVED))


def test_stage_as_data_writes_every_lane() -> None:
    stage = assemble.stage()

    assert ((RETRIEVED,), tuple(ASSEMBLED.values())) == (stage.reads, stage.writes)


def test_rendered_message_with_a_template_is_what_it_made() -> None:
    output = made(templates={"sum": Naming()}, work=asking(), template_version="v-1")

    assert ({"role": "user", "content": "made of hi"},) == sent(output).rendered


def test_template_version_is_in_the_message() -> None:
    assert "v-1" == sent(made(templates={"sum": Naming()}, work=asking())).template_hash


@pytest.mark.parametrize(
    ("admitted_with", "word"), [("v-1", "rendered"), ("v-0", "rendered-anew"), (None, "rendered-anew")]
)
def test_template_that_changed_since_admission_is_told(admitted_with: str | None, word: str) -> None:
    output = made(templates={"sum": Naming()}, work=asking(), template_version=admitted_with)

    assert word == output.decision


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", "hi"),
        ("messages", ({"role": "user", "content": "hi"},)),
        ("passages", PASSAGES),
        ("context", block(PASSAGES, "s-1")),
        ("metadata", {"a": 1}),
        ("model", "default"),
        ("tenant", "t"),
    ],
)
def test_template_is_given_each_value_of_the_request(name: str, value: object) -> None:
    template = Naming()
    made(templates={"sum": template}, work=asking(), metadata={"a": 1}, tenant="t", passages=PASSAGES, snapshot="s-1")

    assert value == template.given[0][name]


@pytest.mark.parametrize("reads", ["passages", "context"])
def test_template_that_places_passages_itself_gets_no_block(reads: str) -> None:
    output = made(templates={"sum": Naming(reads)}, work=asking(), passages=PASSAGES)

    assert "made of hi" == sent(output).rendered[0]["content"]


def test_template_that_mentions_no_passages_gets_them_before_its_text() -> None:
    output = made(templates={"sum": Naming()}, work=asking(), passages=PASSAGES, snapshot="s-1")

    assert f"{block(PASSAGES, 's-1')}\n\nmade of hi" == sent(output).rendered[0]["content"]


def test_template_that_is_not_there_any_more_fails_by_name() -> None:
    with pytest.raises(TemplateFailed, match=r"'sum'.*not any more"):
        made(work=asking())


def test_passages_without_a_template_are_data_of_the_user() -> None:
    output = made(passages=PASSAGES, snapshot="s-1")

    assert ("with-passages", f"{block(PASSAGES, 's-1')}\n\nhello") == (
        output.decision,
        sent(output).rendered[0]["content"],
    )


def test_system_text_of_the_policy_is_sent_and_named_by_its_hash() -> None:
    output = made(AssemblyPolicy("be brief"))

    assert {"role": "system", "content": "be brief"} == sent(output).rendered[0]
    assert ("with-system", sha256(b"be brief").hexdigest()) == (output.decision, sent(output).system_hash)


def test_system_hash_of_a_request_with_its_own_text_is_none() -> None:
    own = Work(messages=({"role": "system", "content": "mine"}, {"role": "user", "content": "hi"}))

    output = made(AssemblyPolicy("be brief"), work=own)

    assert ("as-written", None) == (output.decision, sent(output).system_hash)


def test_cut_passages_are_recorded_with_the_ratio() -> None:
    output = made(limited(10), passages=PASSAGES)
    lost = ({"what": "passage", "id": "d-2", "bytes": 3}, {"what": "passage", "id": "d-1", "bytes": 3})

    assert ("cut", lost, "r-1") == (output.decision, sent(output).cut, sent(output).ratio_version)


def test_prompt_above_the_budget_is_refused_with_limit_and_estimate() -> None:
    with pytest.raises(PromptTooLong, match="About 5 tokens may not be cut, the limit of model 'default' is 4"):
        made(limited(4))


def test_message_that_needs_nothing_says_so_in_every_field() -> None:
    message = sent(made())

    assert (None, None, None, (), 5) == (
        message.template_hash,
        message.system_hash,
        message.ratio_version,
        message.cut,
        message.input_bytes,
    )


def test_budget_that_is_kept_is_recorded_by_its_ratio() -> None:
    output = made(limited(5))

    assert ("as-written", "r-1") == (output.decision, sent(output).ratio_version)
