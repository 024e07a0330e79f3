"""What a record does to the corpus, who sees what, and which words are looked up (B141, B142, B143)."""

import pytest

from streams.decisions import corpus
from streams.decisions.corpus import Drop, Put, Skip
from tests.support.documents import document
from topics import wire
from topics.catalog import DOCUMENT_BYTES

USER = {"role": "user", "content": "what?"}


def test_change_of_a_document_under_its_id_puts_it():
    one = document("a", tenant="acme")

    assert Put(one) == corpus.change(b"a", wire.encode(one))


def test_change_of_a_null_value_drops_the_key():
    assert Drop("ä") == corpus.change("ä".encode(), None)


@pytest.mark.parametrize(
    ("key", "value", "skip"),
    [
        (None, b"{}", Skip(None, "there is no key")),
        (b"", None, Skip(None, "there is no key")),
        (b"\xff", None, Skip(None, "the key is not UTF-8")),
        (b"a", b"", Skip("a", "not JSON (line 1 column 1)")),
        (b"a", b"no", Skip("a", "not JSON (line 1 column 1)")),
        (b"a", b"[]", Skip("a", "value: model_type")),
        (b"a", b'{"id": "a"}', Skip("a", "text: missing")),
        (b"a", b'{"id": "b", "text": "t"}', Skip("a", "the key is not the document's id")),
        (b"b", b'{"id": "a", "text": "t"}', Skip("b", "the key is not the document's id")),
    ],
)
def test_change_of_poison_is_skipped_with_a_reason(key, value, skip):
    assert skip == corpus.change(key, value)


@pytest.mark.parametrize(("more", "kind"), [(0, Put), (1, Skip)])
def test_change_of_a_document_is_bounded_by_its_bytes(more, kind):
    frame = len(wire.encode(document("a", text="x"))) - 1
    raw = wire.encode(document("a", text="x" * (DOCUMENT_BYTES - frame + more)))

    assert kind is type(corpus.change(b"a", raw))


def test_reason_of_a_skipped_document_quotes_no_content():
    skipped = corpus.change(b"a", b'{"id": "a", "text": 5, "title": "secret"}')

    assert "secret" not in skipped.reason


@pytest.mark.parametrize(
    ("applied", "name"), [({}, "documents@"), ({3: 1}, "documents@3:1"), ({10: 2, 9: 1}, "documents@9:1,10:2")]
)
def test_snapshot_is_named_by_offsets_in_order_of_partitions(applied, name):
    assert name == corpus.snapshot(applied)


@pytest.mark.parametrize("tenant", ["", "-", "=", "acme", "None", "\x00"])
def test_owner_of_a_tenant_is_never_everybody(tenant):
    assert corpus.owner(None) != corpus.owner(tenant)


@pytest.mark.parametrize(("tenant", "count"), [(None, 1), ("", 2), ("acme", 2)])
def test_seen_by_anybody_is_what_everybody_owns_and_the_own(tenant, count):
    assert {corpus.owner(None), corpus.owner(tenant)} == set(corpus.seen_by(tenant))
    assert count == len(corpus.seen_by(tenant))


@pytest.mark.parametrize(
    ("metadata", "count"),
    [
        ({}, 0),
        ({"a": 1}, 1),
        ({"a": [1, 2, 1]}, 2),
        ({"a": ["x", True], "b": 1.5}, 3),
        ({"a": None}, 0),
        ({"a": {"b": 1}}, 0),
        ({"a": [None, {"b": 1}, [1]]}, 0),
    ],
)
def test_marks_of_metadata_are_one_a_scalar(metadata, count):
    assert count == len(corpus.marks(metadata))


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0, -0.0), (10**20, 1e20)])
def test_marks_of_equal_numbers_are_equal(one, other):
    assert corpus.marks({"a": one}) == corpus.marks({"a": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": True}, {"a": 1}),
        ({"a": True}, {"a": "True"}),
        ({"a": "bTrue"}, {"a": True}),
        ({"a": "n1"}, {"a": 1}),
        ({"a": "b"}, {"ab": ""}),
        ({"a": 1.5}, {"a": 1}),
        ({"a": "x"}, {"a": "X"}),
    ],
)
def test_marks_of_distinct_values_differ(one, other):
    assert corpus.marks(one) != corpus.marks(other)


