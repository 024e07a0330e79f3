"""# Engine: buffers

Responsibility: bound what a worker holds in memory, in records and in bytes.
Guarantees: a gated topic does not stall its neighbour
    (tests/integration/test_engine_buffers.py::test_gated_topic_with_backlog_leaves_neighbour_flowing);
    a topic above its bytes is taken out of the fetch set until half is worked off
    (tests/unit/streams/engine/test_buffers.py::test_held_bytes_above_cap_stop_fetching_until_half).
NOT Responsible For: waiting for room inside the loop (loop), lag on disk (Kafka).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

POLLS_BUFFERED = 5  # measured: with fewer, a full queue blocks the one fetch loop of the app and starves its neighbours
HELD_BYTES = 64 * 1024 * 1024


def queue_size(max_poll_records: int, partitions: int) -> int:
    """How many records an agent's queue must take so that Faust stops fetching before it is full."""
    return POLLS_BUFFERED * max_poll_records * partitions


@dataclass(slots=True)
class HeldBytes:
    """Bytes of one topic before the loop; ``full`` and ``drop`` take a partition out of the fetch set and back."""

    full: Callable[[Any], None]
    drop: Callable[[Any], None]
    cap: int = HELD_BYTES
    held: int = 0
    _stopped: set[Any] = field(default_factory=set)

    def put(self, tp: Any, size: int) -> None:
        """A record of that partition was handed over."""
        self.held += size
        if self.held > self.cap and tp not in self._stopped:
            self._stopped.add(tp)
            self.full(tp)

    def taken(self, size: int) -> None:
        """The loop took a record."""
        self.held = max(0, self.held - size)  # what came by Faust's own way was not counted
        if self._stopped and self.held <= self.cap // 2:
            for tp in self._stopped:
                self.drop(tp)
            self._stopped.clear()

    def cleared(self) -> None:
        """The queue was emptied by a rebalance."""
        self.held = 0
        self._stopped.clear()
