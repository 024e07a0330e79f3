"""`up`: who answers, which broker, and one installation a directory."""

import os

import pytest

from streams.cli import up
from streams.engine.topics import New, Plan
from streams.local import ready
from streams.local.ready import Up
from streams.settings import load
from tests.support.commands import outside, run_at
from tests.support.fake_cluster import FakeKafka
from topics.errors import ConfigurationError, LocalKafkaError


def running_in(home, pid=None):
    ready.write(
        home, Up("127.0.0.1:19092", pid or os.getpid(), "http://127.0.0.1:9464/metrics", str(home), ready.now())
    )


@pytest.mark.parametrize(
    ("asked", "demo", "kind"),
    [(None, False, None), ("echo", False, "echo"), (None, True, "echo"), ("echo", True, "echo")],
)
def test_provider_of_the_demo_is_always_echo(asked, demo, kind):
    assert kind == up.provider_for(asked, demo)


@pytest.mark.parametrize("demo", [True, False])
def test_provider_that_does_not_exist_names_what_does(demo):
    with pytest.raises(ConfigurationError, match="use one of echo, openai, anthropic"):
        up.provider_for("oracle", demo)


def test_unknown_provider_exits_with_2_before_anything_starts(tmp_path):
    ran = run_at(["up", "--provider", "oracle"], outside(cwd=tmp_path))

    assert (2, []) == (ran.code, list(tmp_path.iterdir()))


def test_second_up_over_the_same_data_says_it_is_already_running(tmp_path):
    running_in(tmp_path / ".streams")
    ran = run_at(["up"], outside(cwd=tmp_path))

    assert 1 == ran.code
    assert f"already running over {tmp_path / '.streams'} (pid {os.getpid()}, Kafka 127.0.0.1:19092)" in ran.err


def test_second_up_over_other_data_is_not_refused(tmp_path):
    running_in(tmp_path / ".streams")

    assert up.refuse_second(tmp_path / "other") is None


def test_up_that_was_killed_is_not_in_the_way(tmp_path):
    running_in(tmp_path, pid=2**22 + 1)

    assert up.refuse_second(tmp_path) is None


def test_second_up_names_directory_and_way_out(tmp_path):
    running_in(tmp_path)

    with pytest.raises(LocalKafkaError, match="--data"):
        up.refuse_second(tmp_path)


@pytest.mark.parametrize(
    ("flags", "environ", "origin"),
    [
        ({"kafka.brokers": "k:1"}, {}, "flag"),
        ({}, {"KAFKA_BOOTSTRAP_SERVERS": "k:1"}, "environment KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_broker_that_is_given_is_used_and_none_started(tmp_path, flags, environ, origin):
    with up.broker(load(flags, environ, tmp_path), tmp_path, 0) as found:
        assert ("k:1", origin) == found

    assert [] == list(tmp_path.iterdir())


def test_properties_without_an_address_are_refused_with_the_places_to_name_one(tmp_path):
    loaded = load({"kafka.properties": {"security.protocol": "SSL"}}, {}, tmp_path)

    with pytest.raises(ConfigurationError, match="KAFKA_BOOTSTRAP_SERVERS"), up.broker(loaded, tmp_path, 0):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize("option", [["--workers", "0"], ["--workers", "65"], ["--port", "70000"], ["--port", "x"]])
def test_option_out_of_range_exits_with_2(option, tmp_path):
    assert 2 == run_at(["up", *option], outside(cwd=tmp_path)).code


def test_up_against_a_given_broker_without_topics_starts_nothing(tmp_path):
    kafka = FakeKafka(plan=Plan((New("prompts", 8, 1, {}),), (), (), ()))
    ran = run_at(["up", "-b", "127.0.0.1:19092", "-X", "client.id=me"], outside(kafka, cwd=tmp_path))

    assert 2 == ran.code
    assert "streams topics apply" in ran.err
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_provider_without_its_key_ends_up_before_anything_starts(tmp_path, kind):
    ran = run_at(["up", "--provider", kind], outside(cwd=tmp_path))

    assert (2, []) == (ran.code, list(tmp_path.iterdir()))
    assert f"provider.{kind}.api_key" in ran.err


FAR = "base_url = 'https://api.example.com/v1'\nmodel = 'm'\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[provider.echo]\nfaults = ['bogus']", "provider.echo.faults = 'bogus'"),
        ("[provider]\nkind = 'oracle'", "provider.kind"),
        ("[provider]\nkind = 'openai'", "provider.openai.base_url = unset"),
        (f"[provider]\nkind = 'openai'\n[provider.openai]\n{FAR}api_key_env = 'KEY'", "provider.openai.api_key_env"),
        (f"[provider]\nkind = 'openai'\n[provider.openai]\n{FAR}api_key_file = 'no'", "provider.openai.api_key_file"),
        (f"[routes]\na = ['openai:m']\n[provider.openai]\n{FAR}api_key_env = 'KEY'", "provider.openai.api_key_env"),
        ("[routes]\na = ['echo:m', 'anthropic:m']", "provider.anthropic.api_key = unset"),
        ("[assemble]\ntemplates_dir = '/nonexistent'", "assemble.templates_dir"),
        ("[assemble]\nsystem_file = '/nonexistent'", "assemble.system_file"),
    ],
)
def test_settings_no_worker_can_begin_with_end_up_before_anything_starts(tmp_path, text, told):
    """B93."""
    (tmp_path / "streams.toml").write_text(text)
    ran = run_at(["up"], outside(cwd=tmp_path))

    assert (2, [tmp_path / "streams.toml"]) == (ran.code, list(tmp_path.iterdir()))
    assert told in ran.err


@pytest.mark.parametrize(("key", "told"), [(None, "provider.openai.api_key_env"), ("hunter2", "streams topics apply")])
def test_key_in_a_named_variable_is_looked_for_first(tmp_path, key, told):
    """B93: with it `up` goes on, here to topics that are missing."""
    (tmp_path / "streams.toml").write_text(f"[provider]\nkind = 'openai'\n[provider.openai]\n{FAR}api_key_env = 'KEY'")
    kafka = FakeKafka(plan=Plan((New("prompts", 8, 1, {}),), (), (), ()))
    ran = run_at(["up", "-b", "k:1"], outside(kafka, {"KEY": key} if key else {}, tmp_path))

    assert (2, True, False) == (ran.code, told in ran.err, "hunter2" in ran.err)


@pytest.mark.parametrize("asked", [["--demo"], ["--provider", "echo"]])
def test_provider_of_the_file_that_is_put_aside_is_not_checked(tmp_path, asked):
    (tmp_path / "streams.toml").write_text("[provider]\nkind = 'openai'\n[routes]\na = ['anthropic:m']\n")
    kafka = FakeKafka(plan=Plan((New("prompts", 8, 1, {}),), (), (), ()))
    ran = run_at(["up", "-b", "k:1", *asked], outside(kafka, cwd=tmp_path))

    assert "provider" not in ran.err
    assert "streams topics apply" in ran.err
