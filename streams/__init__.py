"""Prompts as an event stream: read a prompt from a topic, write its answer to another, lose nothing in between.

Reading order: ``stage`` and ``ports`` (what a stage is, what it may ask for), ``stages`` (the flow), ``pipeline`` (who
is given what), ``decisions`` (the rules), ``engine`` (the loop that loses nothing), ``client`` and ``testing``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.client import Client, ask_all

__all__ = ["Client", "ask_all"]


def __getattr__(name: str) -> object:
    """The client, imported when it is asked for: the command line looks first whose package ``topics`` is."""
    if name not in __all__:
        raise AttributeError(f"module 'streams' has no attribute {name!r}")
    from streams import client

    return getattr(client, name)
