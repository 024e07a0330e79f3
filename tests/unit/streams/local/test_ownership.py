import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.local.ownership import Ownership
from topics.errors import LocalKafkaError


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Ownership]:
    ownership = Ownership(tmp_path)
    ownership.take()
    yield ownership
    ownership.free()


def test_directory_that_is_taken_names_its_owner(owned: Ownership, tmp_path: Path) -> None:
    with pytest.raises(LocalKafkaError, match=rf"{tmp_path} is in use by the broker of pid {os.getpid()} \("):
        Ownership(tmp_path).take(patience_s=0)


def test_directory_that_was_freed_can_be_taken(owned: Ownership, tmp_path: Path) -> None:
    owned.free()
    second = Ownership(tmp_path)

    second.take(patience_s=0)

    assert 1 == len(second.to_inherit)
    second.free()


def test_owner_that_takes_again_keeps_its_directory(owned: Ownership, tmp_path: Path) -> None:
    owned.take(patience_s=0)

    assert 1 == len(owned.to_inherit)


def test_free_of_what_is_not_held_does_nothing(tmp_path: Path) -> None:
    ownership = Ownership(tmp_path)

    ownership.free()

    assert () == ownership.to_inherit


def test_directory_whose_broker_outlives_its_parent_stays_taken(owned: Ownership, tmp_path: Path) -> None:
    broker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=owned.to_inherit)
    owned.free()
    try:
        with pytest.raises(LocalKafkaError, match="is in use"):
            Ownership(tmp_path).take(patience_s=0)
    finally:
        broker.communicate(b"\n")


@pytest.mark.parametrize("written", ["", "not a number"])
def test_lock_file_without_process_id_speaks_of_another_process(owned: Ownership, tmp_path: Path, written: str) -> None:
    (tmp_path / "lock").write_text(written)

    with pytest.raises(LocalKafkaError, match="the broker of another process"):
        Ownership(tmp_path).take(patience_s=0)
