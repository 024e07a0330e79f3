"""What a worker may call, knowing the stage's last word and its own calls."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from streams.adapters import board as module
from streams.adapters.board import Board
from streams.decisions.breaker import BreakerPolicy, Closed, Open, Probe
from streams.stage import Record
from tests.support.breakers import POLICY, SERVICE
from tests.support.builders import NOW_MS
from tests.support.loops import in_loop
from tests.support.scopes import turns
from topics import calls, wire
from topics.calls import Asked, Breaker, Probing, Told
from topics.catalog import BREAKERS

INTERVAL_MS = round(POLICY.probe_interval_s * 1000)


class Bench:
    """A board whose records are kept, and whose words are said by hand."""

    def __init__(self, policy: BreakerPolicy = POLICY, *, every_ms: int = 0, sleep: Any = asyncio.sleep) -> None:
        self.sent: list[Told | Asked] = []
        self.services: list[str] = []
        self.board = Board("me", self.publish, policy, every_ms=every_ms, sleep=sleep)
        self.number = 0

    def publish(self, service: str, value: bytes) -> None:
        message: Any = calls.read(value)
        self.sent.append(message)
        self.services.append(service)

    def say(self, state: Any, epoch: int, until_ms: int = 0, number: int | None = None, **fields: Any) -> None:
        """One word of the stage."""
        self.number = self.number + 1 if number is None else number
        since_ms = 0 if state == "closed" else NOW_MS
        word = Breaker(
            service=SERVICE,
            state=state,
            epoch=epoch,
            number=self.number,
            since_ms=since_ms,
            until_ms=until_ms,
            **fields,
        )
        self.hear(wire.encode(word))

    def grant(self, worker: str, sent_ms: int, epoch: int = 1, number: int = 1) -> None:
        probing = Probing(worker=worker, number=number, at_ms=sent_ms + 5, sent_ms=sent_ms)
        self.say("half-open", epoch, sent_ms + 5 + INTERVAL_MS, probing=probing)

    def hear(self, value: bytes | None) -> None:
        self.board.apply(Record(BREAKERS, 0, self.number, NOW_MS, SERVICE.encode(), value))

    def tell(self, *outcomes: Any, epoch: int = 0, now_ms: int = NOW_MS, took_ms: int = 0, probe: bool = False) -> None:
        for outcome in outcomes:
            self.board.told(SERVICE, epoch, outcome, now_ms - took_ms, now_ms, probe)

    def verdict(self, now_ms: int = NOW_MS) -> Any:
        return self.board.verdict(SERVICE, now_ms)

    @property
    def told(self) -> list[str]:
        return [message.outcomes for message in self.sent if isinstance(message, Told)]

    @property
    def asked(self) -> list[int]:
        return [message.sent_ms for message in self.sent if isinstance(message, Asked)]


def opened() -> Bench:
    bench = Bench()
    bench.say("open", 1, NOW_MS + 1000)
    return bench


# -- verdicts


def test_service_of_which_nothing_is_known_may_be_called() -> None:
    assert Closed(0) == Bench().verdict()


@pytest.mark.parametrize("epoch", [0, 2, 8])
def test_closed_service_may_be_called_under_its_epoch(epoch: int) -> None:
    bench = Bench()
    bench.say("closed", epoch)

    assert Closed(epoch) == bench.verdict()


@pytest.mark.parametrize("now_ms", [NOW_MS, NOW_MS + 999])
def test_open_service_is_not_called_and_says_since_when(now_ms: int) -> None:
    """B29."""
    bench = opened()

    assert (Open(NOW_MS, NOW_MS + 1000), []) == (bench.verdict(now_ms), bench.sent)


def test_services_are_judged_by_themselves() -> None:
    """B39."""
    bench = opened()

    assert Closed(0) == bench.board.verdict("other:model", NOW_MS)


@pytest.mark.parametrize("late_ms", [0, 1, 50_000])
def test_verdict_that_finds_a_probe_due_asks_for_it(late_ms: int) -> None:
    bench = opened()
    bench.verdict(NOW_MS + 1000 + late_ms)

    assert [Asked(worker="me", epoch=1, sent_ms=NOW_MS + 1000 + late_ms)] == bench.sent
    assert [SERVICE] == bench.services


@pytest.mark.parametrize(("apart_ms", "asks"), [(0, 1), (INTERVAL_MS - 1, 1), (INTERVAL_MS, 2)])
def test_verdict_asks_once_an_interval(apart_ms: int, asks: int) -> None:
    bench = opened()
    for at_ms in (NOW_MS + 2000, NOW_MS + 2000 + apart_ms):
        bench.verdict(at_ms)

    assert asks == len(bench.asked)


def test_probe_is_given_to_one_caller() -> None:
    """B30: 50 look, one calls."""
    bench = opened()
    bench.verdict(NOW_MS + 1000)
    bench.grant("me", NOW_MS + 1000)

    verdicts = [bench.verdict(NOW_MS + 1010) for _ in range(50)]

    assert [Probe(1)] == [verdict for verdict in verdicts if not isinstance(verdict, Open)]
    assert Probe(1) == verdicts[0]


def test_probe_of_another_worker_is_not_ours() -> None:
    bench = opened()
    bench.verdict(NOW_MS + 1000)
    bench.grant("other", NOW_MS + 1000)

    assert Open(NOW_MS, NOW_MS + 1005 + INTERVAL_MS) == bench.verdict(NOW_MS + 1010)


@pytest.mark.parametrize(("later_ms", "kind"), [(INTERVAL_MS - 1, Probe), (INTERVAL_MS, Open)])
def test_probe_that_is_not_used_in_its_interval_is_lost(later_ms: int, kind: type) -> None:
    """Else it could come beside the next one."""
    bench = opened()
    bench.verdict(NOW_MS + 1000)
    bench.grant("me", NOW_MS + 1000)

    assert isinstance(bench.verdict(NOW_MS + 1000 + later_ms), kind)


def test_grant_that_is_heard_again_gives_no_second_probe() -> None:
    bench = opened()
    bench.verdict(NOW_MS + 1000)
    bench.grant("me", NOW_MS + 1000)
    bench.verdict(NOW_MS + 1010)
    bench.number -= 1
    bench.grant("me", NOW_MS + 1000)

    assert isinstance(bench.verdict(NOW_MS + 1020), Open)


def test_grant_of_an_epoch_that_is_over_gives_no_probe() -> None:
    bench = opened()
    bench.grant("me", NOW_MS + 1000)
    bench.say("open", 2, NOW_MS + 9000)

    assert Open(NOW_MS, NOW_MS + 9000) == bench.verdict(NOW_MS + 1010)


# -- words


@pytest.mark.parametrize(("number", "epoch"), [(1, 1), (0, 1), (9, 0)])
def test_older_word_changes_nothing(number: int, epoch: int) -> None:
    bench = opened()
    bench.say("closed", epoch, number=number)

    assert isinstance(bench.verdict(), Open)


def test_word_of_a_later_epoch_stands_though_its_number_is_lower() -> None:
    """The stage lost its rows, and went beyond what the workers know."""
    bench = Bench()
    bench.say("open", 4, NOW_MS + 9000, number=30)
    bench.say("closed", 5, number=1)

    assert Closed(5) == bench.verdict()


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"service":"x"}'])
def test_record_that_is_no_word_is_passed_over_and_told(value: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    bench = opened()
    with caplog.at_level(logging.WARNING):
        bench.hear(value)

    assert (1, True) == (len(caplog.records), isinstance(bench.verdict(), Open))


def test_states_are_those_of_services_that_ever_opened() -> None:
    bench = opened()
    bench.board.told("quiet:one", 0, "ok", NOW_MS, NOW_MS, False)
    for _ in range(3):
        bench.board.told("own:evidence", 0, "failed", NOW_MS, NOW_MS, False)

    assert {SERVICE: "open", "own:evidence": "open"} == bench.board.states


# -- own evidence


def test_own_failures_stop_calls_before_the_stage_has_spoken() -> None:
    bench = Bench()
    bench.tell("failed", "failed", "failed")

    assert Open(NOW_MS, NOW_MS + 1000) == bench.verdict()


def test_own_opening_is_told_and_asked_about_at_once() -> None:
    bench = Bench(every_ms=100)
    bench.tell("failed", "failed", "failed")

    assert (["f", "ff"], [NOW_MS]) == (bench.told, bench.asked)
    assert [0, 0, 0] == [message.epoch for message in bench.sent]


def test_word_that_it_is_closed_overrules_own_opening() -> None:
    bench = Bench()
    bench.tell("failed", "failed", "failed")
    bench.say("closed", 0)
    before = bench.verdict()
    bench.tell("failed", "failed")

    assert (Closed(0), Closed(0)) == (before, bench.verdict())


def test_word_that_it_is_open_confirms_own_opening() -> None:
    bench = Bench()
    bench.tell("failed", "failed", "failed")
    bench.say("open", 1, NOW_MS + 1500)

    assert Open(NOW_MS, NOW_MS + 1500) == bench.verdict()


def test_own_evidence_survives_a_word_for_another_worker() -> None:
    bench = Bench()
    bench.tell("failed", "failed")
    bench.say("closed", 0)
    bench.tell("failed")

    assert isinstance(bench.verdict(), Open)


@pytest.mark.parametrize(("epoch", "told"), [(0, ["o"]), (1, [])])
def test_late_call_is_neither_counted_nor_told(epoch: int, told: list[str]) -> None:
    """B36."""
    bench = Bench()
    bench.tell("ok", epoch=epoch)

    assert told == bench.told


def test_untold_outcomes_of_an_epoch_that_is_over_are_dropped() -> None:
    bench = Bench(every_ms=100)
    bench.tell("ok", "ok", "failed")
    bench.say("open", 1, NOW_MS + 1000)
    bench.board.flush(NOW_MS + 1000)

    assert ["o"] == bench.told


RATED = replace(POLICY, consecutive=100, rate=0.5, minimum=4, window_s=10.0)


def test_good_call_that_is_not_told_yet_ends_a_row_of_bad_ones() -> None:
    bench = Bench(replace(POLICY, consecutive=3, minimum=100, window_n=100), every_ms=100)
    bench.tell("failed", "failed", "ok", "failed", "failed")

    assert Closed(0) == bench.verdict()


def test_good_calls_of_an_epoch_that_is_over_thin_no_later_rate() -> None:
    bench = Bench(RATED, every_ms=100)
    bench.tell(*["ok"] * 9)
    bench.say("closed", 1)
    bench.tell(*["failed"] * 4, epoch=1)

    assert isinstance(bench.verdict(), Open)


def test_good_calls_are_as_old_as_their_telling() -> None:
    bench = Bench(RATED, every_ms=100)
    bench.tell(*["ok"] * 6)
    bench.board.flush(NOW_MS + 100)
    bench.tell(*["failed"] * 4, now_ms=NOW_MS + 10_200)

    assert isinstance(bench.verdict(NOW_MS + 10_200), Open)


# -- telling


@pytest.mark.parametrize(
    ("outcome", "letters"), [("ok", ["o"]), ("slow", ["s"]), ("failed", ["f"]), ("limited", ["l"]), ("ignored", [])]
)
def test_outcome_is_told_by_its_letter(outcome: Any, letters: list[str]) -> None:
    """B37: what is ignored costs nothing."""
    bench = Bench()
    bench.tell(outcome)

    assert letters == bench.told


@pytest.mark.parametrize(("took_s", "letter"), [(299.9, "o"), (300.0, "s")])
def test_answer_that_took_too_long_is_told_as_slow(took_s: float, letter: str) -> None:
    bench = Bench()
    bench.tell("ok", took_ms=round(took_s * 1000))

    assert [letter] == bench.told


def test_probe_is_told_as_one_and_at_once() -> None:
    bench = opened()
    bench.grant("me", NOW_MS)
    bench.board._every_ms = 10_000
    bench.tell("ok", epoch=1, probe=True)

    assert [Told(worker="me", epoch=1, outcomes="o", probe=True)] == bench.sent


def test_outcomes_of_a_tenth_of_a_second_are_told_together() -> None:
    bench = Bench(every_ms=100)
    for later_ms in range(0, 250, 10):
        bench.tell("ok", now_ms=NOW_MS + later_ms)

    assert ["o", "o" * 10, "o" * 10] == bench.told


@pytest.mark.parametrize(("later_ms", "told"), [(99, ["o"]), (100, ["o", "ol"])])
def test_flush_tells_what_has_waited_long_enough(later_ms: int, told: list[str]) -> None:
    bench = Bench(every_ms=100)
    bench.tell("ok", "ok", "limited")
    bench.board.flush(NOW_MS + later_ms)

    assert told == bench.told


def test_flush_with_nothing_to_tell_is_silent() -> None:
    bench = Bench(every_ms=100)
    bench.tell("ok", "ok")
    bench.board.flush(NOW_MS + 100)
    bench.board.flush(NOW_MS + 200)

    assert ["o", "o"] == bench.told


def test_quiet_services_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SERVICES", 3)
    bench = opened()
    for number in range(5):
        bench.board.told(f"s:{number}", 0, "ok", NOW_MS, NOW_MS + number * 50_000, False)

    assert {SERVICE, "s:3", "s:4"} == set(bench.board._entries)


def test_forgotten_service_is_not_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SERVICES", 1)
    bench = Bench(every_ms=100)
    bench.tell("ok", "failed")
    bench.board.told("s:1", 0, "ok", NOW_MS, NOW_MS + 90_000, False)
    bench.board.flush(NOW_MS + 90_000)

    assert ["o", "o"] == bench.told


# -- asking


@in_loop
async def test_ask_returns_with_the_next_word() -> None:
    bench = opened()
    asking = asyncio.ensure_future(bench.board.ask(SERVICE, NOW_MS + 1000))
    await turns()
    before = asking.done()
    bench.grant("me", NOW_MS + 1000)
    await asking

    assert (False, [NOW_MS + 1000], Probe(1)) == (before, bench.asked, bench.verdict(NOW_MS + 1010))


@in_loop
async def test_ask_without_an_answer_returns_after_the_interval() -> None:
    slept: list[float] = []

    async def dozes(seconds: float) -> None:
        slept.append(seconds)

    bench = Bench(sleep=dozes)
    bench.say("open", 1, NOW_MS)
    await bench.board.ask(SERVICE, NOW_MS)

    assert [POLICY.probe_interval_s] == slept


@in_loop
async def test_asks_of_many_are_one_record_and_all_return() -> None:
    bench = opened()
    asking = [asyncio.ensure_future(bench.board.ask(SERVICE, NOW_MS + 1000)) for _ in range(50)]
    await turns()
    bench.grant("me", NOW_MS + 1000)
    await asyncio.gather(*asking)

    assert 1 == len(bench.asked)


@in_loop
async def test_ask_leaves_no_task_behind() -> None:
    bench, before = opened(), asyncio.all_tasks()
    asking = asyncio.ensure_future(bench.board.ask(SERVICE, NOW_MS + 1000))
    await turns()
    asking.cancel()
    await turns()

    assert before == asyncio.all_tasks()


@pytest.mark.parametrize("known", [False, True])
@in_loop
async def test_ask_about_a_closed_service_returns_at_once(known: bool) -> None:
    bench = Bench()
    if known:
        bench.tell("ok")
    await bench.board.ask(SERVICE, NOW_MS)

    assert [] == bench.asked


@in_loop
async def test_ask_of_who_has_the_probe_returns_at_once() -> None:
    bench = opened()
    bench.verdict(NOW_MS + 1000)
    bench.grant("me", NOW_MS + 1000)
    await bench.board.ask(SERVICE, NOW_MS + 1010)

    assert 1 == len(bench.asked)


@in_loop
async def test_ask_that_is_too_early_asks_nothing() -> None:
    bench = Bench(POLICY, sleep=lambda seconds: asyncio.sleep(0))  # why: it stands for the interval
    bench.say("open", 1, NOW_MS + 1000)
    await bench.board.ask(SERVICE, NOW_MS + 999)

    assert [] == bench.sent
