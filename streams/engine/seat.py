"""# Engine: seat

Responsibility: a plain consumer's seat in its group: what the group gave it, and whether it still sits there.
Guarantees: each confirmed heartbeat renews the lease
    (tests/unit/streams/engine/test_seat.py::test_heartbeat_that_is_confirmed_renews_the_lease);
    what was given is nobody's between two generations, and the end of one is heard before the next begins
    (tests/unit/streams/engine/test_seat.py::test_partitions_are_nobodys_after_they_were_revoked);
    a member that is thrown out twice in a minute, or stays outside, is told
    (tests/unit/streams/engine/test_seat.py::test_member_that_was_thrown_out_twice_is_lost).
NOT Responsible For: ending the process (its owner), offsets.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition

from streams.decisions import membership
from streams.engine.lease import Lease, since_boot


class Seat(ConsumerRebalanceListener):
    """``ended`` is awaited at the end of each generation, while the coordinator waits."""

    def __init__(self, session_s: float, ended: Callable[[], Awaitable[None]]) -> None:
        self.lease, self._ended = Lease(session_s), ended
        self.generation = 0  # our own count: it is over as soon as the partitions are revoked
        self.granted: frozenset[TopicPartition] | None = None
        self._state, self._evictions = membership.Membership(), 0
        self._coordinator: Any = None

    def take(self, consumer: Any, topics: Iterable[str]) -> None:
        """Join the group of a started consumer, and listen to its coordinator."""
        coordinator = self._coordinator = consumer._coordinator
        reset, beat = coordinator.reset_generation, coordinator._do_heartbeat

        def counted() -> None:
            self._evictions += coordinator.generation > 0
            reset()

        async def confirmed() -> bool:
            asked = since_boot()
            alive = bool(await beat())
            if alive:
                self.lease.renewed(asked)
            return alive

        coordinator.reset_generation, coordinator._do_heartbeat = counted, confirmed
        consumer.subscribe(list(topics), listener=self)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """All of them: the rebalance is eager."""
        self.left()
        await self._ended()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """A generation begins."""
        self.granted = frozenset(assigned)
        self.lease.renewed(since_boot())

    def left(self) -> None:
        """From now on nothing is ours."""
        self.generation += 1
        self.granted = None

    def lost(self, now: float) -> str | None:
        """Why this seat is lost for good, as seen at ``now`` in monotonic seconds; to be asked each second."""
        evicted, self._evictions = self._evictions, 0
        self._state = membership.seen(self._state, self._coordinator.generation > 0, evicted, now)
        return membership.lost(self._state, now)
