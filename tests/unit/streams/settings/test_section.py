"""What all sections have in common."""

import pytest
from pydantic import ValidationError

from streams.settings.section import Section, listed


class Known(Section):
    size: float = 1.0


@pytest.mark.parametrize("given", [{"siez": 2}, {"size": float("nan")}, {"size": float("inf")}, {"size": "x"}])
def test_section_refuses_what_it_does_not_know_or_cannot_use(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Known.model_validate(given)


def test_section_that_is_made_stays_as_it_is() -> None:
    made = Known(size=2)

    with pytest.raises(ValidationError):
        made.size = 3  # type: ignore[misc]  # that it is read-only is the claim


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("a,b", ("a", "b")),
        (" a , b ", ("a", "b")),
        ("a", ("a",)),
        ("", ()),
        (",,", ()),
        (["a"], ["a"]),
        (5, 5),
        (None, None),
    ],
)
def test_text_with_commas_is_a_list_and_anything_else_is_left(given: object, found: object) -> None:
    assert found == listed(given)
