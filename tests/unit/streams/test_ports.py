"""What stands at the ports where nothing is plugged in."""

import pytest

from streams.adapters.board import Board
from streams.decisions.blame import Outcome
from streams.decisions.breaker import Closed
from streams.ports import AllClosed, Breakers
from tests.support.breakers import SERVICE
from tests.support.builders import NOW_MS
from tests.support.loops import in_loop


@pytest.mark.parametrize("outcome", ["ok", "slow", "failed", "limited", "ignored"])
def test_board_of_no_breakers_lets_everything_through(outcome: Outcome) -> None:
    board: Breakers = AllClosed()
    for _ in range(100):
        board.told(SERVICE, 0, outcome, NOW_MS, NOW_MS, False)

    assert Closed(0) == board.verdict(SERVICE, NOW_MS)


@in_loop
async def test_board_of_no_breakers_answers_whoever_asks_at_once() -> None:
    assert None is await AllClosed().ask(SERVICE, NOW_MS)  # type: ignore[func-returns-value]  # that it returns is the claim


@pytest.mark.parametrize("board", [AllClosed(), Board("me", lambda service, value: None)])
def test_boards_of_both_kinds_fit_the_port(board: Breakers) -> None:
    """One contract: a service of which nothing is known may be called under epoch 0."""
    board.told(SERVICE, 0, "ok", NOW_MS, NOW_MS, False)

    assert Closed(0) == board.verdict(SERVICE, NOW_MS)
