"""Rows in real RocksDB stores: written locally, noted for the changelog, wiped when they are another's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from faust.streams import _current_event
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import tables
from streams.engine.tables import ABANDONED_S, MARKER, NoRows, PersistedOffsets, Rows, prepare, rocksdb_options
from streams.stage import Table
from tests.support.fake_faust import NAMES, event, stage, stage_app
from tests.support.loops import in_loop
from topics.catalog import INTERNAL_BYTES
from topics.errors import OrchestratorError, RecordTooLarge

CHANGELOG = NAMES.changelog("core", "rows")
NOW_S = 1_000_000.0
CLUSTER = "cluster-a"


@contextmanager
def table_at(directory: Path) -> Iterator[Any]:
    """The table of an app that is not started."""
    with stage_app(directory, stage(table="rows")) as app:
        yield app._rows["rows"]


@contextmanager
def current(partition: int = 0) -> Iterator[None]:
    """A record of that partition is being handled."""
    held = event(partition=partition)
    token = _current_event.set(ref(held))
    try:
        yield
    finally:
        _current_event.reset(token)


def rows_of(table: Any, partition: int = 0) -> Rows:
    return Rows(table, CHANGELOG, partition)


def nothing(error: OrchestratorError | None) -> None:
    """Hears of a delivery."""


def written(rows: Rows) -> list[tuple[bytes | None, bytes | None]]:
    return [(parcel.key, parcel.value) for parcel in rows.taken(nothing)]


@in_loop
async def test_put_row_is_read_back_at_once(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        rows.put(b"k", b"v")
        got = rows.get(b"k")

    assert b"v" == got


@in_loop
async def test_get_absent_row_gives_none(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        got = rows_of(table).get(b"k")

    assert got is None


@in_loop
async def test_put_row_lands_in_the_partition_of_its_record(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        for partition in (0, 1):
            with current(partition):
                rows_of(table, partition).put(b"k", b"v%d" % partition)
        with current(0):
            got = rows_of(table, 0).get(b"k")

    assert b"v0" == got


@in_loop
async def test_put_row_above_limit_is_refused_before_write(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        with pytest.raises(RecordTooLarge, match=CHANGELOG):
            rows.put(b"k", b"x" * INTERNAL_BYTES)
        left = (rows.get(b"k"), table.outbox, rows.parcels)

    assert (None, [], []) == left


@pytest.mark.parametrize("over", [0, 1])
@in_loop
async def test_put_row_counts_key_and_value_against_the_limit(tmp_path: Path, over: int) -> None:
    refused = None
    with table_at(tmp_path) as table, current():
        try:
            rows_of(table).put(b"12345678", b"x" * (INTERNAL_BYTES - 8 + over))
        except RecordTooLarge as error:
            refused = (error.size, error.limit)

    assert ((INTERNAL_BYTES + 1, INTERNAL_BYTES) if over else None) == refused


@in_loop
async def test_delete_row_is_gone_and_leaves_a_tombstone(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        rows.put(b"k", b"v")
        rows.delete(b"k")
        got = (rows.get(b"k"), written(rows))

    assert (None, [(b"k", b"v"), (b"k", None)]) == got


@in_loop
async def test_delete_absent_row_still_writes_its_tombstone(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        rows.delete(b"k")
        got = written(rows)

    assert [(b"k", None)] == got


@in_loop
async def test_delete_row_of_other_partition_stays(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        for partition in (0, 1):
            with current(partition):
                rows_of(table, partition).put(b"k", b"v")
        with current(0):
            rows_of(table, 0).delete(b"k")
        with current(1):
            got = rows_of(table, 1).get(b"k")

    assert b"v" == got


@in_loop
async def test_taken_writes_are_parcels_for_the_changelog_partition(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current(2):
        rows = rows_of(table, 2)
        rows.put(b"k", b"v")
        [parcel] = rows.taken(nothing)

    assert (CHANGELOG, 2, b"k", b"v") == (parcel.topic, parcel.partition, parcel.key, parcel.value)
    assert nothing is parcel.settled


@in_loop
async def test_taken_writes_are_given_out_once(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        rows.put(b"k", b"v")
        got = (len(rows.taken(nothing)), len(rows.taken(nothing)))

    assert (1, 0) == got


@in_loop
async def test_taken_parcel_that_landed_is_noted_as_acknowledged(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        rows.put(b"k", b"v")
        [parcel] = rows.taken(nothing)
        parcel.landed(0, 41)
        got = dict(table.persisted.acknowledged)

    assert {0: 41} == got


@in_loop
async def test_taken_writes_keep_the_order_of_the_table(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        for number in range(5):
            rows.put(b"k", b"%d" % number)
        got = [value for _, value in written(rows)]

    assert [b"0", b"1", b"2", b"3", b"4"] == got


@in_loop
async def test_rows_of_two_records_keep_their_writes_apart(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        one, other = rows_of(table), rows_of(table)
        one.put(b"a", b"1")
        other.put(b"b", b"2")
        got = (written(one), written(other))

    assert ([(b"a", b"1")], [(b"b", b"2")]) == got


# -- every row, and what is made of them
@in_loop
async def test_items_of_a_partition_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        for key in (b"b", b"\xff", b"a", b"ab"):
            rows.put(key, b"of " + key)
        got = list(rows.items())

    assert [(key, b"of " + key) for key in (b"a", b"ab", b"b", b"\xff")] == got


@pytest.mark.parametrize("after", [b"", b"a", b"aa", b"ab", b"b", b"b\0", b"\xff", b"\xff\xff"])
@in_loop
async def test_items_behind_a_key_are_those_above_it(tmp_path: Path, after: bytes) -> None:
    keys = [b"a", b"ab", b"b", b"b\0", b"\xff"]
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        for key in keys:
            rows.put(key, b"of " + key)
        got = list(rows.items(after))

    assert [(key, b"of " + key) for key in keys if key > after] == got


@in_loop
async def test_items_behind_a_key_leave_out_the_offset_kept_among_them(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows_of(table).put(b"\xff", b"v")
        table.persisted.landed(0, 12)
        table.persisted.flush(table)
        got = list(rows_of(table).items(b"\0"))

    assert [(b"\xff", b"v")] == got


@in_loop
async def test_items_are_read_no_further_than_they_are_asked_for(tmp_path: Path) -> None:
    """A page of many rows costs a page."""
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        for number in range(100):
            rows.put(b"%03d" % number, b"v")
        found = rows.items(b"049")
        got = [next(found)[0], next(found)[0]]

    assert [b"050", b"051"] == got


@in_loop
async def test_items_of_a_partition_are_none_of_another(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        for partition in (0, 1):
            with current(partition):
                rows_of(table, partition).put(b"k", b"v%d" % partition)
        got = [list(rows_of(table, partition).items()) for partition in (0, 1, 2)]

    assert [[(b"k", b"v0")], [(b"k", b"v1")], []] == got


@in_loop
async def test_items_leave_out_what_was_deleted(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        rows.put(b"a", b"1")
        rows.put(b"b", b"2")
        rows.delete(b"a")
        got = list(rows.items())

    assert [(b"b", b"2")] == got


@in_loop
async def test_rows_of_a_partition_leave_out_the_offset_kept_among_them(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows_of(table).put(b"k", b"v")
        table.persisted.landed(0, 12)
        table.persisted.flush(table)
        got = (list(table.rows_of(0)), table.persisted_offset(TP(CHANGELOG, 0)))

    assert ([(b"k", b"v")], 12) == got


@in_loop
async def test_derived_value_is_made_once_and_shared_by_all_records(tmp_path: Path) -> None:
    made = list[dict[bytes, bytes]]()

    def build(rows: Table) -> dict[bytes, bytes]:
        made.append(dict(rows.items()))
        return made[-1]

    with table_at(tmp_path) as table, current():
        rows_of(table).put(b"k", b"v")
        one, other = rows_of(table).derived(build), rows_of(table).derived(build)

    assert ([{b"k": b"v"}], True) == (made, one is other)


@in_loop
async def test_derived_value_that_is_false_is_kept_too(tmp_path: Path) -> None:
    made = list[int]()

    def build(rows: Table) -> dict[bytes, bytes]:
        made.append(1)
        return {}

    with table_at(tmp_path) as table:
        for _ in range(3):
            rows_of(table).derived(build)

    assert [1] == made


@in_loop
async def test_derived_value_of_each_partition_is_its_own(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        for partition in (0, 1):
            with current(partition):
                rows_of(table, partition).put(b"k%d" % partition, b"v")
        got = [rows_of(table, partition).derived(lambda rows: dict(rows.items())) for partition in (0, 1)]

    assert [{b"k0": b"v"}, {b"k1": b"v"}] == got


@in_loop
async def test_derived_value_after_it_was_forgotten_is_made_of_the_rows_as_they_are(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows = rows_of(table)
        rows.derived(lambda found: dict(found.items()))
        rows.put(b"k", b"v")
        table.derived.clear()
        got = rows.derived(lambda found: dict(found.items()))

    assert {b"k": b"v"} == got


STEPS = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.one_of(st.none(), st.binary(max_size=8))))


class DictTable(dict[bytes, bytes]):
    """A table of Faust's without RocksDB: notes its writes as Faust's hooks do."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox: list[tuple[bytes, bytes | None]] = []
        self.persisted = PersistedOffsets()

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.outbox.append((key, value))
        super().__setitem__(key, value)

    def __delitem__(self, key: bytes) -> None:
        self.outbox.append((key, None))
        super().__delitem__(key)


