import hashlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.local import jars
from streams.local.jars import Jar
from topics.errors import LocalKafkaError

CONTENT = b"classes"


def jar(name: str = "thing", content: bytes = CONTENT) -> Jar:
    return Jar(f"org.example:{name}:1.0", len(content), hashlib.sha256(content).hexdigest())


def delivers(content: bytes = CONTENT) -> jars.Download:
    def download(wanted: Jar, scratch: Path) -> Path:
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / wanted.name).write_bytes(content)
        return scratch / wanted.name

    return download


def breaks(error: Exception) -> jars.Download:
    def download(_: Jar, __: Path) -> Path:
        raise error

    return download


@pytest.mark.parametrize("name", ["kafka_2.13-4.3.1.jar", "kafka-clients-4.3.1.jar", "kafka-metadata-4.3.1.jar"])
def test_pinned_list_holds_kafka_in_one_version(name: str) -> None:
    assert name in {one.name for one in jars.pinned()}


def test_pinned_list_holds_every_file_once() -> None:
    names = [one.name for one in jars.pinned()]

    assert len(set(names)) == len(names)


def test_pinned_list_holds_exactly_one_log_binding() -> None:
    bindings = {"slf4j-simple", "slf4j-reload4j", "log4j-slf4j-impl", "log4j-slf4j2-impl", "logback-classic"}

    assert {"slf4j-simple"} == bindings & {one.coordinate.split(":")[1] for one in jars.pinned()}


@pytest.mark.parametrize("one", jars.pinned(), ids=lambda one: one.name)
def test_pinned_jar_has_coordinate_size_and_digest(one: Jar) -> None:
    assert (3, True, 64) == (len(one.coordinate.split(":")), one.size > 0, len(bytes.fromhex(one.sha256)) * 2)


def test_whole_jar_is_not_damaged(tmp_path: Path) -> None:
    (tmp_path / jar().name).write_bytes(CONTENT)

    assert () == jars.damaged(tmp_path, [jar()], deep=True)


@pytest.mark.parametrize("content", [None, b"", CONTENT[:-1], CONTENT + b"x"])
def test_jar_of_other_size_is_damaged_at_first_sight(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / jar().name).write_bytes(content)

    assert (jar(),) == jars.damaged(tmp_path, [jar()])


@given(st.binary(min_size=len(CONTENT), max_size=len(CONTENT)).filter(lambda content: content != CONTENT))
def test_jar_of_same_size_and_other_content_is_damaged_when_looked_at_deeply(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    libs = tmp_path_factory.mktemp("libs")
    (libs / jar().name).write_bytes(content)

    assert ((), (jar(),)) == (jars.damaged(libs, [jar()]), jars.damaged(libs, [jar()], deep=True))


def test_fetched_jars_are_whole(tmp_path: Path) -> None:
    wanted = [jar(f"thing-{number}") for number in range(20)]

    jars.fetch(tmp_path / "libs", wanted, delivers())

    assert () == jars.damaged(tmp_path / "libs", wanted, deep=True)


def test_fetched_jar_always_has_the_same_time(tmp_path: Path) -> None:
    jars.fetch(tmp_path / "libs", [jar()], delivers())

    assert jars.FIXED_TIME_S == (tmp_path / "libs" / jar().name).stat().st_mtime


def test_fetch_leaves_no_scratch_files(tmp_path: Path) -> None:
    jars.fetch(tmp_path / "libs", [jar()], delivers())

    assert ["libs"] == [path.name for path in tmp_path.iterdir()]


def test_leftover_of_killed_download_is_not_used(tmp_path: Path) -> None:
    leftover = tmp_path / "download" / jar().name
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    seen: list[bool] = []

    def download(wanted: Jar, scratch: Path) -> Path:
        seen.append(leftover.exists())
        return delivers()(wanted, scratch)

    jars.fetch(tmp_path / "libs", [jar()], download)

    assert [False] == seen


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], b"<html>", CONTENT.upper()])
def test_arrived_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(LocalKafkaError, match=r"org\.example:thing:1\.0.*not the pinned file"):
        jars.fetch(tmp_path / "libs", [jar()], delivers(content))

    assert [] == list((tmp_path / "libs").iterdir())


@pytest.mark.parametrize(
    "part", ["org.example:thing:1.0", "OSError: network is down", "Cache: {cache}", "Fix: run again"]
)
def test_failed_download_names_artifact_reason_cache_and_fix(tmp_path: Path, part: str) -> None:
    with pytest.raises(LocalKafkaError) as failed:
        jars.fetch(tmp_path / "libs", [jar()], breaks(OSError("network is down")))

    assert part.format(cache=tmp_path) in str(failed.value)


def test_failed_download_never_shows_the_password_of_a_proxy(tmp_path: Path) -> None:
    refused = OSError("cannot connect to http://me:hunter2@proxy.example:3128/")

    with pytest.raises(LocalKafkaError) as failed:
        jars.fetch(tmp_path / "libs", [jar()], breaks(refused))

    assert (False, True) == ("hunter2" in str(failed.value), "//***@proxy.example" in str(failed.value))


def test_failed_download_keeps_its_cause(tmp_path: Path) -> None:
    cause = OSError("network is down")

    with pytest.raises(LocalKafkaError) as failed:
        jars.fetch(tmp_path / "libs", [jar()], breaks(cause))

    assert cause is failed.value.__cause__


def test_failed_download_does_not_start_the_waiting_ones(tmp_path: Path) -> None:
    asked: list[Jar] = []

    def download(wanted: Jar, scratch: Path) -> Path:
        asked.append(wanted)
        raise OSError("network is down")

    with pytest.raises(LocalKafkaError):
        jars.fetch(tmp_path / "libs", [jar(f"thing-{number}") for number in range(500)], download)

    assert len(asked) < 500


def test_failed_download_keeps_jars_that_arrived_before(tmp_path: Path) -> None:
    jars.fetch(tmp_path / "libs", [jar("first")], delivers())

    with pytest.raises(LocalKafkaError):
        jars.fetch(tmp_path / "libs", [jar("second")], breaks(OSError("network is down")))

    assert () == jars.damaged(tmp_path / "libs", [jar("first")])


def test_missing_resolver_names_the_extra_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)

    with pytest.raises(LocalKafkaError, match=r"pip install 'prompt-streams\[local\]'"):
        jars.fetch(tmp_path / "libs", [jar()])
