"""`drill`: what is shown of a verdict, and with which exit code."""

import asyncio
import os
import signal
from dataclasses import replace

import pytest
import typer

from streams.cli import drill
from streams.drill.account import Account
from streams.drill.outcome import Outcome
from tests.support.commands import streams
from tests.support.loops import in_loop

GREEN = Outcome(("kill",), 1200, 1200, {}, Account(1203, 1200, 3), 1.5, seed=1)
RED = Outcome(("kill",), 10, 9, {"lost": ("a",)}, Account(10, 10, 0), 1.5, seed=1)
NAMES = ("crash", "outage", "twins", "rebalance")


def drilled(outcome, *arguments):
    """The command over a drill that comes to that outcome; with it, what was held."""
    held = []

    async def hold(chosen, home, seed, say):
        held.append((chosen, home, seed))
        (home / "data").write_text("data")
        say("a step")
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drill, "held", hold)
        return streams("drill", *arguments), held[0] if held else None


@pytest.mark.parametrize("name", NAMES)
def test_each_drill_is_held_by_its_name(name):
    ran, (chosen, _, _) = drilled(GREEN, name)

    assert (0, name) == (ran.code, chosen.name)


def test_green_verdict_exits_with_0_and_says_so():
    ran, _ = drilled(GREEN, "crash")

    assert 0 == ran.code
    assert "GREEN: 1,200 prompts, each answered once; 3 calls repeated, each with a cause" in ran.err


@pytest.mark.parametrize(
    ("repeats", "said"),
    [(0, "no call repeated"), (1, "1 call repeated, each with a cause"), (7, "7 calls repeated, each with a cause")],
)
def test_closing_words_count_the_repeated_calls(repeats, said):
    assert drill.closing(replace(GREEN, paid=Account(10 + repeats, 10, 9))).endswith(said)


def test_red_verdict_exits_with_5_and_says_why():
    ran, _ = drilled(RED, "crash")

    assert 5 == ran.code
    assert "RED: 1 lost: a" in ran.err


@pytest.mark.parametrize("name", drill.SHOWN)
def test_each_figure_is_shown_to_people(name):
    ran, _ = drilled(GREEN, "crash")

    assert name in {line.split()[0] for line in ran.lines}


def test_json_has_every_figure_and_nothing_else_is_on_stdout():
    ran, _ = drilled(RED, "crash", "-o", "json")

    assert RED.figures() == ran.json


def test_seconds_and_seed_are_passed_on():
    _, (chosen, _, seed) = drilled(GREEN, "rebalance", "--seconds", "45", "--seed", "9")

    assert (45.0, 9) == (chosen.busy_s, seed)


@pytest.mark.parametrize(("flags", "name"), [((), "outage"), (("--long",), "outage-long")])
def test_long_outage_is_asked_for(flags, name):
    _, (chosen, _, _) = drilled(GREEN, "outage", *flags)

    assert name == chosen.name


def test_steps_are_told_on_stderr():
    ran, _ = drilled(GREEN, "crash")

    assert "0.0 s  a step" in ran.err


@pytest.mark.parametrize("outcome", [GREEN, RED])
def test_directory_of_a_drill_is_removed(outcome):
    _, (_, home, _) = drilled(outcome, "crash")

    assert not home.exists()


def test_directory_of_a_drill_is_kept_where_asked(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drill.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
        ran, _ = drilled(GREEN, "crash", "--keep")

    assert f"kept in {tmp_path}" in ran.err
    assert (tmp_path / "data").exists()


@pytest.mark.parametrize("wrong", [("nonsense",), ("crash", "--seconds", "1"), ("crash", "--seed", "-1")])
def test_wrong_usage_of_a_drill_exits_with_2(wrong):
    ran, held = drilled(GREEN, *wrong)

    assert (2, None) == (ran.code, held)


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_drill_says_what_it_does(name):
    ran = streams("drill", name, "--help")

    assert 0 == ran.code
    assert "Exit code 5" in ran.out


@in_loop
async def test_drill_that_is_terminated_ends_as_if_interrupted():
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
    with pytest.raises(typer.Abort):
        await drill.stopping(work())

    assert [True] == ended


@in_loop
async def test_drill_that_ends_by_itself_gives_its_outcome():
    async def work():
        return GREEN

    assert GREEN == await drill.stopping(work())
