"""The commands that there are, and which exit code each way of ending has."""

import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli import app
from streams.cli.app import run
from tests.support.commands import NOWHERE, outside, run_at, streams
from tests.support.fake_cluster import FakeKafka
from topics.errors import ConfigurationError, LocalKafkaError, TransportError

VERBS = {"up", "worker", "submit", "get", "tail", "status", "dlq", "documents", "topics", "config", "tokens"}
FOUR_PLACES = ("-b", "KAFKA_BOOTSTRAP_SERVERS", "streams.toml", "streams up")


def ending(error):
    """A command that ends with that error: here, the worker's."""

    def work(settings, apps):
        raise error

    return streams("worker", "-b", "127.0.0.1:1", work=work)


def test_commands_are_those_that_exist():
    shown = streams("--help").out

    assert {verb for verb in VERBS if f" {verb} " in shown} == VERBS


@pytest.mark.parametrize("absent", ["replay", "why", "breaker", "erase"])
def test_command_that_does_not_exist_yet_is_not_offered(absent):
    assert 2 == streams(absent).code


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_each_command_exits_with_0(verb):
    ran = streams(verb, "--help")

    assert 0 == ran.code
    assert "Usage" in ran.out


def test_no_arguments_show_the_help():
    assert streams("--help").out == streams().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nix"], "nix"),
        (["get"], "ID"),
        (["tail", "--bogus"], "--bogus"),
        (["tail", "-o", "xml"], "xml"),
        (["tail", "-n", "-1"], "-n"),
        (["worker", "--slot", "x"], "--slot"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_what_is_wrong(arguments, named):
    ran = streams(*arguments)

    assert 2 == ran.code
    assert named in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("field", "value", "fix"), 2),
        (TransportError("reading", "KafkaError"), 1),
        (LocalKafkaError("no Java"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_error_of_a_command_becomes_its_exit_code(error, code):
    assert code == ending(error).code


def test_error_of_a_command_is_one_line_on_stderr():
    ran = ending(ConfigurationError("worker.slot", 5, "use 0 to 4"))

    assert ("", "error: worker.slot = 5: use 0 to 4\n") == (ran.out, ran.err)


def test_defect_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        ending(ZeroDivisionError())


@pytest.mark.parametrize(
    "arguments", [["get", "a"], ["tail"], ["status"], ["submit", "x"], ["topics", "plan"], ["worker"]]
)
def test_command_without_any_broker_exits_with_2_and_names_all_four_places(arguments, tmp_path):
    ran = run_at(arguments, outside(cwd=tmp_path))

    assert 2 == ran.code
    assert all(place in ran.err for place in FOUR_PLACES)


def test_run_without_anything_given_takes_the_real_outside(capsys):
    assert 0 == run(["config", "schema"])
    assert '"properties"' in capsys.readouterr().out


def test_failure_line_is_never_a_traceback():
    assert "Traceback" not in streams("get", "x", kafka=FakeKafka(), cwd=NOWHERE).err


def test_failed_returns_the_code_that_it_was_given(capsys):
    assert 3 == app._failed("words", 3)
    assert "error: words\n" == capsys.readouterr().err


@pytest.mark.parametrize("command", [["--help"], ["submit", "--help"], ["config", "schema"]])
def test_light_command_never_imports_faust(command):
    code = f"import sys; from streams.cli.app import run; run({command!r}); sys.exit('faust' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode


def test_help_never_imports_the_kafka_client():
    code = "import sys; from streams.cli.app import run; run([]); sys.exit('aiokafka' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode


def test_reader_that_leaves_early_ends_the_command_without_a_word():
    shell = f"set -o pipefail; {sys.executable} -m streams config schema | true"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, check=False, text=True)

    assert "" == ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only where the system has a full device")
def test_full_disk_behind_stdout_is_one_line_and_exits_with_1():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "streams", "config", "schema"]
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, text=True)

    assert (1, "error: [Errno 28] No space left on device\n") == (ran.returncode, ran.stderr)
