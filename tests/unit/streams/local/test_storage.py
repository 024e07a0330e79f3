import re
from pathlib import Path

import pytest

from streams.local import storage
from streams.local.java import Runtime
from tests.support.fake_java import FORMATS, fake_java, fake_runtime
from topics.errors import LocalKafkaError


def failing(folder: Path, formats: str) -> Runtime:
    runtime = fake_runtime(folder)
    fake_java(folder, formats=formats)
    return runtime


def formatted(folder: Path, cluster: str = "c-1") -> Path:
    template = folder / "template"
    template.write_text("levels")
    storage.format_dir(template, folder / "storage", cluster)
    return folder / "storage"


def test_new_id_has_kafkas_form() -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9_]{22}", storage.new_id()) for _ in range(200))


def test_new_id_is_never_the_same() -> None:
    assert 200 == len({storage.new_id() for _ in range(200)})


def test_formatted_directory_knows_its_cluster(tmp_path: Path) -> None:
    assert "c-1" == storage.cluster_id(formatted(tmp_path))


def test_formatted_directory_holds_the_template(tmp_path: Path) -> None:
    assert "levels" == (formatted(tmp_path) / "bootstrap.checkpoint").read_text()


def test_formatted_directory_has_the_four_facts_kafka_reads(tmp_path: Path) -> None:
    lines = (formatted(tmp_path) / "meta.properties").read_text().splitlines()

    assert ["version", "cluster.id", "node.id", "directory.id"] == [line.partition("=")[0] for line in lines]


def test_directory_formatted_twice_stays_as_it_is(tmp_path: Path) -> None:
    before = (formatted(tmp_path) / "meta.properties").read_text()

    assert before == (formatted(tmp_path, cluster="c-2") / "meta.properties").read_text()


def test_directory_whose_format_was_interrupted_is_formatted(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "meta.part").write_text("version=1\nclus")

    assert "c-1" == storage.cluster_id(formatted(tmp_path))


def test_empty_directory_belongs_to_no_cluster(tmp_path: Path) -> None:
    assert storage.cluster_id(tmp_path) is None


def test_meta_file_without_cluster_belongs_to_none(tmp_path: Path) -> None:
    (tmp_path / "meta.properties").write_text("version=1\n")

    assert storage.cluster_id(tmp_path) is None


def test_checkpoint_is_what_kafkas_tool_wrote(tmp_path: Path) -> None:
    storage.checkpoint(fake_runtime(tmp_path), tmp_path / "made")

    assert "format" == (tmp_path / "made").read_text().splitlines()[0]


def test_checkpoint_with_users_passes_one_clause_each(tmp_path: Path) -> None:
    storage.checkpoint(fake_runtime(tmp_path), tmp_path / "made", ["S=[name=a]", "S=[name=b]"])

    assert ["--add-scram", "S=[name=a]", "--add-scram", "S=[name=b]"] == (tmp_path / "made").read_text().splitlines()[
        5:
    ]


def test_checkpoint_with_users_keeps_passwords_out_of_the_process_list(tmp_path: Path) -> None:
    runtime = failing(tmp_path, f'echo "$*" > {tmp_path}/seen; {FORMATS}')

    storage.checkpoint(runtime, tmp_path / "made", ["S=[name=a,password=hunter2]"])

    assert "hunter2" not in (tmp_path / "seen").read_text()


@pytest.mark.parametrize(
    ("formats", "reason"),
    [("echo no such option; exit 2", "no such option"), ("exit 3", "exit code 3, no output"), (":", "exit code 0")],
)
def test_tool_that_fails_raises_with_its_words_and_the_cache(tmp_path: Path, formats: str, reason: str) -> None:
    runtime = failing(tmp_path, formats)

    with pytest.raises(LocalKafkaError, match=f"could not format a storage directory: {reason}.*Cache: {runtime.root}"):
        storage.checkpoint(runtime, tmp_path / "made")

    assert not (tmp_path / "made").exists()


def test_tool_that_quotes_a_password_when_failing_has_it_hidden(tmp_path: Path) -> None:
    runtime = failing(tmp_path, 'cat "$arguments"; exit 1')

    with pytest.raises(LocalKafkaError, match=r"name=a,password=\*\*\*\]"):
        storage.checkpoint(runtime, tmp_path / "made", ["S=[name=a,password=hunter2]"])
