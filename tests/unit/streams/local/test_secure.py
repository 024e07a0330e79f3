from pathlib import Path

import pytest

from streams.local.secure import Security

MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512"]


def security(mechanism: str = MECHANISMS[0]) -> Security:
    return Security("alice", "p-1", Path("/keys/server.p12"), "p-2", mechanism)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_user_for_format_tool_is_one_clause_of_the_mechanism(mechanism: str) -> None:
    assert f"{mechanism}=[name=alice,password=p-1]" == security(mechanism).scram_clause()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_listener_settings_allow_only_the_one_mechanism(mechanism: str) -> None:
    assert mechanism == security(mechanism).settings()["listener.name.secured.sasl.enabled.mechanisms"]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_listener_settings_name_the_login_module_of_the_mechanism(mechanism: str) -> None:
    login = security(mechanism).settings()[f"listener.name.secured.{mechanism.lower()}.sasl.jaas.config"]

    assert "org.apache.kafka.common.security.scram.ScramLoginModule required;" == login


def test_listener_settings_never_hold_the_users_password() -> None:
    assert "p-1" not in security().settings().values()


@pytest.mark.parametrize("password", ["p-1", "p-2"])
def test_security_when_printed_shows_no_password(password: str) -> None:
    assert password not in repr(security())


def test_every_listener_setting_belongs_to_the_secured_listener() -> None:
    assert all(name.startswith("listener.name.secured.") for name in security().settings())
