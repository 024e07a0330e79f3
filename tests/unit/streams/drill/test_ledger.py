"""The lines of the fake provider's own log."""

import json
import os

import pytest

from streams.drill.ledger import Entry, Ledger, read


def entry(action="start", key="k-1", **fields):
    return Entry(action, key, **{"act": "ok", **fields})


def test_entries_are_kept_in_order():
    ledger = Ledger()
    for action in ("start", "end"):
        ledger.note(entry(action))

    assert ["start", "end"] == ledger.actions()


def test_ledger_without_a_file_writes_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Ledger().note(entry())

    assert [] == list(tmp_path.iterdir())


def test_line_of_an_entry_is_json_with_process_and_time(tmp_path):
    Ledger(tmp_path / "calls.jsonl", now=lambda: 1.5).note(entry(nonce="n", model="m", input_tokens=3, output_tokens=2))
    (line,) = (tmp_path / "calls.jsonl").read_text().splitlines()

    assert {
        "action": "start",
        "key": "k-1",
        "act": "ok",
        "nonce": "n",
        "model": "m",
        "input_tokens": 3,
        "output_tokens": 2,
        "by": "",
        "pid": os.getpid(),
        "at": 1.5,
    } == json.loads(line)


def test_entries_read_back_are_those_written(tmp_path):
    path = tmp_path / "calls.jsonl"
    first, second = Ledger(path, now=lambda: 1.0), Ledger(path, now=lambda: 2.0)
    first.note(entry("start"))
    second.note(entry("cancel"))

    assert [("start", 1.0), ("cancel", 2.0)] == [(found.action, found.at) for found in read(path)]


@pytest.mark.parametrize("rest", [b"", b'{"action"', b'{"action": "end", "key": "k"}'])
def test_last_line_that_is_not_whole_is_left_out(tmp_path, rest):
    path = tmp_path / "calls.jsonl"
    Ledger(path).note(entry())
    with path.open("ab") as file:
        file.write(rest)

    assert ["start"] == [found.action for found in read(path)]


def test_file_that_is_not_there_has_no_entries(tmp_path):
    assert [] == read(tmp_path / "none.jsonl")
