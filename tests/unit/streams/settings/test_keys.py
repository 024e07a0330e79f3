"""Where the key of a paid provider comes from, and what is told when something is missing."""

import pytest
from pydantic import SecretStr

from streams import settings
from streams.settings import MASK, SettingsRefused
from streams.settings.calls import KINDS
from streams.settings.keys import check, kinds, remotes, with_keys
from streams.settings.sections import Anthropic, ProviderSettings, Remote, Settings

LOCAL, FAR = "http://127.0.0.1:8000/v1", "https://api.example.com/v1"


def of(kind="openai", **section):
    known = {"base_url": FAR, "api_key": "k-1", "model": "m"}
    return Settings(provider={"kind": kind, kind: {**known, **section}})


def missing(given):
    """Paths of what is missing, without the section's name."""
    with pytest.raises(SettingsRefused) as raised:
        check(given)
    return [violation.path.removeprefix(f"provider.{given.provider.kind}.") for violation in raised.value.violations]


def key_of(given, environ=None, cwd=None):
    found, origins = with_keys(given, environ or {}, cwd)
    key = found.provider.openai.api_key
    return key and key.get_secret_value(), origins


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_provider_with_all_it_needs_fits(kind):
    assert check(of(kind)) is None


def test_free_provider_needs_nothing():
    assert check(Settings()) is None


@pytest.mark.parametrize("kind", ["oracle", "open_ai"])
def test_kind_that_does_not_exist_names_those_that_do(kind):
    with pytest.raises(SettingsRefused, match="use one of echo, openai, anthropic"):
        check(Settings(provider={"kind": kind}))


def test_sections_are_those_of_all_paid_kinds():
    assert set(KINDS) - {"echo"} == set(remotes(Settings()))


@pytest.mark.parametrize(
    ("kind", "section", "paths"),
    [
        ("openai", {"base_url": None}, ["base_url"]),
        ("openai", {"model": None}, ["model"]),
        ("openai", {"model": None, "models": {"default": "m"}}, []),
        ("openai", {"model": None, "models": {"fast": "m"}}, ["model"]),
        ("openai", {"api_key": None}, ["api_key"]),
        ("openai", {"api_key": None, "base_url": LOCAL}, []),
        ("openai", {"api_key": None, "base_url": "http://localhost:11434/v1"}, []),
        ("openai", {"api_key": None, "base_url": "http://[::1]:11434/v1"}, []),
        ("openai", {"api_key": None, "base_url": "http://127.9.9.9/v1"}, []),
        ("openai", {"api_key": None, "base_url": "http://192.168.0.7/v1"}, ["api_key"]),
        ("openai", {"api_key": None, "base_url": "http://localhost.example.com/v1"}, ["api_key"]),
        ("openai", {"base_url": None, "model": None, "api_key": None}, ["base_url", "model", "api_key"]),
        ("anthropic", {"base_url": "https://api.anthropic.com"}, []),
        ("anthropic", {"api_key": None, "base_url": "https://api.anthropic.com"}, ["api_key"]),
        ("openai", {"api_key": "two words"}, ["api_key"]),
        ("openai", {"api_key": "line\nend"}, ["api_key"]),
        ("openai", {"api_key": "schlüssel"}, ["api_key"]),
        ("openai", {"api_key_env": "KEY"}, []),
        ("openai", {"api_key": None, "api_key_env": "KEY"}, ["api_key_env"]),
        ("openai", {"api_key": None, "api_key_file": "key"}, ["api_key_file"]),
        ("openai", {"api_key": None, "api_key_file": "key", "base_url": LOCAL}, ["api_key_file"]),
        ("openai", {"api_key": None, "api_key_file": "key", "api_key_env": "KEY"}, ["api_key"]),
    ],
)
def test_what_is_missing_is_named_all_at_once(kind, section, paths):
    """B93."""
    given = of(kind, **section)

    assert paths == (missing(given) if paths else [])
    assert paths or check(given) is None


