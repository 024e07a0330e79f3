"""What may a caller ask for? The closed door model of ``prompts``: unknown fields are refused by name."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from topics.messages import Lane


class Closed(BaseModel):
    """Base of everything at the door: frozen, strict about types, no unknown fields, no NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # inputs are prompt text
        json_schema_serialization_defaults_required=True,  # every field is always written
    )


def _lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _content(value: object) -> object:
    parts = tuple(value) if isinstance(value, list | tuple) else ()
    typed = all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts)
    if value is None or isinstance(value, str):
        return value
    if parts and typed:
        return parts
    raise ValueError("should be text, or a list of parts that each have a 'type'")


Content = str | tuple[dict[str, Any], ...] | None


class ChatMessage(Closed):
    """One message in OpenAI's shape.

    Args:
        role: Who speaks: ``system``, ``developer``, ``user``, ``assistant`` or ``tool``.
        content: Text, or a list of parts that each have a ``type``; None only beside ``tool_calls``.
        name: The speaker's name.
        tool_calls: Calls that the assistant asked for.
        tool_call_id: The call that this message answers.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[Content, BeforeValidator(_content)] = None
    name: str | None = None
    tool_calls: Annotated[tuple[dict[str, Any], ...], Strict(False)] | None = None
    tool_call_id: str | None = None


class Retrieve(Closed):
    """Which context to look up.

    Args:
        k: Passages at most.
        filter: Metadata that they must have, by name.
    """

    k: Annotated[int, Field(ge=1)] = 4
    filter: dict[str, Any] = {}


class Request(Closed):
    """One value of ``prompts``. Needs ``prompt`` or ``messages``, exactly one of them; everything else has a default.

    Args:
        id: The caller's name for the request; without it, one is derived from topic, partition, offset and timestamp.
        prompt: The text of one user message. Instead: ``messages``, a conversation in OpenAI's shape.
        model: Which model or route to ask.
        params: Provider parameters, passed on as they are (``temperature``, ``max_tokens``, ``stop``, ``tools``, …).
        session: The conversation that this request continues.
        tenant: On whose behalf; equal content is never shared between tenants.
        priority: ``critical``, ``high``, ``normal`` or ``low``, in any letter case.
        timeout_s: Seconds after the record's Kafka timestamp at which the answer is of no use; None: no deadline.
        retrieve: Which context to look up and add.
        template: The name of the template that makes the final prompt.
        stream: Whether pieces of the answer are wanted as they come.
        dedup: Whether equal content may share one paid answer.
        sample: Number of the draw; distinct numbers are distinct content.
        reply_to: Another topic to answer to.
        metadata: Comes back with the answer unchanged; no part of the content.

    Raises:
        pydantic.ValidationError: A field is unknown or of the wrong type. The limits and the rules between fields are
            those of ``streams.decisions.admission``.
    """

    id: str | None = None
    prompt: str | None = None
    messages: Annotated[tuple[ChatMessage, ...], Strict(False)] | None = None
    model: str = "default"
    params: dict[str, Any] = {}
    session: str | None = None
    tenant: str | None = None
    priority: Annotated[Lane, BeforeValidator(_lowered)] = "normal"
    timeout_s: float | None = None
    retrieve: Retrieve | None = None
    template: str | None = None
    stream: bool = False
    dedup: bool = True
    sample: Annotated[int, Field(ge=0)] = 0
    reply_to: str | None = None
    metadata: dict[str, Any] = {}


__all__ = ["ChatMessage", "Closed", "Request", "Retrieve"]
