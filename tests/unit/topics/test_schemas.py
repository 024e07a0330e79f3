"""The JSON Schemas beside the models are the ones that the models give."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from topics import schemas
from topics.answer import ERROR_KINDS
from topics.catalog import LANES

FILES = Path(schemas.__file__).parent


def schema(name):
    return json.loads(schemas.generate()[name])


def test_schema_files_are_complete():
    assert sorted(schemas.generate()) == sorted(path.name for path in FILES.glob("*.json"))


@pytest.mark.parametrize("name", schemas.generate())
def test_schema_file_equals_the_generated_one(name):
    assert schemas.generate()[name] == (FILES / name).read_bytes()


@pytest.mark.parametrize("name", schemas.generate())
def test_schema_names_its_dialect(name):
    assert schemas.DIALECT == schema(name)["$schema"]


DOOR = ("request.json", "answer.json", "document.json")


@pytest.mark.parametrize("name", DOOR)
def test_schema_at_the_door_is_closed(name):
    assert schema(name)["additionalProperties"] is False


@pytest.mark.parametrize("name", [name for name in schemas.generate() if name not in DOOR])
def test_schema_inside_is_open(name):
    assert schema(name)["additionalProperties"] is True


def test_request_schema_requires_nothing():
    assert [] == schema("request.json").get("required", [])


def test_document_schema_requires_id_and_text():
    assert ["id", "text"] == schema("document.json")["required"]


def test_answer_schema_promises_every_field():
    answer = schema("answer.json")

    assert sorted(answer["properties"]) == sorted(answer["required"])


def test_request_schema_lists_the_lanes():
    assert list(LANES) == schema("request.json")["properties"]["priority"]["enum"]


def test_answer_schema_lists_the_error_kinds():
    assert list(ERROR_KINDS) == schema("answer.json")["$defs"]["AnswerError"]["properties"]["kind"]["enum"]


def test_write_into_a_directory_leaves_every_schema_there(tmp_path):
    schemas.write(tmp_path)

    assert schemas.generate() == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_command_line_writes_into_the_named_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["schemas", str(tmp_path)])
    runpy.run_module("topics.schemas", run_name="__main__")

    assert sorted(schemas.generate()) == sorted(path.name for path in tmp_path.iterdir())