@given(STEPS)
def test_fold_of_the_parcels_equals_the_rows(steps: list[tuple[bytes, bytes | None]]) -> None:
    table: Any = DictTable()
    rows = rows_of(table)
    for key, value in steps:
        rows.delete(key) if value is None else rows.put(key, value)
    folded = dict(written(rows))

    assert dict(table) == {key: value for key, value in folded.items() if value is not None}


# -- persisted offsets
class Store:
    """The open partitions of a store; remembers what is written to it."""

    def __init__(self, *partitions: int) -> None:
        self._dbs = dict.fromkeys(partitions)
        self.written: list[tuple[TP, int]] = []

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        self.written.append((tp, offset))


def store_table(*partitions: int) -> Any:
    topic = SimpleNamespace(get_topic_name=lambda: CHANGELOG)
    return SimpleNamespace(data=Store(*partitions), changelog_topic=topic)


def test_persisted_offsets_flush_writes_highest_acknowledged_once() -> None:
    persisted, table = PersistedOffsets(), store_table(0)
    for offset in (4, 9, 7):
        persisted.landed(0, offset)
    persisted.flush(table)
    persisted.flush(table)

    assert [(TP(CHANGELOG, 0), 9)] == table.data.written


def test_persisted_offset_zero_is_written_too() -> None:
    persisted, table = PersistedOffsets(), store_table(0)
    persisted.landed(0, 0)
    persisted.flush(table)

    assert [(TP(CHANGELOG, 0), 0)] == table.data.written


