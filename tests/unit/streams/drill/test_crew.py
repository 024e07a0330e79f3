"""Workers that are started, killed, put to sleep and asked to leave."""

import signal

import pytest

from streams.drill.crew import DrillFailed, ended, name_of, until
from tests.support.aio import in_virtual_time, now_s
from tests.support.drill_fakes import FakeHands, crew


def befallen(made):
    return [blow.worker for blow in made.blows]


def test_every_slot_is_started_once():
    hands = FakeHands()
    crew(hands, slots=(0, 1, 2))

    assert [0, 1, 2] == [worker.slot for worker in hands.started]


def test_killed_worker_is_started_again_at_once():
    hands = FakeHands()
    made = crew(hands)
    made.kill(1)

    assert [0, 1, 1] == [worker.slot for worker in hands.started]
    assert ["KILL"] == hands.started[1].signals
    assert hands.started[1].reaped


def test_kill_is_noted_with_its_time():
    made = crew()
    made.kill(0)

    assert ["worker-0"] == befallen(made)
    assert made.blows[0].at > 0


def test_kill_may_start_another_module():
    hands = FakeHands()
    crew(hands).kill(0, ("other", "--flag"))

    assert ("other", "--flag") == hands.started[-1].apps


@in_virtual_time
async def test_worker_that_is_asked_to_leave_is_woken_and_terminated():
    hands = FakeHands()
    made = crew(hands)
    await made.leave(0)

    assert [signal.SIGCONT, "TERM"] == hands.started[0].signals
    assert [1] == list(made.processes)


@in_virtual_time
async def test_worker_that_does_not_leave_is_killed_in_time():
    hands = FakeHands(stubborn=True)
    made = crew(hands)
    began = now_s()
    await made.leave(0, within_s=5.0)

    assert "KILL" == hands.started[0].signals[-1]
    assert 5.0 <= now_s() - began < 6.0


@in_virtual_time
async def test_leaving_is_noted_after_the_worker_has_ended():
    made = crew()
    await made.leave(1)

    assert ["worker-1"] == befallen(made)


@in_virtual_time
async def test_all_leave_at_the_same_time():
    hands = FakeHands(stubborn=True)
    made = crew(hands)
    began = now_s()
    await made.leave_all(within_s=5.0)

    assert {} == made.processes
    assert now_s() - began < 6.0


def test_pause_and_resume_are_noted_on_both_sides():
    hands = FakeHands()
    made = crew(hands)
    made.pause(0)
    made.resume(0)

    assert [signal.SIGSTOP, signal.SIGCONT] == hands.started[0].signals
    assert ["worker-0", "worker-0"] == befallen(made)


def test_worker_that_ended_by_itself_is_revived_and_counted():
    hands = FakeHands()
    made = crew(hands)
    hands.started[1].ends(3)
    made.revive()

    assert (1, ["worker-1"]) == (made.fallen, befallen(made))
    assert [0, 1, 1] == [worker.slot for worker in hands.started]


def test_workers_that_run_are_not_revived():
    hands = FakeHands()
    made = crew(hands)
    made.revive()

    assert (0, 2) == (made.fallen, len(hands.started))


def test_worker_that_left_is_not_revived():
    hands = FakeHands()
    made = crew(hands)
    made.processes.pop(1).ends(0)
    made.revive()

    assert 2 == len(hands.started)


@pytest.mark.parametrize("stubborn", [True, False])
def test_end_leaves_nobody_behind(stubborn):
    hands = FakeHands(stubborn)
    made = crew(hands)
    made.end()

    assert {} == made.processes
    assert all("KILL" in worker.signals and worker.reaped for worker in hands.started)


def test_end_of_nobody_is_no_error():
    made = crew()
    made.end()

    assert made.end() is None


@in_virtual_time
async def test_process_that_runs_on_has_not_ended_in_time():
    made = crew()

    assert not await ended(made.processes[0], 1.0)


@in_virtual_time
async def test_claim_that_holds_is_not_waited_for():
    began = now_s()

    assert await until(lambda: True, 60.0)
    assert began == now_s()


@in_virtual_time
async def test_claim_that_never_holds_is_given_up_in_time():
    began = now_s()

    assert not await until(lambda: False, 3.0)
    assert 3.0 <= now_s() - began < 3.5


@in_virtual_time
async def test_something_is_done_at_each_look():
    looks = []
    await until(lambda: len(looks) == 4, 60.0, lambda: looks.append(1))

    assert 4 == len(looks)


@in_virtual_time
async def test_no_time_at_all_is_one_look():
    assert not await until(lambda: False, -5.0)


def test_worker_is_called_by_its_slot():
    assert "worker-12" == name_of(12)


def test_drill_that_could_not_be_held_says_why():
    with pytest.raises(DrillFailed, match="no answers"):
        raise DrillFailed("no answers")
    assert "drill_failed" == DrillFailed.kind
