"""The bounds of every setting, inclusive as written."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.decisions.budget import BudgetPolicy
from streams.decisions.dedup import DedupPolicy
from streams.decisions.limits import AdmissionPolicy
from streams.settings.calls import Retry
from streams.settings.sections import (
    SECTIONS,
    Admit,
    Assemble,
    Dedup,
    Echo,
    Infer,
    Kafka,
    NameSettings,
    ProviderSettings,
    Refine,
    Section,
    Settings,
    TopicSettings,
    WorkerSettings,
    paths,
)

BOUNDS = [
    (TopicSettings, "partitions", 1, 1024),
    (TopicSettings, "replication", 1, 15),
    (Admit, "max_prompt_bytes", 1, 1024 * 1024),
    (Admit, "max_messages", 1, 100_000),
    (Admit, "max_params", 0, 1000),
    (Admit, "max_depth", 4, 200),
    (Admit, "max_metadata_bytes", 2, 1024 * 1024),
    (Admit, "max_id_bytes", 1, 4096),
    (Assemble, "max_rendered_bytes", 1, 1024 * 1024),
    (Assemble, "max_steps", 1, 1_000_000),
    (Infer, "in_flight", 1, 10_000),
    (Infer, "dead_key_s", 1, 86_400),
    (Infer, "guard_consecutive", 1, 100_000),
    (Infer, "keep_answers_s", 1, 30 * 86_400),
    (Retry, "attempts", 1, 1000),
    (Retry, "base_s", 0, 600),
    (Retry, "cap_s", 0, 600),
    (Retry, "budget_s", 0, 604_800),
    (Refine, "max_answer_bytes", 1, 4 * 1024 * 1024),
    (WorkerSettings, "slot", 0, 999),
    (WorkerSettings, "http_port", 0, 65_535),
    (WorkerSettings, "session_timeout_s", 6, 300),
    (WorkerSettings, "grace_s", 0, 600),
    (Echo, "delay_s", 0, 3600),
]


@pytest.mark.parametrize(("section", "field", "low", "high"), BOUNDS)
def test_bounds_themselves_are_accepted(section: type[Section], field: str, low: int, high: int) -> None:
    got = [getattr(section.model_validate({field: value}), field) for value in (low, high)]

    assert [low, high] == got


@pytest.mark.parametrize(("section", "field", "low", "high"), BOUNDS)
def test_values_beside_bounds_are_refused(section: type[Section], field: str, low: int, high: int) -> None:
    for value in (low - 1, high + 1):
        with pytest.raises(ValidationError, match=field):
            section.model_validate({field: value})


@pytest.mark.parametrize(
    ("section", "given"),
    [
        (Refine, {"empty": "ignore"}),
        (Refine, {"truncated": True}),
        (TopicSettings, {"retention_d": 0}),
        (TopicSettings, {"retention_d": 3651}),
        (Admit, {"max_timeout_s": 0}),
        (Assemble, {"bytes_per_token": 0}),
        (Assemble, {"bytes_per_token": 101}),
        (Assemble, {"ratio_version": ""}),
        (Assemble, {"system": ""}),
        (Assemble, {"max_input_tokens": {"m": 0}}),
        (Assemble, {"max_input_tokens": 5}),
        (Admit, {"max_timeout_s": 604_801}),
        (Echo, {"tokens_per_s": 0}),
        (NameSettings, {"namespace": ""}),
        (NameSettings, {"namespace": "prompts"}),
        (NameSettings, {"namespace": "pro mpts."}),
        (NameSettings, {"prefix": "a/b"}),
        (ProviderSettings, {"kind": "Open AI"}),
        (ProviderSettings, {"kind": ""}),
        (WorkerSettings, {"apps": ()}),
        (WorkerSettings, {"apps": ""}),
        (WorkerSettings, {"apps": "core,nope"}),
        (WorkerSettings, {"lost_offsets": "ignore"}),
        (Kafka, {"properties": "sasl"}),
    ],
)
def test_value_outside_its_kind_is_refused(section: type[Section], given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        section.model_validate(given)


@pytest.mark.parametrize("namespace", ["prompts.", "team-a_", "x-", "a.b."])
def test_namespace_ending_in_separator_is_accepted(namespace: str) -> None:
    assert namespace == NameSettings(namespace=namespace).namespace


@pytest.mark.parametrize(
    ("setting", "embedded", "expected"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_plain_text_unset_depends_on_broker(setting: bool | None, embedded: bool, expected: bool) -> None:
    assert expected == Admit(plain_text=setting).policy(embedded=embedded).plain_text


def test_admit_defaults_are_those_of_the_rule() -> None:
    assert AdmissionPolicy() == Admit().policy(embedded=False)


def test_admit_limits_reach_the_policy() -> None:
    policy = Admit(max_messages=3, max_depth=5, max_id_bytes=7, max_timeout_s=9.0).policy(embedded=False)

    assert (3, 5, 7, 9.0) == (policy.max_messages, policy.max_depth, policy.max_id_bytes, policy.max_timeout_s)


@pytest.mark.parametrize(
    ("given", "faults"),
    [("", ()), ("timeout", ("timeout",)), ("ok, timeout,ok", ("ok", "timeout", "ok")), (["ok"], ("ok",))],
)
def test_faults_may_be_one_text_or_a_list(given: object, faults: tuple[str, ...]) -> None:
    assert faults == Echo.model_validate({"faults": given}).faults


def test_paths_are_read_as_path_objects() -> None:
    assert Path("a/b") == WorkerSettings.model_validate({"state_dir": "a/b"}).state_dir


def test_property_numbers_become_texts() -> None:
    assert {"request.timeout.ms": "5"} == Kafka.model_validate({"properties": {"request.timeout.ms": 5}}).properties


def test_settings_ignore_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_WORKER__SLOT", "5")
    monkeypatch.setenv("WORKER", '{"slot": 5}')

    assert 0 == Settings().worker.slot


def test_paths_are_dotted_and_leave_properties_out() -> None:
    every = list(paths(Settings))

    assert {"worker.slot", "provider.echo.delay_s", "kafka.brokers"} <= set(every)
    assert "kafka.properties" not in every


def test_sections_are_the_top_of_every_path() -> None:
    assert set(SECTIONS) == {path.split(".")[0] for path in paths(Settings)}


def test_two_system_texts_are_refused_together() -> None:
    with pytest.raises(ValidationError, match="system and system_file are both set"):
        Assemble.model_validate({"system": "a", "system_file": "b"})


@pytest.mark.parametrize("given", [{"system": "a"}, {"system_file": "b"}, {}])
def test_one_system_text_or_none_is_accepted(given: dict[str, str]) -> None:
    assert given == Assemble.model_validate(given).model_dump(
        include={"system", "system_file"}, mode="json", exclude_none=True
    )


def test_budget_defaults_are_those_of_the_rule() -> None:
    section, rule = Assemble(), BudgetPolicy()

    assert (rule.bytes_per_token, rule.ratio_version) == (section.bytes_per_token, section.ratio_version)


def test_dedup_defaults_are_those_of_the_rule() -> None:
    assert DedupPolicy() == Settings().dedup.policy()


@pytest.mark.parametrize(
    ("field", "value"), [("window_s", 5.0), ("max_completed", 10_000), ("max_waiters", 0), ("takeover_slack_s", 1.0)]
)
def test_dedup_setting_reaches_the_policy(field: str, value: float) -> None:
    assert value == getattr(Dedup(**{field: value}).policy(), field)  # type: ignore[arg-type]  # one of its fields


@pytest.mark.parametrize(("field", "value"), [("window_s", 0), ("max_completed", 9_999), ("takeover_slack_s", 0.5)])
def test_dedup_setting_below_its_bound_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        Dedup(**{field: value})  # type: ignore[arg-type]  # the claim
