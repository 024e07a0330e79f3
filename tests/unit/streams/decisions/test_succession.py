"""Every part in a generation meets every verdict; who takes over, who has waited in vain, and when."""

from dataclasses import replace

import pytest

from streams.decisions import succession
from streams.decisions.dedup import DedupPolicy
from streams.decisions.requests import Entry, Standing, Twin

RUNNING = Entry("prompts/0/1", "cc", 5, 5, "owner", "owner")
DONE = replace(RUNNING, by="refined/0/1", ms=1, word="completed")
VERDICTS: tuple[succession.Verdict, ...] = ("completed", "shared", "own")
TABLE = {
    "decider": ("repeats", "repeats", "repeats"),
    "owner": ("completes", "fails", "yields"),
    "ended": ("copies", "copies", "copies"),
    "other": ("aside", "aside", "aside"),
}


@pytest.mark.parametrize(
    ("status", "reason", "verdict"),
    [
        ("completed", None, "completed"),
        ("failed", None, "shared"),
        ("failed", "permanent", "shared"),
        ("failed", "exhausted", "shared"),
        ("failed", "deadline", "own"),
        ("failed", "budget", "own"),
        ("expired", None, "own"),
        ("rejected", None, "own"),
    ],
)
def test_twins_share_what_is_no_matter_of_one_request(status: str, reason: str | None, verdict: str) -> None:
    """B12."""
    assert verdict == succession.verdict(status, reason)


@pytest.mark.parametrize("who", TABLE)
@pytest.mark.parametrize("nth", range(3))
def test_outcome_of_each_part_with_each_verdict_has_its_ending(who: succession.Part, nth: int) -> None:
    """B12."""
    assert TABLE[who][nth] == succession.end(who, VERDICTS[nth])


@pytest.mark.parametrize(
    ("entry", "identity", "at", "who"),
    [
        (None, "owner", "refined/0/1", "other"),
        (RUNNING, "owner", "refined/0/1", "owner"),
        (RUNNING, "replaced", "refined/0/1", "other"),
        (DONE, "owner", "refined/0/1", "decider"),
        (DONE, "anybody", "refined/0/1", "decider"),
        (DONE, "owner", "refined/0/2", "ended"),
        (replace(DONE, word="failed"), "owner", "refined/0/2", "ended"),
        (replace(DONE, word="expired"), "owner", "refined/0/2", "other"),
        (DONE, "twin", "refined/0/2", "other"),
    ],
)
def test_part_of_an_outcome_is_read_off_the_row(entry: Entry | None, identity: str, at: str, who: str) -> None:
    """B14: to whom replaced it, a late owner is another."""
    assert who == succession.part(entry, identity, at)


STANDINGS: tuple[Standing, ...] = ("waiting", "owner", "expired", "out")
DEADLINES = [(None, True, False), (99, False, True), (100, False, True), (101, True, False)]


@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize(("deadline_ms", "takes", "expires"), DEADLINES)
def test_twin_takes_over_or_expires_by_its_deadline(
    standing: Standing, deadline_ms: int | None, takes: bool, expires: bool
) -> None:
    """B16."""
    twin, waits = Twin("prompts/0/2", "twin", deadline_ms, standing), standing == "waiting"

    assert (takes and waits) == succession.may_take_over(twin, 100)
    assert (expires and waits) == succession.expires(RUNNING, twin, 100)


def test_twin_of_an_ended_generation_does_not_expire() -> None:
    assert not succession.expires(DONE, Twin("prompts/0/2", "twin", 1), 100)


@pytest.mark.parametrize(
    ("entry", "when"),
    [
        (replace(RUNNING, deadline_ms=500, count=1), 60_500),
        (replace(RUNNING, deadline_ms=500), None),
        (replace(RUNNING, count=1), None),
        (replace(DONE, deadline_ms=500, count=1), None),
    ],
)
def test_takeover_waits_for_the_deadline_and_a_slack(entry: Entry, when: int | None) -> None:
    """B13."""
    assert when == succession.takeover_ms(entry, DedupPolicy())
