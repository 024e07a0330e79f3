"""Both doors of ``requests`` together: arrivals and ticks here, outcomes through the real ``deliver``."""

from typing import Any

import pytest

from streams.decisions import requests
from streams.decisions.dedup import DedupPolicy
from streams.stage import ORIGINAL_KEY, Output, dressed
from streams.stages import dedup, deliver
from tests.support.builders import KEY, NOW_MS, admitted, failed, failure, origin, record, refined, reply
from tests.support.scopes import FakeScope, run
from topics import wire
from topics.answer import Answer
from topics.catalog import ADMITTED, DEDUPED, FAILED, REFINED, RESULTS, TICKS
from topics.errors import DecodingError
from topics.messages import Deduped, Failed, Usage


class Doors:
    """The two stages over one partition, with offsets that count and a time that is set."""

    def __init__(self, **policy: Any) -> None:
        self.policy = DedupPolicy(**policy)
        self.scope, self.offsets, self.now_ms = FakeScope(), dict[str, int](), NOW_MS

    def hand(self, topic: str, value: Any, offset: int | None = None, **fields: Any) -> list[Output]:
        """One record through its door; a new one, or that of an offset again."""
        if offset is None:
            offset = self.offsets[topic] = self.offsets.get(topic, -1) + 1
        stage = dedup.stage(self.policy) if topic in (ADMITTED, TICKS) else deliver.stage(self.policy)
        seen = record(value, topic=topic, offset=offset, timestamp_ms=self.now_ms, **fields)
        return [dressed(seen, stage.name, one) for one in run(stage, seen, self.scope)]

    def ask(self, who: str, offset: int | None = None, headers: Any = (), **fields: Any) -> list[Output]:
        at = self.offsets.get(ADMITTED, -1) + 1 if offset is None else offset
        message = admitted(**{"id": who, "identity": who, "origin": origin(offset=at), **fields})
        return self.hand(ADMITTED, message, offset, headers=headers)

    def answer(self, who: str, epoch: str = "prompts/3/0", offset: int | None = None, **fields: Any) -> list[Output]:
        text = reply(fields.pop("text", "hi"), cost_usd_micros=12)
        return self.hand(REFINED, refined(text, id=who, identity=who, epoch=epoch, **fields), offset)

    def fail(
        self, who: str, outcome: Any = "failed", epoch: str = "prompts/3/0", offset: int | None = None
    ) -> list[Output]:
        names = {"id": who, "identity": who, "epoch": epoch, "dedup_key": KEY.decode()}
        return self.hand(FAILED, failed(outcome, failure=failure(message=f"of {who}"), **names), offset)

    def tick(self, after_ms: int = 1000, offset: int | None = None) -> list[Output]:
        self.now_ms += after_ms
        return self.hand(TICKS, b'{"v":1}', offset, key=None)


def told(outputs: list[Output]) -> list[tuple[str, str]]:
    """Topic and decision of each output."""
    return [(one.topic, one.decision) for one in outputs]


def said(outputs: list[Output]) -> list[Answer]:
    return [Answer.model_validate_json(one.value or b"") for one in outputs if one.topic == RESULTS]


def owners(outputs: list[Output]) -> list[Deduped]:
    return [wire.decode(one.value, Deduped) for one in outputs if one.topic == DEDUPED]


def test_epoch_of_a_request_is_where_it_entered() -> None:
    message = admitted(origin=origin(partition=5, offset=9))

    (output,) = run(dedup.stage(), record(message))

    assert "prompts/5/9" == wire.decode(output.value, Deduped).epoch


def test_output_of_a_request_keeps_key_and_partition() -> None:
    (output,) = run(dedup.stage(), record(admitted(), partition=6))

    assert (DEDUPED, KEY, 6, "new") == (output.topic, output.key, output.partition, output.decision)


def test_unknown_field_of_a_newer_version_travels_on() -> None:
    (output,) = run(dedup.stage(), record(admitted(colour="red")))

    assert "red" == wire.decode(output.value, Deduped).__pydantic_extra__["colour"]  # type: ignore[index]  # the field is there


