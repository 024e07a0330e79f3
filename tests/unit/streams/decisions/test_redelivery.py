"""Records whose key already has a row, case by case."""

from dataclasses import FrozenInstanceError

import pytest

from streams.decisions.redelivery import Again, First, Other, judge

ROLES = {"owner": "admitted/0/7", "waiter-1": "admitted/0/9", "waiter-2": "ticks/0/7"}


def test_key_without_a_row_lets_the_input_decide() -> None:
    assert First() == judge(None, "admitted/0/7")


def test_row_without_roles_is_still_a_row() -> None:
    assert Other() == judge({}, "admitted/0/7")


@pytest.mark.parametrize("role", ROLES)
def test_input_that_took_a_role_is_recognised_in_it(role: str) -> None:
    assert Again(role) == judge(ROLES, ROLES[role].encode().decode())  # as it comes from a record


@pytest.mark.parametrize(
    "at", ["admitted/0/8", "admitted/0/70", "admitted/0/", "admitted/1/7", "deduped/0/7", "", "owner"]
)
def test_input_with_other_coordinates_is_another(at: str) -> None:
    assert Other() == judge(ROLES, at)


def test_input_with_two_roles_is_recognised_in_the_first() -> None:
    assert Again("owner") == judge({"owner": "a/0/1", "waiter-1": "a/0/1"}, "a/0/1")


def test_judging_leaves_the_row_as_it_was() -> None:
    roles = dict(ROLES)
    judge(roles, "admitted/0/8")

    assert ROLES == roles


def test_judgement_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Again("owner").role = "waiter"  # type: ignore[misc]  # the claim
