"""How is OpenAI's chat API spoken, and with it every server that is compatible (vLLM, llama.cpp, Ollama)?"""

from collections.abc import Mapping
from typing import Any

from streams.adapters.providers.line import LinePolicy, Response
from streams.adapters.providers.remote import Models, RemoteProvider, usage, word
from streams.ports import Call
from topics.messages import Reply
from topics.provider_errors import ProviderEmpty, ProviderMalformed

NAME = "openai"
PLAIN = frozenset({"role", "content"})  # a message of these alone says no more than its text


class OpenAI:
    """The dialect of chat completions."""

    name = NAME
    path = "/chat/completions"

    def asked(self, call: Call, model: str) -> dict[str, Any]:
        """The body of a request."""
        return {**call.params, "model": model, "messages": call.messages}

    def reply(self, data: object, model: str, response: Response) -> Reply:
        """The reply in an answer's JSON."""
        match data:
            case {"choices": [{"message": {} as message, **choice}, *_], **rest}:
                found, known = usage(rest.get("usage"), ("prompt_tokens",), "completion_tokens")
                return Reply(
                    text=text_of(message.get("content"), response),
                    finish_reason=word(choice.get("finish_reason"), "stop"),
                    model=word(rest.get("model"), model),
                    provider=NAME,
                    usage=found,
                    usage_known=known,
                    message=telling(message),
                )
            case {"choices": [] | None}:
                raise response.error(ProviderEmpty)
            case _:
                raise response.error(ProviderMalformed, "no chat completion")


def text_of(content: object, response: Response) -> str:
    """The text of a message: as it is, joined from its parts, or none."""
    match content:
        case str():
            return content
        case None:
            return ""
        case list():
            return "".join(part["text"] for part in content if _is_text(part))
        case _:
            raise response.error(ProviderMalformed, "no text")


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def telling(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message as it is where it says more than its text, for example tool calls."""
    said = {name for name, value in message.items() if value not in (None, [], {})}
    return None if said <= PLAIN else {"role": "assistant", **message}


def provider(line: LinePolicy, models: Models | None = None) -> RemoteProvider:
    """A provider that speaks this dialect; the base URL ends where ``/chat/completions`` begins."""
    return RemoteProvider(OpenAI(), line, models)


def headers(api_key: str | None) -> dict[str, str]:
    """What says who we are; a local server needs nothing."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}