def test_lone_request_costs_one_row_at_each_door() -> None:
    doors = Doors()

    doors.ask("a")
    doors.answer("a")

    assert 2 == len(doors.scope.table.puts)


def test_equal_content_in_flight_has_one_owner() -> None:
    """B9, B25."""
    doors = Doors()

    outputs = [told(doors.ask(f"r-{number}")) for number in range(20)]

    assert [[(DEDUPED, "new")], *[[]] * 19] == outputs


@pytest.mark.parametrize("count", [0, 1, 300])
def test_answer_of_the_owner_reaches_all_its_twins(count: int) -> None:
    """B17."""
    doors = Doors()
    for number in range(count + 1):
        doors.ask(f"r-{number}")

    answers = said(doors.answer("r-0", text="the answer"))

    assert [f"r-{number}" for number in range(count + 1)] == [one.id for one in answers]
    assert {"the answer"} == {one.text for one in answers}
    assert ["provider", *["coalesced"] * count] == [one.source for one in answers]


def test_twin_pays_nothing_and_tells_what_it_saved() -> None:
    doors = Doors()
    doors.ask("a")
    doors.ask("b", metadata={"m": 1})

    paid, free = said(doors.answer("a"))

    assert (paid.usage, Usage(), 0, 12) == (free.saved_usage, free.usage, free.cost_usd_micros, paid.cost_usd_micros)
    assert ("a", {"m": 1}, 0) == (free.same_as, free.metadata, free.attempts)


@pytest.mark.parametrize(
    ("after_ms", "expected"), [(0, "cached"), (9_999, "cached"), (10_000, "new"), (-5_000, "cached")]
)
def test_equal_content_after_the_answer_is_cached_for_the_window(after_ms: int, expected: str) -> None:
    """B10, B11, B24."""
    doors = Doors(window_s=10)
    doors.ask("a")
    doors.answer("a")
    doors.now_ms += after_ms

    (output,) = doors.ask("b")

    assert expected == output.decision


def test_cached_answer_is_free_and_finished_when_it_was_asked() -> None:
    doors = Doors()
    doors.ask("a")
    (first,) = said(doors.answer("a", text="once"))
    doors.now_ms += 5000

    (hit,) = said(doors.ask("b"))

    assert ("once", "cache", "a", 0) == (hit.text, hit.source, hit.same_as, hit.cost_usd_micros)
    assert ("2026-01-31T12:00:05.000Z", first.usage) == (hit.finished_at, hit.saved_usage)


@pytest.mark.parametrize("who", ["owner", "twin", "late"])
def test_same_request_again_gets_the_stored_bytes(who: str) -> None:
    """B23, I6."""
    doors = Doors()
    doors.ask("owner")
    doors.ask("twin")
    first = {Answer.model_validate_json(one.value or b"").id: one.value for one in doors.answer("owner")}
    first["late"] = doors.ask("late")[0].value
    doors.now_ms += 1000

    (again,) = doors.ask(who)

    assert (first[who], "copy") == (again.value, again.decision)


def test_same_request_again_in_flight_waits_for_its_one_answer() -> None:
    """B23."""
    doors = Doors()

    outputs = [doors.ask("a"), doors.ask("a"), doors.ask("b"), doors.ask("b")]

    assert [1, 0, 0, 0] == [len(one) for one in outputs]
    assert ["a", "b"] == [one.id for one in said(doors.answer("a"))]


def test_answer_above_the_limit_is_not_shared_later() -> None:
    doors = Doors(max_answer_bytes=10)
    doors.ask("a")
    doors.ask("b")

    assert ["a", "b"] == [one.id for one in said(doors.answer("a"))]
    assert [(DEDUPED, "new")] == told(doors.ask("c"))


def test_keys_of_two_contents_never_meet() -> None:
    """B18."""
    doors = Doors()
    doors.ask("a")
    doors.ask("b", dedup_key="c:" + "cd" * 32)

    assert ["a"] == [one.id for one in said(doors.answer("a"))]