def test_persisted_offset_of_a_closed_partition_is_dropped() -> None:
    persisted, table = PersistedOffsets(), store_table(0)
    persisted.landed(1, 9)
    persisted.flush(table)

    assert ([], {}) == (table.data.written, persisted.acknowledged)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50))))
def test_persisted_offsets_never_exceed_what_landed(landed: list[tuple[int, int]]) -> None:
    persisted, table = PersistedOffsets(), store_table(0, 1, 2, 3)
    for partition, offset in landed:
        persisted.landed(partition, offset)
    persisted.flush(table)
    highest: dict[int, int] = {}
    for partition, offset in landed:
        highest[partition] = max(highest.get(partition, -1), offset)

    assert highest == {tp.partition: offset for tp, offset in table.data.written}


@in_loop
async def test_persisted_offset_is_read_back_from_the_store(tmp_path: Path) -> None:
    with table_at(tmp_path) as table, current():
        rows_of(table).put(b"k", b"v")
        table.persisted.landed(0, 12)
        table.persisted.flush(table)
        got = table.persisted_offset(TP(CHANGELOG, 0))

    assert 12 == got


# -- no rows
def test_no_rows_get_gives_none_and_takes_nothing() -> None:
    rows = NoRows()
    rows.delete(b"k")

    assert (None, []) == (rows.get(b"k"), rows.taken(nothing))


@pytest.mark.parametrize("after", [None, b"", b"k"])
def test_no_rows_are_behind_any_key(after: bytes | None) -> None:
    assert [] == list(NoRows().items(after))


def test_no_rows_hold_nothing_to_derive_from() -> None:
    made = [NoRows().derived(lambda rows: list(rows.items())) for _ in range(2)]

    assert [[], []] == made
    assert made[0] is not made[1]


