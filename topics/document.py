"""What is a document? The closed door model of ``documents``: one text to retrieve from, keyed by its id."""

from typing import Annotated, Any

from pydantic import Field

from topics.request import Closed


class Document(Closed):
    """One value of ``documents``. The record's key is its id; a null value deletes it, another one replaces it.

    Args:
        id: Its name, the same as the record's key.
        text: What is searched, and given to the model.
        title: Searched like the text, and shown beside it.
        tenant: Who may see it; None: everybody.
        metadata: What requests may filter by, scalars or lists of them by name; comes back with the passage.

    Raises:
        pydantic.ValidationError: A field is missing, unknown, empty or of the wrong type.
    """

    id: Annotated[str, Field(min_length=1)]
    text: Annotated[str, Field(min_length=1)]
    title: str | None = None
    tenant: Annotated[str, Field(min_length=1)] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


__all__ = ["Document"]
