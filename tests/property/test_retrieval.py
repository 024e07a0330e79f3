"""Laws of retrieval: whose documents are seen, what a corpus is made of, how texts are cut (B141, B143, B144, B146)."""

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.corpus import CorpusKeeper
from streams.decisions import corpus, splitting
from streams.ports import Query
from tests.support.documents import KINDS, document, filled, ids, written

TENANTS = st.sampled_from([None, "", "-", "=", "acme", "acme ", "Acme", "*", "a OR b", "\x00"]) | st.none() | st.text()
OWNERS = TENANTS.filter(lambda tenant: tenant != "")
HOSTILE = ['owner:"-"', "acme OR *", "+owner:acme", '"', "\\", "[a TO z]", "/.*/", "a^9", "(", "~", "\U000e0041", "*:*"]
WORDS = ("log", "secret", "kafka", *HOSTILE)
QUERIES = st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=8).map(" ".join)
SCALARS = st.text(max_size=4) | st.integers(-3, 3) | st.booleans() | st.sampled_from([1.0, 0.5])
FILTERS = st.dictionaries(st.sampled_from(["a", "owner", "-"]), SCALARS | st.lists(SCALARS, min_size=1, max_size=3))
SURROGATES = st.text(st.characters(), max_size=30)


def found(kind, documents, query):
    return asyncio.run(filled(kind, *documents).find(query))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(owners=st.lists(OWNERS, min_size=1, max_size=5), asking=TENANTS, text=QUERIES, filter=FILTERS)
def test_no_query_crosses_the_tenant_filter(kind, owners, asking, text, filter):
    """Every document has every word, so that only the tenant can hold one back."""
    texts = f"log secret kafka {text}"
    documents = [document(f"d{n}", text=texts, tenant=tenant, metadata=filter) for n, tenant in enumerate(owners)]

    got = found(kind, documents, Query(f"log {text}", 50, asking, filter))
    assert {f"d{n}" for n, owner in enumerate(owners) if owner in (None, asking)} == set(ids(got))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(metadata=st.lists(FILTERS, min_size=1, max_size=4), filter=FILTERS)
def test_filter_keeps_exactly_the_documents_that_have_what_it_names(kind, metadata, filter):
    documents = [document(f"d{n}", text="log", metadata=one) for n, one in enumerate(metadata)]

    def values(of):
        return {(type(v) is bool, isinstance(v, str), v) for v in (of if isinstance(of, list) else [of])}

    wanted = {
        one.id
        for one in documents
        if all(values(some) & values(one.metadata.get(name, [])) for name, some in filter.items())
    }

    assert wanted == set(ids(found(kind, documents, Query("log", 50, None, filter))))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80)
@given(text=QUERIES | SURROGATES)
def test_hostile_query_text_never_raises(kind, text):
    got = found(kind, [document()], Query(text))

    assert len(got.passages) in (0, 1)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from(["log one", "log two", None, b"poison", b'{"id": "x", "text": "log"}'])
    ),
    max_size=12,
)


def kept(kind, records):
    """What a corpus made of these records holds."""
    made = kind()
    keeper = CorpusKeeper(None, made)
    for record in records:
        keeper.apply(record)
    made.commit("s")
    return [(one["id"], one["text"]) for one in asyncio.run(made.find(Query("log", 50))).passages]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(changes=CHANGES)
def test_corpus_is_the_same_before_and_after_compaction(kind, changes):
    """A restarted worker reads only the last record of each key."""
    records = [
        written(document(key, text=value) if isinstance(value, str) else value, key, offset=offset)
        for offset, (key, value) in enumerate(changes)
    ]
    last = {record.key: record for record in records}

    assert kept(kind, last.values()) == kept(kind, records)


TEXTS = st.lists(st.sampled_from(["word", "a", "é", "日", ". ", "! ", "\n", "\n\n", " ", "\t"]), max_size=60).map(
    "".join
)


@given(text=TEXTS | st.text(max_size=80), most=st.integers(1, 40))
def test_parts_of_any_text_fit_and_lose_nothing(text, most):
    parts = splitting.split(text, most)

    assert all(0 < len(part) <= most and part == part.strip() for part in parts)
    assert re.sub(r"\s", "", text) == re.sub(r"\s", "", "".join(parts))


@given(text=TEXTS, most=st.integers(1, 40))
def test_text_that_fits_is_one_part(text, most):
    assert (len(text.strip()) <= most) <= (len(splitting.split(text, most)) <= 1)


@given(applied=st.dictionaries(st.integers(0, 9), st.integers(0, 99)))
def test_snapshots_are_equal_only_for_equal_offsets(applied):
    moved = {**applied, 3: applied.get(3, 0) + 1}

    assert corpus.snapshot(dict(reversed(applied.items()))) == corpus.snapshot(applied) != corpus.snapshot(moved)


@given(one=st.text(), other=st.text())
def test_owners_are_equal_only_for_equal_tenants(one, other):
    assert (one == other) == (corpus.owner(one) == corpus.owner(other))
