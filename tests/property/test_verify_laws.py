"""The checker against whole runs: whatever happens, a run is clean; one record too few, too many or other is found."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from streams.decisions.proof import OFFENCES, READ, Fold, Mark, Verdict, judge
from streams.pipeline import Parts, compose
from streams.stage import Record, Stage
from streams.testing import Pipeline
from tests.support.checked import Records, as_if_whole, folded, marks, ran, records, verdict
from topics.catalog import (
    ADMITTED,
    ASSEMBLED,
    DEAD_LETTERS,
    DEDUPED,
    FAILED,
    INFERRED,
    PROMPTS,
    REFINED,
    RESULTS,
    Names,
)

ALWAYS = 9e9  # seconds that no run lasts
RECOVERED = ("ok", "ok", "ok")  # a provider that never comes back parks its work without end
WORK_OF = {"dedup": ADMITTED, "deliver": REFINED}  # not ticks, and not the last resort of a failure
STAGES = ("dedup", "retrieve", "assemble", "infer", "refine", "deliver")
AGAIN = st.sampled_from([PROMPTS, ADMITTED, DEDUPED, *ASSEMBLED.values(), INFERRED, REFINED, FAILED])
REQUEST = st.fixed_dictionaries(
    {"id": st.sampled_from("abcdefgh"), "prompt": st.sampled_from(["hello", "other", "κόσμε"])},
    optional={
        "timeout_s": st.sampled_from([0.5, 5.0]),
        "tenant": st.sampled_from(["x", "y"]),
        "dedup": st.just(False),
        "priority": st.sampled_from(["critical", "low"]),
    },
)
BROKEN = st.sampled_from([b"{", b"\xff", b"", b"[1]", None, b'{"prompt": 7}', b'{"id": "a", "nope": 1}', b"{}"])


@dataclass
class Plan:
    """What goes in, at once and later; what breaks; what is handled again, and when all moves to another worker."""

    first: list[Any]
    later: list[Any]
    after_s: float
    script: list[str]
    faults: list[str] = field(default_factory=list)
    again: list[tuple[str, int]] = field(default_factory=list)
    moves: bool = False


PROMPT = st.lists(REQUEST | BROKEN, max_size=6)
PLANS = st.builds(
    Plan,
    first=PROMPT,
    later=PROMPT,
    after_s=st.sampled_from([0.3, 5.0, 120.0, 8000.0]),
    script=st.lists(st.sampled_from(["ok", "timeout", "auth"]), max_size=4),
)
WILD = st.builds(
    Plan,
    first=PROMPT,
    later=PROMPT,
    after_s=st.sampled_from([0.3, 5.0, 120.0]),
    script=st.lists(st.sampled_from(["ok", "timeout", "auth"]), max_size=4),
    faults=st.lists(st.sampled_from(STAGES), max_size=2),
    again=st.lists(st.tuples(AGAIN, st.integers(0, 3)), max_size=3),
    moves=st.booleans(),
)


def played(plan: Plan, **parts: Any) -> Pipeline:
    async def more(line: Pipeline) -> None:
        await line.advance(plan.after_s)
        for name in plan.faults:
            line.fail(name, KeyError("injected"), topic=WORK_OF.get(name))
        for value in plan.later:
            await line.submit(value)
        await line.advance(0.4)
        for topic, offset in plan.again:
            for partition in range(2):
                line.redeliver(topic, partition, offset)
        if plan.moves:
            await line.move(again=2)

    return ran(*plan.first, script=[*plan.script, *RECOVERED], then=more, **parts)


def wrong(found: Verdict) -> dict[str, tuple[str, ...]]:
    return {name: found.ids(name) for name in OFFENCES if found.count(name)}


def answers(read: Records) -> Records:
    return [one for one in read if one.topic == RESULTS]


def alone(read: Records) -> Records:
    """Answers of which there is one copy, of ids that were asked once, so that nothing stands in for them."""
    asked = [name for one in read if one.topic == PROMPTS if (name := id_in(one))]
    ids = [id_of(one) for one in answers(read)]
    return [one for one in answers(read) if ids.count(id_of(one)) == 1 and asked.count(id_of(one)) <= 1]


def id_of(answer: Record) -> str:
    return str(orjson.loads(answer.value or b"")["id"])


def id_in(prompt: Record) -> str | None:
    try:
        data = orjson.loads(prompt.value or b"")
    except orjson.JSONDecodeError:
        return None
    return data.get("id") if isinstance(data, dict) else None


def behind(read: Records, more: Record) -> Records:
    """With one record behind the last one of its partition."""
    end = 1 + max(one.offset for one in read if (one.topic, one.partition) == (more.topic, more.partition))
    return [more._replace(offset=end), *read] if end == 0 else sorted_in([*read, more._replace(offset=end)])


def sorted_in(read: Records) -> Records:
    """Answers in the order of their offsets, before all else."""
    said = sorted(answers(read), key=lambda one: (one.partition, one.offset))
    return [*said, *(one for one in read if one.topic != RESULTS)]


@settings(max_examples=60)
@given(PLANS)
def test_run_with_faults_of_the_provider_is_clean(plan: Plan) -> None:
    line = played(plan)
    found = verdict(records(line), *marks(line), stall_s=ALWAYS)

    assert ({}, True) == (wrong(found), found.settled)


def test_run_in_which_two_tenants_share_id_and_words_is_clean() -> None:
    """One of them failed, and its dead letter is there: the answer of the other tells no tenant."""
    asked = {"id": "a", "prompt": "hello"}
    plan = Plan(
        first=[],
        later=[asked, {**asked, "tenant": "x"}],
        after_s=0.3,
        script=["auth"],
        faults=[],
        again=[],
        moves=False,
    )

    assert {} == wrong(verdict(records(played(plan)), stall_s=ALWAYS))


@settings(max_examples=60)
@given(WILD)
def test_run_with_redeliveries_and_moves_is_clean(plan: Plan) -> None:
    plan.faults = []

    assert {} == wrong(verdict(records(played(plan)), stall_s=ALWAYS))


@settings(max_examples=60)
@given(WILD)
def test_run_with_defects_of_stages_is_clean(plan: Plan) -> None:
    """A defect that is gone when its record comes again is another matter: it makes two outcomes of one input."""
    plan.again, plan.moves = [], False

    assert {} == wrong(verdict(records(played(plan)), stall_s=ALWAYS))


@settings(max_examples=60)
@given(PLANS)
def test_columns_of_a_run_add_up(plan: Plan) -> None:
    read = records(played(plan))
    counts = verdict(read, stall_s=ALWAYS).counts
    columns = ("completed", "failed", "rejected", "expired", "unseen", "lost", "aged")

    prompts = sum(one.topic == PROMPTS for one in read)
    assert (prompts, prompts) == (counts["accepted"], sum(counts.get(name, 0) for name in columns))


@settings(max_examples=60)
@given(PLANS, st.data())
def test_any_answer_taken_away_is_lost_by_its_id(plan: Plan, data: st.DataObject) -> None:
    """I1."""
    read = records(played(plan))
    assume(alone(read))
    gone = data.draw(st.sampled_from(alone(read)))

    found = verdict(as_if_whole(one for one in read if one is not gone), stall_s=ALWAYS)
    assert {"lost": (id_of(gone),)} == wrong(found)


@settings(max_examples=60)
@given(PLANS, st.data())
def test_any_answer_to_nobody_is_a_phantom_by_its_id(plan: Plan, data: st.DataObject) -> None:
    """I3."""
    read = records(played(plan))
    assume(answers(read))
    like = data.draw(st.sampled_from(answers(read)))
    value = orjson.dumps({**orjson.loads(like.value or b""), "id": "nobody"})

    assert {"phantom": ("nobody",)} == wrong(verdict(behind(read, like._replace(value=value)), stall_s=ALWAYS))


@settings(max_examples=60)
@given(PLANS, st.data())
def test_any_copy_is_free_until_one_byte_differs(plan: Plan, data: st.DataObject) -> None:
    """I2."""
    read = records(played(plan))
    assume(alone(read))
    like = data.draw(st.sampled_from(alone(read)))
    other = like._replace(value=(like.value or b"") + b" ")

    assert {} == wrong(verdict(behind(read, like), stall_s=ALWAYS))
    assert {"duplicate": (id_of(like),)} == wrong(verdict(behind(read, other), stall_s=ALWAYS))


@settings(max_examples=60)
@given(PLANS, st.sampled_from([*STAGES, "admit", "bury"]))
def test_work_before_a_stage_that_stands_still_is_unseen_and_never_lost(plan: Plan, name: str) -> None:
    def wired(parts: Parts) -> tuple[Stage, ...]:
        return tuple(stage for stage in compose(parts) if stage.name != name)

    line = played(plan, wired=wired)
    [still] = (stage for stage in ran().stages if stage.name == name)
    before = [
        Mark(Names().group(still.app), topic, number, 0, 0, len(partition))
        for topic in set(still.reads) & set(READ)
        for number, partition in enumerate(line.log.topics[topic])
    ]

    assert {} == wrong(verdict(records(line), *marks(line), *before, stall_s=ALWAYS))


@settings(max_examples=60)
@given(PLANS, st.randoms(use_true_random=False))
def test_order_of_effects_changes_no_verdict(plan: Plan, chance: Any) -> None:
    read = records(played(plan))
    before, prompts = folded(read), [one for one in read if one.topic == PROMPTS]
    effects = [one for one in read if one.topic not in (PROMPTS, DEAD_LETTERS)]
    letters = [one for one in read if one.topic == DEAD_LETTERS]
    chance.shuffle(effects)

    shuffled = Fold()
    for one in [*letters, *effects, *prompts]:
        shuffled.add(one)
    shuffled.views = before.views
    assert judge(before).counts == judge(shuffled).counts
