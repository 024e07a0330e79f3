"""Green or red, and how it is said."""

from dataclasses import replace

import pytest

from streams.drill.account import Account
from streams.drill.outcome import Outcome, coverage, reach, summary

GOOD = Outcome(("kill", "stop"), 100, 100, {"lost": (), "duplicate": ()}, Account(103, 100, 2, 1), 2.345, 0, (), {}, 7)


def but(**fields):
    return replace(GOOD, **fields)


def test_run_with_nothing_wrong_is_green():
    assert GOOD.green
    assert () == GOOD.why


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"wrong": {"lost": ("a", "b")}}, "2 lost: a, b"),
        ({"wrong": {"duplicate": ("a",)}}, "1 duplicate: a"),
        ({"wrong": {"phantom": ("p",)}}, "1 phantom: p"),
        ({"requests": 0}, "nothing was asked"),
        ({"paid": Account(105, 100, 4)}, "5 calls repeated, 4 with a cause"),
        ({"paid": Account(101, 100, 1, 0, ("k",))}, "called again without a cause: k"),
        ({"missed": ("kill",)}, "outside the busy time: kill"),
    ],
)
def test_run_with_something_wrong_is_red_and_says_why(fields, told):
    found = but(**fields)

    assert not found.green
    assert (told,) == found.why


def test_many_ids_are_cut_and_counted():
    [told] = but(wrong={"lost": tuple("abcdefgh")}).why

    assert "8 lost: a, b, c, d, e and 3 more" == told


def test_everything_that_is_wrong_is_said():
    assert 3 == len(but(wrong={"lost": ("a",), "phantom": ("b",)}, missed=("kill",)).why)


def test_repeats_with_a_cause_leave_it_green():
    assert but(paid=Account(200, 100, 100)).green


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("verdict", "green"),
        ("requests", 100),
        ("answers", 100),
        ("lost", 0),
        ("conflicting", 0),
        ("phantom", 0),
        ("calls", 103),
        ("unique", 100),
        ("repeats", 3),
        ("repeats_allowed", 3),
        ("dead_letters", 0),
        ("longest_silence_s", 2.35),
        ("seed", 7),
        ("faults", ["kill", "stop"]),
        ("why", []),
    ],
)
def test_figures_tell_everything_by_name(word, value):
    assert value == GOOD.figures()[word]


def test_figures_of_a_red_run_say_so():
    found = but(wrong={"lost": ("a",)}).figures()

    assert ("red", 1) == (found["verdict"], found["lost"])


@pytest.mark.parametrize(
    ("wrong", "lost", "conflicting"),
    [
        ({"lost": ("a",), "unseen": ("b", "c")}, 3, 0),
        ({"conflicting-terminal": ("a",), "duplicate": ("b",)}, 0, 2),
        ({"phantom": ("a",)}, 0, 0),
    ],
)
def test_classes_of_the_checker_are_told_as_lost_and_conflicting(wrong, lost, conflicting):
    found = but(wrong=wrong)

    assert (lost, conflicting) == (found.lost, found.conflicting)


@pytest.mark.parametrize(
    "part",
    [
        "seed 7",
        "kill+stop",
        "prompts 100",
        "lost 0",
        "conflicting 0",
        "phantom 0",
        "calls 103",
        "unique 100",
        "3/3",
        "GREEN",
    ],
)
def test_line_of_a_seed_holds_each_figure(part):
    assert part in GOOD.line()


def test_notes_are_told_among_the_figures():
    assert 0.4 == but(notes={"open_after_s": 0.4}).figures()["open_after_s"]


def test_line_of_a_red_seed_says_why():
    assert but(wrong={"lost": ("a",)}).line().endswith("RED: 1 lost: a")


def test_coverage_counts_each_fault_over_all_runs():
    lines = coverage([GOOD, but(faults=("kill", "kill"))], {"kill": "F1", "stop": "F2", "storm": "F4"})

    assert [("F1", "kill", "3"), ("F2", "stop", "1"), ("F4", "storm", "0")] == [
        tuple(line.split()[:3]) for line in lines
    ]


def test_reach_adds_up_over_all_runs():
    assert {"moved": 5, "hit": 1} == reach([but(reached={"moved": 2}), but(reached={"moved": 3, "hit": 1})])


def test_nothing_reached_is_an_empty_table():
    assert {} == reach([GOOD])


@pytest.mark.parametrize(
    "part",
    ["1 of 2 seeds green", "200 prompts", "lost 1", "phantom 0", "conflicting 0", "calls 206", "repeated 6 of 6"],
)
def test_summary_adds_up_over_all_seeds(part):
    assert part in summary([GOOD, but(wrong={"lost": ("a",)})])
