"""What a directory holds: which files, which texts, and what is wrong by file, line and fix (B146)."""

import json

import pytest

from streams.cli import files
from streams.cli.files import Cut, Wrong
from topics.errors import ConfigurationError


def texts(tmp_path, name, content, cut=None):
    """The documents of one file, as (id, text)."""
    return [(one.id, one.text) for source in sources(tmp_path, name, content, cut) for one in source.documents]


def sources(tmp_path, name, content, cut=None):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(files.sources_in(path, name, cut or Cut()))


def lines(*rows):
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


@pytest.fixture
def tree(tmp_path):
    for name in ("b.md", "a.txt", "sub/c.jsonl", "sub/deep/D.MD", ".hidden.md", ".git/e.txt", "f.pdf", "sub/g.bin"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "folder.txt").mkdir()
    return tmp_path


def test_files_of_a_directory_are_the_visible_texts_in_order(tree):
    found = [path.relative_to(tree).as_posix() for path in files.files_in(tree)]

    assert ["a.txt", "b.md", "sub/c.jsonl", "sub/deep/D.MD"] == found


@pytest.mark.parametrize(("name", "fix"), [("a.txt", "it is no directory"), ("nowhere", "it is no directory")])
def test_files_of_no_directory_are_refused(tree, name, fix):
    with pytest.raises(ConfigurationError, match=fix):
        files.files_in(tree / name)


def test_directory_without_any_text_is_refused(tmp_path):
    (tmp_path / "a.pdf").write_text("x")

    with pytest.raises(ConfigurationError, match=r"no \.txt, \.md or \.jsonl"):
        files.files_in(tmp_path)


@pytest.mark.parametrize(
    ("content", "text"),
    [("one", "one"), ("\ufeffone\r\ntwo\r\n", "one\ntwo"), (" κόσμε \n", "κόσμε"), ("# H\n\nbody", "# H\n\nbody")],
)
def test_text_of_a_file_is_one_document_called_by_its_path(tmp_path, content, text):
    assert [("a.txt", text)] == texts(tmp_path, "a.txt", content)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.jsonl"])
@pytest.mark.parametrize("content", ["", " \n\n"])
def test_empty_file_holds_no_document(tmp_path, name, content):
    assert [] == texts(tmp_path, name, content)


def test_long_text_is_in_parts_with_numbers_and_their_place(tmp_path):
    [source] = sources(tmp_path, "a.md", "# T\n\none\n\ntwo", Cut(part_chars=5))

    assert [("a.md#1", "# T"), ("a.md#2", "one"), ("a.md#3", "two")] == [(one.id, one.text) for one in source.documents]
    assert [{"source": "a.md", "part": 2}] == [one.metadata for one in source.documents[1:2]]
    assert {"T"} == {one.title for one in source.documents}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One", "One"),
        ("intro\n\n## Two ##\n\n# One", "Two"),
        ("   ### *Three*  ", "*Three*"),
        ("```\n# code\n```\n# After", "After"),
        ("~~~\n# code\n", None),
        ("#nospace\n#\n# \n", None),
        ("    # indented code", None),
        ("####### seven", None),
        ("", None),
    ],
)
def test_title_of_markdown_is_its_first_heading(text, title):
    assert title == files.title_of(text)


def test_heading_in_a_plain_text_is_no_title(tmp_path):
    [source] = sources(tmp_path, "a.txt", "# not meant")

    assert None is source.documents[0].title


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson"])
def test_lines_of_a_file_are_documents_as_they_are(tmp_path, name):
    row = {"id": "x", "text": "t", "title": "T", "tenant": "acme", "metadata": {"a": 1}}
    found = sources(tmp_path, name, "\ufeff" + lines(row, "", {"id": "y", "text": "u"}))

    assert [row, {"id": "y", "text": "u", "title": None, "tenant": None, "metadata": {}}] == [
        one.model_dump() for source in found for one in source.documents
    ]


def test_long_text_of_a_line_is_in_parts_that_keep_its_fields(tmp_path):
    row = {"id": "x", "text": "one\n\ntwo", "metadata": {"a": 1}}
    [source] = sources(tmp_path, "a.jsonl", lines(row), Cut(part_chars=4))

    assert [("x#1", {"a": 1, "part": 1}), ("x#2", {"a": 1, "part": 2})] == [
        (one.id, one.metadata) for one in source.documents
    ]


@pytest.mark.parametrize(
    ("name", "content", "tenants"),
    [
        ("a.md", "one", ["acme"]),
        ("a.jsonl", lines({"id": "x", "text": "t"}, {"id": "y", "text": "t", "tenant": "own"}), ["acme", "own"]),
    ],
)
def test_tenant_is_given_to_what_names_none(tmp_path, name, content, tenants):
    found = sources(tmp_path, name, content, Cut(tenant="acme"))

    assert tenants == [one.tenant for source in found for one in source.documents]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not JSON (line 1 column 2)"),
        ("[]", "value: model_type"),
        ({"text": "t"}, "id: missing"),
        ({"id": "x"}, "text: missing"),
        ({"id": "x", "text": " "}, "text: empty"),
        ({"id": "x", "text": "t", "body": "b"}, "body: extra_forbidden"),
    ],
)
def test_wrong_line_is_told_by_number_reason_and_fix_and_others_stay(tmp_path, row, reason):
    good = {"id": "g", "text": "t"}
    before, wrong, after = sources(tmp_path, "a.jsonl", lines(good, row, {**good, "id": "h"}))

    assert Wrong("a.jsonl:2", f"{reason}; {files.LINE_FIX}") == wrong
    assert ["g", "h"] == [before.name, after.name]


def test_file_that_is_no_utf_8_is_told_with_the_byte(tmp_path):
    assert [Wrong("a.txt", "not UTF-8 (byte 2): save it as UTF-8")] == sources(tmp_path, "a.txt", b"ab\xff")


def test_file_that_cannot_be_read_is_told(tmp_path):
    assert [Wrong("a.txt", "cannot be read: No such file or directory")] == list(
        files.sources_in(tmp_path / "gone.txt", "a.txt", Cut())
    )


def test_file_whose_name_is_no_utf_8_is_told(tmp_path):
    [wrong] = files.sources_in(lines_at(tmp_path / "a.txt"), "caf\udce9.txt", Cut())

    assert Wrong("caf\udce9.txt", "the name of the file is not UTF-8, and it would be the id: rename it") == wrong


def lines_at(path):
    path.write_text("text")
    return path
