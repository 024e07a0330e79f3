"""`worker`: options become settings, and the exit code of the work is the exit code of the command."""

import pytest

from tests.support.commands import streams


def worked(*arguments, code=0, environ=None):
    """Exit code, and settings and apps that the work was given."""
    seen = []

    def work(settings, apps):
        seen.append((settings, apps))
        return code

    ran = streams("worker", *arguments, work=work, environ=environ)
    return ran, *(seen[0] if seen else (None, None))


@pytest.mark.parametrize("code", [0, 1, 70])
def test_exit_code_of_the_work_is_passed_on(code):
    assert code == worked("-b", "k:1", code=code)[0].code


@pytest.mark.parametrize(
    ("option", "section", "name", "value"),
    [
        (["--slot", "3"], "worker", "slot", 3),
        (["--http-port", "9500"], "worker", "http_port", 9500),
        (["--state-dir", "/var/x"], "worker", "state_dir", "/var/x"),
        (["--provider", "echo"], "provider", "kind", "echo"),
        (["--take-over"], "worker", "take_over", True),
        (["--plain-text"], "admit", "plain_text", True),
        (["--no-plain-text"], "admit", "plain_text", False),
    ],
)
def test_option_becomes_a_setting_of_the_worker(option, section, name, value):
    _, settings, _ = worked("-b", "k:1", *option)
    found = getattr(getattr(settings, section), name)

    assert value == (found if isinstance(found, int) else str(found))


def test_option_that_is_not_given_leaves_the_environment_in_force():
    _, settings, _ = worked("-b", "k:1", environ={"STREAMS_WORKER__SLOT": "7"})

    assert 7 == settings.worker.slot


@pytest.mark.parametrize(("given", "apps"), [("core", ("core",)), ("core,infer", ("core", "infer"))])
def test_apps_are_those_named(given, apps):
    assert apps == worked("-b", "k:1", "--apps", given)[2]


def test_apps_that_do_not_exist_exit_with_2():
    assert 2 == worked("-b", "k:1", "--apps", "core,nix")[0].code


@pytest.mark.parametrize(("arguments", "environ"), [(["-b", "k:1"], {}), ([], {"KAFKA_BOOTSTRAP_SERVERS": "k:1"})])
def test_worker_is_given_the_address_however_it_was_named(arguments, environ):
    assert "k:1" == worked(*arguments, environ=environ)[1].kafka.brokers


def test_worker_is_given_the_properties_of_a_secured_cluster():
    _, settings, _ = worked("-b", "k:1", "-X", "security.protocol=SSL")

    assert {"security.protocol": "SSL"} == dict(settings.kafka.properties)