def test_failure_that_twins_share_reaches_all_of_them() -> None:
    """B12: each with its own dead letter."""
    doors = Doors()
    doors.ask("a")
    doors.ask("b")

    outputs = doors.fail("a")

    assert [(RESULTS, "final"), (FAILED, "failed-too")] == told(outputs)
    twin = wire.decode(outputs[1].value, Failed)
    (answer,) = said(doors.hand(FAILED, twin))
    assert ("b", "failed", "of a", "exhausted") == (
        answer.id,
        answer.status,
        answer.error and answer.error.message,
        twin.disposition,
    )


def test_failure_binds_who_shared_it_and_nobody_else() -> None:
    doors = Doors()
    doors.ask("a")
    doors.fail("a")

    assert ([(RESULTS, "copy")], [(DEDUPED, "new")]) == (told(doors.ask("a")), told(doors.ask("b")))
    assert [(RESULTS, "copy")] == told(doors.ask("a"))


def test_failure_of_the_owner_alone_makes_the_oldest_twin_owner() -> None:
    """B12."""
    doors = Doors()
    for who in "abc":
        doors.ask(who)

    outputs = doors.fail("a", "expired")

    assert [(RESULTS, "expired"), (DEDUPED, "took-over")] == told(outputs)
    assert [("b", "prompts/3/0")] == [(one.id, one.epoch) for one in owners(outputs)]
    assert ["b", "c"] == [one.id for one in said(doors.answer("b"))]


def test_failure_of_a_lone_owner_binds_nobody() -> None:
    doors = Doors()
    doors.ask("a")
    doors.fail("a", "expired")

    assert [(DEDUPED, "new")] == told(doors.ask("a"))


def test_twins_without_time_expire_with_an_owner_that_failed() -> None:
    doors = Doors()
    doors.ask("a")
    doors.ask("b", deadline_ms=NOW_MS + 10)
    doors.now_ms += 10

    assert ["expired", "expired"] == [one.status for one in said(doors.fail("a", "expired"))]


@pytest.mark.parametrize(("after_ms", "expired"), [(4_999, []), (5_000, ["b"]), (9_000, ["b"])])
def test_twin_with_a_deadline_is_answered_expired_by_a_tick(after_ms: int, expired: list[str]) -> None:
    """B16."""
    doors = Doors()
    doors.ask("a")
    doors.ask("b", deadline_ms=NOW_MS + 5000)

    outputs = doors.tick(after_ms)

    assert expired == [one.id for one in said(outputs) if one.status == "expired"]
    assert ["a"] + (["b"] if not expired else []) == [one.id for one in said(doors.answer("a"))]


@pytest.mark.parametrize(("after_ms", "taken"), [(64_999, []), (65_000, ["b"]), (90_000, ["b"])])
def test_owner_that_was_not_heard_of_is_replaced_after_the_slack(after_ms: int, taken: list[str]) -> None:
    """B13."""
    doors = Doors()
    doors.ask("a", deadline_ms=NOW_MS + 5000)
    doors.ask("b")
    doors.ask("c")

    assert taken == [one.id for one in owners(doors.tick(after_ms))]


def test_owner_without_a_deadline_is_never_replaced() -> None:
    """B13."""
    doors = Doors()
    doors.ask("a")
    doors.ask("b")

    assert [] == doors.tick(10**9)


def test_late_answer_of_a_replaced_owner_goes_out_and_changes_nothing() -> None:
    """B14."""
    doors = Doors()
    doors.ask("a", deadline_ms=NOW_MS + 5000)
    doors.ask("b")
    doors.ask("c")
    doors.tick(70_000)
    entry = doors.scope.rows[requests.entry_key(KEY.decode())]

    late = said(doors.answer("a", text="late"))

    assert [("a", "late")] == [(one.id, one.text) for one in late]
    assert entry == doors.scope.rows[requests.entry_key(KEY.decode())]
    assert ["b", "c"] == [one.id for one in said(doors.answer("b"))]


