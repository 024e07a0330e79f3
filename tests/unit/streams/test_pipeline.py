import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams import pipeline, stages
from streams.adapters.providers.echo import EchoProvider
from streams.adapters.retriever.memory import MemoryRetriever
from streams.decisions.attempts import Candidate
from streams.decisions.flood_guard import GuardPolicy
from streams.decisions.limits import AdmissionPolicy
from streams.decisions.refinement import RefinementPolicy
from streams.decisions.thinning import KeepPolicy
from streams.pipeline import Nowhere, Parts, compose, describe, flow, parts_of, problems
from streams.ports import Call
from streams.settings import Settings
from streams.stage import Record, Stage
from streams.testing import Pipeline
from tests.support.builders import assembled, deduped, failed, inferred, origin, record, reply, work
from tests.support.documents import document
from tests.support.loops import in_loop
from tests.support.scopes import FakeScope, handled, run
from topics import wire
from topics.catalog import (
    ASSEMBLED,
    BREAKER_TICKS,
    CALLS,
    CATALOG,
    DEDUPED,
    DOCUMENTS,
    FAILED,
    INFERRED,
    LETTERS,
    PARK_TICKS,
    TICKS,
    Names,
)
from topics.errors import ConfigurationError
from topics.messages import Assembled, Inferred, Origin
from topics.provider_errors import ProviderDenied

ORDER = ("admit", "dedup", "retrieve", "assemble", "infer", "refine", "deliver", "breaker", "park", "bury")


def wired(**parts: Any) -> tuple[Stage, ...]:
    return compose(Parts(**{"provider": EchoProvider(), "originals": Nowhere(), **parts}))


def nothing(record: Record, scope: object) -> tuple[()]:
    return ()


def stage(name: str = "one", reads: tuple[str, ...] = ("prompts",), writes: tuple[str, ...] = ("results",)) -> Stage:
    return Stage(name, "core", reads, writes, nothing)


def settings(**sections: Any) -> Settings:
    return Settings(**sections)


def test_stages_of_the_pipeline_stand_in_flow_order() -> None:
    assert ORDER == tuple(each.name for each in wired())


def test_stages_of_the_package_are_listed_in_the_same_order() -> None:
    listed = re.findall(r"^([a-z]+) {2,}", stages.__doc__ or "", re.MULTILINE)

    assert ORDER == tuple(listed)


def test_graph_of_the_pipeline_has_no_problems() -> None:
    assert () == problems(wired())


def test_topics_of_the_pipeline_are_all_of_the_catalog() -> None:
    touched = {topic for each in wired() for topic in (*each.reads, *each.writes)}
    of_others = {TICKS, PARK_TICKS, LETTERS, DOCUMENTS}  # written by the engine, a command and people; none for a stage

    assert set(CATALOG) == touched | of_others


def test_tables_of_the_pipeline_are_these() -> None:
    tables = {(each.app, each.table) for each in wired() if each.table}

    assert {("infer", "answers"), ("core", "requests"), ("core", "breakers")} == tables


def test_clock_of_the_pipeline_is_read_by_infer_alone() -> None:
    assert ["infer"] == [each.name for each in wired() if each.reads_clock]


def test_stages_that_await_are_those_with_slots() -> None:
    awaiting = {each.name for each in wired() if asyncio.iscoroutinefunction(each.handle)}

    at_times = {"admit", "retrieve"}  # they answer most records at once

    assert {"infer", "bury"} | at_times == awaiting | at_times == {each.name for each in wired() if each.slots}


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (stage(reads=("deduped",)), "one reads 'deduped', which nobody writes"),
        (stage(writes=("resluts",)), "one touches 'resluts', which is not in the catalog"),
        (stage(reads=("promtps",)), "one touches 'promtps', which is not in the catalog"),
    ],
)
def test_broken_graph_is_told_in_one_sentence(broken: Stage, told: str) -> None:
    assert (told,) == problems((broken,))


