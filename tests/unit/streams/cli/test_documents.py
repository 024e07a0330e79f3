"""`documents load`: what is written, left, removed and told; and that it can be run again (B146)."""

import json

import pytest

from streams.cli import documents
from streams.cli.documents import Tally
from tests.support.commands import NOWHERE, Screen, streams
from tests.support.fake_cluster import AWAY, FakeKafka
from topics.catalog import DOCUMENTS
from topics.errors import RecordTooLarge


@pytest.fixture
def home(tmp_path):
    (tmp_path / "a.md").write_text("# Title\n\nbody")
    (tmp_path / "b.jsonl").write_text('{"id": "x", "text": "line"}\n')
    return tmp_path


def load(directory, kafka, *options, **given):
    return streams("documents", "load", directory, *options, kafka=kafka, **given)


def held(kafka):
    """Id → document, or None where it was deleted last."""
    records = kafka.topics.get(DOCUMENTS, [])
    return {one.key.decode(): one.value and json.loads(one.value) for one in records}


def count(kafka):
    return len(kafka.topics.get(DOCUMENTS, []))


def test_load_of_a_directory_publishes_each_text_under_its_id(home):
    kafka = FakeKafka()
    ran = load(home, kafka)

    assert (0, "2 documents loaded, 0 unchanged, 0 removed, 0 wrong, from 2 files\n") == (ran.code, ran.err)
    assert {"a.md": ("Title", "# Title\n\nbody"), "x": (None, "line")} == {
        id: (one["title"], one["text"]) for id, one in held(kafka).items()
    }


def test_load_writes_nothing_to_stdout(home):
    assert "" == load(home, FakeKafka()).out


def test_load_again_leaves_what_is_there(home):
    kafka = FakeKafka()
    load(home, kafka)
    ran = load(home, kafka)

    assert (2, "0 documents loaded, 2 unchanged, 0 removed, 0 wrong, from 2 files\n") == (count(kafka), ran.err)


def test_load_after_an_interruption_writes_only_what_is_missing(home):
    whole, half = FakeKafka(), FakeKafka()
    load(home, whole)
    first = whole.topics[DOCUMENTS][0]
    half.put(DOCUMENTS, first.key, first.value)
    load(home, half)

    assert (2, held(whole)) == (count(half), held(half))


def test_load_of_a_changed_text_replaces_it(home):
    kafka = FakeKafka()
    load(home, kafka)
    (home / "a.md").write_text("new")
    load(home, kafka)

    assert (3, "new") == (count(kafka), held(kafka)["a.md"]["text"])


def test_load_of_a_deleted_document_brings_it_back(home):
    kafka = FakeKafka()
    load(home, kafka)
    kafka.put(DOCUMENTS, b"x", None)
    load(home, kafka)

    assert "line" == held(kafka)["x"]["text"]


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("one", "p" * 150 + "\n\n" + "q" * 150, {"a.md#1", "a.md#2"}),
        ("p" * 150 + "\n\n" + "q" * 150, "one", {"a.md"}),
        ("p" * 150 + "\n\n" + "q" * 150, "", set()),
    ],
)
def test_load_of_a_text_with_other_parts_removes_the_old_ones(home, first, second, left):
    kafka, few = FakeKafka(), {"environ": {"STREAMS_RETRIEVE__PART_CHARS": "200"}}
    for text in (first, second):
        (home / "a.md").write_text(text)
        load(home, kafka, **few)

    assert left | {"x"} == {id for id, one in held(kafka).items() if one}


def test_load_leaves_documents_of_others_alone(home):
    kafka = FakeKafka()
    kafka.put(DOCUMENTS, b"theirs", b'{"id": "theirs", "text": "t"}')
    kafka.put(DOCUMENTS, b"\xff", b"poison")
    load(home, kafka)

    assert 4 == count(kafka)


def test_load_for_a_tenant_gives_each_document_to_it(home):
    kafka = FakeKafka()
    load(home, kafka, "--tenant", "acme")

    assert {"acme"} == {one["tenant"] for one in held(kafka).values()}


def test_wrong_line_is_told_and_the_others_are_loaded(home):
    (home / "b.jsonl").write_text('{"id": "x"}\n{"id": "y", "text": "t"}\n')
    kafka = FakeKafka()
    ran = load(home, kafka)

    assert (3, {"a.md", "y"}) == (ran.code, set(held(kafka)))
    assert ran.err.startswith('error: b.jsonl:1: text: missing; a line is {"id": …, "text": …}')


