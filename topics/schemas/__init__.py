"""What do the messages look like to other languages? JSON Schemas (2020-12), generated from the models.

``python -m topics.schemas topics/schemas`` writes them anew; a test compares the files with the models.
"""

from pathlib import Path
from typing import Literal

import orjson
from pydantic import BaseModel

from topics.answer import Answer
from topics.document import Document
from topics.messages import Admitted, Assembled, Deduped, Failed, Inferred, Refined, Retrieved
from topics.request import Request

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELS: tuple[tuple[type[BaseModel], Literal["validation", "serialization"]], ...] = (
    (Request, "validation"),
    (Document, "validation"),
    *(
        (model, "serialization")
        for model in (Answer, Admitted, Deduped, Retrieved, Assembled, Inferred, Refined, Failed)
    ),
)


def generate() -> dict[str, bytes]:
    """The schemas by file name: of requests what may be written, of all else what is there to read."""
    return {f"{model.__name__.lower()}.json": _schema(model, mode) for model, mode in MODELS}


def write(directory: Path) -> None:
    """Writes every schema into an existing directory."""
    for name, content in generate().items():
        (directory / name).write_bytes(content)


def _schema(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> bytes:
    schema = {"$schema": DIALECT, **model.model_json_schema(mode=mode)}
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
