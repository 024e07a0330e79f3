import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from streams.local import jars, locks, runtime
from streams.local.jars import Jar
from tests.support.fake_java import fake_java
from topics.errors import LocalKafkaError

CONTENT = b"classes"
WANTED = tuple(
    Jar(f"org.example:{name}:1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest()) for name in ("a", "b", "c", "d")
)
HOLD = (
    "import sys, pathlib; from streams.local import locks\n"
    "locks.try_lock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
)


def download(jar: Jar, scratch: Path) -> Path:
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / jar.name).write_bytes(CONTENT)
    return scratch / jar.name


def no_network(jar: Jar, scratch: Path) -> Path:
    raise OSError("network is down")


def ensured(
    folder: Path, fetch: jars.Download = download, program: Path | None = None
) -> tuple[runtime.Runtime, list[str]]:
    said: list[str] = []
    program = program or fake_java(folder)
    found = runtime.ensure(said.append, cache=folder / "cache", program=program, download=fetch, wanted=WANTED)
    return found, said


def test_first_run_says_one_line_per_step(tmp_path: Path) -> None:
    _, said = ensured(tmp_path)

    assert ["downloading", "preparing", "training"] == [line.split()[0] for line in said]


def test_first_run_names_the_cache(tmp_path: Path) -> None:
    found, said = ensured(tmp_path)

    assert said[0].endswith(f"4 jars, 0 MB, into {found.root}")


def test_second_run_says_nothing(tmp_path: Path) -> None:
    ensured(tmp_path)

    assert [] == ensured(tmp_path)[1]


def test_second_run_needs_no_network(tmp_path: Path) -> None:
    first, _ = ensured(tmp_path)

    assert first == ensured(tmp_path, no_network)[0]


def test_second_run_does_not_wait_for_a_preparing_process(tmp_path: Path) -> None:
    found, _ = ensured(tmp_path)
    held = locks.try_lock(found.root / "lock")

    assert held is not None
    assert [] == ensured(tmp_path)[1]


def test_runtime_that_was_prepared_is_complete(tmp_path: Path) -> None:
    found, _ = ensured(tmp_path)

    assert (True, True, True) == (
        not found.damaged(deep=True),
        found.checkpoint.exists(),
        found.start_up_cache.exists(),
    )


@pytest.mark.parametrize("content", [None, b"", CONTENT[:-1]])
def test_damaged_jar_is_named_and_repaired(tmp_path: Path, content: bytes | None) -> None:
    found, _ = ensured(tmp_path)
    victim = found.libs / "b-1.0.jar"
    victim.unlink() if content is None else victim.write_bytes(content)

    _, said = ensured(tmp_path)

    assert (1, True, ()) == (len(said), "b-1.0.jar, 0 MB" in said[0], found.damaged(deep=True))


def test_damaged_jar_without_network_is_named_with_the_cache(tmp_path: Path) -> None:
    found, _ = ensured(tmp_path)
    (found.libs / "b-1.0.jar").unlink()

    with pytest.raises(LocalKafkaError, match=rf"needs org\.example:b:1\.0.*Cache: {found.root}"):
        ensured(tmp_path, no_network)


@pytest.mark.parametrize(("lost", "step"), [("bootstrap.checkpoint", "preparing"), ("start-up-*.aot", "training")])
def test_lost_file_of_the_cache_is_made_again(tmp_path: Path, lost: str, step: str) -> None:
    found, _ = ensured(tmp_path)
    next(found.root.glob(lost)).unlink()

    assert [step] == [line.split()[0] for line in ensured(tmp_path)[1]]


def test_failed_download_can_be_resumed(tmp_path: Path) -> None:
    def only_a(jar: Jar, scratch: Path) -> Path:
        return download(jar, scratch) if jar.name.startswith("a") else no_network(jar, scratch)

    with pytest.raises(LocalKafkaError):
        ensured(tmp_path, only_a)

    assert "b-1.0.jar, c-1.0.jar, d-1.0.jar, 0 MB" in ensured(tmp_path)[1][0]


def test_failed_preparation_frees_its_lock(tmp_path: Path) -> None:
    with pytest.raises(LocalKafkaError):
        ensured(tmp_path, no_network)

    assert 3 == len(ensured(tmp_path)[1])


def test_format_tool_that_fails_stops_before_training(tmp_path: Path) -> None:
    with pytest.raises(LocalKafkaError, match="could not format"):
        ensured(tmp_path, program=fake_java(tmp_path, formats="exit 1"))

    assert [] == list((tmp_path / "cache").rglob("*.aot"))


def test_training_that_fails_still_gives_a_runtime(tmp_path: Path) -> None:
    found, said = ensured(tmp_path, program=fake_java(tmp_path, runs="exit 1"))

    assert (4, True) == (len(said), found.checkpoint.exists())


def test_preparation_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    program = fake_java(tmp_path, formats="sleep 3")
    script = (
        "import pathlib, sys; from tests.unit.streams.local.test_runtime import ensured, fake_java\n"
        "folder = pathlib.Path(sys.argv[1]); ensured(folder, program=pathlib.Path(sys.argv[2]))"
    )
    preparing = subprocess.Popen([sys.executable, "-c", script, tmp_path, program], cwd=Path(__file__).parents[4])
    libs = tmp_path / "cache" / f"kafka-{jars.KAFKA_VERSION}" / "libs"
    while not libs.exists() or jars.damaged(libs, WANTED):
        assert preparing.poll() is None
    preparing.kill()
    preparing.wait()

    assert ["preparing", "training"] == [line.split()[0] for line in ensured(tmp_path)[1]]


def test_second_process_says_that_it_waits_and_shares_the_download(tmp_path: Path) -> None:
    root, program, said = tmp_path / "cache" / f"kafka-{jars.KAFKA_VERSION}", fake_java(tmp_path), list[str]()

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("another process"):
            jars.fetch(root / "libs", WANTED, download)  # what the other one does meanwhile
            holder.kill()

    with subprocess.Popen([sys.executable, "-c", HOLD, root / "lock"], stdin=-1, stdout=-1) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        runtime.ensure(say, cache=tmp_path / "cache", program=program, download=no_network, wanted=WANTED)

    assert ["another", "preparing", "training"] == [line.split()[0] for line in said]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"STREAMS_CACHE": "/c/own", "XDG_CACHE_HOME": "/c/xdg"}, "/c/own"),
        ({"XDG_CACHE_HOME": "/c/xdg"}, "/c/xdg/prompt-streams"),
        ({"XDG_CACHE_HOME": "", "HOME": "/srv/me"}, "/srv/me/.cache/prompt-streams"),
        ({"STREAMS_CACHE": "", "HOME": "/srv/me"}, "/srv/me/.cache/prompt-streams"),
    ],
)
def test_cache_place_follows_the_environment(env: dict[str, str], expected: str) -> None:
    assert Path(expected) == runtime.cache_root(env)


def test_cache_that_cannot_be_written_is_named_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands here")

    with pytest.raises(LocalKafkaError, match=f"the cache {tmp_path}/cache/.* cannot be used.*set STREAMS_CACHE"):
        ensured(tmp_path)
