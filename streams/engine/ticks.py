"""# Engine: ticks

Responsibility: let time pass for stages that read no clock: one record a second to each partition that is read here.
Guarantees: only who reads a partition writes its ticks
    (tests/unit/streams/engine/test_ticks.py::test_tick_partitions_read_here_get_one_each);
    nothing is written during a rebalance, a stop, or under a lease that is over
    (tests/unit/streams/engine/test_ticks.py::test_tick_while_not_in_charge_writes_nothing);
    a partition whose last tick is not acknowledged gets no further one
    (tests/unit/streams/engine/test_ticks.py::test_tick_unacknowledged_predecessor_is_waited_for).
NOT Responsible For: what happens on a tick (stages); exactness: a late tick is a tick.
"""

import asyncio
from collections.abc import Callable, Iterable

from streams.engine.delivery import Delivery, Parcel
from topics.errors import OrchestratorError

EVERY_S = 1.0
VALUE = b'{"v":1}'


Place = tuple[str, int]  # Kafka's name of a topic, and a partition


class Ticks:
    """Writes to those ``partitions`` that this worker is in charge of at the time."""

    def __init__(self, delivery: Delivery, partitions: Callable[[], Iterable[Place]]) -> None:
        self._delivery, self._partitions = delivery, partitions
        self._under_way: set[Place] = set()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.tick()

    async def tick(self) -> None:
        """Write one record to each partition whose last one is acknowledged."""
        for place in sorted(set(self._partitions()) - self._under_way):
            self._under_way.add(place)
            topic, partition = place
            await self._delivery.send(Parcel(topic, None, VALUE, self._landed(place), partition=partition))

    def _landed(self, place: Place) -> Callable[[OrchestratorError | None], None]:
        def landed(error: OrchestratorError | None) -> None:
            """Also where it was refused: the next one tries again, and the stage's own writes tell the person."""
            self._under_way.discard(place)

        return landed
