import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from streams import pipeline, stages
from streams.adapters.providers.echo import EchoProvider
from streams.decisions.limits import AdmissionPolicy
from streams.pipeline import Nowhere, Parts, compose, describe, flow, parts_of, problems
from streams.ports import Call
from streams.settings import Settings
from streams.stage import Record, Stage
from tests.support.builders import failed, origin, record
from tests.support.scopes import run
from topics.catalog import ASSEMBLED, CATALOG, FAILED, Names
from topics.errors import ConfigurationError
from topics.messages import Origin

ORDER = ("admit", "dedup", "retrieve", "assemble", "infer", "refine", "deliver", "bury")


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

    assert set(CATALOG) == touched


def test_tables_of_the_pipeline_are_these() -> None:
    tables = {(each.app, each.table) for each in wired() if each.table}

    assert {("infer", "answers"), ("core", "requests")} == tables


def test_clock_of_the_pipeline_is_read_by_infer_alone() -> None:
    assert ["infer"] == [each.name for each in wired() if each.reads_clock]


def test_stages_that_await_are_those_with_slots() -> None:
    awaiting = {each.name for each in wired() if asyncio.iscoroutinefunction(each.handle)}

    assert {"infer", "bury"} == awaiting == {each.name for each in wired() if each.slots}


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


@pytest.mark.parametrize("reads", ["prompts", FAILED])
def test_topic_written_by_people_or_the_loop_needs_no_stage(reads: str) -> None:
    assert () == problems((stage(reads=(reads,)),))


@pytest.mark.parametrize("unplugged", ORDER[:-2])
def test_graph_without_one_stage_of_the_way_is_broken(unplugged: str) -> None:
    rest = tuple(each for each in wired() if each.name != unplugged)

    assert problems(rest)


def test_flow_of_the_pipeline_is_this_picture() -> None:
    assert flow(wired()).splitlines() == [
        "prompts ▶ admit ▶ admitted ▶ dedup ▶ deduped ▶ retrieve ▶ retrieved ▶ assemble ▶ assembled.<lane>",
        "  ▶ infer ▶ inferred ▶ refine ▶ refined ▶ deliver ▶ results",
        "any stage: failed ▶ deliver ▶ results",
        "any stage: failed ▶ bury ▶ dead-letters",
        "infer ║ table answers",
        "deliver ║ table requests",
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
        ("admit", "prompts          ▶ admit    ▶ admitted, results, failed  (core)"),
        ("infer", "assembled.<lane> ▶ infer    ▶ inferred, failed  (infer, table answers)"),
        ("bury", "failed           ▶ bury     ▶ dead-letters  (bury)"),
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


def test_calls_at_once_come_from_the_settings() -> None:
    found = pipeline.stages(settings(infer={"in_flight": 3}))

    assert 3 == next(each.slots for each in found if each.name == "infer")


@pytest.mark.parametrize(("given", "plain_text"), [(None, False), (False, False), (True, True)])
def test_admission_comes_from_the_settings(given: bool | None, plain_text: bool) -> None:
    parts = parts_of(settings(admit={"plain_text": given, "max_messages": 7}), Nowhere())

    assert AdmissionPolicy(plain_text=plain_text, max_messages=7) == parts.admission


def test_default_limits_of_settings_and_rules_are_the_same() -> None:
    assert AdmissionPolicy() == parts_of(settings(), Nowhere()).admission


def test_names_come_from_the_settings() -> None:
    parts = parts_of(settings(names={"namespace": "acme.", "prefix": "p-"}), Nowhere())

    assert Names("acme.", "p-") == parts.names


def test_echo_gets_its_knobs_from_the_settings() -> None:
    parts = parts_of(settings(provider={"echo": {"nonce": True, "faults": ("ok",)}}), Nowhere())

    one, two = (
        asyncio.run(parts.provider.complete(Call("c", ({"role": "user", "content": "a"},), "m"))) for _ in range(2)
    )
    assert one.text != two.text


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
