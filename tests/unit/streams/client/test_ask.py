"""The Python client: publishes after it listens, yields each answer once, and tells what is missing."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streams
from streams.client import AnswersMissing, Client, ask_all
from tests.support.fake_cluster import AWAY, FakeKafka, answer, refusal
from topics.catalog import PROMPTS, RESULTS
from topics.errors import ConfigurationError, DecodingError, TransportError
from topics.request import Request


def echoing():
    return FakeKafka(answers=lambda request: [answer(request)])


def ask(kafka, rows, timeout_s=5.0):
    """All answers of one call."""

    async def asked():
        async with Client(door=kafka) as client:
            return [found async for found in client.ask(rows, timeout_s)]

    return asyncio.run(asked())


def submit(kafka, rows):
    async def submitted():
        async with Client(door=kafka) as client:
            return [receipt async for receipt in client.submit(rows)]

    return asyncio.run(submitted())


def get(kafka, id, wait_s=0.0):
    async def got():
        async with Client(door=kafka) as client:
            return await client.get(id, wait_s)

    return asyncio.run(got())


def test_ask_with_a_prompt_yields_its_answer():
    assert ["echo: hello"] == [found.text for found in ask(echoing(), ["hello"])]


def test_ask_of_several_rows_yields_one_answer_each():
    found = ask(echoing(), [{"id": f"a-{n}", "prompt": "x"} for n in range(5)])

    assert [f"a-{n}" for n in range(5)] == [one.id for one in found]


def test_ask_yields_in_order_of_arrival_not_of_asking():
    held = []

    def late_first(request):
        held.append(request)
        return [answer(one) for one in reversed(held)] if len(held) == 3 else []

    found = ask(FakeKafka(answers=late_first), [{"id": id, "prompt": "x"} for id in "abc"])

    assert ["c", "b", "a"] == [one.id for one in found]


def test_ask_listens_to_results_before_it_publishes():
    kafka = echoing()
    order = []
    kafka.answers = lambda request: order.append(list(kafka.opened)) or [answer(request)]
    ask(kafka, ["hello"])

    assert "tail results" in order[0]


@pytest.mark.parametrize("copies", [2, 5])
def test_copies_of_an_answer_are_yielded_once(copies):
    kafka = FakeKafka(answers=lambda request: [answer(request)] * copies)

    assert ["a", "b"] == [one.id for one in ask(kafka, [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}])]


def test_answers_of_other_people_are_passed_over():
    kafka = FakeKafka(answers=lambda request: [answer({"id": "theirs", "prompt": "?"}), answer(request)])

    assert ["mine"] == [one.id for one in ask(kafka, [{"id": "mine", "prompt": "x"}])]


def test_answers_from_before_the_question_are_not_taken():
    kafka = echoing()
    kafka.put(RESULTS, b"a", json.dumps(answer({"id": "a"}, text="old")).encode())

    assert ["echo: new"] == [one.text for one in ask(kafka, [{"id": "a", "prompt": "new"}])]


def test_unreadable_results_of_other_people_do_no_harm():
    kafka = echoing()
    kafka.put(RESULTS, b"\xff", b"\xff")
    kafka.answers = lambda request: [answer({"id": "theirs"}), answer(request)]

    assert 1 == len(ask(kafka, ["x"]))


def test_unreadable_answer_to_our_request_is_told():
    kafka = FakeKafka()

    def broken(request):
        kafka.put(RESULTS, request["id"].encode(), b"{")
        return []

    kafka.answers = broken

    with pytest.raises(DecodingError):
        ask(kafka, ["x"])


def test_failed_request_is_an_answer_not_an_exception():
    found = ask(FakeKafka(answers=lambda request: [refusal(request)]), ["x"])

    assert ("rejected", "invalid_request") == (found[0].status, found[0].error.kind)


def test_time_over_names_the_requests_without_answer():
    kafka = FakeKafka(answers=lambda request: [answer(request)] if request["id"] == "a" else [])

    with pytest.raises(AnswersMissing) as late:
        ask(kafka, [{"id": id, "prompt": "x"} for id in "abc"], timeout_s=0.05)

    assert ("b", "c") == late.value.ids


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (("a",), "1 not answered within 2 s: a"),
        (("a", "b", "c"), "3 not answered within 2 s: a, b, c"),
        (("a", "b", "c", "d"), "4 not answered within 2 s: a, b, c …"),
    ],
)
def test_missing_answers_are_told_by_number_and_first_ids(ids, said):
    assert said == str(AnswersMissing(ids, 2.0))


def test_missing_answers_may_be_asked_for_again():
    assert ("answers_missing", True) == (AnswersMissing.kind, AnswersMissing(("a",), 1.0).retryable)


def test_publishing_that_fails_ends_the_wait_at_once():
    with pytest.raises(TransportError, match="publishing"):
        ask(FakeKafka(refuses=AWAY), ["x"], timeout_s=None)


def test_waiting_that_is_left_early_stops_the_work_behind_it():
    async def left():
        async with Client(door=echoing()) as client:
            answers = client.ask(["x", "y"], timeout_s=None)
            await anext(answers)
            await answers.aclose()
            return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert [] == asyncio.run(left())


def test_asking_twice_with_one_client_answers_both():
    async def twice():
        async with Client(door=echoing()) as client:
            return [[one.text async for one in client.ask([text])] for text in ("a", "b")]

    assert [["echo: a"], ["echo: b"]] == asyncio.run(twice())


def test_asking_two_at_once_with_one_client_keeps_answers_apart():
    async def both():
        async with Client(door=echoing()) as client:

            async def one(text):
                return [found.text async for found in client.ask([text] * 1)]

            return await asyncio.gather(one("a"), one("b"))

    assert [["echo: a"], ["echo: b"]] == asyncio.run(both())


def test_client_outside_its_block_is_refused_with_the_fix():
    async def outside():
        return [one async for one in Client(door=echoing()).submit(["x"])]

    with pytest.raises(ConfigurationError, match="async with Client"):
        asyncio.run(outside())


def test_submit_returns_coordinates_in_order_of_rows():
    kafka = FakeKafka()
    receipts = submit(kafka, [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}])

    assert [(record.key.decode(), record.at) for record in kafka.topics[PROMPTS]] == [(r.id, r.at) for r in receipts]


def test_submitted_request_is_the_row_with_its_id_as_key():
    kafka = FakeKafka()
    submit(kafka, [{"id": "a", "prompt": "x", "priority": "low"}])

    assert [{"id": "a", "prompt": "x", "priority": "low"}] == kafka.values(PROMPTS)


def test_submit_with_the_broker_away_raises_transport_error():
    with pytest.raises(TransportError):
        submit(FakeKafka(refuses=AWAY), ["x"])


def test_row_that_is_no_json_is_refused_by_its_id():
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        submit(FakeKafka(), [{"id": "a", "prompt": object()}])


def test_get_of_an_answered_request_returns_the_answer():
    kafka = echoing()
    submit(kafka, [{"id": "a", "prompt": "x"}])

    assert "echo: x" == get(kafka, "a").text


@pytest.mark.parametrize("wait_s", [0.0, 0.01])
def test_get_without_an_answer_returns_none(wait_s):
    assert get(FakeKafka(), "a", wait_s) is None


def test_get_with_a_wait_returns_an_answer_that_comes_meanwhile():
    async def waited(kafka):
        async with Client(door=kafka) as client:
            waiting = asyncio.create_task(client.get("a", 5.0))
            await asyncio.sleep(0)
            [receipt] = [one async for one in client.submit([{"id": "a", "prompt": "x"}])]
            return receipt.id, (await waiting).text

    assert ("a", "echo: x") == asyncio.run(waited(echoing()))


names_of_requests = st.lists(st.text("abc é中\U0001f600", min_size=1, max_size=5), max_size=8, unique=True)


@given(names_of_requests.flatmap(lambda ids: st.tuples(st.just(ids), st.permutations(ids * 3))))
def test_any_order_and_copies_of_answers_yield_each_asked_id_once(case):
    ids, order = case
    asked = []

    def all_at_last(request):
        asked.append(request["id"])
        return [answer({"id": id}) for id in order] if len(asked) == len(ids) else []

    found = ask(FakeKafka(answers=all_at_last), [{"id": id, "prompt": "x"} for id in ids])

    assert list(dict.fromkeys(order)) == [one.id for one in found]


def test_client_without_any_broker_named_says_where_to_name_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)

    with pytest.raises(ConfigurationError, match="KAFKA_BOOTSTRAP_SERVERS"):
        Client()


def test_client_for_an_address_takes_that_cluster_and_the_default_names():
    client = Client("127.0.0.1:19092", properties={"client.id": "mine"})

    assert ("127.0.0.1:19092", {"client.id": "mine"}, "prompts.admitted") == (
        client.door.cluster.brokers,
        dict(client.door.cluster.properties),
        client.door.names.topic("admitted"),
    )


def test_rows_without_an_id_get_a_fresh_one_each_time():
    ids = [one.id for _ in range(2) for one in ask(echoing(), ["same", "same"])]

    assert 4 == len(set(ids))


def ask_batch(kafka, rows, batch):
    async def asked():
        async with Client(door=kafka) as client:
            return [found.id async for found in client.ask(rows, 5.0, batch=batch)]

    return asyncio.run(asked())


def test_rows_of_one_batch_have_the_same_ids_when_asked_again():
    assert ask_batch(echoing(), ["a", "b", "a"], "mine") == ask_batch(echoing(), ["a", "b", "a"], "mine")


@pytest.mark.parametrize("row", [{"prompt": "x"}, "x", Request(prompt="x")])
def test_row_may_be_text_mapping_or_request(row):
    kafka = echoing()
    ask(kafka, [row])

    assert [{"prompt": "x"}] == [{"prompt": one["prompt"]} for one in kafka.values(PROMPTS)]


def test_rows_of_an_async_iterable_are_asked_as_they_come():
    async def asked():
        first_is_answered = asyncio.Event()

        async def rows():
            yield "first"
            await first_is_answered.wait()
            yield "second"

        async with Client(door=echoing()) as client:
            async for found in client.ask(rows(), 5.0):
                first_is_answered.set()
                yield found.text

    async def collected():
        return [text async for text in asked()]

    assert ["echo: first", "echo: second"] == asyncio.run(collected())


@pytest.mark.parametrize("rows", ["one text", {"prompt": "x"}, Request(prompt="x")])
def test_single_row_instead_of_rows_is_refused_with_the_fix(rows):
    with pytest.raises(ConfigurationError, match="give a list of rows"):
        ask(echoing(), rows)


@pytest.mark.parametrize(("rows", "field"), [(["x", 5], "row 2"), ([{"id": "a"}, {"id": "a"}], "row 2: id")])
def test_row_that_cannot_be_asked_is_told_by_its_number(rows, field):
    with pytest.raises(ConfigurationError) as refused:
        ask(FakeKafka(), rows)

    assert field == refused.value.field


def test_no_rows_are_no_answers():
    assert [] == ask(FakeKafka(), [], timeout_s=None)


def test_headers_hook_gives_each_record_its_headers():
    kafka = echoing()

    async def asked():
        async with Client(door=kafka, headers=lambda id: (("traceparent", id.encode()),)) as client:
            return [one.id async for one in client.ask([{"id": "a", "prompt": "x"}])]

    asyncio.run(asked())

    assert [(("traceparent", b"a"),)] == [record.headers for record in kafka.topics[PROMPTS]]


def test_ask_all_without_a_loop_returns_every_answer():
    assert ["echo: a", "echo: b"] == [one.text for one in ask_all(["a", "b"], client=Client(door=echoing()))]


def test_ask_all_inside_a_running_loop_returns_every_answer():
    async def notebook_cell():
        return [one.text for one in ask_all(["a"], client=Client(door=echoing()), timeout_s=5)]

    assert ["echo: a"] == asyncio.run(notebook_cell())


def test_client_is_there_at_the_top_of_the_package():
    assert (Client, ask_all) == (streams.Client, streams.ask_all)


def test_unknown_name_at_the_top_of_the_package_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(streams, "Nothing")  # noqa: B009 - mypy knows that there is none
