"""Would the account that fault drivers trust notice a call too many, and excuse only what a fault explains?"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bill import Bill, Paid, account, nonce_of, repeats

DIED = [("one", 10.0)]


def paid(nonce: str = "a" * 16, key: str = "k", began: float = 9.0, ended: float | None = 9.8, **fields: Any) -> Paid:
    return Paid(
        **{"key": key, "nonce": nonce, "by": "one", "tokens": 8, "cut": False, **fields, "began": began, "ended": ended}
    )


def answer(nonce: str = "a" * 16, source: str = "provider", tokens: int = 8) -> dict[str, Any]:
    usage = {"input_tokens": tokens - tokens // 2, "output_tokens": tokens // 2}
    return {"text": f"echo: hello [{nonce}]", "source": source, "usage": usage}


TWIN = answer(source="coalesced", tokens=0)


@pytest.mark.parametrize(
    ("call", "excused"),
    [
        (paid(), True),
        (paid(ended=None), True),
        (paid(safe=10.1), True),
        (paid(safe=9.9), False),
        (paid(began=10.01, ended=11.0), False),
        (paid(by="other"), False),
        (paid(by="other", cut=True), True),
    ],
    ids=["not safe", "runs", "safe too late", "safe in time", "later", "of another", "cut off"],
)
def test_call_of_a_killed_worker_is_excused_until_its_row_is_safe(call: Paid, excused: bool) -> None:
    assert excused == call.excused(DIED)


def test_last_call_of_a_key_needs_no_excuse() -> None:
    calls = [paid(), paid("b" * 16, began=12.0, ended=13.0)]

    assert (2, 1, 1, ()) == tuple(vars(repeats(calls, DIED)).values())


def test_call_repeated_without_a_fault_is_named_by_its_key() -> None:
    calls = [paid(safe=9.9), paid("b" * 16, began=12.0, ended=13.0), paid("c" * 16, key="other")]

    assert ("k",) == repeats(calls, DIED).baseless


@pytest.mark.parametrize(
    ("calls", "answers", "even"),
    [
        ([paid()], [answer(), TWIN, TWIN], True),
        ([paid(), paid("b" * 16)], [answer(), TWIN], True),
        ([paid()], [answer(), answer()], False),
        ([paid()], [answer(), answer(source="coalesced")], False),
        ([paid()], [answer(tokens=6)], False),
        ([paid()], [answer("b" * 16)], False),
    ],
    ids=["one call", "one repeated", "sold twice", "twin told a cost", "told too little", "told without a call"],
)
def test_account_is_even_only_where_each_call_is_told_once(calls: Any, answers: Any, even: bool) -> None:
    assert even == account(calls, answers).even


def test_calls_are_read_from_the_ledger_but_for_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "bill.jsonl"
    known = {"key": "k", "model": "one", "input_tokens": 3, "output_tokens": 5}
    entries = [{"action": "start", "nonce": "a", "at": 1.0}, {"action": "cancel", "nonce": "a", "at": 2.0}]
    begun = {"action": "start", "nonce": "b", "at": 3.0}
    path.write_text("".join(f"{json.dumps({**known, **entry})}\n" for entry in [*entries, begun]) + '{"torn')
    found = Bill("", path)

    first, second = Paid("k", "a", "one", 8, 1.0, 2.0, True), Paid("k", "b", "one", 8, 3.0, None, False, 4.0)
    assert [first, second] == found.calls({"b": 4.0})
    assert 1 == found.running


def test_nonce_of_an_answer_without_one_is_none() -> None:
    assert (None, "a" * 16) == (nonce_of({"text": None}), nonce_of(answer()))