def test_name_used_twice_is_told_once() -> None:
    assert ("the name one is used twice",) == problems((stage(), stage(), stage("two")))


@pytest.mark.parametrize("reads", ["prompts", FAILED, TICKS, BREAKER_TICKS, CALLS])
def test_topic_written_by_people_or_the_engine_needs_no_stage(reads: str) -> None:
    assert () == problems((stage(reads=(reads,)),))


@pytest.mark.parametrize("unplugged", sorted({*ORDER[:-4]} - {"dedup", "assemble"}))  # deliver and park write there
def test_graph_without_one_stage_of_the_way_is_broken(unplugged: str) -> None:
    rest = tuple(each for each in wired() if each.name != unplugged)

    assert problems(rest)


def test_flow_of_the_pipeline_is_this_picture() -> None:
    assert flow(wired()).splitlines() == [
        "prompts ▶ admit ▶ admitted ▶ dedup ▶ deduped ▶ retrieve ▶ retrieved ▶ assemble ▶ assembled.<lane>",
        "  ▶ infer ▶ inferred ▶ refine ▶ refined ▶ deliver ▶ results",
        "each call: calls ▶ breaker ▶ breakers",
        "not now: parked.<tier> ▶ park ▶ assembled.<lane>",
        "any stage: failed ▶ deliver ▶ results",
        "any stage: failed ▶ bury ▶ dead-letters",
        "dedup ║ table requests",
        "infer ║ table answers",
        "deliver ║ table requests",
        "breaker ║ table breakers",
    ]


@pytest.mark.parametrize("width", [40, 72, 100, 400])
def test_flow_of_any_width_keeps_to_it(width: int) -> None:
    assert max(map(len, flow(wired(), width).splitlines())) <= width


def test_flow_of_any_width_names_every_stage_once() -> None:
    words = re.split(r"[ \n▶]+", flow(wired(), 40).split("any stage")[0])

    assert list(ORDER[:-1]) == [word for word in words if word in ORDER]


def test_flow_of_a_stage_without_a_reader_ends_there() -> None:
    assert "prompts ▶ one ▶ admitted" == flow((stage(writes=("admitted",)),))


def test_description_has_one_line_a_stage() -> None:
    lines = describe(wired()).splitlines()

    assert list(ORDER) == [line.split(" ▶ ")[1].strip() for line in lines]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("admit", "prompts              ▶ admit    ▶ admitted, results, failed  (core)"),
        ("infer", "assembled.<lane>     ▶ infer    ▶ inferred, failed, parked.<tier>  (infer, table answers)"),
        ("breaker", "calls, ticks.breaker ▶ breaker  ▶ breakers  (core, table breakers)"),
        ("bury", "failed               ▶ bury     ▶ dead-letters  (bury)"),
    ],
)
def test_description_of_a_stage_tells_topics_app_and_table(name: str, line: str) -> None:
    assert line == describe(wired()).splitlines()[ORDER.index(name)]


def test_description_of_no_stages_is_empty() -> None:
    assert "" == describe(())


def test_stages_of_the_default_settings_have_no_problems() -> None:
    assert (ORDER, ()) == (
        tuple(each.name for each in pipeline.stages(settings())),
        problems(pipeline.stages(settings())),
    )


@in_loop
async def test_retriever_of_the_worker_reaches_its_stage() -> None:
    mine = MemoryRetriever.of(document("mine"))
    found = pipeline.stages(settings(), Nowhere(), mine)[ORDER.index("retrieve")]
    asking = deduped(work={**work("a log").model_dump(), "retrieve": {"k": 1}})

    (output,) = await handled(found, record(asking, topic=DEDUPED), FakeScope())
    assert b'"id":"mine"' in (output.value or b"")


def test_calls_at_once_come_from_the_settings() -> None:
    found = pipeline.stages(settings(infer={"in_flight": 3}))

    assert 3 == next(each.slots for each in found if each.name == "infer")