def test_load_of_nothing_but_wrong_lines_exits_with_1(tmp_path):
    (tmp_path / "a.jsonl").write_text("no\n")

    assert 1 == load(tmp_path, FakeKafka()).code


def test_id_that_stands_twice_is_told(home):
    (home / "c.jsonl").write_text('{"id": "x", "text": "other"}\n')
    kafka = FakeKafka()
    ran = load(home, kafka)

    assert (3, "line") == (ran.code, held(kafka)["x"]["text"])
    assert "error: x: the id was there before in this directory: give each its own" in ran.err


def test_document_above_the_limit_of_the_topic_is_told(home):
    ran = load(home, FakeKafka(refuses=RecordTooLarge(DOCUMENTS, 9, 5)))

    assert (1, 2) == (ran.code, ran.err.count("make its metadata smaller"))
    assert "0 documents loaded, 0 unchanged, 0 removed, 2 wrong" in ran.err


def test_broker_that_goes_away_ends_the_load_with_1(home):
    ran = load(home, FakeKafka(refuses=AWAY))

    assert (1, "error: Kafka did not answer while publishing: KafkaConnectionError\n") == (ran.code, ran.err)


@pytest.mark.parametrize("directory", [NOWHERE, __file__])
def test_load_of_no_directory_exits_with_2(directory):
    ran = load(directory, FakeKafka())

    assert 2 == ran.code
    assert "it is no directory" in ran.err


def test_name_that_steers_a_terminal_is_written_out(tmp_path):
    (tmp_path / "a\x1b[2J.txt").write_bytes(b"\xff")

    assert "error: a\\x1b[2J.txt: not UTF-8" in load(tmp_path, FakeKafka()).err


@pytest.mark.parametrize(
    ("tally", "code"),
    [
        (Tally(written=1), 0),
        (Tally(), 0),
        (Tally(written=1, wrong=1), 3),
        (Tally(unchanged=1, wrong=1), 3),
        (Tally(removed=1, wrong=1), 1),
    ],
)
def test_exit_code_says_whether_all_some_or_none_were_loaded(tally, code):
    assert code == tally.exit_code


def test_more_documents_than_may_be_on_their_way_are_all_written(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "ON_THEIR_WAY", 3)
    (tmp_path / "a.jsonl").write_text("".join(f'{{"id": "d{number}", "text": "t"}}\n' for number in range(20)))
    kafka = FakeKafka()
    load(tmp_path, kafka)

    assert 20 == count(kafka)


def test_bar_on_a_terminal_shows_how_far_it_is(monkeypatch):
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with documents.bar(2) as done:
        done()
        done()

    assert "100%" in screen.getvalue()


def test_bar_anywhere_else_shows_nothing(capsys):
    with documents.bar(2) as done:
        done()

    assert "" == capsys.readouterr().err


ALIKE = '{"id": "k", "text": "one"}\n{"id": "k#1", "text": "two"}\n'


def test_load_again_leaves_an_id_that_only_looks_like_a_part(tmp_path):
    (tmp_path / "a.jsonl").write_text(ALIKE)
    kafka = FakeKafka()
    load(tmp_path, kafka)
    ran = load(tmp_path, kafka)

    assert ("two", 2, True) == (held(kafka)["k#1"]["text"], count(kafka), ran.err.startswith("0 documents loaded, 2 u"))


def test_id_that_is_a_part_of_another_text_is_told(tmp_path):
    (tmp_path / "a.md").write_text("p" * 150 + "\n\n" + "q" * 150)
    (tmp_path / "b.jsonl").write_text('{"id": "a.md#2", "text": "other"}\n')
    kafka = FakeKafka()
    ran = load(tmp_path, kafka, environ={"STREAMS_RETRIEVE__PART_CHARS": "200"})

    assert (3, "q" * 150) == (ran.code, held(kafka)["a.md#2"]["text"])
    assert "error: a.md#2: the id was there before" in ran.err


def test_load_for_a_tenant_without_a_name_exits_with_2(home):
    kafka = FakeKafka()
    ran = load(home, kafka, "--tenant", "")

    assert (2, 0) == (ran.code, count(kafka))
    assert ran.err.startswith("error: --tenant = '': ")
