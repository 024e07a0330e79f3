"""What a refused setting tells, and what it never shows."""

from typing import Any

import pytest

from streams.settings.refused import MASK, SettingsRefused, Violation, secret, violation
from topics.errors import ConfigurationError


def error(path: str = "worker.slot", kind: str = "int_parsing", value: object = "x") -> dict[str, Any]:
    return {"loc": tuple(path.split(".")), "type": kind, "input": value, "msg": "wrong"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("kafka.properties.sasl.jaas.config", True),
        ("kafka.properties.ssl.key.password", True),
        ("provider.openai.api_key", True),
        ("provider.openai.api-key", True),
        ("provider.openai.token", True),
        ("provider.x.client_secret", True),
        ("provider.x.access_token", True),
        ("assemble.bytes_per_token", False),
        ("kafka.properties.sasl.oauthbearer.token", True),
        ("provider.echo.tokens_per_s", False),
        ("worker.slot", False),
        ("kafka.properties.sasl.mechanism", False),
    ],
)
def test_secret_paths_are_told_from_others(path: str, expected: bool) -> None:
    assert expected == secret(path)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (error(value="x"), "'x'"),
        (error(value=3), "3"),
        (error(value=None), "None"),
        (error(value="y" * 500), "'" + "y" * 79),
        (error(value={"deep": "hunter2"}), "dict"),
        (error(value=["hunter2"]), "list"),
        (error("kafka.properties.client.id", value="hunter2"), MASK),
        (error("provider.api_key", value="hunter2"), MASK),
        (error("worker.nope", "extra_forbidden", "hunter2"), MASK),
        (error("worker", "model_type", 3), "3"),
    ],
)
def test_violation_value_is_short_and_masked(given: dict[str, Any], shown: str) -> None:
    assert shown == violation(given, {}).value


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        ({"worker.slot": "flag"}, "flag"),
        ({"worker.slot.x": "file a", "worker.slot": "flag"}, "flag"),
        ({"worker.slot.x": "file a"}, "file a"),
        ({"worker": "file b"}, "file b"),
        ({"work": "file c"}, "default"),
        ({}, "default"),
    ],
)
def test_violation_hint_names_the_source(origins: dict[str, str], said: str) -> None:
    assert f"set by {said}" == violation(error(), origins).hint


def test_refusal_is_a_configuration_error_with_a_line_each() -> None:
    refusal = SettingsRefused((Violation("a.b", "1", "too small", "set by flag"), Violation("c", "2", "odd", "why")))

    assert isinstance(refusal, ConfigurationError)
    assert "a.b = 1: too small (set by flag)\nc = 2: odd (why)" == str(refusal)