@pytest.mark.parametrize(("given", "plain_text"), [(None, False), (False, False), (True, True)])
def test_admission_comes_from_the_settings(given: bool | None, plain_text: bool) -> None:
    parts = parts_of(settings(admit={"plain_text": given, "max_messages": 7}), Nowhere())

    assert AdmissionPolicy(plain_text=plain_text, max_messages=7, keep_s=7 * 86_400 - 3600) == parts.admission


def test_default_limits_of_settings_and_rules_are_the_same() -> None:
    kept_s = 7 * 86_400 - 3600  # from the retention, which is no knob of the rule

    assert AdmissionPolicy(keep_s=kept_s) == parts_of(settings(), Nowhere()).admission


def test_refinement_comes_from_the_settings() -> None:
    parts = parts_of(settings(refine={"empty": "fail", "truncated": "fail", "max_answer_bytes": 7}), Nowhere())

    assert RefinementPolicy("fail", "fail", 7) == parts.refinement


def test_refinement_of_the_parts_reaches_its_stage() -> None:
    strict = wired(refinement=RefinementPolicy(empty="fail"))[ORDER.index("refine")]

    (output,) = run(strict, record(inferred(reply("")), topic=INFERRED))

    assert FAILED == output.topic


def test_default_refinement_of_settings_and_rules_is_the_same() -> None:
    assert RefinementPolicy() == parts_of(settings(), Nowhere()).refinement


def test_routes_and_what_they_need_come_from_the_settings() -> None:
    asked = settings(
        routes={"default": ["echo:a", "echo:b"]},
        retry={"attempts": 7},
        infer={"dead_key_s": 9.0, "guard_consecutive": 3, "guard_ratio": 0.25, "guard_window": 40, "guard_minimum": 30},
    )
    parts = parts_of(asked, Nowhere())

    assert {"default": (Candidate("echo", "a"), Candidate("echo", "b"))} == parts.routes
    assert (7, 9.0, GuardPolicy(3, 0.25, 40, 30)) == (parts.retry.attempts, parts.dead_key_s, parts.guard)


def test_providers_of_the_parts_are_those_that_the_settings_name() -> None:
    parts = parts_of(settings(routes={"default": ["openai:a"]}), Nowhere())

    assert ["echo", "openai"] == list(parts.providers)
    assert parts.provider is parts.providers["echo"]


def test_default_knobs_of_calls_of_settings_and_rules_are_the_same() -> None:
    parts, bare = parts_of(settings(), Nowhere()), Parts(EchoProvider(), Nowhere())

    assert (bare.retry, bare.dead_key_s, bare.guard) == (parts.retry, parts.dead_key_s, parts.guard)
    assert bare.keep == parts.keep


@pytest.mark.parametrize(
    ("retention_d", "keep_s", "keep"),
    [(7.0, 3600, KeepPolicy()), (0.5, 60, KeepPolicy(60_000, 43_200_000)), (30, 1, KeepPolicy(1000, 2_592_000_000))],
)
def test_answers_are_kept_as_set_and_markers_as_long_as_prompts(
    retention_d: float, keep_s: float, keep: KeepPolicy
) -> None:
    asked = settings(topics={"retention_d": retention_d}, infer={"keep_answers_s": keep_s})

    assert keep == parts_of(asked, Nowhere()).keep


def test_names_come_from_the_settings() -> None:
    parts = parts_of(settings(names={"namespace": "acme.", "prefix": "p-"}), Nowhere())

    assert Names("acme.", "p-") == parts.names


def test_echo_gets_its_knobs_from_the_settings() -> None:
    parts = parts_of(settings(provider={"echo": {"nonce": True, "faults": ("ok",)}}), Nowhere())

    one, two = (
        asyncio.run(parts.provider.complete(Call("c", ({"role": "user", "content": "a"},), "m"))) for _ in range(2)
    )
    assert one.text != two.text


