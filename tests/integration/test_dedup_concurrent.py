"""Equal prompts at the same time: over two workers, through kills, restarts and moves, each content is bought once.

The provider is a process of its own whose every answer differs; its ledger is the truth about calls and tokens.
"""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.bill import Account, Bill, account, billing, nonce_of
from tests.support.brokers import Broker
from tests.support.crew import Pair, working
from tests.support.loops import until
from tests.support.running import Line, request

pytestmark = pytest.mark.broker

PARTITIONS = 4
CALL_S = 1.5
WITHIN_S = 40.0
TWENTY = [f"same-{number}" for number in range(20)]
CONTENTS, TWINS = 12, 5
MANY = [f"many-{content}-{twin}" for content in range(CONTENTS) for twin in range(TWINS)]
TENANTS = {"acme": {"tenant": "acme"}, "zeta": {"tenant": "zeta"}, "nobody": {}}
DRAWS = {f"draw-{number}": {"sample": number} for number in range(3)}

Answers = dict[str, dict[str, Any]]


def equal(ids: Iterable[str], prompt: str = "what is a log?") -> list[bytes]:
    return [request(id, prompt) for id in ids]


def burst() -> list[bytes]:
    """Twins of many contents mixed, and words that are equal without being one request."""
    many = [request(id, f"question {id.split('-')[1]}") for id in MANY]
    tenants = [request(id, "whose is it?", **fields) for id, fields in TENANTS.items()]
    draws = [request(id, "roll a die", **fields) for id, fields in DRAWS.items()]
    return [*equal(TWENTY), *many, *tenants, *draws]


async def answers_of(line: Line, ids: Sequence[str]) -> Answers:
    """The first answer of each id; further copies have the same bytes."""
    found: dict[str, set[bytes]] = {}
    for seen in await line.results(ids, WITHIN_S):
        if seen.key.decode() in ids:
            found.setdefault(seen.key.decode(), set()).add(seen.value)
    assert [] == [id for id, forms in found.items() if len(forms) > 1]
    return {id: json.loads(next(iter(forms))) for id, forms in found.items()}


def asked(line: Line, *values: bytes) -> Answers:
    """Publishes, each to any partition, and waits for the answers."""

    async def ask() -> Answers:
        await line.publish(*values)
        return await answers_of(line, [json.loads(value)["id"] for value in values])

    return asyncio.run(ask())


def texts(answers: Answers, ids: Iterable[str]) -> set[str]:
    return {answers[id]["text"] for id in ids}


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bill]:
    with billing(tmp_path_factory.mktemp("provider"), CALL_S) as bill:
        yield bill


@dataclass(frozen=True)
class Story:
    """What a crew did: the answers, and the account of the calls that were begun meanwhile."""

    pair: Pair
    answers: Answers
    account: Account


def told(pair: Pair, answers: Answers, bill: Bill, before: int) -> Story:
    return Story(pair, answers, account(bill.calls()[before:], answers.values()))


@contextmanager
def crew(broker: Broker, directory: Path, bill: Bill, **settings: Any) -> Iterator[Pair]:
    with working(Line(broker.bootstrap_servers, partitions=PARTITIONS), directory, bill.url, **settings) as pair:
        yield pair


# -- two workers, nobody dies


