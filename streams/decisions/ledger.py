"""What do both doors of the table ``requests`` do with its rows? Read, write with the index in step, walk, evict."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from streams.decisions import requests, succession
from streams.decisions.dedup import DedupPolicy
from streams.decisions.dedup_index import Index
from streams.decisions.requests import Deed, Entry, Final, Row, Standing, Twin

EVICTIONS = 2  # rows that an input may evict: twice what it adds
TICK_EVICTIONS = 64
TICKED = "ticked"  # the word of a tick's deed
THINNED = 64  # twins that go with one of them


class Rows(Protocol):
    """The part of a table that counts here."""

    def get(self, key: bytes) -> bytes | None: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...


class Ledger:
    """The rows of one partition, and the index over them."""

    __slots__ = ("index", "rows")

    def __init__(self, rows: Rows, index: Index) -> None:
        self.rows, self.index = rows, index

    def entry(self, key: str) -> Entry | None:
        """The present generation of a key, or None."""
        return self._entry(requests.entry_key(key))

    def twin(self, key: str, number: int) -> Twin | None:
        """One request that waits or waited, or None."""
        stored = self.rows.get(requests.twin_key(key, number))
        return None if stored is None else requests.unpack(stored, Twin)

    def final(self, key: str, identity: str, at: str, now_ms: int) -> Final | None:
        """The final that the input ``at`` gave an identity beside the entry; else the one that stood then."""
        found = self._final(requests.final_key(key, identity, at)) or self._final(requests.final_key(key, identity))
        while found is not None and found.at != at and found.ms > now_ms and found.before is not None:
            earlier = self._final(requests.final_key(key, identity, found.before))
            if earlier is None:
                return found
            found = earlier
        return found

    def deed(self, at: str) -> Deed | None:
        """What the input at these coordinates did before, or None."""
        place = requests.deed_key(at)
        stored = self.rows.get(place) if place in self.index.done else None
        return None if stored is None else requests.unpack(stored, Deed)

    def generation(self, key: str, epoch: str | None) -> tuple[bytes, Entry | None]:
        """The place and row of the generation of that epoch; of the present one where none is named."""
        place = requests.entry_key(key)
        entry = self._entry(place)
        if entry is None or epoch is None or entry.epoch == epoch:
            return place, entry
        place = requests.old_key(key, epoch)
        return place, self._entry(place)

    def covering(self, key: str, offset: int) -> tuple[bytes, Entry | None]:
        """The generation that stood when the ``admitted`` record of that offset came first; else the present one."""
        place = requests.entry_key(key)
        entry = present = self._entry(place)
        while entry is not None and entry.first > offset:
            found = self.before(key, entry)
            if found is None:
                return requests.entry_key(key), present
            place, entry = found
        return place, entry

    def before(self, key: str, entry: Entry) -> tuple[bytes, Entry] | None:
        """The generation before one, while it stands."""
        if entry.before is None:
            return None
        place = requests.old_key(key, entry.before)
        found = self._entry(place)
        return None if found is None or found.first >= entry.first else (place, found)

    def newest_twin(self, key: str, entry: Entry | None, identity: str) -> tuple[int, Twin] | None:
        """The newest row in which an identity is a twin of that generation, and its number."""
        number = self.index.twins.get((key, identity))
        if entry is None or number is None or not entry.low <= number < entry.next:
            return None
        twin = self.twin(key, number)
        return None if twin is None else (number, twin)

    def waiting(self, key: str, entry: Entry, low: int | None = None) -> Iterator[tuple[int, Twin]]:
        """The twins of a generation that wait for its outcome, oldest first, from the number ``low`` on."""
        for number in range(entry.low if low is None else low, entry.next):
            twin = self.twin(key, number)
            if twin is not None and twin.standing == "waiting":
                yield number, twin

    def heir(self, key: str, entry: Entry, now_ms: int) -> tuple[int, Twin] | None:
        """The oldest twin that may take over, and its number."""
        waiting = self.waiting(key, entry, entry.oldest)
        return next((found for found in waiting if succession.may_take_over(found[1], now_ms)), None)

    def save(self, place: bytes, row: Row) -> None:
        """Writes a row."""
        self.rows.put(place, requests.pack(row))
        self.index.note(place, row)

    def replace_final(self, key: str, identity: str, final: Final) -> None:
        """Writes a newer final; the one before it, which its own input may ask for again, is filed under that."""
        before = self._final(requests.final_key(key, identity))
        if before is not None and before.at != final.at:
            self.save(requests.final_key(key, identity, before.at), before)
            final = replace(final, before=before.at)
        elif before is not None:
            final = replace(final, before=before.before)
        self.save(requests.final_key(key, identity), final)

    def again(self, *places: bytes) -> None:
        """Writes rows as they stand: the store may be ahead of its changelog."""
        for place in places:
            stored = self.rows.get(place)
            if stored is not None:
                self.rows.put(place, stored)

    def act(self, deed: Deed) -> None:
        """Carries out what a deed tells, as far as it is not done yet; it is written already."""
        for key, number, epoch in deed.acts:
            entry, twin = self.entry(key), self.twin(key, number)
            if entry is None or twin is None or not entry.low <= number < entry.next:
                continue
            if epoch:
                self._promote(key, entry, number, twin, out=deed.word != TICKED)
            elif twin.standing == "waiting":
                self.release(key, entry, number, twin, "expired")

    def release(self, key: str, entry: Entry, number: int, twin: Twin, into: Standing) -> None:
        """A twin waits no longer. Its own row first: a count too high is harmless."""
        self.save(requests.twin_key(key, number), replace(twin, standing=into))
        self.save(requests.entry_key(key), _without(entry, twin))

    def _promote(self, key: str, entry: Entry, number: int, twin: Twin, *, out: bool) -> None:
        if entry.by is not None or entry.owner >= number:
            return
        opener = entry.owner == requests.OPENER
        before = None if opener or not out else self.twin(key, entry.owner)
        if before is not None:
            self.save(requests.twin_key(key, entry.owner), replace(before, standing="out"))
        self.save(requests.twin_key(key, number), replace(twin, standing="owner"))
        entry = _without(entry, twin) if twin.standing == "waiting" else entry
        owned = replace(entry, owner=number, oldest=number + 1, identity=twin.identity, deadline_ms=twin.deadline_ms)
        self.save(requests.entry_key(key), replace(owned, opener_out=entry.opener_out or (out and opener)))

    def evict(self, now_ms: int, policy: DedupPolicy, most: int = EVICTIONS) -> None:
        """Forgets the oldest finished rows, those above the bound and those that are too old."""
        for _ in range(most):
            oldest = self.index.done.oldest()
            if oldest is None:
                return
            over = len(self.index.done) > policy.max_completed
            if not over and now_ms - oldest[0] < policy.keep_ms:
                return
            self._forget(oldest[1])

    def _forget(self, place: bytes) -> None:
        entry = self._entry(place) if place.startswith((b"key/", b"old/")) else None
        if entry is not None and not self._thinned(place, entry):
            return
        self.rows.delete(place)
        self.index.gone(place, entry or Deed("", 0))

    def _thinned(self, place: bytes, entry: Entry) -> bool:
        """Deletes some twins of a generation, newest first; True when there are none left."""
        key = requests.key_in(place)
        top = self.index.thinned.get(place, entry.next)
        low = max(entry.low, top - THINNED)
        for number in range(low, top):
            twin = self.twin(key, number)
            if twin is not None:
                self.rows.delete(requests.twin_key(key, number))
                self.index.gone(requests.twin_key(key, number), twin)
        self.index.thinned[place] = low
        return low == entry.low

    def _final(self, place: bytes) -> Final | None:
        stored = self.rows.get(place) if place in self.index.done else None
        return None if stored is None else requests.unpack(stored, Final)

    def _entry(self, place: bytes) -> Entry | None:
        stored = self.rows.get(place)
        return None if stored is None else requests.unpack(stored, Entry)


def _without(entry: Entry, twin: Twin) -> Entry:
    return replace(entry, count=entry.count - 1, size=entry.size - len(twin.payload))
