"""What was read, as files: the same verdict again, bytes and all, and errors by file and line."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.offsets import AtOffset, AtTime, FromStart, Position
from streams.decisions.proof import READ, Demands, Mark, Verdict
from streams.stage import Record
from streams.verify import Exported, exporting, readers, verify
from streams.verify.files import READING, _record, _told
from tests.support.builders import NOW_MS
from tests.support.checked import BROKEN, Topics, asked, ran
from topics.catalog import ADMITTED, PROMPTS, RESULTS, Names
from topics.errors import ConfigurationError

RAW = st.none() | st.binary(max_size=12)
RECORDS = st.builds(
    Record,
    st.sampled_from(READ),
    st.integers(0, 9),
    st.integers(0, 10**12),
    st.integers(0, 10**13),
    RAW,
    RAW,
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple),
)
MIXED = (asked("a"), asked("b", "other"), {"id": "r", "nope": 1}, BROKEN, b"\xff\x00")
NONE = ()


def exported(
    to: Path, *prompts: Any, start: Position | None = None, stop: Position | None = None, **short: int
) -> Verdict:
    """What the checker said of a pipeline, leaving what it read in a directory."""
    source = Topics(ran(*(prompts or MIXED), script=["ok", "auth"], partitions=1), **short)

    async def scenario() -> Verdict:
        with exporting(to) as sink:
            return await verify(source, Names(), readers(source.pipeline.stages), None, None, start, stop, sink)

    return asyncio.run(scenario())


def again(directory: Path, **demands: Any) -> Verdict:
    return Exported(directory).verify(None, Demands(**demands))


def lines(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def rewrite(path: Path, *kept: Any) -> None:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in kept))


@given(RECORDS)
def test_record_comes_back_as_it_was(record: Record) -> None:
    assert record == _record(orjson.loads(orjson.dumps(_told(record))))


@pytest.mark.parametrize(
    ("raw", "field"), [(b"text", "value"), (None, "value"), (b"", "value"), (b"\xff", "value_base64")]
)
def test_value_is_text_where_it_can_be(raw: bytes | None, field: str) -> None:
    assert field in _told(Record(PROMPTS, 0, 0, NOW_MS, None, raw))


@pytest.mark.parametrize(
    "range_", [{}, {"start": AtOffset(1)}, {"stop": AtOffset(2)}, {"start": AtTime(NOW_MS)}, {"start": FromStart()}]
)
def test_files_give_the_verdict_of_the_cluster(tmp_path: Path, range_: dict[str, Position]) -> None:
    assert exported(tmp_path, **range_) == again(tmp_path)


def test_files_remember_how_far_groups_had_come(tmp_path: Path) -> None:
    exported(tmp_path, asked("a"), refined=1)
    (tmp_path / "results.jsonl").write_bytes(b"")

    assert ("a",) == again(tmp_path).ids("unseen")


def test_each_topic_has_a_file_also_without_records(tmp_path: Path) -> None:
    exported(tmp_path)

    assert {READING, *(f"{topic}.jsonl" for topic in READ)} == {path.name for path in tmp_path.iterdir()}


def test_head_of_an_export_tells_names_and_range(tmp_path: Path) -> None:
    exported(tmp_path, start=AtTime(77))

    assert {"namespace": "prompts.", "prefix": "", "since_ms": 77, "whole": False} == lines(tmp_path / READING)[0]


def test_marks_of_an_export_are_read_back(tmp_path: Path) -> None:
    exported(tmp_path)
    [_, first, *_] = lines(tmp_path / READING)

    assert Mark("prompts.core", PROMPTS, 0, 5, 0, 5) == Mark(**first)


def test_prompts_outside_the_range_are_marked(tmp_path: Path) -> None:
    exported(tmp_path, stop=AtOffset(1))

    assert [None, False, False, False, False] == [line.get("judged") for line in lines(tmp_path / "prompts.jsonl")]


def test_answer_taken_out_of_a_file_is_lost(tmp_path: Path) -> None:
    exported(tmp_path, asked("a"))
    (tmp_path / "results.jsonl").write_bytes(b"")

    assert ("a",) == again(tmp_path).ids("lost")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_line_taken_out_of_a_file_is_a_gap(tmp_path: Path, place: int) -> None:
    exported(tmp_path, asked("a"), asked("b", "x"), asked("c", "y"))
    every = lines(tmp_path / "admitted.jsonl")
    rewrite(tmp_path / "admitted.jsonl", *every[:place], *every[place + 1 :])

    found = again(tmp_path).found("gap").items
    assert [("admitted/0", f"offsets {place} to {place} are missing")] == list(found)


def test_files_of_another_tool_need_only_records(tmp_path: Path) -> None:
    exported(tmp_path / "whole", asked("a"))
    for topic in (PROMPTS, RESULTS):
        (tmp_path / f"{topic}.jsonl").write_bytes((tmp_path / "whole" / f"{topic}.jsonl").read_bytes())
    found = again(tmp_path)

    assert (True, 1) == (found.clean, found.counts["completed"])


def test_demands_are_heard_for_files_too(tmp_path: Path) -> None:
    exported(tmp_path, asked("a"))

    assert ("a",) == again(tmp_path, stall_s=0.5).ids("stalled")


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("prompts.jsonl", b"{", 1),
        ("prompts.jsonl", b"[]\n", 1),
        ("prompts.jsonl", b'{"topic":"prompts"}\n', 1),
        ("results.jsonl", b'{"topic":"results","partition":"x","offset":0,"timestamp":0}\n', 1),
        ("admitted.jsonl", b'{"topic":"admitted","partition":0,"offset":0,"timestamp":0,"value_base64":"?"}\n', 1),
        ("prompts.jsonl", b'{"topic":"prompts","partition":0,"offset":0,"timestamp":0}\nnope\n', 2),
        (READING, b"", 1),
        (READING, b"{}", 1),
        (READING, b'{"namespace":"","prefix":"","since_ms":0,"whole":true}\n{"group":1}\n', 1),
    ],
)
def test_line_that_is_no_record_is_named(tmp_path: Path, name: str, content: bytes, line: int) -> None:
    (tmp_path / "prompts.jsonl").write_bytes(b"")
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigurationError, match=f"{name}:{line}") as raised:
        again(tmp_path)

    assert "--files" == raised.value.field


def test_directory_without_prompts_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"prompts\.jsonl.*--export"):
        again(tmp_path)


def test_export_into_a_directory_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()

    with pytest.raises(ConfigurationError, match="new or empty"), exporting(tmp_path):
        pass


def test_export_to_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="directory to write to"), exporting(tmp_path / "file"):
        pass


def test_export_closes_its_files(tmp_path: Path) -> None:
    with exporting(tmp_path / "new") as sink:
        sink.begin(Names(), NONE, 0, True)
        sink.add(Record(ADMITTED, 0, 0, NOW_MS, None, b"x"), True)

    assert all(file.closed for file in sink._files.values())
