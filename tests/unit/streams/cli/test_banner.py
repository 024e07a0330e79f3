"""What `up` prints: where everything listens, and a next command that finds it from a fresh shell."""

import shlex
from pathlib import Path

import pytest

from streams.cli.banner import Facts, banner, next_command, secured, shown

HERE = Path("/project")


def facts(**fields):
    return Facts(
        **{
            "brokers": "127.0.0.1:19092",
            "own_broker": True,
            "home": HERE / ".streams",
            "cwd": HERE,
            "provider": "echo",
            "metrics": ["http://127.0.0.1:9464/metrics"],
            "apps": ["core", "infer", "park"],
            **fields,
        }
    )


def line(name, **fields):
    return next(text for text in banner(facts(**fields), ()).splitlines() if text.startswith(name))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("prompt-streams", "0.1.0"),
        ("Kafka", "127.0.0.1:19092   embedded Apache Kafka 4.3.1, data in .streams/   (kcat -b 127.0.0.1:19092 -L)"),
        ("Provider", "echo"),
        ("Metrics", "http://127.0.0.1:9464/metrics      Logs .streams/*.log"),
        ("Workers", "core infer park"),
        ("Next:", 'streams submit "Summarise Kafka in one line" --wait'),
        ("Stop:", "Ctrl-C (data kept)"),
    ],
)
def test_banner_line_tells_where_things_are(name, words):
    assert words in line(name)


def test_banner_claims_no_embedded_kafka_for_a_given_broker():
    assert "embedded" not in line("Kafka", own_broker=False)


def test_banner_shows_the_metrics_of_every_worker():
    both = ["http://127.0.0.1:9464/metrics", "http://127.0.0.1:9465/metrics"]

    assert " ".join(both) in line("Metrics", metrics=both)
    assert line("Workers", metrics=both).split()[1] == "2"


def test_next_command_in_a_checkout_is_its_script(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "streams").touch()

    assert next_command(facts(cwd=tmp_path, home=tmp_path / ".streams"), ()).startswith("./scripts/streams submit ")


def test_next_command_elsewhere_is_the_installed_program():
    assert next_command(facts(), ()).startswith("streams submit ")


def test_next_command_beside_the_data_needs_no_address():
    assert 'streams submit "Summarise Kafka in one line" --wait' == next_command(facts(), ())


@pytest.mark.parametrize(
    "fields", [{"own_broker": False}, {"home": Path("/elsewhere")}, {"home": HERE / "sub" / ".streams"}]
)
def test_next_command_that_would_not_find_it_names_the_address(fields):
    assert next_command(facts(**fields), ()).endswith("--wait -b 127.0.0.1:19092")


def test_next_command_for_a_secured_cluster_names_its_file():
    command = next_command(facts(own_broker=False), ("-b", "k:1", "-F", "my client.properties"))

    assert ["-F", "my client.properties"] == shlex.split(command)[-2:]


@pytest.mark.parametrize(
    ("passed", "options"),
    [
        ((), []),
        (("-b", "k:1", "--provider", "echo"), []),
        (("-F", "c.properties"), ["-F", "c.properties"]),
        (("-X", "sasl.jaas.config=password"), ["-X", "sasl.jaas.config=…"]),
    ],
)
def test_options_of_a_secured_cluster_are_told_without_their_values(passed, options):
    assert options == secured(passed)


@pytest.mark.parametrize(("path", "text"), [(HERE / ".streams", ".streams"), (Path("/var/x"), "/var/x")])
def test_path_is_shown_relative_where_it_is_below(path, text):
    assert text == shown(path, HERE)


@pytest.mark.parametrize(("kind", "note"), [("echo", "free"), ("openai", "as the settings say")])
def test_provider_is_told_with_what_it_costs(kind, note):
    told = line("Provider", provider=kind)

    assert (kind, True) == (told.split()[1], note in told)
