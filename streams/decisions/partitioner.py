"""To which partition does a key go? As Kafka's own clients decide, so that any producer's keys meet ours."""

from struct import unpack_from

SEED, M, MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key.

    Args:
        key: Any bytes.
        partitions: How many the topic has, at least 1.

    Returns:
        A number from 0 to ``partitions`` − 1; the one that Kafka's Java client chooses.

    >>> partition_of(b"a-1", 8)
    0
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, with Kafka's seed (``org.apache.kafka.common.utils.Utils.murmur2``).

    Args:
        data: Any bytes.

    Returns:
        The hash, unsigned.
    """
    size = len(data)
    words, left = divmod(size, 4)
    value = SEED ^ size
    for word in unpack_from(f"<{words}I", data):
        word = word * M & MASK
        value = (value * M & MASK) ^ ((word ^ word >> 24) * M & MASK)
    if left:
        value = (value ^ int.from_bytes(data[-left:], "little")) * M & MASK
    value = (value ^ value >> 13) * M & MASK
    return value ^ value >> 15
