"""Which faults does a seed play, and when? Equal wherever and whenever it is asked, and no fault is forgotten."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

EDGE = 0.1  # of the busy time at either end, in which no fault begins
DRAWN = 3


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault by its name, and when it begins: seconds from the beginning of the busy time."""

    fault: str
    at_s: float


def draw(seed: int, faults: Sequence[str], busy_s: float, count: int = DRAWN) -> tuple[Planned, ...]:
    """The faults of a seed, in the order of their beginnings.

    Names are dealt from shuffled decks, seed after seed: any 40 seeds in a row, of three faults each, play each of up
    to 20 names at least five times.

    >>> [planned.at_s for planned in draw(7, ["kill", "pause"], 0.0)]
    [0.0, 0.0, 0.0]
    """
    names = [_dealt(sorted(faults), seed * count + number) for number in range(count)]
    return spread(seed, names, busy_s)


def spread(seed: int, names: Sequence[str], busy_s: float) -> tuple[Planned, ...]:
    """These faults over the busy time: each begins at random in the first half of its share of it."""
    chance = random.Random(f"moments of {seed}")
    share = busy_s * (1 - 2 * EDGE) / max(1, len(names))
    moments = [busy_s * EDGE + share * (number + chance.random() / 2) for number in range(len(names))]
    return tuple(Planned(name, round(at_s, 2)) for name, at_s in zip(names, moments, strict=True))


def chance_of(seed: int, number: int) -> random.Random:
    """What the fault of that number in a seed's plan may choose by: which worker, how long."""
    return random.Random(f"fault {number} of {seed}")


def _dealt(names: Sequence[str], turn: int) -> str:
    deck, place = divmod(turn, len(names))
    return random.Random(f"deck {deck}").sample(names, len(names))[place]
