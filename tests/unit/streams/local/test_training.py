from pathlib import Path

from streams.local import training
from tests.support.fake_java import READY_LINE, fake_runtime


def trained(folder: Path, runs: str | None = None) -> tuple[str | None, list[str]]:
    runtime = fake_runtime(folder) if runs is None else fake_runtime(folder, runs=runs)
    said: list[str] = []
    training.train(runtime, said.append)
    cache = runtime.start_up_cache
    return (cache.read_text() if cache.exists() else None), said


def test_training_run_leaves_the_start_up_cache(tmp_path: Path) -> None:
    assert ("classes\n", []) == trained(tmp_path)


def test_training_run_leaves_no_half_written_cache(tmp_path: Path) -> None:
    trained(tmp_path)

    assert [] == list((tmp_path / "cache").glob("*.part"))


def test_training_run_that_fails_is_said_and_not_tried_again(tmp_path: Path) -> None:
    cache, said = trained(tmp_path, "echo ERROR no memory; exit 1")

    assert ("", True) == (cache, "starts stay slower" in said[0] and "no memory" in said[0])


def test_training_run_of_java_that_writes_no_cache_is_not_tried_again(tmp_path: Path) -> None:
    cache, said = trained(tmp_path, f"trap 'exit 0' TERM; {READY_LINE}; while :; do sleep 0.02; done")

    assert ("", []) == (cache, said)
