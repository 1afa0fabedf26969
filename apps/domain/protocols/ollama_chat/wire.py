"""One line of an answer, or the whole of it: they have the same fields."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from apps.domain import floats
from apps.domain.chat import StopReason
from apps.domain.errors import UpstreamBroken
from apps.domain.protocols.openai_chat.usage import ABSURD
from apps.domain.tokens import TokenUsage

MAX_CALLS = 1024


class Function(msgspec.Struct):
    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class Call(msgspec.Struct):
    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Line(msgspec.Struct):
    model: str | None = None
    created_at: Any = None
    message: Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(Line, float_hook=floats.read).decode


def read(raw: bytes) -> Line:
    """Raises UpstreamBroken."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamBroken("the provider's answer cannot be read") from fault


def response_id(line: Line) -> str:
    """Ollama has none; the moment to the nanosecond and the model tell answers apart."""
    made = f"{line.created_at} {line.model}".encode("utf-8", "replace")
    return "ollama-" + hashlib.sha256(made).hexdigest()[:24]


def call_id(call: Call, *, response: str, number: int) -> str:
    """Its own, where the server is new enough to give one."""
    return call.id or f"call_{response.removeprefix('ollama-')}_{number}"


def arguments(function: Function) -> str:
    """The JSON text of the object. Raises UpstreamBroken if it is none."""
    written = bytes(function.arguments).strip()
    try:
        if written.startswith(b'"'):  # some servers write it as text, as OpenAI does
            written = msgspec.json.decode(written, type=str).strip().encode() or b"{}"
        if written == b"null":
            written = b"{}"
        is_object = isinstance(floats.decode(written), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        is_object = False
    if not is_object:
        raise UpstreamBroken(f"the provider called {function.name} with arguments that are no JSON object")
    return written.decode()


def stop_reason(label: str | None, *, called: bool, said: bool) -> StopReason:
    """A call decides, not the label: Ollama says `stop` of it. Raises UpstreamBroken where nothing was answered."""
    if called:
        return "tool_use"
    if label == "length":
        return "max_tokens"
    if label != "stop" and not said:
        raise UpstreamBroken("the provider's answer is empty")
    return "end_turn"


def usage(line: Line) -> TokenUsage | None:
    """The prompt's count holds what was cached. A count of nothing is left out; None: there is none to believe."""
    if line.prompt_eval_count is None and line.eval_count is None:
        return None
    counts = [0 if count is None else count for count in (line.prompt_eval_count, line.eval_count)]
    if any(not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= ABSURD for count in counts):
        return None
    return TokenUsage(in_fresh=counts[0], out_total=counts[1])
