"""Loading settings: which source wins, what is refused, and what is shown."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import settings
from streams.settings import MASK, Loaded, SettingsRefused
from topics.errors import ConfigurationError

ENVIRONMENT = {"STREAMS_WORKER__SLOT": "2"}
TOML = "[worker]\nslot = 3\n"
NOWHERE = Path("/nonexistent")


def loaded(
    flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, cwd: Path = NOWHERE
) -> Loaded:
    return settings.load(flags or {}, environ or {}, cwd)


def refused(
    flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, cwd: Path = NOWHERE
) -> SettingsRefused:
    with pytest.raises(SettingsRefused) as raised:
        loaded(flags, environ, cwd)
    return raised.value


def written(directory: Path, text: str) -> Path:
    (directory / "streams.toml").write_text(text)
    return directory


def row(got: Loaded, path: str) -> tuple[str, str]:
    return next((one.value, one.origin) for one in settings.shown(got) if one.path == path)


def test_load_of_nothing_gives_documented_defaults() -> None:
    got = loaded().settings

    assert ("prompts.", 8, 1, 7.0) == (
        got.names.namespace,
        got.topics.partitions,
        got.topics.replication,
        got.topics.retention_d,
    )
    assert (256, "echo", 10.0, 9464) == (
        got.infer.in_flight,
        got.provider.kind,
        got.worker.session_timeout_s,
        got.worker.http_port,
    )


@pytest.mark.parametrize(
    ("flags", "environ", "toml", "slot", "origin"),
    [
        ({"worker.slot": 1}, ENVIRONMENT, TOML, 1, "flag"),
        ({}, ENVIRONMENT, TOML, 2, "environment STREAMS_WORKER__SLOT"),
        ({"worker.slot": None}, ENVIRONMENT, TOML, 2, "environment STREAMS_WORKER__SLOT"),
        ({}, {}, TOML, 3, "file"),
        ({}, {}, "", 0, "default"),
    ],
)
def test_value_given_several_times_comes_from_strongest_source(
    flags: dict[str, object], environ: dict[str, str], toml: str, slot: int, origin: str, tmp_path: Path
) -> None:
    got = loaded(flags, environ, written(tmp_path, toml))

    assert slot == got.settings.worker.slot
    assert got.origins["worker.slot"].startswith(origin)


def test_file_in_parent_directory_is_found_and_named(tmp_path: Path) -> None:
    inner = written(tmp_path, TOML) / "a" / "b"
    inner.mkdir(parents=True)

    assert f"file {tmp_path / 'streams.toml'}" == loaded(cwd=inner).origins["worker.slot"]


def test_nearest_file_hides_those_above_it(tmp_path: Path) -> None:
    inner = written(tmp_path, TOML) / "a"
    inner.mkdir()
    written(inner, "[worker]\ngrace_s = 1\n")

    got = loaded(cwd=inner).settings.worker

    assert (0, 1.0) == (got.slot, got.grace_s)


def test_sections_from_three_sources_are_merged_leaf_by_leaf(tmp_path: Path) -> None:
    cwd = written(tmp_path, "[worker]\nslot = 3\ngrace_s = 9.5\nlost_offsets = 'skip'\n")

    got = loaded({"worker.slot": 1}, {"STREAMS_WORKER__GRACE_S": "4"}, cwd).settings.worker

    assert (1, 4.0, "skip") == (got.slot, got.grace_s, got.lost_offsets)


def test_properties_from_all_sources_are_merged_by_name(tmp_path: Path) -> None:
    cwd = written(tmp_path, '[kafka.properties]\n"client.id" = "file"\n"security.protocol" = "SSL"\n')
    environ = {"STREAMS_KAFKA__PROPERTIES": '{"sasl.mechanism": "PLAIN", "client.id": "environment"}'}

    got = loaded({"kafka.properties": {"client.id": "flag"}}, environ, cwd).settings.kafka.properties

    assert {"client.id": "flag", "security.protocol": "SSL", "sasl.mechanism": "PLAIN"} == got


def test_properties_written_as_toml_tables_are_kafka_names(tmp_path: Path) -> None:
    cwd = written(tmp_path, "[kafka.properties]\nsecurity.protocol = 'SSL'\nrequest.timeout.ms = 5000\n")

    got = loaded(cwd=cwd).settings.kafka.properties

    assert {"security.protocol": "SSL", "request.timeout.ms": "5000"} == got


@pytest.mark.parametrize(
    ("text", "value"), [("core", ("core",)), ("core,infer", ("core", "infer")), (" core , park ", ("core", "park"))]
)
def test_apps_in_environment_are_split_at_commas(text: str, value: tuple[str, ...]) -> None:
    assert value == loaded(environ={"STREAMS_WORKER__APPS": text}).settings.worker.apps


@pytest.mark.parametrize(
    ("flags", "path", "word"),
    [
        ({"worker.slott": 1}, "worker.slott", "worker.slot"),
        ({"topics.partition": 1}, "topics.partition", "topics.partitions"),
        ({"provider.echo.delay": 1}, "provider.echo.delay", "provider.echo.delay_s"),
        ({"kafka.broker": "a:1"}, "kafka.broker", "kafka.brokers"),
        ({"worke.slot": 1}, "worke", "worker"),
    ],
)
def test_unknown_key_is_named_with_nearest_known_one(flags: dict[str, object], path: str, word: str) -> None:
    [violation] = refused(flags).violations

    assert (path, "unknown setting") == (violation.path, violation.reason)
    assert f"did you mean {word}?" in violation.hint


def test_unknown_key_far_from_all_has_no_suggestion() -> None:
    [violation] = refused({"zzzzzzzzzz.qqqqqq": 1}).violations

    assert "set by flag" == violation.hint


@pytest.mark.parametrize("name", ["STREAMS_WORKER__SLOTT", "STREAMS_WORKR__SLOT", "STREAMS_X__Y__Z"])
def test_unknown_environment_variable_is_refused(name: str) -> None:
    assert f"environment {name}" in str(refused(environ={name: "1"}))


@pytest.mark.parametrize("name", ["STREAMS_HOME", "OTHER_WORKER__SLOT", "PATH"])
def test_environment_without_section_is_left_alone(name: str) -> None:
    assert loaded().settings == loaded(environ={name: "1"}).settings


def test_several_violations_are_all_reported(tmp_path: Path) -> None:
    cwd = written(tmp_path, "[topics]\npartitions = 0\nretention_d = nan\n[nope]\na = 1\n")

    got = refused({"worker.http_port": 70_000}, {"STREAMS_INFER__IN_FLIGHT": "many"}, cwd)

    paths = {"topics.partitions", "topics.retention_d", "nope", "worker.http_port", "infer.in_flight"}
    assert paths == {one.path for one in got.violations}
    assert all(path in str(got) for path in paths)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", float("nan"), float("inf")])
@pytest.mark.parametrize("path", ["topics.retention_d", "worker.grace_s", "provider.echo.delay_s"])
def test_number_without_end_is_refused(path: str, value: object) -> None:
    assert [path] == [one.path for one in refused({path: value}).violations]


def test_violation_tells_path_value_reason_and_source() -> None:
    [violation] = refused(environ={"STREAMS_TOPICS__PARTITIONS": "0"}).violations

    assert "topics.partitions = '0'" in str(violation)
    assert "greater than or equal to 1" in violation.reason
    assert "environment STREAMS_TOPICS__PARTITIONS" in violation.hint


def test_refusal_carries_first_violation_as_field_and_value() -> None:
    error = refused({"topics.partitions": 0})

    assert ("topics.partitions", "0", "settings_refused") == (error.field, error.value, error.kind)


@pytest.mark.parametrize("value", [3, "x", [1]])
def test_value_in_place_of_section_is_explained(value: object) -> None:
    [violation] = refused({"worker": value}, ENVIRONMENT).violations

    assert ("this is a section", "write [worker]; set by flag") == (violation.reason, violation.hint)


def test_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"streams\.toml.*cannot be read as TOML"):
        loaded(cwd=written(tmp_path, "[worker\n"))


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "streams.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigurationError, match="cannot be read as TOML"):
        loaded(cwd=tmp_path)


def test_environment_that_is_no_json_is_named_without_value() -> None:
    with pytest.raises(ConfigurationError, match="it must be JSON") as raised:
        loaded(environ={"STREAMS_KAFKA__PROPERTIES": "{hunter2"})

    assert "STREAMS_KAFKA__PROPERTIES" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_paid_provider_by_environment_alone_is_refused() -> None:
    [violation] = refused(environ={"STREAMS_PROVIDER__KIND": "openai"}).violations

    assert ("provider.kind", "openai") == (violation.path, violation.value)


@pytest.mark.parametrize(
    ("flags", "environ", "toml", "kind"),
    [
        ({"provider.kind": "openai"}, {}, "", "openai"),
        ({"provider.kind": "openai"}, {"STREAMS_PROVIDER__KIND": "other"}, "", "openai"),
        ({}, {}, "[provider]\nkind = 'openai'\n", "openai"),
        ({}, {"STREAMS_PROVIDER__KIND": "echo"}, "[provider]\nkind = 'openai'\n", "echo"),
    ],
)
def test_provider_by_flag_or_file_is_taken(
    flags: dict[str, object], environ: dict[str, str], toml: str, kind: str, tmp_path: Path
) -> None:
    assert kind == loaded(flags, environ, written(tmp_path, toml)).settings.provider.kind


@pytest.mark.parametrize(
    ("flag", "environ", "toml", "running", "expected"),
    [
        ("f:1", {"KAFKA_BOOTSTRAP_SERVERS": "e:1"}, "t:1", "r:1", ("f:1", "flag")),
        (None, {"KAFKA_BOOTSTRAP_SERVERS": "e:1"}, "t:1", "r:1", ("e:1", "environment KAFKA_BOOTSTRAP_SERVERS")),
        (None, {"STREAMS_KAFKA__BROKERS": "s:1"}, "t:1", "r:1", ("s:1", "environment STREAMS_KAFKA__BROKERS")),
        (
            None,
            {"STREAMS_KAFKA__BROKERS": "s:1", "KAFKA_BOOTSTRAP_SERVERS": "e:1"},
            "t:1",
            None,
            ("s:1", "environment STREAMS_KAFKA__BROKERS"),
        ),
        (None, {"KAFKA_BOOTSTRAP_SERVERS": ""}, "t:1", "r:1", ("t:1", "file")),
        (None, {}, "t:1", "r:1", ("t:1", "file")),
        (None, {}, "", "r:1", ("r:1", "running")),
    ],
)
def test_brokers_named_several_times_follow_the_order(
    flag: str | None, environ: dict[str, str], toml: str, running: str | None, expected: tuple[str, str], tmp_path: Path
) -> None:
    cwd = written(tmp_path, f"[kafka]\nbrokers = '{toml}'\n" if toml else "")

    address, origin = settings.brokers(loaded({"kafka.brokers": flag}, environ, cwd), running)

    assert expected[0] == address
    assert origin.startswith(expected[1])


def test_brokers_of_properties_file_stand_before_running_one() -> None:
    got = loaded({"kafka.properties": {"bootstrap.servers": "p:1"}})

    assert ("p:1", "flag") == settings.brokers(got, "r:1")


@pytest.mark.parametrize("way", ["-b/--brokers", "KAFKA_BOOTSTRAP_SERVERS", "streams.toml", "streams up"])
def test_no_brokers_error_names_each_way(way: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        settings.brokers(loaded())

    assert way in str(raised.value)


@pytest.mark.parametrize(
    ("flags", "path", "expected"),
    [
        ({"worker.slot": 4}, "worker.slot", ("4", "flag")),
        ({}, "worker.slot", ("0", "default")),
        ({"worker.apps": "core"}, "worker.apps", ("core", "flag")),
        ({}, "kafka.brokers", ("unset", "default")),
        ({}, "provider.echo.tokens_per_s", ("unset", "default")),
        ({"kafka.properties": {"client.id": "me"}}, "kafka.properties.client.id", ("me", "flag")),
        ({"kafka.properties": {"sasl.jaas.config": "x"}}, "kafka.properties.sasl.jaas.config", (MASK, "flag")),
        ({"kafka.properties": {"ssl.key.password": "x"}}, "kafka.properties.ssl.key.password", (MASK, "flag")),
    ],
)
def test_shown_setting_has_value_and_origin(flags: dict[str, object], path: str, expected: tuple[str, str]) -> None:
    assert expected == row(loaded(flags), path)


def test_shown_covers_every_setting_once() -> None:
    paths = [one.path for one in settings.shown(loaded())]

    assert sorted(set(paths)) == sorted(paths)
    assert set(loaded().origins) == set(paths)


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=8))
def test_secret_in_properties_never_shows(secret: str) -> None:
    got = loaded({"kafka.properties": {"sasl.jaas.config": f"<{secret}>"}})

    assert all(f"<{secret}>" not in one.value for one in settings.shown(got))


@given(st.integers(min_value=1, max_value=1024), st.integers(min_value=0, max_value=999))
def test_settings_written_back_to_flags_load_equal(partitions: int, slot: int) -> None:
    first = loaded({"topics.partitions": partitions, "worker.slot": slot}).settings

    again = loaded(first.model_dump()).settings

    assert first == again


def test_schema_of_settings_is_json_and_knows_every_section() -> None:
    schema = json.loads(json.dumps(settings.schema()))

    assert set(settings.Settings.model_fields) == set(schema["properties"])


def test_settings_once_loaded_cannot_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        loaded().settings.worker.slot = 4


ROUTED = '[provider]\nkind = "openai"\n[routes]\ndefault = ["openai:gpt-5-mini", "anthropic:claude-haiku-4-5"]\n'


def test_routes_of_the_file_are_read_in_order(tmp_path: Path) -> None:
    got = loaded(cwd=written(tmp_path, ROUTED))

    assert {"default": ("openai:gpt-5-mini", "anthropic:claude-haiku-4-5")} == got.settings.routes
    assert f"file {tmp_path / 'streams.toml'}" == row(got, "routes")[1]


def test_faults_of_routes_are_all_told_with_their_place(tmp_path: Path) -> None:
    """B93."""
    text = '[routes]\na = ["oracle:x", "echo"]\nb = []\nc = ["echo:x", "echo:x"]\n'

    assert ["routes.a.0", "routes.a.1", "routes.b", "routes.c"] == [
        one.path for one in refused(cwd=written(tmp_path, text)).violations
    ]


@pytest.mark.parametrize(
    ("flags", "environ"),
    [({"provider.kind": "echo"}, {}), ({"provider.kind": "anthropic"}, {}), ({}, {"STREAMS_PROVIDER__KIND": "echo"})],
)
def test_provider_named_by_a_stronger_source_puts_the_routes_of_the_file_aside(
    flags: dict[str, object], environ: dict[str, str], tmp_path: Path
) -> None:
    """Who asks for the free provider, or for the demo, pays nobody."""
    got = loaded(flags, environ, written(tmp_path, ROUTED))

    assert ({}, "default") == (got.settings.routes, got.origins["routes"])


def test_other_settings_of_a_stronger_source_leave_the_routes(tmp_path: Path) -> None:
    got = loaded({"worker.slot": 1}, {"STREAMS_INFER__IN_FLIGHT": "9"}, written(tmp_path, ROUTED))

    assert ["default"] == list(got.settings.routes)


@pytest.mark.parametrize("candidates", ['["openai:gpt-5"]', '["echo:a", "anthropic:claude-haiku-4-5"]'])
def test_paid_route_by_environment_alone_is_refused(candidates: str) -> None:
    [violation] = refused(environ={"STREAMS_ROUTES__DEFAULT": candidates}).violations

    assert ("routes", "the environment alone may not choose it") == (violation.path, violation.reason)


@pytest.mark.parametrize(("flags", "candidates"), [({}, ("echo:a", "echo:b")), ({"provider.kind": "openai"}, ())])
def test_route_by_environment_to_a_chosen_provider_is_taken(
    flags: dict[str, object], candidates: tuple[str, ...]
) -> None:
    got = loaded(flags, {"STREAMS_ROUTES__DEFAULT": '["echo:a", "echo:b"]'})

    assert candidates == got.settings.routes.get("default", ())
