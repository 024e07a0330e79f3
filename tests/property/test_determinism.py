"""The same record and the same rows give the same bytes, headers included: in every stage, at any time and place."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.providers.echo import EchoProvider
from streams.adapters.retriever.memory import MemoryRetriever
from streams.decisions.assembly import AssemblyPolicy
from streams.decisions.budget import BudgetPolicy
from streams.decisions.limits import AdmissionPolicy
from streams.pipeline import Nowhere
from streams.stage import Output, Record, Stage, dressed
from streams.stages import admit, assemble, bury, dedup, deliver, infer, refine, retrieve
from tests.support.builders import (
    NOW_MS,
    admitted,
    assembled,
    deduped,
    failed,
    failure,
    inferred,
    record,
    refined,
    reply,
    retrieved,
    work,
)
from tests.support.scopes import FakeScope, run
from topics.catalog import ASSEMBLED, DEDUPED, FAILED, INFERRED, LANES, PROMPTS, REFINED, RETRIEVED
from topics.messages import Open, Origin

WORDS = st.text(max_size=30)
SIMPLE = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.dictionaries(WORDS, SIMPLE | st.lists(WORDS, max_size=3), max_size=3)
HEADERS = st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "x"]), st.binary(max_size=8)), max_size=3)
FIELDS = st.fixed_dictionaries(
    {"metadata": JSON, "lane": st.sampled_from(LANES), "text": WORDS, "deadline_ms": st.none() | st.just(NOW_MS + 50)},
    optional={"newer": JSON, "tenant": WORDS},
)


AROUND = AssemblyPolicy("be brief", BudgetPolicy(1.0, "r", {"*": 200}))


class Kept:
    """Originals with the same record for every origin."""

    async def fetch(self, origin: Origin) -> Record | None:
        return record(b'{"id": "a-1", "prompt": "hello"}', topic=PROMPTS, headers=(("x", b"1"),))


def failing(**fields: Any) -> Open:
    known = {name: value for name, value in fields.items() if name in ("metadata", "newer", "tenant")}
    return failed(failure=failure(message=fields["text"]), work=work(fields["text"]), **known)


def answered(build: Callable[..., Open]) -> Callable[..., Open]:
    return lambda **fields: build(reply(fields["text"]), **fields)


MAKERS: dict[str, tuple[Callable[[], Stage], str, Callable[..., Open]]] = {
    "dedup": (dedup.stage, "admitted", admitted),
    "retrieve": (lambda: retrieve.stage(MemoryRetriever.of()), DEDUPED, deduped),
    "assemble": (assemble.stage, RETRIEVED, retrieved),
    "assemble-around": (lambda: assemble.stage(AROUND), RETRIEVED, retrieved),
    # why no real bound: the deadline of 50 ms is the clock's that the test holds, not the machine's
    "infer": (
        lambda: infer.stage(EchoProvider(), within=lambda _: asyncio.timeout(None)),
        ASSEMBLED["high"],
        assembled,
    ),
    "refine": (refine.stage, INFERRED, answered(inferred)),
    "deliver": (deliver.stage, REFINED, answered(refined)),
    "deliver-failed": (deliver.stage, FAILED, failing),
    "bury": (lambda: bury.stage(Kept()), FAILED, failing),
}


def written(stage: Stage, seen: Record, rows: dict[bytes, bytes]) -> tuple[list[Output], dict[bytes, bytes]]:
    scope = FakeScope(dict(rows))
    outputs = run(stage, seen, scope)
    return [dressed(seen, stage.name, output) for output in outputs], scope.rows


@pytest.mark.parametrize("name", MAKERS)
@given(st.data())
def test_outputs_of_each_stage_from_equal_inputs_are_equal(name: str, data: st.DataObject) -> None:
    make, topic, build = MAKERS[name]
    fields = data.draw(FIELDS)
    seen = record(build(**fields), topic=topic, headers=tuple(data.draw(HEADERS)))
    _, rows = written(make(), seen, {}) if data.draw(st.booleans()) else ([], {})

    assert written(make(), seen, rows) == written(make(), seen, rows)


@given(st.none() | st.binary(max_size=200) | WORDS.map(str.encode), st.lists(st.just(("content-type", b"text/plain"))))
def test_outputs_of_admit_from_equal_inputs_are_equal(value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    seen = record(value, topic=PROMPTS, headers=tuple(headers))

    one, two = (written(admit.stage(AdmissionPolicy(), Nowhere()), seen, {}) for _ in range(2))

    assert one == two


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"infer"}))
@given(FIELDS)
def test_outputs_of_a_stage_without_a_clock_are_the_same_at_any_time(name: str, fields: dict[str, Any]) -> None:
    make, topic, build = MAKERS[name]
    seen = record(build(**fields), topic=topic)

    assert run(make(), seen, FakeScope(now_ms=0)) == run(make(), seen, FakeScope(now_ms=NOW_MS * 2))


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"deliver", "deliver-failed", "bury"}))
@given(FIELDS)
def test_outputs_of_a_stage_keep_what_it_does_not_know(name: str, fields: dict[str, Any]) -> None:
    make, topic, build = MAKERS[name]
    seen = record(build(**{**fields, "newer": {"kept": "as it is"}}), topic=topic)

    (output,) = run(make(), seen)

    assert b'"newer":{"kept":"as it is"}' in (output.value or b"")


WHOLE_RUN = """
import asyncio, hashlib
from streams.testing import Pipeline
from topics.catalog import CATALOG

async def main():
    pipeline = Pipeline()
    pipeline.fail("refine", KeyError("x"))
    for n in range(12):
        await pipeline.submit({"id": f"a-{n}", "prompt": f"p {n}", "params": {"seed": n, "top_p": 0.5}}, key=b"k%d" % n)
    await pipeline.submit(b"{broken")
    await pipeline.submit({"prompt": "x", "unknown": 1})
    await pipeline.settle()
    seen = hashlib.sha256()
    for topic in CATALOG:
        seen.update(repr(pipeline.records(topic)).encode())
    print(seen.hexdigest())

asyncio.run(main())
"""


def test_whole_run_in_processes_with_other_hash_seeds_is_the_same() -> None:
    seen = {
        subprocess.run(
            [sys.executable, "-c", WHOLE_RUN],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "424242")
    }

    assert 1 == len(seen)