def test_provider_that_was_made_before_reaches_its_stage() -> None:
    class Other:
        name = "other"

        async def complete(self, call: Call) -> Any:
            raise ProviderDenied("other")

    found = pipeline.stages(settings(), Nowhere(), providers={"echo": Other()})
    stage = next(each for each in found if each.name == "infer")
    (output,) = run(stage, record(assembled(), topic="assembled.normal"))

    assert FAILED == output.topic


def test_provider_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="echo") as refused:
        parts_of(settings(provider={"kind": "oracle"}), Nowhere())
    assert ("provider.kind", "oracle") == (refused.value.field, refused.value.value)


def test_originals_of_a_graph_to_look_at_are_none() -> None:
    assert None is asyncio.run(Nowhere().fetch(origin()))


def test_originals_given_are_those_that_bury_asks() -> None:
    asked = list[Origin]()

    class Noting:
        async def fetch(self, origin: Origin) -> Record | None:
            asked.append(origin)
            return None

    run(pipeline.stages(settings(), Noting())[-1], record(failed(), topic=FAILED))

    assert [origin()] == asked


@pytest.mark.parametrize(("named", "group"), [("deliver", b"acme.core"), ("infer", b"acme.infer"), ("no-such", b"")])
def test_dead_letters_tell_the_group_of_the_stage(named: str, group: bytes) -> None:
    bury = wired(names=Names("acme."))[-1]

    (output,) = run(bury, record(failed(stage=named), topic=FAILED))

    assert group == dict(output.headers)["prompts.error.group"]


def test_lanes_are_shown_as_one_word_only_in_pictures() -> None:
    infer = replace(wired()[4])

    assert tuple(ASSEMBLED.values()) == infer.reads


# What `assemble` puts around the words, from the settings to the provider


def around(tmp_path: Path, **assemble: Any) -> Settings:
    (tmp_path / "sum.j2").write_text("Sum up for {{ tenant }}: {{ prompt }}")
    (tmp_path / "system.txt").write_text("be brief\n")
    return settings(assemble={"templates_dir": tmp_path, **assemble})


def answered(wanted: Settings, *requests: dict[str, Any]) -> Pipeline:
    """A pipeline of those settings that has answered the requests."""
    parts = parts_of(wanted, Nowhere())
    running = Pipeline(assembly=parts.assembly, templates=parts.templates)

    async def scenario() -> None:
        for request in requests:
            await running.submit(request)
        await running.settle()

    asyncio.run(scenario())
    return running


def prompts(running: Pipeline) -> list[Assembled]:
    sent = [record.value for lane in ASSEMBLED.values() for record in running.records(lane)]
    return [wire.decode(value, Assembled) for value in sent]


def test_words_of_a_template_reach_the_provider(tmp_path: Path) -> None:
    running = answered(around(tmp_path), {"prompt": "hello", "template": "sum", "tenant": "acme"})

    assert ["echo: Sum up for acme: hello"] == [answer.text for answer in running.answers()]


def test_template_that_is_not_there_is_refused_at_the_door(tmp_path: Path) -> None:
    (answer,) = answered(around(tmp_path), {"prompt": "hello", "template": "sun"}).answers()

    assert "rejected" == answer.status
    assert answer.error is not None
    assert "did you mean sum? there are sum" in answer.error.message


def test_template_that_fails_on_a_request_is_answered_by_kind(tmp_path: Path) -> None:
    wanted = around(tmp_path)
    (tmp_path / "strict.j2").write_text("{{ metadata.order }}")

    (answer,) = answered(wanted, {"prompt": "hello", "template": "strict"}).answers()

    assert answer.error is not None
    assert ("failed", "template_failed") == (answer.status, answer.error.kind)


@pytest.mark.parametrize("given", [{"system": "be brief"}, {"system_file": "system.txt"}])
def test_system_text_of_the_settings_reaches_the_provider(tmp_path: Path, given: dict[str, str]) -> None:
    wanted = around(
        tmp_path, **{name: tmp_path / text if name == "system_file" else text for name, text in given.items()}
    )

    (message,) = prompts(answered(wanted, {"prompt": "hello"}))

    assert {"role": "system", "content": "be brief"} == message.rendered[0]


