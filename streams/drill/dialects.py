"""How does the fake provider say what it says? Bodies of OpenAI's chat completions and of Anthropic's messages."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from streams.adapters.providers.echo import last_said, tokens

TOOL = "lookup"


@dataclass(frozen=True, slots=True)
class Said:
    """One answer; ``usage`` may be anything, as a wrong one is."""

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    finish: str = "stop"
    tool: bool = False
    usage: str = "right"


def said(body: Mapping[str, Any], nonce: str) -> Said:
    """What a good answer to a request says: ``echo:``, the last user message, and the nonce where there is one."""
    messages = [message for message in body.get("messages", ()) if isinstance(message, dict)]
    text = f"echo: {last_said(messages)}" + (f" [{nonce}]" if nonce else "")
    asked = sum(tokens(last_said([{**message, "role": "user"}])) for message in _all(body, messages))
    return Said(text, str(body.get("model")), asked, tokens(text))


def _all(body: Mapping[str, Any], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    above = body.get("system")
    return [*([{"content": above}] if above else []), *messages]


def played(answer: Said, act: str) -> Said:
    """The answer as an act changes it."""
    match act:
        case "length":
            return replace(answer, finish="length")
        case "tools":
            return replace(answer, finish="tool_calls", tool=True, text="")
        case "no-usage" | "wrong-usage":
            return replace(answer, usage=act)
        case _:
            return answer


class OpenAI:
    """Bodies of chat completions."""

    path, id_header = "/v1/chat/completions", "x-request-id"

    def answer(self, of: Said) -> dict[str, Any]:
        """A completion."""
        message: dict[str, Any] = {"role": "assistant", "content": of.text}
        if of.tool:
            call = {"id": "call_1", "type": "function", "function": {"name": TOOL, "arguments": '{"of":1}'}}
            message |= {"content": None, "tool_calls": [call]}
        choices = [{"index": 0, "message": message, "finish_reason": of.finish}]
        body = {"id": "chatcmpl-1", "object": "chat.completion", "model": of.model, "choices": choices}
        return body | _usage(of, "prompt_tokens", "completion_tokens")

    def empty(self, of: Said) -> dict[str, Any]:
        """A completion without any choice."""
        return self.answer(of) | {"choices": []}

    def error(self, status: int, quoted: str) -> dict[str, Any]:
        """A refusal that quotes the prompt."""
        return {"error": {"message": f"refused: {quoted}", "type": "error", "code": str(status)}}

    def too_long(self, quoted: str) -> dict[str, Any]:
        """The refusal of a prompt that is too long."""
        words = f"This model's maximum context length is 8 tokens: {quoted}"
        return {"error": {"message": words, "type": "invalid_request_error", "code": "context_length_exceeded"}}

    def key(self, headers: Mapping[str, str]) -> str:
        """The API key that came."""
        return headers.get("Authorization", "").removeprefix("Bearer ")


FINISHES = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class Anthropic:
    """Bodies of messages."""

    path, id_header = "/v1/messages", "request-id"

    def answer(self, of: Said) -> dict[str, Any]:
        """A message."""
        use = {"type": "tool_use", "id": "call_1", "name": TOOL, "input": {"of": 1}}
        content = [use if of.tool else {"type": "text", "text": of.text}]
        body = {"id": "msg_1", "type": "message", "role": "assistant", "model": of.model, "content": content}
        return body | {"stop_reason": FINISHES[of.finish]} | _usage(of, "input_tokens", "output_tokens")

    def empty(self, of: Said) -> dict[str, Any]:
        """A message without content."""
        return self.answer(of) | {"content": []}

    def error(self, status: int, quoted: str) -> dict[str, Any]:
        """A refusal that quotes the prompt."""
        return {"type": "error", "error": {"type": f"error_{status}", "message": f"refused: {quoted}"}}

    def too_long(self, quoted: str) -> dict[str, Any]:
        """The refusal of a prompt that is too long."""
        words = f"prompt is too long: 9 tokens > 8 maximum: {quoted}"
        return {"type": "error", "error": {"type": "invalid_request_error", "message": words}}

    def key(self, headers: Mapping[str, str]) -> str:
        """The API key that came."""
        return headers.get("x-api-key", "")


def _usage(of: Said, read: str, written: str) -> dict[str, Any]:
    match of.usage:
        case "no-usage":
            return {}
        case "wrong-usage":
            return {"usage": {read: -1, written: "many"}}
        case _:
            return {"usage": {read: of.input_tokens, written: of.output_tokens}}


Dialect = OpenAI | Anthropic
DIALECTS: tuple[Dialect, ...] = (OpenAI(), Anthropic())
