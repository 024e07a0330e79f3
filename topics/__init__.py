"""What travels: the messages on the topics, and nothing about how they are moved.

Read in this order: ``request``, ``document`` and ``answer`` (what people write and read), ``messages`` (what the stages
pass on), ``catalog`` (which topics there are), ``wire`` (bytes), ``errors`` (what can go wrong), ``schemas``.
"""

from topics.answer import ERROR_KINDS, Answer, AnswerError, rfc3339
from topics.catalog import CATALOG, Names, TopicSpec
from topics.document import Document
from topics.errors import OrchestratorError
from topics.request import ChatMessage, Request, Retrieve
from topics.wire import decode, encode, parse

__all__ = [
    "CATALOG", "ERROR_KINDS", "Answer", "AnswerError", "ChatMessage", "Document", "Names", "OrchestratorError",
    "Request", "Retrieve", "TopicSpec", "decode", "encode", "parse", "rfc3339",
]  # fmt: skip
