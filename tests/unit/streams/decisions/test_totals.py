"""The closing line names what happened, and the outcome which exit code it deserves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.totals import Totals, dollars
from tests.support.fake_cluster import answer, refusal
from topics.answer import Answer

REQUEST = {"id": "a", "prompt": "x"}
DONE, REFUSED = answer(REQUEST), refusal(REQUEST)
SHARED = answer(REQUEST, source="coalesced", usage=None, saved_usage={"input_tokens": 2, "output_tokens": 3})


def totals(*answers, **counts):
    made = Totals(**{"asked": len(answers), **counts})
    for one in answers:
        made.count(Answer(**one))
    return made


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (totals(), "0 answered, 0 failed, 0 saved by dedup, tokens: 0 in, 0 out"),
        (totals(asked=3), "0 answered, 0 failed, 3 not answered yet, 0 saved by dedup, tokens: 0 in, 0 out"),
        (totals(*[DONE] * 3), "3 answered, 0 failed, 0 saved by dedup, tokens: 6 in, 9 out"),
        (totals(DONE, SHARED), "2 answered, 0 failed, 1 saved by dedup, tokens: 2 in, 3 out"),
        (
            totals(answer(REQUEST, source="cache", usage=None)),
            "1 answered, 0 failed, 1 saved by dedup, tokens: 0 in, 0 out",
        ),
        (
            totals(DONE, REFUSED, refusal(REQUEST, "deadline_exceeded", "expired"), refusal(REQUEST, status="failed")),
            "1 answered, 1 failed, 1 rejected, 1 expired, 0 saved by dedup, tokens: 2 in, 3 out",
        ),
        (
            totals(bad=2, skipped=1234),
            "0 answered, 0 failed, 2 bad rows, 1,234 answered before, 0 saved by dedup, tokens: 0 in, 0 out",
        ),
    ],
)
def test_closing_line_names_only_what_happened(made, line):
    assert f"{line}, cost: $0.00, 1.2 s" == made.line(1.2345)


def test_closing_line_adds_up_the_cost():
    assert "cost: $0.000030" in totals(*[answer(REQUEST, cost_usd_micros=15)] * 2).line(1)


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (totals(), "all"),
        (totals(DONE), "all"),
        (totals(skipped=2), "all"),
        (totals(DONE, REFUSED), "some"),
        (totals(DONE, asked=2), "some"),
        (totals(DONE, bad=1), "some"),
        (totals(REFUSED, skipped=1), "some"),
        (totals(REFUSED), "none"),
        (totals(asked=1), "none"),
        (totals(bad=1), "none"),
    ],
)
def test_outcome_says_whether_all_some_or_no_rows_have_answers(made, outcome):
    assert outcome == made.outcome


@given(st.lists(st.sampled_from([DONE, REFUSED, SHARED])), st.integers(0, 5), st.integers(0, 5))
def test_every_row_is_answered_wrong_or_missing(answers, bad, more):
    made = totals(*answers, asked=len(answers) + more, bad=bad)

    assert made.asked + made.bad == made.answered + made.wrong + made.missing


@pytest.mark.parametrize(
    ("micros", "shown"),
    [(0, "$0.00"), (1, "$0.000001"), (9_999, "$0.009999"), (10_000, "$0.01"), (1_234_560_000, "$1,234.56")],
)
def test_small_amounts_are_shown_with_more_digits(micros, shown):
    assert shown == dollars(micros)