@pytest.mark.parametrize(
    ("section", "fix"),
    [
        ({"base_url": None}, 'base_url = "http://127.0.0.1:8000/v1" under [provider.openai]'),
        ({"model": None}, 'model = "…" under [provider.openai]'),
        ({"api_key": None}, "set api_key_file (a path) or api_key_env (a variable's name)"),
    ],
)
def test_what_is_missing_comes_with_its_fix(section, fix):
    with pytest.raises(SettingsRefused) as raised:
        check(of(**section))

    assert fix in str(raised.value)


@pytest.mark.parametrize(
    "section",
    [
        {"api_key": "hunter2 hunter2"},
        {"api_key": "hunter2", "api_key_env": "KEY", "api_key_file": "key"},
        {"api_key": "hünter2"},
    ],
)
def test_key_that_is_refused_never_shows(section):
    """B98."""
    with pytest.raises(SettingsRefused) as raised:
        check(of(**section))

    assert "nter2" not in f"{raised.value} {raised.value.args} {raised.value.violations}"


@pytest.mark.parametrize(
    ("environ", "key"),
    [({"KEY": "k-2"}, "k-2"), ({"KEY": " k-2\n"}, "k-2"), ({"KEY": ""}, None), ({}, None), ({"OTHER": "k-2"}, None)],
)
def test_key_of_a_named_variable_is_read(environ, key):
    origins = {"provider.openai.api_key": "environment KEY"} if key else {}

    assert (key, origins) == key_of(of(api_key=None, api_key_env="KEY"), environ)


@pytest.mark.parametrize(("content", "key"), [(b"k-3\n", "k-3"), (b"k-3", "k-3"), (b"", None), (b"\xff", None)])
def test_key_of_a_named_file_is_read(tmp_path, content, key):
    (tmp_path / "key").write_bytes(content)
    origins = {"provider.openai.api_key": f"file {tmp_path / 'key'}"} if key else {}

    assert (key, origins) == key_of(of(api_key=None, api_key_file="key"), {}, tmp_path)


def test_key_file_that_is_not_there_leaves_the_key_unset(tmp_path):
    assert (None, {}) == key_of(of(api_key=None, api_key_file="none"), {}, tmp_path)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "API_KEY", "KEY"])
def test_key_of_an_unnamed_variable_is_not_looked_for(name):
    assert (None, {}) == key_of(of(api_key=None), {name: "k-2"})


def test_key_that_is_written_down_stands():
    assert ("k-1", {}) == key_of(of(api_key_env="KEY"), {"KEY": "k-2"})


def loaded(tmp_path, text, environ=None):
    (tmp_path / "streams.toml").write_text(text)
    return settings.load({}, environ or {}, tmp_path)


TOML = f"""
[provider]
kind = "openai"
[provider.openai]
base_url = "{FAR}"
api_key_env = "KEY"
model = "gpt-5.1"
models = {{ "fast.one" = "gpt-5.1-mini" }}
[provider.openai.prices]
"gpt-5.1" = {{ input = 2500000, output = 10000000 }}
"""


def test_file_with_a_paid_provider_is_whole_with_its_key(tmp_path):
    got = loaded(tmp_path, TOML, {"KEY": "k-2"})
    section = got.settings.provider.openai

    assert ("k-2", "environment KEY") == (section.api_key.get_secret_value(), got.origins["provider.openai.api_key"])
    assert ({"fast.one": "gpt-5.1-mini"}, 10_000_000) == (section.models, section.prices["gpt-5.1"].output)
    assert check(got.settings) is None


def test_settings_without_the_key_still_load_where_no_call_is_made(tmp_path):
    assert loaded(tmp_path, TOML).settings.provider.openai.api_key is None


def test_key_never_shows_and_an_unset_one_says_so(tmp_path):
    """B98."""
    shown = {one.path: one for one in settings.shown(loaded(tmp_path, TOML, {"KEY": "hunter2"}))}

    assert (MASK, "environment KEY") == (
        shown["provider.openai.api_key"].value,
        shown["provider.openai.api_key"].origin,
    )
    assert "unset" == shown["provider.anthropic.api_key"].value
    assert "hunter2" not in repr(shown)


def test_table_of_models_is_one_setting(tmp_path):
    shown = {one.path: one.value for one in settings.shown(loaded(tmp_path, TOML))}

    assert "{'fast.one': 'gpt-5.1-mini'}" == shown["provider.openai.models"]


