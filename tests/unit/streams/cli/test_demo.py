"""The demo: rounds of prompts, a line for each answer, and no fuss when one does not come."""

import asyncio

import pytest

from streams.cli import demo
from streams.client import Client
from tests.support.fake_cluster import FakeKafka, answer, refusal
from topics.answer import Answer
from topics.catalog import PROMPTS


def show(kafka, rounds=(("a", "b"), ("c",))):
    asyncio.run(demo.show_demo(Client(door=kafka), rounds, pause_s=0.0))
    return kafka


def echoing():
    return FakeKafka(answers=lambda request: [answer(request)])


def test_demo_submits_every_prompt_of_every_round():
    assert ["a", "b", "c"] == [request["prompt"] for request in show(echoing()).values(PROMPTS)]


def test_demo_prints_a_line_for_each_answer(capsys):
    show(echoing())

    assert ["a  →  echo: a", "b  →  echo: b", "c  →  echo: c"] == [
        line.split(" s  ")[1] for line in capsys.readouterr().out.splitlines()
    ]


def test_demo_goes_on_after_an_answer_that_does_not_come(monkeypatch, capsys):
    monkeypatch.setattr(demo, "ANSWER_S", 0.02)
    show(FakeKafka(answers=lambda request: [] if request["prompt"] == "a" else [answer(request)]), (("a",), ("c",)))
    written = capsys.readouterr()

    assert "echo: c" in written.out
    assert "1 not answered" in written.err


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer({"id": "1", "prompt": "x", "metadata": {"prompt": "x"}}), "demo   0.25 s  x  →  echo: x"),
        (refusal({"id": "1", "metadata": {"prompt": "x"}}), "demo   0.25 s  x  →  rejected: no such field"),
        (answer({"id": "1"}, text="\x1b[2J"), "demo   0.25 s    →  \\x1b[2J"),
        (answer({"id": "1"}, text=None), "demo   0.25 s    →  "),
    ],
)
def test_demo_line_tells_prompt_answer_and_time(said, words):
    assert words == demo.line(Answer(**said), 0.25)


def test_demo_rounds_repeat_one_prompt_to_show_a_shared_answer():
    prompts = [prompt for prompts in demo.ROUNDS for prompt in prompts]

    assert 1 == len(prompts) - len(set(prompts))
