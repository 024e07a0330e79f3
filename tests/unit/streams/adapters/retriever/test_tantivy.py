"""What only the index has: bounds, threads, ties. What it shares with the fake stands beside that."""

import threading

import pytest

from streams.adapters.retriever.tantivy import MOST_TIED, TantivyRetriever
from streams.ports import Found, Query
from tests.support.documents import document, filled, hits, ids
from tests.support.loops import in_loop


class Noting(TantivyRetriever):
    """Remembers on which threads it searched."""

    threads: set[int]

    def look_up(self, view, query) -> Found:
        self.threads = {*getattr(self, "threads", ()), threading.get_ident()}
        return super().look_up(view, query)


@in_loop
async def test_search_runs_off_the_loop() -> None:
    made = filled(Noting, document())
    await hits(made, "log")

    assert threading.get_ident() not in made.threads


@in_loop
async def test_search_looks_up_the_rarest_words_only() -> None:
    common = [document(f"c{number}", text="common words") for number in range(5)]
    made = filled(lambda: TantivyRetriever(max_terms=1), *common, document("r", text="rare words"))

    assert ["r"] == await hits(made, "common rare words", 50)


@in_loop
async def test_title_is_searched_like_the_text() -> None:
    assert ["d-1"] == await hits(filled(TantivyRetriever, document(title="Rivers")), "rivers")


@in_loop
async def test_view_of_a_running_search_outlives_a_commit() -> None:
    made = filled(TantivyRetriever, document("old"))
    before = made._view
    made.clear()
    made.commit("empty")

    assert ["old"] == ids(made.look_up(before, Query("log")))


@in_loop
async def test_rare_document_of_a_tenant_is_found_among_many_of_others() -> None:
    others = (document(f"o{number}", tenant="o") for number in range(3000))
    made = filled(TantivyRetriever, *others, document("mine", text="a log, long and hardly worth it", tenant="t"))

    assert ["mine"] == await hits(made, "a log is an ordered sequence", tenant="t")


@in_loop
async def test_ties_over_many_segments_are_ordered_by_id() -> None:
    made = TantivyRetriever()
    for number in range(60, 0, -1):
        made.put(document(f"d{number:03}", text="the same words"))
        made.commit("s")

    assert [f"d{number:03}" for number in range(1, 9)] == await hits(made, "same words", 8)


@in_loop
async def test_ties_beyond_all_bounds_still_give_k_passages() -> None:
    same = (document(f"d{number}", text="same") for number in range(MOST_TIED * 2 + 100))

    assert 4 == len(await hits(filled(TantivyRetriever, *same), "same"))


@in_loop
async def test_stale_statistics_of_replaced_documents_change_no_order() -> None:
    made = filled(TantivyRetriever, *(document("a", text=f"log {number}") for number in range(50)), document("b"))

    assert {"a", "b"} == set(await hits(made, "log"))


@pytest.mark.parametrize("length", [1, 80, 81, 5000])
@in_loop
async def test_word_of_any_length_does_no_harm(length: int) -> None:
    made = filled(TantivyRetriever, document(text="x" * length + " log"))

    assert ["d-1"] == await hits(made, "x" * length + " log")


@in_loop
async def test_closed_retriever_starts_no_search() -> None:
    made = filled(TantivyRetriever, document())
    made.close()

    with pytest.raises(RuntimeError, match="shutdown"):
        await hits(made, "log")
