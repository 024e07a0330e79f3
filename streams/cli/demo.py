"""What does the demo show? A few prompts a second for a short while, and each answer as it arrives."""

import asyncio
import time
from collections.abc import Sequence

import typer

from streams.cli.show import clean
from streams.client import AnswersMissing, Client
from topics.answer import Answer

ROUNDS = (
    ("Summarise Kafka in one line", "What is a consumer group?"),
    ("What does an offset count?", "Why is a log better than a queue?", "What is a dead letter?"),
    ("Explain back-pressure to a child", "What is at-least-once delivery?"),
    ("When is a message done?", "What does a broker acknowledge?", "Summarise Kafka in one line"),
)
PAUSE_S, ANSWER_S = 1.0, 30.0


async def show_demo(client: Client, rounds: Sequence[Sequence[str]] = ROUNDS, pause_s: float = PAUSE_S) -> None:
    """Asks each round of prompts and prints a line an answer; one that does not come is told, not fatal."""
    async with client:
        for prompts in rounds:
            start = time.monotonic()
            try:
                async for answer in client.ask(_rows(prompts), ANSWER_S):
                    typer.echo(line(answer, time.monotonic() - start))
            except AnswersMissing as late:
                typer.echo(f"demo: {late}", err=True)
            await asyncio.sleep(pause_s)


def line(answer: Answer, took_s: float) -> str:
    """``demo  0.03 s  What is …?  →  echo: What is …?``"""
    said = answer.text if answer.error is None else f"{answer.status}: {answer.error.message}"
    return f"demo  {took_s:5.2f} s  {clean(str(answer.metadata.get('prompt', '')))}  →  {clean(said or '')}"


def _rows(prompts: Sequence[str]) -> list[dict[str, object]]:
    return [{"prompt": prompt, "metadata": {"demo": True, "prompt": prompt}} for prompt in prompts]