@pytest.fixture(scope="module")
def calm(broker: Broker, bills: Bill, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    before = len(bills.calls())
    with crew(broker, tmp_path_factory.mktemp("calm"), bills) as pair:
        yield told(pair, asked(pair.line, *burst()), bills, before)


def test_twenty_identical_prompts_over_two_workers_are_one_call_and_twenty_equal_answers(calm: Story) -> None:
    """B25"""
    found = [calm.answers[id] for id in TWENTY]

    assert ({"completed"}, 1) == ({answer["status"] for answer in found}, len(texts(calm.answers, TWENTY)))
    assert 1 == [answer["source"] for answer in found].count("provider")


def test_twins_that_both_workers_admitted_meet_in_one_call_a_content(calm: Story) -> None:
    """B9: whoever holds the partition decides, wherever a prompt came in."""
    admitted = [worker.metrics().get(("records_total", ("handled", "admit")), 0) for worker in calm.pair.workers]
    nonces = {number: {nonce_of(calm.answers[f"many-{number}-{twin}"]) for twin in range(TWINS)} for number in (0, 7)}

    assert CONTENTS == len(texts(calm.answers, MANY))
    assert [1, 1] == [len(each) for each in nonces.values()]
    assert all(admitted), admitted


@pytest.mark.parametrize("ids", [TENANTS, DRAWS], ids=["tenants", "samples"])
def test_equal_words_of_other_tenants_or_samples_are_calls_of_their_own(calm: Story, ids: dict[str, Any]) -> None:
    """B6"""
    assert 3 == len(texts(calm.answers, ids))
    assert {"provider"} == {calm.answers[id]["source"] for id in ids}


def test_burst_without_faults_is_billed_once_to_the_token(calm: Story) -> None:
    asked_for = 1 + CONTENTS + len(TENANTS) + len(DRAWS)

    assert (asked_for, 0, True) == (calm.account.calls, calm.account.repeated, calm.account.even)


def test_prompt_asked_again_after_completion_is_answered_without_a_call(calm: Story, bills: Bill) -> None:
    """B10"""
    before = len(bills.calls())
    later = asked(calm.pair.line, *equal(["later-1", "later-2"]))

    assert ({"cache"}, texts(calm.answers, TWENTY)) == (
        {answer["source"] for answer in later.values()},
        texts(later, later),
    )
    assert before == len(bills.calls())


# -- a worker dies, restarts, or leaves


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Bill]:
    """A provider whose first call never ends, so that every fault lands during it."""
    with billing(tmp_path, 0.0, "hang", "ok*1000") as bill:
        yield bill


async def asked_around(pair: Pair, bill: Bill, fault: Callable[[int], object]) -> Answers:
    """Ten twins before a fault, which is told the slot of the worker that calls, and ten after it."""
    await pair.line.publish(*equal(TWENTY[:10]))
    await until(lambda: bill.running > 0, WITHIN_S)
    fault(await asyncio.to_thread(pair.caller))
    await pair.line.publish(*equal(TWENTY[10:]))
    return await answers_of(pair.line, TWENTY)


def test_worker_killed_during_the_call_costs_one_call_more_and_no_answer(
    broker: Broker, hanging: Bill, tmp_path: Path
) -> None:
    """B25, F1, I1, I5: twenty equal answers, billed once beside the call that died."""
    with crew(broker, tmp_path, hanging) as pair:
        answers = asyncio.run(asked_around(pair, hanging, pair.kill))
        paid = account(hanging.calls(), answers.values())

    assert ({"completed"}, 1) == ({answer["status"] for answer in answers.values()}, len(texts(answers, TWENTY)))
    assert (2, True, True) == (paid.calls, paid.repeated > 0, paid.even)


def test_worker_whose_tables_are_lost_recovers_them_and_answers_from_the_cache(
    broker: Broker, bills: Bill, tmp_path: Path
) -> None:
    """B21: the changelog is the state; the directory only spares reading it."""
    before = len(bills.calls())
    with crew(broker, tmp_path, bills, size=1) as pair:
        [worker] = pair.workers
        first = asked(pair.line, *equal(TWENTY))
        worker.stop()
        shutil.rmtree(worker.directory / "state")
        worker.start().ready()
        again = asked(pair.line, *equal(["again"]))

    assert ("cache", texts(first, TWENTY)) == (again["again"]["source"], texts(again, again))
    assert 1 == len(bills.calls()) - before


def test_partition_that_moves_during_the_call_is_answered_by_its_new_worker(
    broker: Broker, hanging: Bill, tmp_path: Path
) -> None:
    """B22: what the old worker gave up is called once more, and never after completion."""
    with crew(broker, tmp_path, hanging, worker__static_membership=False, worker__grace_s=0) as pair:
        answers = asyncio.run(asked_around(pair, hanging, lambda slot: pair.workers[slot].stop()))
        later = asked(pair.line, *equal(["later"]))
        paid = account(hanging.calls(), [*answers.values(), *later.values()])

    assert (1, texts(later, later)) == (len(texts(answers, TWENTY)), texts(answers, TWENTY))
    assert (2, True, "cache") == (paid.calls, paid.even, later["later"]["source"])
