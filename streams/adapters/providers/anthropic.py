"""How is Anthropic's messages API spoken? Conversations and replies are translated from and to OpenAI's shape."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from streams.adapters.providers.line import LinePolicy, Response
from streams.adapters.providers.remote import Models, RemoteProvider, usage, word
from streams.ports import Call
from topics.messages import Reply
from topics.provider_errors import ProviderEmpty, ProviderMalformed

NAME = "anthropic"
VERSION = "2023-06-01"
MAX_TOKENS = 4096
ABOVE = frozenset({"system", "developer"})  # roles that stand above the conversation
READ = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class Anthropic:
    """The dialect of messages; ``max_tokens`` where a request sets none, as the API demands it."""

    name = NAME
    path = "/v1/messages"

    def __init__(self, max_tokens: int = MAX_TOKENS) -> None:
        self._max_tokens = max_tokens

    def asked(self, call: Call, model: str) -> dict[str, Any]:
        """The body of a request; what is system text stands beside the conversation."""
        system = [part for message in call.messages if message.get("role") in ABOVE for part in _parts(message)]
        spoken = [message for message in call.messages if message.get("role") not in ABOVE]
        above = {"system": system} if system else {}
        return {"max_tokens": self._max_tokens, **above, **call.params, "model": model, "messages": spoken}

    def reply(self, data: object, model: str, response: Response) -> Reply:
        """The reply in an answer's JSON."""
        match data:
            case {"content": []}:
                raise response.error(ProviderEmpty)
            case {"content": list(blocks), **rest} if all(isinstance(block, dict) for block in blocks):
                found, known = usage(rest.get("usage"), READ, "output_tokens")
                text = _text(blocks)
                told = word(rest.get("stop_reason"), "end_turn")
                return Reply(
                    text=text,
                    finish_reason=FINISHES.get(told, told),
                    model=word(rest.get("model"), model),
                    provider=NAME,
                    usage=found,
                    usage_known=known,
                    message=_message(text, blocks),
                )
            case _:
                raise response.error(ProviderMalformed, "no message")


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())


def _text(blocks: Iterable[Mapping[str, Any]]) -> str:
    said = (block.get("text") for block in blocks if block.get("type") == "text")
    return "".join(text for text in said if isinstance(text, str))


def _message(text: str, blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    calls = [_tool_call(block) for block in blocks if block.get("type") == "tool_use"]
    return {"role": "assistant", "content": text or None, "tool_calls": calls} if calls else None


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    """A tool use as OpenAI writes it: arguments are JSON in a text."""
    arguments = orjson.dumps(block.get("input") or {}).decode()
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}


def provider(line: LinePolicy, models: Models | None = None, max_tokens: int = MAX_TOKENS) -> RemoteProvider:
    """A provider that speaks this dialect; the base URL ends where ``/v1/messages`` begins."""
    return RemoteProvider(Anthropic(max_tokens), line, models)


def headers(api_key: str | None) -> dict[str, str]:
    """What says who we are, and the version of the API."""
    known = {"x-api-key": api_key} if api_key else {}
    return {"anthropic-version": VERSION, **known}