def test_collision_of_digests_sends_both_on() -> None:
    """B20."""
    doors = Doors()
    doors.ask("a", text="one")

    (other,) = doors.ask("b", text="two")

    assert (DEDUPED, "conflict", KEY) == (other.topic, other.decision, other.key)
    assert "i:b" == wire.decode(other.value, Deduped).dedup_key
    assert b"deduplication_conflict" == dict(other.headers)["prompts.error.kind"]


def test_key_beyond_the_room_goes_on_by_itself() -> None:
    """B19."""
    doors = Doors(max_running=1)
    doors.ask("a")

    (other,) = doors.ask("b", dedup_key="c:" + "cd" * 32)

    assert ("no-room", "i:b") == (other.decision, wire.decode(other.value, Deduped).dedup_key)


def test_twin_beyond_the_bound_is_shed_and_may_come_back() -> None:
    """B53."""
    doors = Doors(max_waiters=1)
    doors.ask("a")
    doors.ask("b")

    (output,) = doors.ask("c")

    shed = wire.decode(output.value, Failed)
    assert (FAILED, "shed", "rejected", None) == (output.topic, output.decision, shed.outcome, shed.disposition)
    assert ("backpressure_shed", True, 30.0) == (shed.failure.kind, shed.failure.retryable, shed.failure.retry_after_s)
    assert ["rejected"] == [one.status for one in said(doors.hand(FAILED, shed))]


CASES = {
    "owner": lambda doors, at: doors.ask("a", at),
    "twin": lambda doors, at: doors.ask("b", at),
    "shed": lambda doors, at: doors.ask("d", at),
    "collision": lambda doors, at: doors.ask("e", at, text="other"),
}


@pytest.mark.parametrize(("who", "at"), [("owner", 0), ("twin", 1), ("shed", 3), ("collision", 4)])
def test_arrival_redelivered_after_the_answer_repeats_its_outputs(who: str, at: int) -> None:
    doors = Doors(max_waiters=2)
    doors.ask("a")
    doors.ask("b")
    doors.ask("c")
    first = {"owner": Doors().ask("a"), "twin": [], "shed": doors.ask("d"), "collision": doors.ask("e", text="other")}
    doors.answer("a")

    again = CASES[who](doors, at)
    assert first[who] == [one for one in again if one.topic != RESULTS]


def test_tick_redelivered_after_the_answer_repeats_its_outputs() -> None:
    doors = Doors()
    doors.ask("a", deadline_ms=NOW_MS + 1)
    doors.ask("b", deadline_ms=NOW_MS + 2)
    doors.ask("c")
    first = doors.tick(70_000)
    doors.answer("c")

    assert [(RESULTS, "expired"), (DEDUPED, "took-over")] == told(first)
    assert first == doors.hand(TICKS, b'{"v":1}', 0, key=None)


@pytest.mark.parametrize("lost", [1, 2])
def test_tick_of_which_only_the_first_rows_survived_is_finished(lost: int) -> None:
    """F3: the changelog of a killed worker ends anywhere."""
    doors = Doors()
    doors.ask("a")
    doors.ask("b", deadline_ms=NOW_MS + 1)
    before = dict(doors.scope.rows)
    first = doors.tick()
    for place in doors.scope.table.puts[-lost:]:
        doors.scope.rows[place] = before[place]
    doors.scope.made.clear()

    assert first == doors.hand(TICKS, b'{"v":1}', 0, key=None)
    assert ["a"] == [one.id for one in said(doors.answer("a"))]


def test_twin_keeps_its_own_headers_and_none_of_the_owner() -> None:
    doors = Doors()
    doors.ask("a")
    doors.ask("b", headers=((ORIGINAL_KEY, b"k-b"),))
    message = refined(reply("hi"), id="a", identity="a", epoch="prompts/3/0")

    outputs = doors.hand(REFINED, message, headers=((ORIGINAL_KEY, b"k-a"), ("traceparent", b"t")))

    assert [b"k-a", b"k-b"] == [dict(one.headers)[ORIGINAL_KEY] for one in outputs]
    assert b"t" == dict(outputs[0].headers)["traceparent"]
    assert not dict(outputs[1].headers).get("traceparent")


