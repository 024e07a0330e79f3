"""Which answer of a request counts? That of its last life: what was sent again has one more, under the same id."""

from streams.client.door import Door
from streams.decisions.lineage import LINEAGE
from streams.stage import Record
from topics.catalog import RESULTS


async def final(door: Door, key: bytes, wait_s: float = 0.0) -> Record | None:
    """The first answer of the highest lineage that there is; where there is none, the first within ``wait_s``."""
    lives = dict[int, Record]()

    def seen(record: Record) -> bool:
        lives.setdefault(_lineage(record), record)
        return False

    await door.find(RESULTS, key, seen)
    return lives[max(lives)] if lives else await door.find(RESULTS, key, lambda _: True, wait_s)


def _lineage(record: Record) -> int:
    said = (record.header(LINEAGE) or b"0").decode("ascii", "replace")
    return int(said) if said.isdecimal() else 0
