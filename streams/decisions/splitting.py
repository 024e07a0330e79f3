"""Where is a long text cut into parts that can be retrieved by themselves?

At the coarsest bound that fits: between paragraphs, else lines, else sentences, else words, else anywhere.
"""

import re
from collections.abc import Iterator, Sequence

BOUNDS = tuple(re.compile(bound) for bound in (r"\n[ \t]*\n\s*", r"\n", r"(?<=[.!?。！？])\s+", r"\s+"))
PART = re.compile(r"#[1-9][0-9]*\Z")
JOINTS = ("\n\n", "\n", " ", " ")


def split(text: str, most: int) -> tuple[str, ...]:
    """The parts of a text.

    Args:
        text: Any text.
        most: Characters of a part, at least 1.

    Returns:
        Parts in order, none empty, none longer, together all that is no white space at a cut.

    >>> split("one\\n\\ntwo\\n\\nthree", 8)
    ('one\\n\\ntwo', 'three')
    """
    return tuple(_parts(text.strip(), most, 0))


def named(name: str, count: int) -> tuple[str, ...]:
    """The ids of the parts of one text: its name alone, or with numbers from 1.

    >>> named("a.md", 1), named("a.md", 2)
    (('a.md',), ('a.md#1', 'a.md#2'))
    """
    return (name,) if count == 1 else tuple(f"{name}#{number}" for number in range(1, count + 1))


def left_over(name: str, count: int, known: Sequence[str]) -> tuple[str, ...]:
    """The ids among ``known`` that earlier, longer or shorter versions of the text ``name`` had, and this has not.

    >>> left_over("a", 2, ["a", "a#1", "a#3", "b"])
    ('a', 'a#3')
    """
    mine = set(named(name, count))
    return tuple(id for id in known if id not in mine and name in (id, text_of(id)))


def text_of(id: str) -> str:
    """The name of the text that an id may be a part of.

    >>> text_of("a.md#12"), text_of("a#b")
    ('a.md', 'a#b')
    """
    return PART.sub("", id)


def _parts(text: str, most: int, level: int) -> Iterator[str]:
    if len(text) <= most:
        yield from [text] if text else []
    elif level == len(BOUNDS):
        yield from (piece.strip() for piece in (text[at : at + most] for at in range(0, len(text), most)))
    else:
        yield from _joined(BOUNDS[level].split(text), most, level)


def _joined(pieces: Sequence[str], most: int, level: int) -> Iterator[str]:
    """Neighbours put together again as far as they fit; what is too long by itself is cut at the next finer bound."""
    held = ""
    for piece in (stripped for piece in pieces if (stripped := piece.strip())):
        longer = f"{held}{JOINTS[level]}{piece}" if held else piece
        if len(longer) <= most:
            held = longer
            continue
        if held:
            yield held
        *whole, held = _parts(piece, most, level + 1)
        yield from whole
    yield held  # never empty: a text with a word in it has a piece with one


__all__ = ["left_over", "named", "split", "text_of"]
