"""A worker's place on its host, with real locks and a real second process."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.engine import slots
from tests.support.loops import in_loop
from tests.support.tree import ROOT

HOLDER = """
import sys
from pathlib import Path
from streams.engine import slots
place = slots.take(Path(sys.argv[1]), int(sys.argv[2]))
print(place.label, place.static, flush=True)
sys.stdin.read()
"""


@contextmanager
def held(state_dir: Path, slot: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that has taken the slot, and what it got."""
    command = [sys.executable, "-c", HOLDER, str(state_dir), str(slot)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


# -- alone


def test_take_free_slot_gives_a_static_place(tmp_path: Path) -> None:
    place = slots.take(tmp_path, 2)

    assert ("slot-2", tmp_path / "slot-2", True) == (place.label, place.dir, place.static)
    place.release()


def test_take_makes_the_directories_that_are_missing(tmp_path: Path) -> None:
    place = slots.take(tmp_path / "deep" / "state", 0)

    assert place.dir.is_dir()
    place.release()


def test_take_slot_again_finds_what_was_left_there(tmp_path: Path) -> None:
    first = slots.take(tmp_path, 0)
    (first.dir / "rows").write_text("kept")
    first.release()
    again = slots.take(tmp_path, 0)

    assert "kept" == (again.dir / "rows").read_text()
    again.release()


def test_take_slot_released_before_gives_a_static_place_again(tmp_path: Path) -> None:
    slots.take(tmp_path, 0).release()
    again = slots.take(tmp_path, 0)

    assert again.static
    again.release()


def test_take_two_slots_of_a_host_gives_two_static_places(tmp_path: Path) -> None:
    places = [slots.take(tmp_path, slot) for slot in (0, 1)]

    assert [(True, "slot-0"), (True, "slot-1")] == [(place.static, place.label) for place in places]
    for place in places:
        place.release()


def test_take_without_static_membership_still_locks_the_slot(tmp_path: Path) -> None:
    first = slots.take(tmp_path, 0, static=False)
    second = slots.take(tmp_path, 0)

    assert ("slot-0", False, f"dynamic-{os.getpid()}") == (first.label, first.static, second.label)
    second.release()
    first.release()


def test_locks_of_two_state_directories_do_not_meet(tmp_path: Path) -> None:
    places = [slots.take(tmp_path / name, 0) for name in ("a", "b")]

    assert [True, True] == [place.static for place in places]
    for place in places:
        place.release()


# -- beside another process


def test_take_slot_held_by_other_process_gives_dynamic_place(tmp_path: Path) -> None:
    with held(tmp_path) as (_, got):
        place = slots.take(tmp_path, 0)

    assert ("slot-0 True", False, f"dynamic-{os.getpid()}") == (got, place.static, place.label)


def test_dynamic_place_has_a_directory_of_its_own_and_no_lock(tmp_path: Path) -> None:
    with held(tmp_path):
        place = slots.take(tmp_path, 0)

    assert (tmp_path / f"dynamic-{os.getpid()}", True, None) == (place.dir, place.dir.is_dir(), place.lock)


def test_take_other_slot_beside_a_held_one_gives_a_static_place(tmp_path: Path) -> None:
    with held(tmp_path, slot=0):
        place = slots.take(tmp_path, 1)

    assert place.static
    place.release()


def test_take_slot_of_a_killed_process_gives_a_static_place(tmp_path: Path) -> None:
    with held(tmp_path) as (process, _):
        process.kill()
        process.wait()
        place = slots.take(tmp_path, 0)

    assert place.static
    place.release()


def test_slot_held_here_gives_the_other_process_a_dynamic_place(tmp_path: Path) -> None:
    place = slots.take(tmp_path, 0)
    with held(tmp_path) as (process, got):
        assert f"dynamic-{process.pid} False" == got
    place.release()


@in_loop
async def test_slot_that_nobody_holds_is_free_and_stays_so(tmp_path: Path) -> None:
    assert [True, True] == [await slots.free(tmp_path / "new", 0, asyncio.Event()) for _ in range(2)]


@in_loop
async def test_successor_takes_the_slot_when_its_holder_has_ended(tmp_path: Path) -> None:
    with held(tmp_path) as (process, _):
        waiting = asyncio.create_task(slots.free(tmp_path, 0, asyncio.Event()))
        early = (await asyncio.wait([waiting], timeout=5 * slots.LOOK_S))[0]
        process.kill()
        found = await asyncio.wait_for(waiting, 10)
    place = slots.take(tmp_path, 0)

    assert (set(), True, True) == (early, found, place.static)
    place.release()


@in_loop
async def test_successor_that_is_told_to_stop_waits_no_longer(tmp_path: Path) -> None:
    stop = asyncio.Event()
    with held(tmp_path):
        waiting = asyncio.create_task(slots.free(tmp_path, 0, stop))
        stop.set()

        assert not await asyncio.wait_for(waiting, 10)


@in_loop
async def test_waiting_for_one_slot_leaves_the_others_alone(tmp_path: Path) -> None:
    with held(tmp_path, slot=1):
        assert await slots.free(tmp_path, 0, asyncio.Event())


def test_lock_is_not_inherited_by_children_of_the_holder(tmp_path: Path) -> None:
    place = slots.take(tmp_path, 0)
    assert place.lock is not None

    assert not os.get_inheritable(place.lock.fileno())
    place.release()


# -- names


def test_instance_id_of_a_static_place_names_group_host_and_slot(tmp_path: Path) -> None:
    place = slots.Place("slot-2", tmp_path, static=True, lock=None)

    assert place.instance_id("prompts.core", ["a"]).startswith(f"prompts.core-{socket.gethostname()}-slot-2-")


def test_instance_id_of_another_subscription_is_another(tmp_path: Path) -> None:
    place = slots.Place("slot-2", tmp_path, static=True, lock=None)

    assert place.instance_id("g", ["a", "b"]) == place.instance_id("g", ["b", "a"]) != place.instance_id("g", ["a"])


def test_instance_id_of_a_dynamic_place_is_none(tmp_path: Path) -> None:
    assert slots.Place("dynamic-7", tmp_path, static=False, lock=None).instance_id("prompts.core", ["a"]) is None


@pytest.mark.parametrize("static", [True, False])
def test_canonical_url_is_fixed_by_host_and_label(tmp_path: Path, static: bool) -> None:
    place = slots.Place("slot-2", tmp_path, static=static, lock=None)

    assert f"http://{socket.gethostname()}-slot-2:6066" == place.canonical_url()


def test_canonical_url_takes_another_port_when_asked(tmp_path: Path) -> None:
    assert slots.Place("slot-2", tmp_path, static=True, lock=None).canonical_url(80).endswith("-slot-2:80")


def test_names_of_a_slot_are_equal_after_a_restart(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        place = slots.take(tmp_path, 0)
        names.append((place.instance_id("g", ["a"]), place.canonical_url(), place.dir))
        place.release()

    assert names[0] == names[1]


# -- released


def test_release_of_a_slot_keeps_its_directory(tmp_path: Path) -> None:
    place = slots.take(tmp_path, 0)
    place.release()

    assert place.dir.is_dir()


def test_release_of_a_dynamic_place_removes_its_directory(tmp_path: Path) -> None:
    with held(tmp_path):
        place = slots.take(tmp_path, 0)
    (place.dir / "rows").write_text("gone")
    place.release()

    assert not place.dir.exists()


def test_release_of_a_dynamic_place_twice_is_harmless(tmp_path: Path) -> None:
    with held(tmp_path):
        place = slots.take(tmp_path, 0)
    place.release()
    place.release()

    assert not place.dir.exists()