def test_partition_that_moved_decides_as_before() -> None:
    """B21, B22."""
    doors = Doors()
    doors.ask("a")
    doors.ask("b", deadline_ms=NOW_MS + 5000)
    doors.scope.made.clear()

    assert ([], [(RESULTS, "expired")]) == (doors.ask("c"), told(doors.tick(5000)))


def test_oldest_finished_rows_go_first_beyond_the_bound() -> None:
    """B19."""
    doors = Doors(max_completed=3)
    for number in range(6):
        key = f"c:{number:064d}"
        doors.ask(f"r-{number}", dedup_key=key)
        doors.answer(f"r-{number}", f"prompts/3/{number}", dedup_key=key)
        doors.now_ms += 1

    assert [f"key/c:{number:064d}".encode() for number in (3, 4, 5)] == sorted(doors.scope.rows)


def test_finished_rows_go_by_ticks_when_they_are_old_and_twins_with_them() -> None:
    doors = Doors(window_s=10, memory_s=20)
    for number in range(200):
        doors.ask(f"r-{number}")
    doors.answer("r-0")
    doors.ask("running", dedup_key="c:" + "cd" * 32)

    doors.tick(19_999)
    assert 200 + 1 == len(doors.scope.rows)
    doors.tick(1)
    assert [b"key/c:" + b"cd" * 32] == list(doors.scope.rows)


@pytest.mark.parametrize("topic", [ADMITTED, REFINED, FAILED])
def test_bytes_of_no_message_are_refused_at_both_doors(topic: str) -> None:
    with pytest.raises(DecodingError):
        Doors().hand(topic, b"{}")


def test_stage_as_data_reads_arrivals_and_ticks() -> None:
    stage = dedup.stage()

    assert ((ADMITTED, TICKS), (DEDUPED, RESULTS, FAILED)) == (stage.reads, stage.writes)
    assert ("dedup", "core", "requests", False) == (stage.name, stage.app, stage.table, stage.reads_clock)


def expired_and_back(doors: Doors) -> None:
    """The first owner expires, a twin takes over, and the first one asks again: a twin by now."""
    doors.ask("a", deadline_ms=NOW_MS + 10)
    doors.ask("b")
    doors.fail("a", "expired")
    doors.ask("a")


def test_late_final_of_who_waits_again_is_its_only_one() -> None:
    """I2."""
    doors = Doors()
    expired_and_back(doors)

    late = said(doors.answer("a", text="late"))

    assert [("a", "late")] == [(one.id, one.text) for one in late]
    assert ["b"] == [one.id for one in said(doors.answer("b"))]


def test_late_final_of_who_was_answered_with_the_others_repeats_that() -> None:
    """I2."""
    doors = Doors()
    expired_and_back(doors)
    _, first = doors.answer("b", text="shared")

    (late,) = doors.answer("a", text="late")

    assert (first.value, "coalesced") == (late.value, late.decision)


def test_late_final_of_who_was_answered_with_what_is_not_kept_is_held_back() -> None:
    doors = Doors(max_answer_bytes=10)
    expired_and_back(doors)
    doors.answer("b")

    assert [] == doors.answer("a", text="late")


def test_arrival_of_which_only_a_later_generation_is_remembered_says_nothing() -> None:
    doors = Doors(window_s=10)
    doors.ask("a")
    doors.answer("a")
    doors.ask("b")
    doors.now_ms += 10_000
    doors.ask("c")
    doors.scope.rows.pop(requests.final_key(KEY.decode(), "b"))
    doors.scope.made.clear()

    assert [] == doors.ask("b", 1)


@pytest.mark.parametrize("kept", [True, False])
def test_generation_that_another_followed_is_still_answered_from(kept: bool) -> None:
    """A redelivery of the opener finds it under its epoch."""
    doors = Doors(window_s=10)
    first = doors.ask("a")
    doors.answer("a")
    doors.now_ms += 10_000
    doors.ask("b")
    if not kept:
        doors.answer("b", "prompts/3/1")

    assert first == doors.ask("a", 0)
