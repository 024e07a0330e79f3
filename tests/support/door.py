"""Builders for the door: requests as bytes, and messages of every stage whose origin has a hash that one can read."""

import json

from tests.support import builders
from tests.support.builders import NOW_MS as NOON_MS
from tests.support.builders import reply

HASH = "0f" * 32


def origin(**fields):
    return builders.origin().model_copy(update={"hash": HASH, **fields})


def raw(**fields):
    """A request as bytes: the prompt ``hi`` and the given fields; None leaves a field out."""
    whole = {"prompt": "hi", **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def ticket(**fields):
    return builders.ticket(**{"origin": origin(), **fields})


def admitted(**fields):
    return builders.admitted(**{"origin": origin(), **fields})


def deduped(**fields):
    return builders.deduped(**{"origin": origin(), **fields})


def retrieved(**fields):
    return builders.retrieved(**{"origin": origin(), "passages": ({"text": "p"},), "snapshot": "s-1", **fields})


def assembled(**fields):
    return builders.assembled(**retrieved(**fields).__dict__, **(retrieved(**fields).__pydantic_extra__ or {}))


def inferred(reply=None, **fields):
    return builders.inferred(reply, **{"origin": origin(), **fields})


def refined(reply=None, **fields):
    return builders.refined(reply, **{"origin": origin(), **fields})


def failed(**fields):
    return builders.failed(**{"origin": origin(), "disposition": "permanent", "work": None, **fields})


__all__ = [
    "HASH", "NOON_MS", "admitted", "assembled", "deduped", "failed", "inferred", "origin", "raw", "refined", "reply",
    "retrieved", "ticket",
]  # fmt: skip
