"""What is a document, and what is none."""

import pytest
from pydantic import ValidationError

from topics import wire
from topics.document import Document
from topics.errors import DecodingError


def test_document_of_id_and_text_has_defaults_for_the_rest() -> None:
    document = Document(id="a", text="t")

    assert (None, None, {}) == (document.title, document.tenant, document.metadata)


def test_document_through_the_wire_is_the_same() -> None:
    document = Document(id="ä", text="κ\n", title="T", tenant="acme", metadata={"n": 1, "tags": ["a", True]})

    assert document == wire.decode(wire.encode(document), Document)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"text": "t"}', "id"),
        (b'{"id": "a"}', "text"),
        (b'{"id": "", "text": "t"}', "id"),
        (b'{"id": "a", "text": ""}', "text"),
        (b'{"id": 1, "text": "t"}', "id"),
        (b'{"id": "a", "text": ["t"]}', "text"),
        (b'{"id": "a", "text": "t", "title": 3}', "title"),
        (b'{"id": "a", "text": "t", "tenant": 3}', "tenant"),
        (b'{"id": "a", "text": "t", "tenant": ""}', "tenant"),
        (b'{"id": "a", "text": "t", "metadata": []}', "metadata"),
        (b'{"id": "a", "text": "t", "body": "t"}', "body"),
    ],
)
def test_document_with_a_wrong_field_is_refused_by_its_name(raw: bytes, field: str) -> None:
    with pytest.raises(DecodingError, match=f"Document: {field}: "):
        wire.decode(raw, Document)


def test_refused_document_is_not_quoted() -> None:
    with pytest.raises(ValidationError) as refused:
        Document(id="a", text="secret words", body="more secrets")  # type: ignore[call-arg]  # an unknown field is the point

    assert "secret" not in str(refused.value)
