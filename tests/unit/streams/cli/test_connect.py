"""Which cluster: option, environment, file, nearest `up`, in this order; and properties with Java's names."""

import os

import pytest

from streams.cli import connect
from streams.client import KafkaDoor
from streams.decisions.offsets import FromStart
from streams.engine.cluster import Cluster
from streams.engine.reader import Tail
from streams.local import ready
from streams.local.ready import Up
from streams.settings import load
from tests.support.commands import outside, run_at
from tests.support.fake_cluster import FakeKafka
from topics.catalog import RESULTS, Names
from topics.errors import ConfigurationError

OPTION, ENVIRONMENT, FILE, UP = "option:1", "environment:1", "file:1", "up:1"


def place(tmp_path, *named):
    """A directory, an environment and options that name the broker in the given places."""
    if FILE in named:
        (tmp_path / "streams.toml").write_text(f'[kafka]\nbrokers = "{FILE}"\n')
    if UP in named:
        ready.write(tmp_path / ".streams", Up(UP, os.getpid(), "http://127.0.0.1:1", str(tmp_path), ready.now()))
    environ = {"KAFKA_BOOTSTRAP_SERVERS": ENVIRONMENT} if ENVIRONMENT in named else {}
    return environ, ["-b", OPTION] if OPTION in named else []


def taken(tmp_path, *named, cwd=None):
    """The address that a command connects to."""
    kafka = FakeKafka()
    environ, options = place(tmp_path, *named)
    ran = run_at(["tail", *options], outside(kafka, environ, cwd or tmp_path))
    return kafka.cluster.brokers if ran.code == 0 else ran


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ((OPTION, ENVIRONMENT, FILE, UP), OPTION),
        ((ENVIRONMENT, FILE, UP), ENVIRONMENT),
        ((FILE, UP), FILE),
        ((UP,), UP),
        ((OPTION, UP), OPTION),
        ((ENVIRONMENT, UP), ENVIRONMENT),
    ],
)
def test_broker_named_in_several_places_is_taken_from_the_first(tmp_path, named, address):
    assert address == taken(tmp_path, *named)


def test_broker_named_nowhere_exits_with_2(tmp_path):
    assert 2 == taken(tmp_path).code


def test_up_that_runs_in_a_directory_above_is_found(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)

    assert UP == taken(tmp_path, UP, cwd=tmp_path / "a" / "b")


def properties(*pairs, file=None):
    return connect.connection_flags(None, list(pairs), file)["kafka.properties"]


def test_properties_are_taken_from_repeated_options():
    assert {"security.protocol": "SSL", "client.id": "a=b"} == properties("security.protocol=SSL", "client.id=a=b")


def test_single_property_wins_over_the_file(tmp_path):
    file = tmp_path / "client.properties"
    file.write_text("client.id=file\nsecurity.protocol=SSL\n")

    assert {"client.id": "option", "security.protocol": "SSL"} == properties("client.id=option", file=file)


def test_no_properties_leave_those_of_the_settings_in_force():
    assert properties() is None


@pytest.mark.parametrize("pair", ["client.id", "=x", ""])
def test_property_without_name_or_sign_is_refused_and_its_value_not_told(pair):
    with pytest.raises(ConfigurationError, match="write -X key=value"):
        properties(pair)


def test_properties_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.properties"):
        properties(file=tmp_path / "none.properties")


@pytest.mark.parametrize(
    ("name", "found"), [("results", "results"), ("x.results", "results"), ("n.admitted", "admitted")]
)
def test_topic_is_called_by_our_name_or_by_kafkas(name, found):
    assert found == connect.topic_called(name, Names("n.", "x."))


def test_topic_of_somebody_else_is_refused():
    with pytest.raises(ConfigurationError, match="not a topic of the pipeline"):
        connect.topic_called("orders", Names())


def test_names_of_the_settings_are_those_of_the_connection(tmp_path):
    kafka = FakeKafka()
    environ = {"STREAMS_NAMES__NAMESPACE": "mine.", "STREAMS_NAMES__PREFIX": "pub."}
    run_at(["tail", "-b", "k:1"], outside(kafka, environ, tmp_path))

    assert ("mine.admitted", "pub.results") == (kafka.names.topic("admitted"), kafka.names.topic(RESULTS))


def test_outside_without_anything_is_this_process(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMS_MARK", "here")
    real = connect.Outside()

    assert (tmp_path, "here", connect.RealKafka) == (real.cwd, real.environ["STREAMS_MARK"], real.kafka)


def test_flow_of_the_real_outside_is_the_pipelines():
    stages = connect.flow(load({}, {}, connect.Path("/nonexistent")).settings)

    assert ("admit", "bury") == (stages[0].name, stages[-1].name)


def test_real_cluster_is_the_clients_door_and_more():
    kafka = connect.RealKafka(Cluster("127.0.0.1:1"), Names())

    assert isinstance(kafka, KafkaDoor)
    assert isinstance(kafka.tail(RESULTS, FromStart()), Tail)