def test_settings_shown_as_text_hide_the_key():
    assert "hunter2" not in f"{of(api_key='hunter2')!r} {of(api_key='hunter2')}"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/v1",
        "a.example.com/v1",
        "http://",
        "http://user:hunter2@a/v1",
        "http://a/v1?key=hunter2",
        "http://a/v1#x",
        "http://[::1/v1",
        "http://127.0.0.1:99999/v1",
        "http://127.0.0.1:0/v1",
        "http://127.0.0.1:http/v1",
        "",
    ],
)
def test_base_url_that_is_none_is_refused_without_secrets(url, tmp_path):
    with pytest.raises(SettingsRefused) as raised:
        settings.load({"provider.openai.base_url": url or "x"}, {}, tmp_path)

    assert "provider.openai.base_url" == raised.value.violations[0].path
    assert "user:hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", ["sk-abcdef", "key", "1KEY", "A KEY", ""])
def test_name_of_a_variable_that_is_none_is_refused_masked(name, tmp_path):
    with pytest.raises(SettingsRefused) as raised:
        settings.load({"provider.openai.api_key_env": name}, {}, tmp_path)

    assert MASK == raised.value.violations[0].value


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("connect_s", 0),
        ("first_byte_s", 3601),
        ("idle_s", -1),
        ("total_s", float("inf")),
        ("pool", 0),
        ("max_bytes", 10),
        ("max_tokens", 0),
        ("model", ""),
        ("api_key", ""),
        ("prices", {"m": {"input": -1}}),
        ("prices", {"m": {"in": 1}}),
        ("models", {"a": 1}),
    ],
)
def test_knob_out_of_bounds_is_refused_by_path(knob, value, tmp_path):
    with pytest.raises(SettingsRefused, match=rf"provider\.anthropic\.{knob}"):
        settings.load({f"provider.anthropic.{knob}": value}, {}, tmp_path)


def test_sections_by_default_know_only_the_public_address_of_anthropic():
    assert (None, "https://api.anthropic.com") == (Remote().base_url, Anthropic().base_url)
    assert "echo" == ProviderSettings().kind


def test_key_given_as_a_secret_is_kept():
    assert SecretStr("k-1") == of().provider.openai.api_key


@pytest.mark.parametrize(
    ("kind", "routes", "named"),
    [
        ("echo", {}, ("echo",)),
        ("openai", {"a": ["openai:m"]}, ("openai",)),
        ("echo", {"a": ["openai:m", "echo:m"], "b": ["anthropic:m"]}, ("echo", "openai", "anthropic")),
    ],
)
def test_kinds_are_those_of_the_provider_and_of_the_routes(kind, routes, named):
    assert named == kinds(Settings(provider={"kind": kind}, routes=routes))


@pytest.mark.parametrize(
    ("kind", "routes", "section", "paths"),
    [
        ("echo", {"a": ["openai:m"]}, {}, []),
        ("echo", {"a": ["openai:m"]}, {"model": None}, []),
        ("echo", {"a": ["openai:default"]}, {"model": None}, ["openai.model"]),
        ("echo", {"a": ["openai:m"]}, {"api_key": None}, ["openai.api_key"]),
        ("echo", {"a": ["openai:m"]}, {"base_url": None, "api_key": None}, ["openai.base_url", "openai.api_key"]),
        ("openai", {"default": ["openai:m"]}, {"model": None}, []),
        ("openai", {"default": ["echo:m"]}, {"model": None}, []),
        ("openai", {"other": ["openai:m"]}, {"model": None}, ["openai.model"]),
        ("openai", {"a": ["anthropic:m"]}, {"model": None}, ["openai.model", "anthropic.api_key"]),
    ],
)
def test_candidates_of_routes_need_what_a_provider_needs(kind, routes, section, paths):
    """B93."""
    known = {"base_url": FAR, "api_key": "k-1", "model": "m"}
    asked = Settings(provider={"kind": kind, "openai": {**known, **section}}, routes=routes)
    found = []
    try:
        check(asked)
    except SettingsRefused as refused:
        found = [violation.path.removeprefix("provider.") for violation in refused.violations]

    assert paths == found
