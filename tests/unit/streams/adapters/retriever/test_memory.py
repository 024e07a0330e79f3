"""The contract of every retriever, run on the fake and on the real one (B141 to B145)."""

from typing import Any

import pytest

from streams.adapters.retriever.memory import MemoryRetriever
from streams.ports import Query
from tests.support.documents import KINDS, document, filled, hits
from tests.support.loops import in_loop
from topics.errors import TransportError

every_kind = pytest.mark.parametrize("kind", KINDS)
LOGS = document("logs", text="A log is an ordered sequence of records.", title="Logs", metadata={"lang": "en", "n": 1})
TEA = document("tea", text="Green tea is steeped, never boiled.", metadata={"lang": ["en", "ja"], "n": 2})


@every_kind
@in_loop
async def test_passage_of_a_document_has_its_words_and_metadata(kind: Any) -> None:
    [found] = (await filled(kind, LOGS, TEA).find(Query("an ordered log"))).passages

    assert 0 < found.pop("score")
    assert LOGS.model_dump(exclude={"tenant"}) == found


@every_kind
@in_loop
async def test_found_names_the_snapshot_that_was_committed(kind: Any) -> None:
    assert "documents@0:1" == (await filled(kind, LOGS).find(Query("nothing alike"))).snapshot


@every_kind
@pytest.mark.parametrize("text", ["LOG", "log?", "the log", "ｌｏｇ", "lo\u200bg", "(log OR", 'title:"log', "Logs"])
@in_loop
async def test_word_in_any_dress_finds_the_document(kind: Any, text: str) -> None:
    assert ["logs"] == await hits(filled(kind, LOGS, TEA), text)


@every_kind
@pytest.mark.parametrize("text", ["", " ", "?!", "\U000e0041", "unheard", "lo", "boil"])
@in_loop
async def test_text_without_a_known_word_finds_nothing(kind: Any, text: str) -> None:
    assert [] == await hits(filled(kind, LOGS, TEA), text)


@every_kind
@in_loop
async def test_character_of_an_unspaced_script_finds_the_document(kind: Any) -> None:
    assert ["ja"] == await hits(filled(kind, LOGS, document("ja", text="東京の入門書")), "京")


@every_kind
@in_loop
async def test_query_text_of_a_megabyte_is_answered(kind: Any) -> None:
    text = "log " + "".join(f"w{number} " for number in range(150_000))

    assert ["logs"] == await hits(filled(kind, LOGS, TEA), text)


@every_kind
@pytest.mark.parametrize("k", [1, 2, 3, 50])
@in_loop
async def test_equal_scores_are_ordered_by_id_and_cut_at_k(kind: Any, k: int) -> None:
    order = [7, 3, 9, 1, 5, 2, 8, 4, 6, 0]
    same = [document(f"d{number}", text="the same words") for number in order]

    assert [f"d{number}" for number in range(10)][:k] == await hits(filled(kind, *same), "same", k)


@every_kind
@in_loop
async def test_more_shared_words_come_before_fewer(kind: Any) -> None:
    both, one = document("z", text="log records"), document("a", text="log keepers")

    assert ["z", "a"] == await hits(filled(kind, one, both), "log records")


@every_kind
@pytest.mark.parametrize(
    ("tenant", "seen"), [(None, ["all"]), ("a", ["all", "of-a"]), ("b", ["all", "of-b"]), ("", ["all"]), ("c", ["all"])]
)
@in_loop
async def test_tenant_sees_its_own_documents_and_those_of_nobody(
    kind: Any, tenant: str | None, seen: list[str]
) -> None:
    made = filled(kind, document("all"), document("of-a", tenant="a"), document("of-b", tenant="b"))

    assert seen == sorted(await hits(made, "log", tenant=tenant))


@every_kind
@pytest.mark.parametrize(
    ("filter", "seen"),
    [
        ({}, ["logs", "tea"]),
        ({"lang": "en"}, ["logs", "tea"]),
        ({"lang": "ja"}, ["tea"]),
        ({"lang": ["de", "ja"]}, ["tea"]),
        ({"n": [1, 2]}, ["logs", "tea"]),
        ({"n": 1.0}, ["logs"]),
        ({"n": "1"}, []),
        ({"n": True}, []),
        ({"lang": "en", "n": 2}, ["tea"]),
        ({"lang": "en", "missing": 1}, []),
    ],
)
@in_loop
async def test_filter_by_metadata_keeps_what_has_it(kind: Any, filter: dict[str, Any], seen: list[str]) -> None:
    assert seen == sorted(await hits(filled(kind, LOGS, TEA), "log never", filter=filter))


@every_kind
@in_loop
async def test_document_put_again_is_replaced(kind: Any) -> None:
    made = filled(kind, LOGS, document("logs", text="now about rivers"))

    assert ([], ["logs"]) == (await hits(made, "sequence"), await hits(made, "rivers"))


@every_kind
@in_loop
async def test_document_given_to_another_tenant_is_hidden_from_the_first(kind: Any) -> None:
    made = filled(kind, document(tenant="a"), document(tenant="b"))

    assert ([], ["d-1"]) == (await hits(made, "log", tenant="a"), await hits(made, "log", tenant="b"))


@every_kind
@pytest.mark.parametrize("dropped", ["logs", "x" * 100_000])
@in_loop
async def test_dropped_document_is_gone_and_others_stay(kind: Any, dropped: str) -> None:
    made = filled(kind, document(dropped), TEA)
    made.drop(dropped)
    made.drop("never there")
    made.commit("later")

    assert ([], ["tea"]) == (await hits(made, "log"), await hits(made, "tea"))


@every_kind
@in_loop
async def test_change_before_its_commit_is_not_seen(kind: Any) -> None:
    made = filled(kind, LOGS)
    made.drop("logs")
    made.put(TEA)

    assert (["logs"], []) == (await hits(made, "log"), await hits(made, "tea"))


@every_kind
@in_loop
async def test_retriever_before_its_first_commit_says_that_it_is_not_there_yet(kind: Any) -> None:
    with pytest.raises(TransportError, match="not at their end"):
        await kind().find(Query("log"))


@every_kind
@in_loop
async def test_cleared_retriever_is_not_ready_until_it_is_committed_again(kind: Any) -> None:
    made = filled(kind, LOGS)
    made.clear()
    with pytest.raises(TransportError):
        await made.find(Query("log"))
    made.put(TEA)
    made.commit("again")

    assert ([], ["tea"]) == (await hits(made, "log"), await hits(made, "tea"))


@pytest.mark.parametrize(("documents", "snapshot"), [((), "documents@"), ((LOGS, TEA), "documents@0:2")])
@in_loop
async def test_retriever_of_documents_is_ready_at_once(documents: Any, snapshot: str) -> None:
    assert snapshot == (await MemoryRetriever.of(*documents).find(Query("log"))).snapshot
