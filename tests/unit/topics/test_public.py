"""What the package offers to others: every name is there, documented, and reachable from the package itself."""

import doctest
import inspect

import pytest

import topics
from topics import answer, catalog


@pytest.mark.parametrize("name", topics.__all__)
def test_public_name_is_there(name):
    assert hasattr(topics, name)


@pytest.mark.parametrize("name", [name for name in topics.__all__ if callable(getattr(topics, name))])
def test_public_callable_is_documented(name):
    assert inspect.getdoc(getattr(topics, name))


@pytest.mark.parametrize("module", [answer, catalog])
def test_doctests_of_the_module_hold(module):
    assert 0 == doctest.testmod(module).failed


def test_public_names_are_listed_once():
    assert len(topics.__all__) == len(set(topics.__all__))