@pytest.mark.parametrize(("tokens", "status"), [(5, "completed"), (4, "failed")])
def test_budget_of_the_settings_decides_what_is_sent(tmp_path: Path, tokens: int, status: str) -> None:
    wanted = around(tmp_path, bytes_per_token=1, max_input_tokens={"*": tokens})

    assert [status] == [answer.status for answer in answered(wanted, {"prompt": "hello"}).answers()]


def test_prompt_above_the_budget_is_answered_by_kind(tmp_path: Path) -> None:
    wanted = around(tmp_path, bytes_per_token=1, max_input_tokens={"default": 4})

    (answer,) = answered(wanted, {"prompt": "hello"}).answers()

    assert answer.error is not None
    assert "prompt_too_long" == answer.error.kind
    assert "About 5 tokens may not be cut, the limit of model 'default' is 4" == answer.error.message


def test_changed_template_makes_another_request_of_the_same_words(tmp_path: Path) -> None:
    request = {"id": "a", "prompt": "hello", "template": "sum"}
    wanted = around(tmp_path)
    before = prompts(answered(wanted, request))[0]
    (tmp_path / "sum.j2").write_text("Shorter: {{ prompt }}")
    after = prompts(answered(wanted, request))[0]

    assert before.dedup_key != after.dedup_key
    assert before.identity != after.identity
    assert before.template_hash != after.template_hash


def test_bytes_sent_travel_to_the_recorded_reply(tmp_path: Path) -> None:
    running = answered(around(tmp_path), {"prompt": "hello"})

    assert [5] == [wire.decode(one.value, Inferred).input_bytes for one in running.records(INFERRED)]


def test_what_was_put_around_the_words_does_not_travel_beyond_the_call(tmp_path: Path) -> None:
    running = answered(around(tmp_path, system="be brief"), {"prompt": "hello", "template": "sum"})

    values = b"".join(one.value or b"" for one in running.records(INFERRED))
    assert [] == [name for name in (b'"rendered"', b'"system_hash"', b'"cut"', b'"ratio_version"') if name in values]


def test_graph_that_is_only_looked_at_reads_no_templates() -> None:
    assert ORDER == tuple(each.name for each in pipeline.stages(settings(assemble={"templates_dir": "/nonexistent"})))


def test_stages_that_run_read_their_templates() -> None:
    with pytest.raises(ConfigurationError, match="no such directory"):
        pipeline.stages(settings(assemble={"templates_dir": "/nonexistent"}), Nowhere())


@pytest.mark.parametrize(
    ("retention_d", "max_timeout_s", "timeout_s", "keep_s"),
    [
        (7.0, 604_800, 604_800, 604_800 - 3600),
        (7.0, 60, 60, 604_800 - 3600),
        (1.0, 604_800, 86_400, 86_400 - 3600),
        (0.0625, 604_800, 5400, 2700),
    ],
)
def test_requests_end_before_their_prompts_may_be_deleted(
    retention_d: float, max_timeout_s: float, timeout_s: float, keep_s: float
) -> None:
    """B73: no timeout is above the retention."""
    asked = settings(topics={"retention_d": retention_d}, admit={"max_timeout_s": max_timeout_s})
    policy = parts_of(asked, Nowhere()).admission

    assert (timeout_s, keep_s) == (policy.max_timeout_s, policy.keep_s)


def test_door_knows_what_admit_is_told(tmp_path: Path) -> None:
    (tmp_path / "polite.j2").write_text("Please: {{ prompt }}")
    known = settings(admit={"max_timeout_s": 7}, assemble={"templates_dir": str(tmp_path), "system": "be brief"})
    parts = parts_of(known, Nowhere())

    assert pipeline._informed(parts) == pipeline.door(known)
