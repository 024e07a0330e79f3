"""Passages for a request: which are asked for, what goes on, and what a redelivery gives (B141, B147)."""

from typing import Any

import pytest

from streams.adapters.retriever.memory import MemoryRetriever
from streams.ports import Found, Query
from streams.stages import retrieve
from tests.support.builders import KEY, admitted, deduped, record, work
from tests.support.documents import document, filled
from tests.support.loops import in_loop
from tests.support.scopes import run
from topics import wire
from topics.catalog import DEDUPED, INTERNAL_BYTES, RETRIEVED
from topics.errors import DecodingError, TransportError
from topics.messages import Deduped, Retrieved, grown


class Scripted:
    """Answers with what it was given, and remembers what it was asked."""

    def __init__(self, *passages: dict[str, Any], snapshot: str = "s-1") -> None:
        self.found, self.asked = Found(passages, snapshot), list[Query]()

    async def find(self, query: Query) -> Found:
        self.asked.append(query)
        return self.found


def asking(text: str = "a log", tenant: str | None = None, **selector: Any) -> Deduped:
    """A request with `retrieve` as admit writes it."""
    asked = grown(work(text), type(work()), retrieve={"k": 4, "filter": {}, **selector})
    return deduped(tenant=tenant, work=asked.model_dump())


def out(message: Any, retriever: Any = None, **place: Any) -> Any:
    stage = retrieve.stage(retriever or MemoryRetriever.of(document()))
    (output,) = run(stage, record(message, topic=DEDUPED, **place))
    return output


def after(message: Any, retriever: Any = None) -> Retrieved:
    return wire.decode(out(message, retriever).value, Retrieved)


def test_request_that_asks_for_nothing_passes_without_a_search() -> None:
    retriever = Scripted({"id": "a"})

    found = after(deduped(), retriever)
    assert ((), None, []) == (found.passages, found.snapshot, retriever.asked)


def test_request_that_asks_for_nothing_needs_no_task() -> None:
    outputs = retrieve.started(record(deduped(), topic=DEDUPED), Scripted())

    assert isinstance(outputs, tuple)


def test_request_that_asks_gets_passages_and_the_name_of_their_snapshot() -> None:
    found = after(asking(), filled(MemoryRetriever, document()))

    assert (["d-1"], "documents@0:1") == ([one["id"] for one in found.passages], found.snapshot)


def test_request_is_looked_up_by_its_last_words_tenant_and_selector() -> None:
    retriever = Scripted()
    after(asking("what is it?", tenant="acme", k=7, filter={"lang": ["de"]}), retriever)

    assert [Query("what is it?", 7, "acme", {"lang": ["de"]})] == retriever.asked


def test_selector_of_an_older_worker_gets_the_defaults() -> None:
    retriever = Scripted()
    message = asking()
    after(message.model_copy(update={"work": message.work.model_copy(update={"retrieve": {}})}), retriever)

    assert [Query("a log", 4, None, {})] == retriever.asked


def test_passage_of_another_tenant_is_not_added() -> None:
    retriever = MemoryRetriever.of(document("mine", tenant="acme"), document("theirs", tenant="other"))

    assert ["mine"] == [one["id"] for one in after(asking(tenant="acme"), retriever).passages]


@pytest.mark.parametrize("message", [deduped(), asking()])
def test_output_of_a_request_keeps_key_and_partition(message: Deduped) -> None:
    output = out(message, partition=6)

    assert (RETRIEVED, KEY, 6) == (output.topic, output.key, output.partition)


@pytest.mark.parametrize(
    ("message", "passages", "decision"),
    [
        (deduped(), (), "not-asked"),
        (asking(), (), "nothing-found"),
        (asking(), ({"id": "a"},), "found"),
        (asking(), ({"id": "a"}, {"text": "x" * 800_000}), "cut"),
    ],
)
def test_decision_says_what_came_of_the_search(message: Deduped, passages: Any, decision: str) -> None:
    assert decision == out(message, Scripted(*passages)).decision


def test_passages_above_the_bound_leave_room_for_the_rest_of_the_record() -> None:
    large = [{"id": f"d{number}", "text": "x" * 200_000} for number in range(50)]

    output = out(asking("p" * 1_000_000), Scripted(*large))
    assert 2 * len(output.value) < INTERNAL_BYTES


def test_unknown_field_of_a_newer_version_travels_on() -> None:
    assert {"budget": 3} == after(deduped(budget=3)).__pydantic_extra__


@pytest.mark.parametrize("message", [deduped(text="κόσμε", deadline_ms=17), asking("κόσμε")])
def test_request_content_through_the_stage_is_untouched(message: Deduped) -> None:
    assert message.model_dump() == after(message).model_dump(exclude={"passages", "snapshot"})


def test_redelivery_on_the_same_snapshot_gives_the_same_bytes() -> None:
    retriever = filled(MemoryRetriever, document("b"), document("a"))

    assert out(asking(), retriever) == out(asking(), retriever)


def test_redelivery_on_another_snapshot_keeps_dedup_key_and_epoch() -> None:
    """`infer` pays once for key and epoch, whatever passages the copies carry."""
    first, second = (after(asking(), Scripted({"id": name}, snapshot=name)) for name in ("one", "two"))

    assert first.snapshot != second.snapshot
    assert (first.dedup_key, first.epoch) == (second.dedup_key, second.epoch)


def test_request_before_the_corpus_is_read_is_tried_again_later() -> None:
    with pytest.raises(TransportError):
        out(asking(), MemoryRetriever())


@in_loop
async def test_request_without_retrieval_does_not_wait_for_the_corpus() -> None:
    outputs = retrieve.started(record(deduped(), topic=DEDUPED), MemoryRetriever())

    assert isinstance(outputs, tuple)


def test_message_without_an_epoch_is_refused() -> None:
    with pytest.raises(DecodingError, match="epoch"):
        out(admitted())


def test_stage_as_data_names_its_topics_and_slots() -> None:
    stage = retrieve.stage(Scripted(), slots=3)

    assert ("retrieve", "core", (DEDUPED,), (RETRIEVED,), 3) == (
        stage.name,
        stage.app,
        stage.reads,
        stage.writes,
        stage.slots,
    )