def test_wanted_of_a_filter_are_the_marks_by_name():
    asked = corpus.wanted({"lang": ["de", "en"], "year": 2026})

    assert [corpus.marks({"lang": ["de", "en"]}), corpus.marks({"year": 2026})] == list(map(frozenset, asked))


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([], ""),
        ([USER], "what?"),
        ([USER, {"role": "user", "content": "now?"}], "now?"),
        ([{"role": "system", "content": "be brief"}, USER, {"role": "assistant", "content": "that"}], "what?"),
        ([{"role": "system", "content": "be brief"}], ""),
        ([{"role": "user", "content": None}], ""),
        ([{"role": "user"}], ""),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": "b"}]}], "a\nb"),
        ([{"role": "user", "content": [{"type": "text", "text": 5}]}], ""),
    ],
)
def test_question_is_the_text_of_the_last_user_message(messages, text):
    assert text == corpus.question(messages)


@pytest.mark.parametrize("length", [0, 1, 8191, 8192])
def test_excerpt_of_a_short_text_is_the_text(length):
    assert "x" * length == corpus.excerpt("x" * length)


@pytest.mark.parametrize("length", [8193, 20_000, 1_000_000])
def test_excerpt_of_a_long_text_is_its_beginning_and_end(length):
    text = "a" * 4096 + "b" * (length - 8192) + "c" * 4096

    assert "a" * 4096 + " " + "c" * 4096 == corpus.excerpt(text)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Plain (text)!", "Plain (text)!"),
        ("caf\u0065\u0301", "cafe\u0301".replace("e\u0301", "é")),
        ("ｆｕｌｌ", "full"),
        ("ka\u200bf\U000e0041ka", "kafka"),
        ("soft\xadware\ufeff", "software"),
        ("Kafka入門", "Kafka 入  門 "),
        ("かな", " か  な "),
        ("lone \ud800 half", "lone  half"),
        ("\u202eabc", "abc"),
    ],
)
def test_plain_text_is_folded_and_free_of_what_nobody_sees(text, seen):
    assert seen == corpus.plain(text)


@pytest.mark.parametrize(
    ("known", "most", "words"),
    [
        ({}, 3, ()),
        ({"a": 0}, 3, ()),
        ({"a": 2, "b": 1, "c": 3}, 3, ("b", "a", "c")),
        ({"a": 2, "b": 1, "c": 3}, 2, ("b", "a")),
        ({"b": 1, "a": 1}, 1, ("a",)),
    ],
)
def test_rarest_words_come_first_and_equal_ones_by_alphabet(known, most, words):
    assert words == corpus.rarest(known, most)


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (8, 0), (9, 1), (17, 1), (18, 2), (1000, 3)])
def test_fitting_passages_are_the_first_ones_within_the_bytes(limit, count):
    passages = [{"a": "xy"[:1]}] * 3

    assert count == len(corpus.fitting(passages, limit))


def test_fitting_stops_at_the_first_that_does_not_fit():
    assert () == corpus.fitting([{"a": "x" * 50}, {"a": "x"}], 20)


@pytest.mark.parametrize(("more", "count"), [(0, 2), (1, 1)])
def test_passages_of_a_request_have_at_most_768_kib_unless_told(more, count):
    first = {"text": "x" * 500_000}
    room = 786_432 - len(wire.canonical(first)) - len(wire.canonical({"text": ""}))

    assert count == len(corpus.fitting([first, {"text": "y" * (room + more)}]))


@pytest.mark.parametrize("role", ["assistant", "zebra"])
def test_question_is_never_that_of_another_role(role):
    assert "what?" == corpus.question([USER, {"role": role, "content": "that"}])
