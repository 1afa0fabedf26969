"""What an answer that came whole and one that streams have in common: the response object and its items."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from apps.domain import floats
from apps.domain.chat import Likely, RedactedThinking, StopReason, Thinking, Token, ToolUse
from apps.domain.protocols.contract import ClientCall
from apps.domain.protocols.openai_responses import names, tools, usage, wire
from apps.domain.tokens import TokenUsage

Status = Literal["in_progress", "completed", "incomplete", "failed"]

# Why an answer is incomplete; every other end is a completion.
INCOMPLETE: dict[StopReason, str] = {
    "max_tokens": "max_output_tokens",
    "context_window": "max_output_tokens",
    "refusal": "content_filter",
}
REASONS: dict[str, StopReason] = {"max_output_tokens": "max_tokens", "content_filter": "refusal"}
_ENCODED = msgspec.json.encode
_NULL = msgspec.Raw(b"null")


class Frame:
    """The response object of one call. What does not change while it streams is written once."""

    def __init__(self, call: ClientCall, *, created: int) -> None:
        self._call = call
        self._created = created
        self.id = ""
        self._fixed = _ENCODED(_echo(call))[1:]

    def begin(self, foreign: str) -> None:
        self.id = names.response_id(self._call.answer_id(foreign, prefix="", created=self._created))

    def write(
        self,
        status: Status,
        output: list[msgspec.Raw],
        *,
        reason: str | None = None,
        error: dict[str, Any] | None = None,
        counted: TokenUsage | None = None,
        tier: str | None = None,
    ) -> bytes:
        fixed = self._fixed if tier is None else _ENCODED(_echo(self._call) | {"service_tier": tier})[1:]
        head = {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self._call.model,
            "output": output,
            "usage": None if counted is None else usage.write(counted),
        }
        return _ENCODED(head)[:-1] + b"," + fixed


def message(
    identity: str, text: str, *, status: Status, refusal: bool = False, likely: Iterable[Likely] = ()
) -> dict[str, Any]:
    part = refusal_part(text) if refusal else text_part(text, likely=likely)
    return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": [part]}


def text_part(text: str, *, likely: Iterable[Likely] = ()) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": logprobs(likely), "text": text}


def logprobs(likely: Iterable[Likely]) -> list[dict[str, Any]]:
    return [_token(one) | {"top_logprobs": [_token(other) for other in one.top_logprobs]} for one in likely]


def _token(one: Token) -> dict[str, Any]:
    return {"token": one.token, "bytes": one.bytes or [], "logprob": one.logprob}


def refusal_part(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}


def reasoning(identity: str, block: Thinking | RedactedThinking) -> dict[str, Any]:
    said = block.text if isinstance(block, Thinking) else ""
    summary = [{"type": "summary_text", "text": said}] if said else []
    return {"id": identity, "type": "reasoning", "summary": summary, "encrypted_content": names.seal(block)}


PREFIXES: dict[tools.Kind, str] = {"function": "fc", "custom": "ctc", "local_shell": "lsh"}


def call_item(identity: str, block: ToolUse, *, promised: tools.Promised, status: Status) -> dict[str, Any]:
    """A call as the kind of its tool demands."""
    called = block.id or names.minted(identity)
    item: dict[str, Any] = {"id": identity, "type": f"{promised.kind}_call", "status": status, "call_id": called}
    if promised.kind == "local_shell":
        return item | {"action": _action(block.arguments)}
    if promised.kind == "custom":
        item |= {"type": "custom_tool_call", "name": promised.name, "input": tools.custom_input(block.arguments)}
    else:
        item |= {"name": promised.name, "arguments": block.arguments}
    return item | ({"namespace": promised.namespace} if promised.namespace is not None else {})


def _action(arguments: str) -> dict[str, Any]:
    try:
        given = floats.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        given = None
    given = given if isinstance(given, dict) else {}
    command = given.get("command")
    words = [command] if isinstance(command, str) else command if isinstance(command, list) else []
    return {
        "type": "exec",
        "command": [str(word) for word in words],
        "env": {},
        "timeout_ms": given.get("timeout_ms"),
        "working_directory": given.get("working_directory"),
    }


def _echo(call: ClientCall) -> dict[str, Any]:
    """What OpenAI repeats of the request, with its defaults for what was not said."""
    body: wire.Body = call.wire.body
    raw = call.wire.members.values.get
    thinks = body.reasoning or wire.Reasoning()
    wanted = body.text or wire.TextOptions()
    text = {"format": wanted.format, "verbosity": wanted.verbosity or "medium"}
    kept = {name: raw(name) for name in ("prompt_cache_retention",) if raw(name) is not None}
    return kept | {
        "background": False,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": raw("prompt_cache_key", _NULL),
        "reasoning": {"effort": thinks.effort, "summary": thinks.summary or thinks.generate_summary},
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": text if wanted.format else text | {"format": {"type": "text"}},
        "tool_choice": raw("tool_choice", _NULL) if body.tool_choice is not None else "auto",
        "tools": raw("tools", _NULL) if body.tools else [],
        "top_logprobs": raw("top_logprobs", 0),
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": "disabled",
        "user": body.user,
    }