def test_no_rows_put_is_refused_by_type() -> None:
    with pytest.raises(RecordTooLarge, match="without a table"):
        NoRows().put(b"k", b"v")


# -- options
def test_options_are_a_fresh_dict_each_time() -> None:
    first = rocksdb_options()
    first.pop("driver")

    assert "rocksdict" == rocksdb_options()["driver"]


@pytest.mark.parametrize(
    ("name", "most"), [("write_buffer_size", 2**20), ("block_cache_size", 2**21), ("max_write_buffer_number", 2)]
)
def test_options_stay_below_the_measured_memory(name: str, most: int) -> None:
    assert most == rocksdb_options()[name]


@in_loop
async def test_options_reach_the_store_of_the_table(tmp_path: Path) -> None:
    with table_at(tmp_path) as table:
        options = table.data.rocksdb_options

    assert (2**20, 2**21, 256) == (options.write_buffer_size, options.block_cache_size, options.max_open_files)


# -- prepare
def store_at(datadir: Path, name: str, age_s: float) -> Path:
    store = datadir / "v1" / "tables" / name
    store.mkdir(parents=True)
    entry = store / "CURRENT"
    entry.write_text("x")
    os.utime(entry, (NOW_S - age_s, NOW_S - age_s))
    return store


def prepared(datadir: Path, cluster: str = CLUSTER) -> list[str]:
    return prepare(datadir, cluster, lambda: NOW_S)


def test_prepare_new_directory_is_made_and_marked(tmp_path: Path) -> None:
    datadir = tmp_path / "deep" / "core"
    wiped = prepared(datadir)

    assert ([], CLUSTER) == (wiped, (datadir / MARKER).read_text())


def test_prepare_same_cluster_keeps_a_used_store(tmp_path: Path) -> None:
    prepared(tmp_path)
    store = store_at(tmp_path, "rows-0.db", age_s=60)

    assert ([], True) == (prepared(tmp_path), store.exists())


def test_prepare_other_cluster_wipes_directory(tmp_path: Path) -> None:
    datadir = tmp_path / "core"
    prepared(datadir)
    store = store_at(datadir, "rows-0.db", age_s=60)
    wiped = prepared(datadir, "cluster-b")

    assert [f"{datadir}: belongs to another cluster"] == wiped
    assert (False, "cluster-b") == (store.exists(), (datadir / MARKER).read_text())


def test_prepare_other_cluster_leaves_the_neighbour_directory(tmp_path: Path) -> None:
    mine, other = tmp_path / "core", tmp_path / "infer"
    for datadir in (mine, other):
        prepared(datadir)
    store = store_at(other, "rows-0.db", age_s=60)
    prepared(mine, "cluster-b")

    assert store.exists()


def test_prepare_store_left_for_twelve_hours_is_wiped_alone(tmp_path: Path) -> None:
    prepared(tmp_path)
    old = store_at(tmp_path, "rows-0.db", age_s=ABANDONED_S + 1)
    young = store_at(tmp_path, "rows-1.db", age_s=ABANDONED_S - 1)
    wiped = prepared(tmp_path)

    assert [f"{old}: not used for 12 hours"] == wiped
    assert (False, True) == (old.exists(), young.exists())


def test_prepare_newest_file_of_a_store_counts(tmp_path: Path) -> None:
    prepared(tmp_path)
    store = store_at(tmp_path, "rows-0.db", age_s=ABANDONED_S * 2)
    fresh = store / "000001.log"
    fresh.write_text("x")
    os.utime(fresh, (NOW_S, NOW_S))

    assert ([], True) == (prepared(tmp_path), store.exists())


def test_prepare_empty_store_counts_by_its_own_age(tmp_path: Path) -> None:
    prepared(tmp_path)
    store = tmp_path / "rows-0.db"
    store.mkdir()
    os.utime(store, (NOW_S - ABANDONED_S - 1, NOW_S - ABANDONED_S - 1))
    prepared(tmp_path)

    assert not store.exists()


def test_prepare_file_that_looks_like_a_store_is_left(tmp_path: Path) -> None:
    prepared(tmp_path)
    file = tmp_path / "note.db"
    file.write_text("x")
    os.utime(file, (0, 0))

    assert ([], True) == (prepared(tmp_path), file.exists())


def test_abandoned_store_is_wiped_before_kafka_drops_tombstones() -> None:
    assert tables.ABANDONED_S < 24 * 3600
