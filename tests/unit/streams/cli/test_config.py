"""`config`: every setting with its origin, secrets masked, violations by name, and the schema of the file."""

import pytest

from tests.support.commands import outside as given
from tests.support.commands import run_at, streams


def shown(*arguments, **outside):
    return {
        row["setting"]: (row["value"], row["origin"])
        for row in streams("config", "show", *arguments, "-o", "jsonl", **outside).jsonl
    }


@pytest.mark.parametrize(
    ("arguments", "environ", "setting", "value"),
    [
        ((), {}, "topics.partitions", ("8", "default")),
        ((), {"STREAMS_TOPICS__PARTITIONS": "3"}, "topics.partitions", ("3", "environment STREAMS_TOPICS__PARTITIONS")),
        (("-b", "k:1"), {}, "kafka.brokers", ("k:1", "flag")),
        ((), {"KAFKA_BOOTSTRAP_SERVERS": "e:1"}, "kafka.brokers", ("e:1", "environment KAFKA_BOOTSTRAP_SERVERS")),
        (("-b", "k:1"), {"KAFKA_BOOTSTRAP_SERVERS": "e:1"}, "kafka.brokers", ("k:1", "flag")),
    ],
)
def test_setting_is_shown_with_its_value_and_origin(arguments, environ, setting, value):
    assert value == shown(*arguments, environ=environ)[setting]


def test_setting_from_the_file_names_the_file(tmp_path):
    (tmp_path / "streams.toml").write_text("[topics]\npartitions = 5\n")

    assert ("5", f"file {tmp_path / 'streams.toml'}") == shown(cwd=tmp_path)["topics.partitions"]


@pytest.mark.parametrize("how", ["table", "json", "jsonl"])
def test_secret_is_masked_in_every_format(how):
    ran = streams("config", "show", "-o", how, "-X", 'sasl.jaas.config=x password="hunter2";')

    assert "hunter2" not in ran.out + ran.err
    assert "sasl.jaas.config" in ran.out


def test_settings_that_fit_exit_with_0_and_leave_stdout_empty():
    ran = streams("config", "check")

    assert (0, "", "settings fit\n") == (ran.code, ran.out, ran.err)


def test_settings_that_do_not_fit_exit_with_2_and_are_all_named():
    environ = {"STREAMS_TOPICS__PARTITIONS": "0", "STREAMS_WORKER__SLOT": "-1"}
    ran = run_at(["config", "check"], given(environ=environ))

    assert 2 == ran.code
    assert all(name in ran.err for name in ("topics.partitions", "worker.slot"))


@pytest.mark.parametrize(("option", "lines"), [("--pretty", False), ("--no-pretty", True)])
def test_schema_is_json_on_one_line_or_many(option, lines):
    ran = streams("config", "schema", option)

    assert lines == (len(ran.lines) == 1)
    assert "kafka" in ran.json["properties"]


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("", 2, "provider.openai.base_url"),
        ("base_url = 'https://api.example.com/v1'", 2, "provider.openai.api_key = unset"),
        ("base_url = 'https://api.example.com/v1'\nmodel = 'm'\napi_key_env = 'KEY'", 2, "provider.openai.api_key_env"),
        ("base_url = 'https://api.example.com/v1'\nmodel = 'm'\napi_key = 'hunter2'", 0, "settings fit"),
        ("base_url = 'http://127.0.0.1:8000/v1'\nmodel = 'm'", 0, "settings fit"),
    ],
)
def test_check_of_a_paid_provider_names_what_its_calls_need(tmp_path, text, code, told):
    (tmp_path / "streams.toml").write_text(f"[provider]\nkind = 'openai'\n[provider.openai]\n{text}\n")
    ran = run_at(["config", "check"], given(cwd=tmp_path))

    assert (code, True, False) == (ran.code, told in ran.err, "hunter2" in ran.err)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("templates_dir = '{}/none'", "there is no such directory"),
        ("templates_dir = '{}'", "promt is not there: did you mean prompt?"),
        ("system_file = '{}/none'", "assemble.system_file = "),
    ],
)
def test_check_of_templates_names_what_is_wrong_with_them(tmp_path, text, told):
    (tmp_path / "a.j2").write_text("{{ promt }}")
    (tmp_path / "streams.toml").write_text("[assemble]\n" + text.format(tmp_path))
    ran = run_at(["config", "check"], given(cwd=tmp_path))

    assert (2, True) == (ran.code, told in ran.err)


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ('default = ["echo:a", "echo:b"]', 0, "settings fit"),
        ('default = ["openai:gpt-5", "anthropic:claude-haiku-4-5"]', 2, "provider.anthropic.api_key = unset"),
        ('default = ["openai:gpt-5", "anthropic:claude-haiku-4-5"]', 2, "provider.openai.base_url = unset"),
        ('default = ["oracle:x"]', 2, "routes.default.0 = 'oracle:x': Value error, there is no provider 'oracle'"),
        ("default = []", 2, "routes.default"),
        ('default = ["echo:a", "echo:a"]', 2, "'echo:a' stands in it twice"),
    ],
)
def test_check_of_routes_names_what_cannot_be_called(tmp_path, text, code, told):
    (tmp_path / "streams.toml").write_text(f"[routes]\n{text}\n")
    ran = run_at(["config", "check"], given(cwd=tmp_path))

    assert (code, True) == (ran.code, told in ran.err)


@pytest.mark.parametrize("tiers", ["[1, 2, 3]", "[4, 3, 2, 1]"])
def test_check_of_retry_names_tiers_that_are_not_four_in_order(tmp_path, tiers):
    (tmp_path / "streams.toml").write_text(f"[retry]\ntiers_s = {tiers}\n")
    ran = run_at(["config", "check"], given(cwd=tmp_path))

    assert (2, True) == (ran.code, "retry.tiers_s" in ran.err)


@pytest.mark.parametrize(("faults", "code"), [("[]", 0), ("['ok', 'timeout']", 0), ("['ok', 'bogus']", 2)])
def test_check_of_echo_names_faults_that_do_not_exist(tmp_path, faults, code):
    (tmp_path / "streams.toml").write_text(f"[provider.echo]\nfaults = {faults}\n")
    ran = run_at(["config", "check"], given(cwd=tmp_path))

    assert (code, code == 2) == (ran.code, "provider.echo.faults = 'bogus'" in ran.err)
