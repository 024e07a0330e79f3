"""Keys go where Kafka's own clients send them."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.partitioner import murmur2, partition_of

# Known pairs of Kafka's Java client (UtilsTest.testMurmur2), signed there
JAVA = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("key", "signed"), JAVA)
def test_murmur2_of_known_keys_is_the_java_clients(key: bytes, signed: int) -> None:
    assert signed % 2**32 == murmur2(key)


@given(st.binary(max_size=200))
def test_murmur2_of_any_key_is_what_the_python_client_computes(key: bytes) -> None:
    assert reference(key) % 2**32 == murmur2(key)


@given(st.binary(min_size=1, max_size=80), st.integers(1, 64))
def test_partition_of_any_key_is_the_default_partitioners(key: bytes, partitions: int) -> None:
    every = list(range(partitions))

    assert DefaultPartitioner()(key, every, every) == partition_of(key, partitions)


@pytest.mark.parametrize("size", range(9))
def test_partition_of_keys_of_every_tail_length_is_in_range(size: int) -> None:
    assert 0 <= partition_of(b"\xff" * size, 7) < 7
