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
