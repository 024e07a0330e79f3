"""Which rows are finished, and which of them first? Kept small: there is one entry for each request that is remembered.

Times come almost in order, so they lie in one array beside their places; an entry that is gone stays until it is first.
"""

from array import array
from collections import Counter
from collections.abc import Iterator

SPARE = 1024  # entries of the front that may be gone before the rest is moved up


class Finished:
    """Places of rows by the time at which they were decided, epoch milliseconds.

    >>> finished = Finished()
    >>> finished.add(b"b", 20), finished.add(b"a", 10), finished.oldest()
    (None, None, (10, b'a'))
    """

    __slots__ = ("_gone", "_head", "_places", "_standing", "_times")

    def __init__(self) -> None:
        self._places: list[bytes] = []
        self._times = array("q")
        self._head = 0
        self._standing: dict[bytes, None] = {}  # measured: a third of what a set of as many takes
        self._gone = Counter[bytes]()  # entries that count no more, by place; of several the first ones

    def __len__(self) -> int:
        return len(self._standing)

    def __contains__(self, place: bytes) -> bool:
        return place in self._standing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Finished) and list(self) == list(other)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(Time, place) of all, oldest first."""
        gone = self._gone.copy()
        for number in range(self._head, len(self._places)):
            place = self._places[number]
            if gone[place]:
                gone[place] -= 1
            else:
                yield self._times[number], place

    def add(self, place: bytes, ms: int) -> None:
        """A row was decided, or decided anew.

        Args:
            place: Its key.
            ms: When, epoch milliseconds.
        """
        if place in self._standing:
            self._gone[place] += 1
        self._standing[place] = None
        number = len(self._places)
        while number > self._head and (self._times[number - 1], self._places[number - 1]) > (ms, place):
            number -= 1
            if self._places[number] == place:  # time ran backwards: of one place the first entries must be the gone
                del self._places[number], self._times[number]
                self._fewer_gone(place)
        self._places.insert(number, place)
        self._times.insert(number, ms)

    def discard(self, place: bytes) -> None:
        """A row is gone, or runs again.

        Args:
            place: Its key; one that is not here is no error.
        """
        if place in self._standing:
            del self._standing[place]
            self._gone[place] += 1

    def oldest(self) -> tuple[int, bytes] | None:
        """What was decided first.

        Returns:
            (Epoch milliseconds, place), of equal times the smaller place; None where nothing is finished.
        """
        while self._head < len(self._places) and self._gone[place := self._places[self._head]]:
            self._fewer_gone(place)
            self._head += 1
        self._move_up()
        return (self._times[self._head], self._places[self._head]) if self._head < len(self._places) else None

    def _fewer_gone(self, place: bytes) -> None:
        self._gone[place] -= 1
        if not self._gone[place]:
            del self._gone[place]

    def _move_up(self) -> None:
        if self._head > SPARE and 2 * self._head > len(self._places):
            del self._places[: self._head], self._times[: self._head]
            self._head = 0
