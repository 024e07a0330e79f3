"""# Stage: retrieve

Responsibility: adds the passages that belong to a request, and names the corpus snapshot that they come from.
Guarantees:
- a request that asks for none passes at once, without a look at the corpus:
  tests/unit/streams/stages/test_retrieve.py::test_request_that_asks_for_nothing_passes_without_a_search
- no passage of another tenant is ever added:
  tests/property/test_retrieval.py::test_no_query_crosses_the_tenant_filter
- equal snapshots give equal bytes:
  tests/unit/streams/stages/test_retrieve.py::test_redelivery_on_the_same_snapshot_gives_the_same_bytes
- a redelivery on another snapshot keeps key and epoch, under which `infer` pays once:
  tests/unit/streams/stages/test_retrieve.py::test_redelivery_on_another_snapshot_keeps_dedup_key_and_epoch
NOT Responsible For: keeping the corpus in step with its topic (streams/corpus), how much of it fits (assemble).
"""

from collections.abc import Awaitable
from typing import Any

from streams.decisions import corpus
from streams.ports import Query, Retriever
from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import DEDUPED, RETRIEVED
from topics.messages import Deduped, Retrieved, grown

SLOTS = 16  # searches at once; above the searching threads, so that they never wait for the loop


def stage(retriever: Retriever, slots: int = SLOTS) -> Stage:
    """The stage as data."""

    def handle(record: Record, scope: Scope) -> Outputs | Awaitable[Outputs]:
        """Adds passages to the requests that ask for them."""
        return started(record, retriever)

    return Stage(name="retrieve", app="core", reads=(DEDUPED,), writes=(RETRIEVED,), handle=handle, slots=slots)


def started(record: Record, retriever: Retriever) -> Outputs | Awaitable[Outputs]:
    """The outputs at once where nothing is asked for, else what will give them."""
    message = wire.decode(record.value, Deduped)
    asked = message.work.retrieve
    return _out(record, message, "not-asked") if asked is None else _searched(record, message, asked, retriever)


async def _searched(record: Record, message: Deduped, asked: dict[str, Any], retriever: Retriever) -> Outputs:
    text = corpus.question(message.work.messages)
    found = await retriever.find(Query(text, asked.get("k", 4), message.tenant, asked.get("filter", {})))
    passages = corpus.fitting(found.passages)
    decision = "nothing-found" if not found.passages else "found" if len(passages) == len(found.passages) else "cut"
    return _out(record, message, decision, passages, found.snapshot)


def _out(
    record: Record,
    message: Deduped,
    decision: str,
    passages: tuple[dict[str, Any], ...] = (),
    snapshot: str | None = None,
) -> Outputs:
    found = grown(message, Retrieved, passages=passages, snapshot=snapshot)
    return (Output(RETRIEVED, record.key, wire.encode(found), decision, record.partition),)
