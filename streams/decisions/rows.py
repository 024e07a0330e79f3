"""How is a row laid out that remembers exact bytes? A line of JSON about them, then the bytes as they are.

The bytes are what was sent, or will be sent again, so they are framed and never parsed and written anew.
"""

from dataclasses import dataclass

import orjson

from topics.catalog import INTERNAL_BYTES
from topics.errors import DecodingError

VERSION = 1
PAYLOAD_BYTES = INTERNAL_BYTES - 1024  # what a row may remember: its first line and its key count too


@dataclass(frozen=True, slots=True)
class Row:
    """``at``: coordinates of the input that decided it; ``word``: what was decided; ``payload``: the exact bytes."""

    at: str
    word: str
    payload: bytes


def pack(row: Row) -> bytes:
    """The stored form of a row.

    Args:
        row: Its payload may be any bytes, line ends included.

    Returns:
        Bytes that ``unpack`` reads back.

    >>> pack(Row("refined/0/7", "completed", b"{}"))
    b'{"v":1,"at":"refined/0/7","word":"completed"}\\n{}'
    """
    return orjson.dumps({"v": VERSION, "at": row.at, "word": row.word}) + b"\n" + row.payload


def unpack(stored: bytes) -> Row:
    """The row from its stored form; fields that a newer version added are passed over.

    Args:
        stored: What ``pack`` returned.

    Returns:
        The row, its payload byte for byte.

    Raises:
        DecodingError: It is no row.
    """
    head, _, payload = stored.partition(b"\n")
    try:
        about = orjson.loads(head)
        return Row(str(about["at"]), str(about["word"]), payload)
    except (orjson.JSONDecodeError, KeyError, TypeError) as bad:
        raise DecodingError("Row", "its first line does not say what it holds", stored) from bad
