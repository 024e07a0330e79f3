"""The second hash agrees with the key about what is equal content, and with nothing else."""

from typing import Any

import pytest

from streams.decisions.content import check_of
from streams.decisions.identity import DeduplicationKey
from tests.support.builders import admitted, work
from topics.messages import Admitted, Work

PARTS = [{"role": "user", "content": [{"type": "text", "text": "hi "}]}]


def said(text: str = "hello", model: str = "default", tenant: str | None = None, **params: Any) -> Admitted:
    return admitted(work=work(text, model, **params), tenant=tenant)


@pytest.mark.parametrize(("one", "two"), [("hello", " hello\n"), ("a\r\nb", "a\nb"), ("é", "e\u0301")])
def test_check_of_normally_equal_words_is_equal(one: str, two: str) -> None:
    """B7."""
    assert check_of(said(one)) == check_of(said(two))
    assert DeduplicationKey.from_prompt(one) == DeduplicationKey.from_prompt(two)


@pytest.mark.parametrize(
    "other", [said("Hello"), said(model="m"), said(tenant="t"), said(seed=1), said("hel lo")], ids=range(5)
)
def test_check_of_other_content_differs(other: Admitted) -> None:
    assert check_of(said()) != check_of(other)


def test_check_of_parameters_in_another_order_is_equal() -> None:
    assert check_of(said(seed=1, top_p=0.5)) == check_of(said(top_p=0.5, seed=1))


def test_check_of_parts_is_of_their_normal_text() -> None:
    other = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]

    assert check_of(admitted(work=Work(messages=PARTS))) == check_of(admitted(work=Work(messages=other)))


def test_check_of_a_key_that_nobody_shares_is_empty() -> None:
    assert "" == check_of(admitted(dedup_key="i:" + "ab" * 32))


def test_check_is_no_part_of_the_key() -> None:
    message = said()

    assert 16 == len(check_of(message))
    assert check_of(message) not in message.dedup_key
