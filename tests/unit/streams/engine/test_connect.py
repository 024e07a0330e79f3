"""Connecting: whose error it is, what is tried again, and how long."""

import asyncio
import socket
from typing import Any

import pytest
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    NotControllerError,
    TopicAuthorizationFailedError,
)

from streams.engine import connect as module
from streams.engine.cluster import Cluster
from streams.engine.connect import NotYet, answering, partitions_of, patiently
from tests.support.aio import in_virtual_time
from tests.support.loops import in_loop
from topics.errors import DecodingError, TopicMissing, TransportError


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("error", [KafkaConnectionError("secret"), OSError("secret"), TimeoutError("secret")])
def test_client_error_becomes_transport_error_without_text(error: Exception) -> None:
    with pytest.raises(TransportError, match="while testing") as raised, answering("testing"):
        raise error

    assert type(error).__name__ == raised.value.reason
    assert error is raised.value.__cause__
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("error", [DecodingError("x", "y", None), KeyError("x")])
def test_other_errors_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, answering("testing"):
        raise error

    assert error is raised.value


class Flaky:
    """Fails as often as told, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@in_loop
async def test_patience_with_passing_errors_ends_in_the_answer() -> None:
    call = Flaky(GroupCoordinatorNotAvailableError(), NotControllerError(), NotYet("asking", "leader moves"))

    got = await patiently("asking", call)

    assert ("answer", 4) == (got, call.calls)


@in_loop
async def test_patience_with_a_broker_that_never_gets_there_ends_in_its_reason() -> None:
    call = Flaky(*[NotYet("asking", "leader moves")] * 1_000)

    with pytest.raises(NotYet, match="leader moves"):
        await patiently("asking", call, 0.05)


@in_loop
async def test_patience_with_definite_error_ends_at_once() -> None:
    call = Flaky(TopicAuthorizationFailedError())

    with pytest.raises(TransportError, match="TopicAuthorizationFailedError"):
        await patiently("asking", call)

    assert 1 == call.calls


@in_loop
async def test_patience_without_success_is_bounded() -> None:
    call = Flaky(*[NotControllerError() for _ in range(1000)])
    started = asyncio.get_running_loop().time()

    with pytest.raises(TransportError, match="NotControllerError"):
        await patiently("asking", call, within_s=0.3)

    assert 5 > asyncio.get_running_loop().time() - started


@pytest.mark.parametrize("opener", [module.admin, module.consumer, module.producer])
@in_loop
async def test_connection_to_closed_port_raises_transport_error(opener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.2)

    with pytest.raises(TransportError, match="while connecting"):
        async with opener(Cluster(f"127.0.0.1:{closed_port()}")):
            pass


class Metadata:
    """A client that knows some topics."""

    async def fetch_all_metadata(self) -> Any:
        return self

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {2, 0, 1} if topic == "there" else None


@in_loop
async def test_partitions_of_topic_are_in_order() -> None:
    assert (0, 1, 2) == await partitions_of(Metadata(), "there")


@in_loop
async def test_partitions_of_absent_topic_raise_its_name() -> None:
    with pytest.raises(TopicMissing, match="absent"):
        await partitions_of(Metadata(), "absent")


class Broker:
    """A client whose broker answers, says nothing of use, is away, or stays silent."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def force_metadata_update(self) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
        return self.answer


@pytest.mark.parametrize(("answer", "answers"), [(True, True), (False, False), (OSError("gone"), False), (None, False)])
def test_broker_answers_where_its_metadata_comes_in_a_moment(answer: object, answers: bool) -> None:
    @in_virtual_time
    async def asked() -> None:
        assert answers is await module.answers(Broker(answer))

    asked()


@pytest.mark.parametrize(
    ("opener", "group"), [(lambda c: module.consumer(c), None), (lambda c: module.member(c, "g"), "g")]
)
def test_consumer_never_commits_by_itself(monkeypatch: pytest.MonkeyPatch, opener: Any, group: str | None) -> None:
    made: list[dict[str, Any]] = []

    class Client:
        stop = None

        def __init__(self, **options: Any) -> None:
            made.append(options)

    monkeypatch.setattr(module, "AIOKafkaConsumer", Client)
    opener(Cluster("a:1"))

    assert [(group, False)] == [(options["group_id"], options["enable_auto_commit"]) for options in made]
