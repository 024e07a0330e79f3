"""OUT after any kill: whole lines stay, a torn one is cut off, and what is answered is known."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.client.outfile import OutFile, answered, beside
from streams.decisions.questions import digest
from tests.support.fake_cluster import answer, refusal
from topics import wire
from topics.answer import Answer
from topics.errors import ConfigurationError


def said(id, **fields):
    return Answer(**answer({"id": id, "prompt": "x"}, **fields))


def line(id):
    return wire.encode(said(id)) + b"\n"


def opened(path):
    """What a run finds in OUT, and what is there then."""
    with OutFile(path) as out:
        return out.done, path.read_bytes()


def test_appended_answer_is_one_line_with_the_bytes_of_the_wire(tmp_path):
    with OutFile(tmp_path / "out") as out:
        out.append(said("a", text="é\n\x1b"))

    assert wire.encode(said("a", text="é\n\x1b")) + b"\n" == (tmp_path / "out").read_bytes()


def test_answers_of_an_earlier_run_are_known(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(line("a") + line("b"))

    assert ({digest("a"), digest("b")}, line("a") + line("b")) == opened(path)


@given(st.integers(1, len(line("b")) - 2))
def test_torn_last_line_is_cut_off_wherever_it_was_torn(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("torn") / "out"
    path.write_bytes(line("a") + line("b")[:length])

    assert ({digest("a")}, line("a")) == opened(path)


def test_last_line_that_only_lacks_its_end_is_kept(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(line("a")[:-1])

    assert ({digest("a")}, line("a")) == opened(path)


@pytest.mark.parametrize(
    "foreign", [b"my note\n", b"\n", b"[]\n", b'{"id": 5, "status": "completed"}\n', b"\xff\n", b"{}\n"]
)
def test_lines_of_other_people_stay_and_count_for_nothing(tmp_path, foreign):
    path = tmp_path / "out"
    path.write_bytes(foreign + line("a"))

    assert ({digest("a")}, foreign + line("a")) == opened(path)


@pytest.mark.parametrize("status", ["failed", "rejected", "expired"])
def test_answer_that_is_no_success_is_asked_again(status):
    assert answered(json.dumps(refusal({"id": "a"}, status=status)).encode()) is None


def test_two_runs_into_one_file_are_refused(tmp_path):
    with OutFile(tmp_path / "out"), pytest.raises(ConfigurationError, match="another run"), OutFile(tmp_path / "out"):
        raise AssertionError("the block must not run")


def test_file_is_free_again_after_its_run(tmp_path):
    for _ in range(2):
        with OutFile(tmp_path / "out") as out:
            out.append(said("a"))

    assert 2 == len((tmp_path / "out").read_bytes().splitlines())


def test_file_that_cannot_be_made_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file") as found, OutFile(tmp_path / "none" / "out"):
        raise AssertionError("the block must not run")

    assert ("--out", str(tmp_path / "none" / "out")) == (found.value.field, found.value.value)


def test_pipe_as_file_is_refused_with_the_fix(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ConfigurationError, match="no regular file; use --wait"), OutFile(tmp_path / "pipe"):
        raise AssertionError("the block must not run")


def test_disk_that_is_full_is_told_by_the_name_of_the_file(tmp_path, monkeypatch):
    def full(file, raw):
        raise OSError(28, "No space left on device")

    with OutFile(tmp_path / "out") as out:
        monkeypatch.setattr("os.write", full)

        with pytest.raises(ConfigurationError, match="No space left"):
            out.append(said("a"))


def test_line_is_written_whole_where_the_system_takes_it_in_parts(tmp_path, monkeypatch):
    write = os.write
    with OutFile(tmp_path / "out") as out:
        monkeypatch.setattr("os.write", lambda file, raw: write(file, raw[:7]))
        out.append(said("a"))

    assert line("a") == (tmp_path / "out").read_bytes()


def test_errors_lie_beside_the_answers(tmp_path):
    with OutFile(tmp_path / "out.jsonl") as out:
        out.complain({"line": 2, "field": "url", "value": None})
        out.complain({"line": 3})

    assert b'{"line":2,"field":"url"}\n{"line":3}\n' == (tmp_path / "out.jsonl.errors.jsonl").read_bytes()


def test_errors_of_an_earlier_run_are_forgotten(tmp_path):
    for _ in range(2):
        with OutFile(tmp_path / "out") as out:
            out.complain({"line": 1})

    assert b'{"line":1}\n' == out.errors.read_bytes()


def test_run_without_errors_leaves_no_file_of_them(tmp_path):
    with OutFile(tmp_path / "out") as out:
        pass

    assert not out.errors.exists()


def begun(path, *answers):
    """A run that was killed after some answers."""
    with OutFile(path) as out:
        out.begin(5)
        for id in answers:
            out.append(said(id))


def test_run_after_a_killed_one_knows_since_when_to_look(tmp_path):
    begun(tmp_path / "out", "a")

    with OutFile(tmp_path / "out") as out:
        assert 5 == out.since_ms


def test_run_after_a_finished_one_looks_for_nothing(tmp_path):
    begun(tmp_path / "out", "a")
    with OutFile(tmp_path / "out") as out:
        out.finish()

    assert out.since_ms is None


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b"{}", b'{"since_ms": "x"}', b"\xff"])
def test_memory_of_a_run_that_cannot_be_read_counts_as_none(tmp_path, torn):
    begun(tmp_path / "out", "a")
    beside(tmp_path / "out", ".state").write_bytes(torn)

    with OutFile(tmp_path / "out") as out:
        assert out.since_ms is None


def test_memory_of_a_run_goes_with_its_answers(tmp_path):
    begun(tmp_path / "out", "a")
    (tmp_path / "out").unlink()

    with OutFile(tmp_path / "out") as out:
        assert out.since_ms is None


@pytest.mark.parametrize("tail", [b"my note", b'{"id": "a"', b'{"id":"a","prompt":"x"}', b"[1]", b"\xff"])
def test_last_line_of_other_people_is_never_cut_off(tmp_path, tail):
    path = tmp_path / "out"
    path.write_bytes(line("a") + tail)

    assert ({digest("a")}, line("a") + tail + b"\n") == opened(path)


@pytest.mark.parametrize("name", ["out", "out.errors.jsonl", "out.state", "link"])
def test_file_of_rows_is_never_written_to(tmp_path, name):
    rows = tmp_path / ("out" if name == "link" else name)
    rows.write_bytes(b"mine")
    (tmp_path / "link").symlink_to(rows)
    out = tmp_path / ("link" if name == "link" else "out")

    with pytest.raises(ConfigurationError, match="name another OUT"), OutFile(out, rows):
        raise AssertionError("the block must not run")

    assert b"mine" == rows.read_bytes()
